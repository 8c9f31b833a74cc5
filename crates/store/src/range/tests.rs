use proptest::prelude::*;

use super::*;
use crate::Place;

type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

/// Small blocks, so that few bytes meet every border.
fn small_blocks(reader: &RangeReader) -> RangeReader {
    RangeReader::with_block_bytes(reader.0.origin.clone(), reader.0.shown.clone(), 64)
}

fn contents(length: usize) -> Vec<u8> {
    (0..=252_u8).step_by(31).chain(0..=250).cycle().take(length).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn reads_equal_slices(length in 0_usize..2000, cuts in prop::collection::vec((0..=1000_usize, 0..=1000_usize), 1..40)) {
        let bytes = contents(length);
        let folder = tempfile::tempdir()?;
        let disk = Place::open(&folder.path().display().to_string()).unwrap();
        for place in [disk, Place::in_memory("slices").unwrap()] {
            place.write("f", Bytes::from(bytes.clone())).unwrap();
            let reader = small_blocks(&place.reader(&place.entry("f").unwrap()).unwrap());
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| for (a, b) in &cuts {
                        let at = |permille: usize| permille * length / 1000;
                        let (start, end) = (at(*a.min(b)), at(*a.max(b)));
                        let got = reader.read_range(start as u64..end as u64).unwrap();
                        assert_eq!(got, &bytes[start..end]);
                    });
                }
            });
            prop_assert!(lock(&reader.0.blocks).len() <= BLOCKS);
        }
    }
}

#[test]
fn forward_reads_fetch_the_next_block_ahead() -> Outcome {
    let place = Place::in_memory("ahead")?;
    place.write("f", Bytes::from(contents(1000)))?;
    let reader = small_blocks(&place.reader(&place.entry("f")?)?);
    let cached = |reader: &RangeReader| {
        let mut indices: Vec<u64> = lock(&reader.0.blocks).iter().map(|(index, _)| *index).collect();
        indices.sort_unstable();
        indices
    };
    reader.read_range(10..20)?;
    assert_eq!(cached(&reader), [0], "a single read must not fetch ahead");
    reader.read_range(64..70)?;
    assert_eq!(cached(&reader), [0, 1, 2]);
    assert_eq!(reader.read_range(128..192)?, contents(1000)[128..192]);
    Ok(())
}

#[test]
fn a_changed_file_is_noticed() -> Outcome {
    let folder = tempfile::tempdir()?;
    for place in [Place::open(&folder.path().display().to_string())?, Place::in_memory("changed")?] {
        place.write("f", Bytes::from(contents(500)))?;
        let reader = small_blocks(&place.reader(&place.entry("f")?)?);
        reader.read_range(0..10)?;
        place.write("f", Bytes::from(contents(501)))?;
        for range in [300..310, 100..400] {
            let error = reader.read_range(range).unwrap_err();
            assert!(matches!(&error, Error::Changed { path } if path.ends_with("/f")), "{error:?}");
        }
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
    assert_eq!(reader.read_range(3..3)?, "");
    Ok(())
}
