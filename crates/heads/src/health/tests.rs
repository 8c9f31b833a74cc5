use std::sync::atomic::Ordering;

use super::*;
use crate::fake::{FakeEngine, Role, vocabulary};
use crate::{ProbeSettings, build_probes, bundled_sentences, retrieval_scores};

const COPYING: [((u16, u16), Role); 2] = [((1, 0), Role::Copies), ((1, 3), Role::Copies)];

fn set(heads: &[(u16, u16)]) -> HeadSet {
    HeadSet::new(heads.iter().map(|&id| id.into()).collect()).expect("distinct heads")
}

fn measure(engine: &FakeEngine, set: &HeadSet, probes: usize, until: Until) -> Result<Health, Error> {
    let all: Vec<&str> = bundled_sentences().collect();
    let settings = ProbeSettings { probes, shots: 3, context_tokens: 1500, seed: 5 };
    let probes = build_probes(&all, &vocabulary(&[]), &settings)?;
    let scores = retrieval_scores(engine, &probes, headwater_record::heads::Rule::NeedleSpan, &())?;
    health(engine, &probes, &scores, &HealthOptions { set, mask: MaskKind::Zero, seed: 9, until }, &())
}

#[test]
fn masking_the_copying_heads_is_healthy() -> Result<(), Error> {
    let engine = FakeEngine::new(&COPYING);
    let health = measure(&engine, &set(&[(1, 0), (1, 3)]), 20, Until::All)?;
    assert_eq!((health.probes, health.intact_accuracy, health.masked_accuracy), (16, 1.0, 0.0));
    assert_eq!(health.control_accuracies, [1.0; 3]);
    assert!(health.healthy && health.split_half_correlation > 0.99);
    assert_eq!(engine.passes.load(Ordering::Relaxed), 20 + 16 * MASKS_PER_PROBE as u64);
    let early = measure(&FakeEngine::new(&COPYING), &set(&[(1, 0), (1, 3)]), 20, Until::Stable)?;
    let decision = early.decision.as_ref().expect("it is told");
    assert_eq!((early.probes, early.healthy, decision.clear, &decision.looks[..]), (6, true, true, &[6][..]));
    Ok(())
}

#[test]
fn masking_other_heads_is_not() -> Result<(), Error> {
    let health = measure(&FakeEngine::new(&COPYING), &set(&[(0, 0), (2, 3)]), 4, Until::Stable)?;
    assert_eq!((health.probes, health.masked_accuracy, health.healthy), (4, 1.0, false));
    assert!(matches!(weakness(&health), Some(Weakness::MaskCostsLittle { .. })));
    let mute = FakeEngine { answers: false, ..FakeEngine::new(&COPYING) };
    let health = measure(&mute, &set(&[(1, 0), (1, 3)]), 4, Until::Stable)?;
    assert!(matches!(weakness(&health), Some(Weakness::CannotRetrieve { .. })));
    Ok(())
}

#[test]
fn the_rule_is_the_documented_one() {
    let health = |intact_accuracy: f64, masked_accuracy: f64, control: f64| Health {
        probes: 16,
        intact_accuracy,
        masked_accuracy,
        control_accuracies: vec![control; 3],
        controls: Vec::new(),
        split_half_correlation: 1.0,
        healthy: false,
        decision: None,
    };
    let healthy = |intact, masked, control| weakness(&health(intact, masked, control)).is_none();
    assert!(healthy(0.5, 0.25, 0.5));
    assert!(!healthy(0.49, 0.0, 0.49));
    assert!(!healthy(0.5, 0.375, 0.5));
    assert!(healthy(1.0, 0.5, 0.75));
    assert!(!healthy(1.0, 0.5, 0.625));
    // A control that helps lowers nothing below the floor.
    assert!(!healthy(0.75, 0.625, 1.0));
}

#[test]
fn controls_are_other_heads_of_the_same_layers() -> Result<(), Error> {
    let chosen = set(&[(0, 0), (0, 1), (2, 0), (2, 1), (2, 2), (2, 4)]);
    let options = HealthOptions { set: &chosen, mask: MaskKind::CausalUniform, seed: 1, until: Until::All };
    let controls = (0..3).map(|index| control_set(&options, 5, index)).collect::<Result<Vec<_>, _>>()?;
    for control in &controls {
        assert_eq!(control.in_layer(0).count(), 2);
        // Layer 2 has only one head left.
        assert_eq!(control.in_layer(2).collect::<Vec<_>>(), [3]);
        assert!(control.as_slice().iter().all(|id| !chosen.as_slice().contains(id)));
    }
    assert_eq!(controls[0], control_set(&options, 5, 0)?);
    assert!((1..40).any(|index| control_set(&options, 5, index).is_ok_and(|other| other != controls[0])));
    Ok(())
}

/// Accuracies of six probes: intact, masked, one control; the last swings by ± `noise` from probe to probe.
fn six(intact: f64, masked: f64, control: f64, noise: f64) -> Vec<Vec<f64>> {
    let swing = |probe: usize| if probe.is_multiple_of(2) { noise } else { -noise };
    (0..6).map(|probe| vec![intact, masked, control + swing(probe)]).collect()
}

#[test]
fn health_is_clear_by_four_standard_errors() {
    let clear = |accuracies: &[Vec<f64>]| is_clear(&margins_over_probes(accuracies));
    // cost 0.75, twice the controls' 0.25: above by 0.25 ± 2 × noise / √5, so the noise may be 0.0698
    assert!(clear(&six(1.0, 0.25, 0.875, 0.0)));
    assert!(clear(&six(1.0, 0.25, 0.75, 0.069)) && !clear(&six(1.0, 0.25, 0.75, 0.071)));
    // as far below
    assert!(clear(&six(1.0, 0.25, 0.5, 0.069)) && !clear(&six(1.0, 0.25, 0.5, 0.071)));
    // one condition that is clearly missed is enough, whatever the others are
    assert!(clear(&six(0.25, 0.0, 0.125, 5.0)) && clear(&six(1.0, 0.9, 1.0, 5.0)));
    // exactly at the bound nothing is clear
    assert!(!clear(&six(0.5, 0.0, 0.5, 0.0)));
    assert!(!clear(&six(1.0, 0.25, 0.75, 0.069)[..1]), "one probe has no error");
}

#[test]
fn margins_are_those_that_decide() {
    let accuracies = six(0.9, 0.2, 0.7, 0.1);
    let decided = decision(&accuracies, vec![6], 16);
    let near = |margin: Margin, mean: f64, stderr: f64| {
        (margin.mean - mean).abs() < 1e-12 && margin.stderr.is_some_and(|found| (found - stderr).abs() < 1e-12)
    };
    assert!(near(decided.intact, 0.4, 0.0) && near(decided.cost, 0.55, 0.0), "{decided:?}");
    assert!(near(decided.beside_controls, 0.3, 0.2 / 5.0_f64.sqrt()), "{decided:?}");
    assert!(!decided.clear && decided.most_probes == 16);
}
