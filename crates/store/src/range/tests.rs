use super::*;
use crate::{ForwardReader, Place, Stores};

type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

fn contents(length: usize) -> Vec<u8> {
    (0..=252_u8).step_by(31).chain(0..=250).cycle().take(length).collect()
}

#[test]
fn a_changed_file_is_noticed() -> Outcome {
    let folder = tempfile::tempdir()?;
    for place in [Stores::default().open(&folder.path().display().to_string())?, Place::in_memory("changed")?] {
        place.write("f", Bytes::from(contents(500)))?;
        let reader = place.reader(&place.entry("f")?)?;
        reader.read_range(0..10)?;
        place.write("f", Bytes::from(contents(501)))?;
        for range in [300..310, 100..400] {
            let error = reader.read_range(range).unwrap_err();
            assert!(matches!(&error, Error::Changed { path } if path.ends_with("/f")), "{error:?}");
        }
        let forward = ForwardReader::new(reader.clone(), 0..500, 64)?;
        forward.begin()?;
        assert!(matches!(forward.some(0, 10), Err(Error::Changed { .. })));
    }
    Ok(())
}

#[test]
fn ranges_outside_the_file_are_refused() -> Outcome {
    let place = Place::in_memory("outside")?;
    place.write("f", Bytes::from_static(b"abc"))?;
    let reader = place.reader(&place.entry("f")?)?;
    assert!(matches!(reader.read_range(2..4), Err(Error::OutOfRange { bytes: 3, .. })));
    assert!(matches!(reader.read_range(u64::MAX - 1..u64::MAX), Err(Error::OutOfRange { .. })));
    assert!(matches!(ForwardReader::new(reader.clone(), 1..4, 8), Err(Error::OutOfRange { bytes: 3, .. })));
    assert_eq!(reader.read_range(3..3)?, "");
    Ok(())
}
