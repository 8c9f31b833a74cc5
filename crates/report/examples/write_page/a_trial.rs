//! A made-up trial.

use headwater_report::{ShownArm, ShownTrial};

/// A trial of three arms in `domains`; `hostile` is the name of one.
pub(crate) fn trial(domains: &[String], hostile: &str) -> ShownTrial {
    let arm = |name: &str, verdict: &str, mean: f64, half: f64, is_judged: bool| ShownArm {
        name: name.to_owned(),
        verdict: verdict.to_owned(),
        difference: (mean, [mean - half, mean + half]),
        before_decay: Some(mean * 0.7),
        p: is_judged.then_some(if mean.abs() > half { 0.016 } else { 1.0 }),
        smallest: is_judged.then_some(half * 1.3),
    };
    let arms = vec![
        arm("random-again", "the floor", 0.0021, 0.0074, false),
        arm("influence", "better", -0.0204, 0.0061, true),
        arm("loss", "worse", 0.0315, 0.0102, true),
        arm(hostile, "not distinguishable", -0.0012, 0.0083, true),
    ];
    let course = |name: &str, end: f64| {
        let losses = (0..50).map(|at| end + 5.0 * (-f64::from(at) / 9.0).exp() - 0.004 * f64::from(at.max(37) - 37));
        (name.to_owned(), losses.collect())
    };
    ShownTrial {
        folder: "made-up/trial/0123456789abcdef".to_owned(),
        control: ("random".to_owned(), 2.1043),
        seeds: 8,
        held_out: (412, 1_204_331),
        parameters: 1_270_000,
        run_tokens: 4_000_000,
        reach: "A run takes 1/2,000 of the operations of the smallest runs whose decisions are known to carry over."
            .to_owned(),
        courses: vec![
            course("random", 3.1),
            course("influence", 2.9),
            course("loss", 3.6),
            course(hostile, 3.0),
            course("schedule:refined", 3.05),
            course("copied", 3.2),
            course("compression", 3.3),
        ],
        schedule_arms: 1,
        decay_from: Some(0.75),
        floor: Some(0.0081),
        domains: domains
            .iter()
            .map(|domain| (domain.clone(), vec![Some(0.002), Some(-0.03), Some(0.04), None]))
            .collect(),
        arms,
    }
}
