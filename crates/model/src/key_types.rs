//! The types of the keys of `config.json`, by architecture, as transformers checks them before it makes a model.
//!
//! `tests/bench/models/key_types.py` writes the table.

use std::collections::BTreeMap;

use serde_json::Value;

/// By architecture and key, the kinds of values that are allowed.
type Types = BTreeMap<&'static str, BTreeMap<&'static str, &'static str>>;

/// What stands between two kinds.
const OR: &str = ", or ";

/// The first key among `values` whose value transformers refuses by its type in a model of type `model_type`, and what it allows there.
pub(crate) fn mismatch<'a>(
    model_type: &str,
    mut values: impl Iterator<Item = (&'a String, &'a Value)>,
) -> Option<(&'a str, &'a Value, &'static str)> {
    let types: Types = serde_json::from_str(include_str!("architectures/key_types.json")).unwrap_or_default();
    let types = types.get(model_type)?;
    values.find_map(|(key, value)| {
        let allowed = types.get(key.as_str()).filter(|allowed| !allowed.split(OR).any(|kind| is_of(kind, value)))?;
        Some((key.as_str(), value, *allowed))
    })
}

/// Whether `value` is of the kind that the table calls `kind`.
fn is_of(kind: &str, value: &Value) -> bool {
    let all = |is_entry: fn(&Value) -> bool| value.as_array().is_some_and(|entries| entries.iter().all(is_entry));
    match kind {
        "null" => value.is_null(),
        "true or false" => value.is_boolean(),
        "a whole number" => is_whole(value),
        "a number with a point" => value.is_f64(),
        "a text" => value.is_string(),
        "a list of whole numbers" => all(is_whole),
        "a list of texts" => all(Value::is_string),
        "a table" => value.is_object(),
        _ => true,
    }
}

fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_has_every_architecture_and_kinds_that_are_known() {
        let types: Types = serde_json::from_str(include_str!("architectures/key_types.json")).expect("a table");
        let kinds: BTreeSet<&str> =
            types.values().flat_map(BTreeMap::values).flat_map(|kinds| kinds.split(OR)).collect();
        // a value that is of no kind but one
        for (kind, value) in [
            ("null", serde_json::json!(null)),
            ("true or false", serde_json::json!(true)),
            ("a whole number", serde_json::json!(-1)),
            ("a number with a point", serde_json::json!(1.0)),
            ("a text", serde_json::json!("1")),
            ("a list of whole numbers", serde_json::json!([1, 2])),
            ("a list of texts", serde_json::json!(["1"])),
            ("a table", serde_json::json!({})),
        ] {
            let of: Vec<&str> = kinds.iter().copied().filter(|kind| is_of(kind, &value)).collect();
            assert_eq!(of, [kind], "{value}");
        }
        assert_eq!(kinds.len(), 8, "{kinds:?}");
        for architecture in crate::architectures::ALL {
            assert!(types.contains_key(architecture.model_type), "{}", architecture.model_type);
        }
    }
}
