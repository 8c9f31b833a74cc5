use proptest::prelude::*;

use super::*;
use crate::faults::{Fault, Script, faulty};
use crate::{Place, Stores};

type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

fn contents(length: usize) -> Vec<u8> {
    (0..=252_u8).step_by(31).chain(0..=250).cycle().take(length).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_reads_equal_slices(
        length in 1_usize..2000,
        window in (0..=1000_usize, 0..=1000_usize),
        piece in 1_u64..600,
        cuts in prop::collection::vec((0..=1000_usize, 0..=1000_usize), 1..40),
    ) {
        let bytes = contents(length);
        let between = |(a, b): (usize, usize), from: usize, to: usize| {
            let at = |permille: usize| from + permille * (to - from) / 1000;
            at(a.min(b))..at(a.max(b))
        };
        let window = between(window, 0, length);
        let folder = tempfile::tempdir()?;
        let disk = Stores::default().open(&folder.path().display().to_string()).unwrap();
        for place in [disk, Place::in_memory("slices").unwrap()] {
            place.write("f", Bytes::from(bytes.clone())).unwrap();
            let reader = place.reader(&place.entry("f").unwrap()).unwrap();
            let forward = ForwardReader::new(reader.clone(), window.start as u64..window.end as u64, piece).unwrap();
            forward.begin().unwrap();
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| for cut in &cuts {
                        let range = between(*cut, window.start, window.end);
                        let got = forward.all(range.start as u64..range.end as u64).unwrap();
                        assert_eq!(got, &bytes[range]);
                    });
                }
            });
        }
    }
}

/// The ranges that reading `window` in steps of `step` bytes fetches of a file of 100,000 bytes, in rising order.
fn fetched(
    window: Range<u64>,
    piece: u64,
    step: usize,
) -> std::result::Result<Vec<Range<u64>>, Box<dyn std::error::Error>> {
    let (place, script) = faulty("fetched", Script::default())?;
    place.write("f", Bytes::from(contents(100_000)))?;
    let forward = ForwardReader::new(place.reader(&place.entry("f")?)?, window.clone(), piece)?;
    forward.begin()?;
    let mut position = window.start;
    while position < window.end {
        position += forward.some(position, step)?.len() as u64;
    }
    let mut ranges = script.ranges();
    ranges.sort_by_key(|range| range.start);
    Ok(ranges)
}

#[test]
fn every_byte_of_the_range_is_fetched_once_and_no_other() -> Outcome {
    for (window, piece) in [(100..99_000, 700), (0..100_000, 100_000), (5..6, 10), (0..99_999, 33_333)] {
        for step in [1_usize, 64, 5000] {
            let ranges = fetched(window.clone(), piece, step)?;
            assert_eq!(ranges.first().map(|range| range.start), Some(window.start));
            assert_eq!(ranges.last().map(|range| range.end), Some(window.end));
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start), "{ranges:?}");
            assert!(ranges.iter().all(|range| range.end - range.start <= piece), "{ranges:?}");
        }
    }
    Ok(())
}

#[test]
fn what_fits_a_piece_is_one_request() -> Outcome {
    assert_eq!(fetched(10..90_000, 1 << 23, 100)?, vec![10_u64..90_000]);
    Ok(())
}

#[test]
fn a_piece_that_failed_ahead_is_fetched_again() -> Outcome {
    // the second request for a range fails while nobody waits for it
    let script = Script { faults: vec![(Fault::Unavailable, 1)], ..Script::default() };
    let (place, script) = faulty("ahead", script)?;
    place.write("f", Bytes::from(contents(3000)))?;
    let forward = ForwardReader::new(place.reader(&place.entry("f")?)?, 0..3000, 1000)?;
    assert_eq!(forward.all(0..3000)?, contents(3000));
    assert_eq!(script.ranges().iter().filter(|range| range.start == 1000).count(), 2);
    Ok(())
}

#[test]
fn a_cut_body_is_no_shorter_file() -> Outcome {
    let script = Script { faults: vec![(Fault::CutBody, 0)], ..Script::default() };
    let (place, _) = faulty("cut", script)?;
    place.write("f", Bytes::from(contents(3000)))?;
    let forward = ForwardReader::new(place.reader(&place.entry("f")?)?, 0..3000, 1000)?;
    assert!(matches!(forward.all(0..900), Err(Error::Changed { .. } | Error::Unavailable { .. })));
    assert_eq!(forward.all(0..900)?, &contents(3000)[..900]);
    Ok(())
}

#[test]
fn a_store_that_often_fails_gives_the_right_bytes_to_whoever_asks_again() -> Outcome {
    for seed in 0..8 {
        let faults = vec![(Fault::Delay(std::time::Duration::from_millis(2)), 3)];
        let (place, _) = faulty("often", Script { faults, one_in: Some((seed, 4)), ..Script::default() })?;
        place.write("f", Bytes::from(contents(20_000)))?;
        let forward = ForwardReader::new(place.reader(&place.entry("f")?)?, 0..20_000, 700)?;
        for start in (0..20_000_usize).step_by(500) {
            let range = start as u64..start as u64 + 500;
            let bytes = (0..100).find_map(|_| forward.all(range.clone()).ok());
            assert_eq!(bytes.as_deref(), Some(&contents(20_000)[start..start + 500]));
        }
    }
    Ok(())
}
