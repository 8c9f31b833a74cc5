use headwater_record::heads::HeadId;

use super::*;

/// Scores of one layer whose heads score what `score` says of (probe, head).
fn planted(probes: usize, heads: usize, score: impl Fn(usize, usize) -> f64) -> RetrievalScores {
    RetrievalScores::planted(
        heads,
        (0..probes).map(|probe| (0..heads).map(|head| score(probe, head)).collect()).collect(),
    )
}

/// +1 on two probes, −1 on the next two, so that both halves see as much of each.
fn swing(probe: usize) -> f64 {
    if probe % 4 < 2 { 1.0 } else { -1.0 }
}

#[test]
fn looks_grow_by_a_third_or_a_half_up_to_the_most() {
    let looks = |probes, until| search_looks(&HeadsConfig { probes, until, ..HeadsConfig::default() });
    assert_eq!(looks(64, Until::Stable), [16, 24, 32, 48, 64]);
    assert_eq!(looks(100, Until::Stable), [16, 24, 32, 48, 64, 96, 100]);
    assert_eq!(looks(17, Until::Stable), [16, 17]);
    assert_eq!(looks(16, Until::Stable), [16]);
    assert_eq!(looks(5, Until::Stable), [5]);
    assert_eq!(looks(100_000, Until::Stable).last_chunk(), Some(&[98_304, 100_000]));
    assert_eq!(looks(64, Until::All), [64]);
}

#[test]
fn halves_that_choose_other_heads_share_nothing() -> Result<(), Error> {
    let alternating = planted(16, 4, |probe, head| if probe % 2 == head { 1.0 } else { 0.0 });
    assert_eq!(look(&alternating, 0.25)?.shared, 0.0);
    let second = planted(16, 4, |probe, head| if head == 0 || head == 1 + probe % 2 { 1.0 } else { 0.0 });
    assert_eq!(look(&second, 0.5)?.shared, 0.5);
    let steady = planted(16, 4, |_, head| 1.0 - head as f64 / 4.0);
    assert_eq!(look(&steady, 0.5)?.shared, 1.0);
    Ok(())
}

#[test]
fn standard_errors_are_of_differences_on_the_same_probe() -> Result<(), Error> {
    // hard and easy probes move both heads alike: the difference does not vary
    let alike = planted(16, 2, |probe, head| 0.5 + 0.25 * swing(probe) - 0.125 * head as f64);
    let seen = look(&alike, 0.5)?;
    assert_eq!((seen.heads_in_doubt, seen.doubt, seen.distance), (0, 0.0, None));
    // they move against each other: the difference is 0.125 ± 0.5 × √(16/15) / √16
    let against =
        planted(16, 2, |probe, head| 0.5 + (if head == 0 { 0.25 } else { -0.25 }) * swing(probe) - 0.125 * head as f64);
    let seen = look(&against, 0.5)?;
    assert_eq!((seen.heads_in_doubt, seen.doubt), (1, 1.0));
    let distance = seen.distance.unwrap_or(f64::NAN);
    assert!((distance - 0.125 / (0.5 * (1.0_f64 / 15.0).sqrt())).abs() < 1e-12, "{distance}");
    Ok(())
}

/// Heads 0 and 1 are far above head 3, the first outside; head 2 is above it by `lead` ± 0.1 × √(1/15), with a score of `third`.
fn doubtful(third: f64, lead: f64) -> Result<Look, Error> {
    let scores = planted(16, 6, |probe, head| match head {
        0 => 0.9,
        1 => 0.8,
        2 => third + 0.1 * swing(probe),
        3 => third - lead,
        _ => 0.0,
    });
    look(&scores, 0.5)
}

#[test]
fn a_few_doubtful_heads_of_little_weight_are_borne() -> Result<(), Error> {
    // two standard errors are 0.0516
    let clear = doubtful(0.4, 0.053)?;
    assert_eq!((clear.heads_in_doubt, clear.doubt), (0, 0.0));
    let light = doubtful(0.4, 0.05)?;
    assert!(light.heads_in_doubt == 1 && (light.doubt - 0.4 / 2.1).abs() < 1e-12, "{light:?}");
    let heavy = doubtful(0.5, 0.05)?;
    assert!(heavy.heads_in_doubt == 1 && (heavy.doubt - 0.5 / 2.2).abs() < 1e-12, "{heavy:?}");
    assert!([clear, light].iter().all(is_stable) && !is_stable(&heavy));
    assert!(clear.distance.is_some_and(|distance| distance > 2.0), "{clear:?}");
    assert!(light.distance.is_some_and(|distance| distance > 1.9 && distance < 2.0), "{light:?}");
    Ok(())
}

#[test]
fn every_condition_is_needed() {
    let stable = Look { probes: 16, shared: 0.75, heads_in_doubt: 3, doubt: 0.2, distance: Some(0.1) };
    assert!(is_stable(&stable));
    for short in [Look { probes: 15, ..stable }, Look { shared: 0.74, ..stable }, Look { doubt: 0.21, ..stable }] {
        assert!(!is_stable(&short), "{short:?}");
    }
}

#[test]
fn ties_are_in_doubt_and_whole_models_are_not() -> Result<(), Error> {
    let tied = planted(16, 4, |_, _| 0.5);
    let seen = look(&tied, 0.5)?;
    assert_eq!((seen.heads_in_doubt, seen.doubt, seen.distance), (2, 1.0, Some(0.0)));
    let nothing = planted(16, 4, |_, _| 0.0);
    assert_eq!(look(&nothing, 0.5)?.doubt, 1.0, "heads that never copy");
    let all = look(&tied, 1.0)?;
    assert_eq!((all.heads_in_doubt, all.doubt, all.distance, all.shared), (0, 0.0, None, 1.0));
    let ranking = Ranking::new(&tied.mean(), 0.5)?;
    assert_eq!(ranking.first_outside(), Some(HeadId { layer: 0, head: 2 }));
    Ok(())
}
