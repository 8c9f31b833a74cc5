use super::*;
use crate::fake::{FakeEngine, Role, vocabulary};
use crate::{ProbeSettings, build_probes, bundled_sentences};

fn probes(count: usize) -> Vec<Probe> {
    let all: Vec<&str> = bundled_sentences().collect();
    let settings = ProbeSettings { probes: count, shots: 3, context_tokens: 1500, seed: 5 };
    build_probes(&all, &vocabulary(&[3]), &settings).expect("probes fit")
}

#[test]
fn a_copying_head_scores_and_its_neighbour_by_one_does_not() -> Result<(), Error> {
    let engine = FakeEngine::new(&[((0, 1), Role::Copies), ((3, 4), Role::OffByOne)]);
    for rule in [Rule::NeedleSpan, Rule::Visible] {
        let scores = retrieval_scores(&engine, &probes(6), rule, &())?;
        let means = scores.mean();
        assert_eq!((means.len(), means[0].len()), (4, 5));
        assert!(means[0][1] > 0.7 && means[0][1] <= scores.reachable(), "{} of {}", means[0][1], scores.reachable());
        assert!(means[3][4] < 0.1, "{}", means[3][4]);
        assert_eq!(means[2][2], 0.0);
    }
    Ok(())
}

/// A probe by hand: value 5 6 7 at 1..4, a second 6 at 5, answer 5 6 9 from 8; the rows are 7, 8 and 9.
fn by_hand() -> Probe {
    Probe { ids: vec![1, 5, 6, 7, 2, 6, 9, 3, 5, 6, 9], answer_start: 8, needle: 1..4 }
}

#[test]
fn the_rules_differ_only_outside_the_needle() -> Result<(), Error> {
    // One layer of three heads: copies from the value, copies from anywhere, looks where the row itself is.
    let argmax = AttentionArgmax::new(1, 3, 3, vec![1, 2, 3, 1, 5, 6, 7, 8, 9])
        .map_err(|source| Error::Model { probe: 0, source })?;
    let probe = by_hand();
    let score = |rule, head| copied_share(&probe, rule, &argmax, (0, head));
    assert_eq!(score(Rule::NeedleSpan, 0), 2.0 / 3.0);
    assert_eq!(score(Rule::Visible, 0), 2.0 / 3.0);
    assert_eq!(score(Rule::NeedleSpan, 1), 1.0 / 3.0);
    assert_eq!(score(Rule::Visible, 1), 1.0);
    assert_eq!(score(Rule::Visible, 2), 0.0);
    assert_eq!(reachable_share(&probe, Rule::NeedleSpan), 2.0 / 3.0);
    assert_eq!(reachable_share(&probe, Rule::Visible), 1.0);
    Ok(())
}

#[test]
fn means_are_over_probes() {
    let scores = RetrievalScores {
        heads: 2,
        by_probe: vec![vec![0.0, 1.0], vec![0.5, 0.0], vec![1.0, 0.5]],
        reachable: vec![1.0, 0.5, 0.0],
    };
    assert_eq!(scores.mean(), [[0.5, 0.5]]);
    assert_eq!(scores.reachable(), 0.5);
    assert!((scores.split_half_correlation() + 1.0).abs() < 1e-12);
}
