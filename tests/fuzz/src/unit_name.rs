//! The name of a unit, which is the name of its sidecar.

use headwater_record::UnitKey;

/// Reads a unit's name; what can be read is written as it was.
pub fn unit_name(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = text.parse::<UnitKey>() {
        assert_eq!(key.to_string(), text);
        assert_eq!(UnitKey::try_from(text.to_owned()).ok(), Some(key));
    }
}
