//! Statistics of trials by simulation with known truth: false verdicts, power, coverage.
//!
//! `cargo test -p headwater-trial --test simulation -- --no-capture --include-ignored` prints the figures of `docs/trials.md`.
//!
//! Simulated losses are normal: what the seed decides, and what the arm's draw and its run add. All arms share their control's noise, so their
//! differences are correlated, by one half.

#![expect(clippy::unwrap_used, reason = "helpers of tests are outside of #[test] functions")]
#![expect(clippy::print_stdout, reason = "figures of the page are printed on demand")]

use headwater_record::statistics::box_muller;
use headwater_trial::{Design, DocumentLosses, Losses, Outcomes, Power, Verdict, compare, holm, sign_flip};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Standard deviation over seeds that all arms share, bits per byte.
const SHARED: f64 = 0.01;
/// Standard deviation of each run on its own, bits per byte; of a difference it is √2 times that.
const OWN: f64 = 0.004;

fn normal(random: &mut ChaCha8Rng) -> f64 {
    box_muller(random.random(), random.random())
}

/// The standard error of a share of `trials`, in points.
fn points(share: f64, trials: u32) -> f64 {
    100.0 * (share * (1.0 - share) / f64::from(trials)).sqrt()
}

fn design(arms: usize, seeds: usize) -> Design {
    Design {
        control: "random".to_owned(),
        floor: None,
        arms: (0..arms).map(|arm| format!("arm-{arm}")).collect(),
        seeds: (0..seeds as u64).collect(),
    }
}

/// A trial whose arms differ from the control by `effects`, in standard deviations of the paired difference.
fn trial(design: &Design, effects: &[f64], random: &mut ChaCha8Rng) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for seed in &design.seeds {
        let shared = 1.5 + SHARED * normal(random);
        outcomes.record(&design.control, *seed, shared + OWN * normal(random)).unwrap();
        for (arm, effect) in design.arms.iter().zip(effects) {
            let effect = effect * OWN * 2_f64.sqrt();
            outcomes.record(arm, *seed, shared + effect + OWN * normal(random)).unwrap();
        }
    }
    outcomes
}

/// The promise: in at most 5 % of trials without any difference some arm is called better or worse.
#[test]
fn false_verdicts() {
    for (arms, seeds) in [(1, 6), (4, 8), (3, 9), (8, 9)] {
        let trials = 1_000;
        let design = design(arms, seeds);
        let sensitivity = design.sensitivity().unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let (mut better, mut any) = (0, 0);
        for _ in 0..trials {
            let judgement =
                design.judge_as_planned(&sensitivity, &trial(&design, &vec![0.0; arms], &mut random)).unwrap();
            let has = |verdict| judgement.arms.iter().any(|arm| arm.verdict == verdict);
            better += u32::from(has(Verdict::Better));
            any += u32::from(has(Verdict::Better) || has(Verdict::Worse));
        }
        let share = |count: u32| f64::from(count) / f64::from(trials);
        println!(
            "{arms} equal arms, {seeds} seeds: better {:.1} %, any verdict {:.1} %",
            100.0 * share(better),
            100.0 * share(any)
        );
        assert!(share(better) <= 0.05 && share(any) <= 0.05, "{arms} arms, {seeds} seeds");
    }
}

/// The same where differences have heavy tails and spread more from seed to seed, but lie evenly around 0: the test assumes no more than that.
#[test]
fn false_verdicts_without_a_normal() {
    let (arms, seeds, trials) = (4, 10, 10_000);
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let mut any = 0;
    for _ in 0..trials {
        let p: Vec<f64> = (0..arms)
            .map(|_| {
                // the cube of a normal number
                let differences: Vec<f64> =
                    (1..=seeds).map(|seed| f64::from(seed) * normal(&mut random).powi(3)).collect();
                sign_flip(&differences).unwrap().p
            })
            .collect();
        any += u32::from(holm(&p).iter().any(|p| *p <= 0.05));
    }
    let share = f64::from(any) / f64::from(trials);
    println!("{arms} equal arms of heavy tails, {seeds} seeds: any verdict {:.2} %", 100.0 * share);
    assert!(share <= 0.05);
}

/// How often `effect` is found in the right direction: by the p-values of the whole trial, with Holm's adjustment.
fn found(arms: usize, seeds: usize, effect: f64, trials: u32) -> f64 {
    let design = design(arms, seeds);
    let mut effects = vec![0.0; arms];
    effects[0] = -effect;
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut found = 0;
    for _ in 0..trials {
        let outcomes = trial(&design, &effects, &mut random);
        let comparisons: Vec<_> = design.arms.iter().map(|arm| outcomes.compare("random", arm).unwrap()).collect();
        let p: Vec<f64> = comparisons.iter().map(|comparison| comparison.sign_flip.p).collect();
        found += u32::from(holm(&p)[0] <= 0.05 && comparisons[0].mean_difference < 0.0);
    }
    f64::from(found) / f64::from(trials)
}

#[test]
fn power_is_as_stated() {
    let trials = 2_000;
    for (arms, seeds) in [(1, 5), (1, 8), (4, 8), (1, 12), (4, 12)] {
        let power = Power::new(seeds, arms).unwrap();
        for effect in [0.6, 1.2, 2.0] {
            let (stated, found) = (power.at(effect), found(arms, seeds, effect, trials));
            println!(
                "{arms} arms, {seeds} seeds, {effect} sd: stated {:.1} %, found {:.1} %",
                100.0 * stated,
                100.0 * found
            );
            assert!((stated - found).abs() < 0.05, "{arms} arms, {seeds} seeds, {effect} sd: {stated}, {found}");
        }
        if seeds == 5 {
            assert_eq!((power.at(2.5), found(arms, seeds, 2.5, trials)), (0.0, 0.0), "no verdict is possible");
        }
    }
}

/// What is called the smallest detectable effect is found in 80 % of trials.
#[test]
fn the_smallest_detectable_effect_is_found_as_often_as_promised() {
    for (arms, seeds) in [(1, 8), (4, 8), (4, 12)] {
        let effect = design(arms, seeds).sensitivity().unwrap().detectable_sd.unwrap();
        let found = found(arms, seeds, effect, 4_000);
        println!("{arms} arms, {seeds} seeds, {effect:.2} sd: found {:.1} %", 100.0 * found);
        assert!((found - 0.8).abs() < 0.025, "{arms} arms, {seeds} seeds: {found}");
    }
}

#[test]
fn t_and_sd_intervals_cover() {
    let trials = 10_000;
    for seeds in [3_u64, 5, 8, 12] {
        let mut random = ChaCha8Rng::seed_from_u64(4);
        let (truth, sd) = (-0.003, OWN * 2_f64.sqrt());
        let (mut mean_held, mut sd_held) = (0, 0);
        for _ in 0..trials {
            let (mut control, mut arm) = (Losses::new(), Losses::new());
            for seed in 0..seeds {
                let shared = 1.5 + SHARED * normal(&mut random);
                control.insert(seed, shared + OWN * normal(&mut random));
                arm.insert(seed, shared + truth + OWN * normal(&mut random));
            }
            let comparison = compare(&control, &arm).unwrap();
            mean_held += u32::from(comparison.t_interval.holds(truth));
            sd_held += u32::from(comparison.sd_interval.holds(sd));
        }
        let share = |held: u32| 100.0 * f64::from(held) / f64::from(trials);
        let error = points(0.95, trials);
        println!(
            "{seeds} seeds: t interval {:.2} %, sd interval {:.2} % (± {error:.2})",
            share(mean_held),
            share(sd_held)
        );
        for covered in [share(mean_held), share(sd_held)] {
            assert!((covered - 95.0).abs() < 1.0, "{seeds} seeds: {covered} %");
        }
    }
}

/// Where the noise of a trial comes from, in bits per byte of a difference.
struct Noise {
    /// Of a seed, over all documents.
    seed: f64,
    /// Of a document, over all seeds.
    document: f64,
    /// Of one document under one seed.
    both: f64,
}

/// How often the bootstrap's interval holds the truth, in per cent.
fn bootstrap_coverage(seeds: u64, documents: usize, noise: &Noise, trials: u32) -> f64 {
    let truth = -0.02;
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut held = 0;
    for _ in 0..trials {
        let of_documents: Vec<f64> = (0..documents).map(|_| noise.document * normal(&mut random)).collect();
        let mut losses = DocumentLosses::new(vec![1_000; documents]).unwrap();
        for seed in 0..seeds {
            let of_seed = noise.seed * normal(&mut random);
            let arm =
                of_documents.iter().map(|document| 1.5 + truth + of_seed + document + noise.both * normal(&mut random));
            losses.record("influence", seed, arm.collect()).unwrap();
            losses.record("random", seed, vec![1.5; documents]).unwrap();
        }
        let resampled = losses.bootstrap("random", "influence", 6).unwrap();
        held += u32::from(resampled.interval.holds(truth));
    }
    100.0 * f64::from(held) / f64::from(trials)
}

/// Prints the coverage of every kind of noise, and makes sure that it is `least` or more.
fn bootstrap_covers(seeds: &[u64], trials: u32, least: f64) {
    let noises = [
        ("seeds", Noise { seed: 0.01, document: 0.0, both: 0.005 }),
        ("documents", Noise { seed: 0.0005, document: 0.05, both: 0.005 }),
        ("seeds and documents alike", Noise { seed: 0.005, document: 0.014, both: 0.005 }),
        ("single runs on a document", Noise { seed: 0.0, document: 0.0, both: 0.05 }),
    ];
    for (name, noise) in &noises {
        for seeds in seeds {
            let covered = bootstrap_coverage(*seeds, 40, noise, trials);
            println!(
                "bootstrap, {seeds} seeds, 40 documents, noise of {name}: {covered:.1} % (± {:.1})",
                points(0.95, trials)
            );
            assert!(covered >= least, "{seeds} seeds, noise of {name}: {covered} %");
        }
    }
}

#[test]
fn the_bootstrap_covers() {
    bootstrap_covers(&[5], 200, 91.0); // 2.6 standard errors below 95 %
}

#[test]
#[ignore = "takes minutes; it has the figures of docs/trials.md"]
fn the_bootstrap_covers_in_many_trials() {
    bootstrap_covers(&[3, 5, 8], 1_000, 93.0);
}
