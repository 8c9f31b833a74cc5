//! Toy problems: training learns, and adversarial fine-tuning makes robust.

use headwater_robust::{Error, Examples, Loss, Mlp, Pgd, Start, Training, accuracy, robust_accuracy, train};
use headwater_schedule::{Curve, Form, Frame, Schedule, WsdSteps};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Features that each say a little of the label.
const WEAK: usize = 20;

/// One feature that says much of it, and [`WEAK`] that together say more, but that a move of 0.9 turns over.
///
/// Tsipras et al. 2019 (arXiv 1805.12152), §2.1: the strong feature is ±2 and right in 85 of 100 examples; a weak one has mean ±0.5 and
/// variance 1. Departs: the weak features are uniform, not Gaussian.
fn robust_or_accurate(examples: usize, seed: u64) -> Result<Examples, Error> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut inputs, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..examples {
        let label: bool = random.random();
        let sign = if label { 1.0 } else { -1.0 };
        inputs.push(if random.random::<f32>() < 0.85 { 2.0 * sign } else { -2.0 * sign });
        let half_width = 3_f32.sqrt();
        inputs.extend((0..WEAK).map(|_| 0.5 * sign + half_width * (2.0 * random.random::<f32>() - 1.0)));
        labels.push(u32::from(label));
    }
    Examples::new(inputs, 1 + WEAK, Loss::cross_entropy(labels, 2)?)
}

fn linear(steps: u64, peak: f64) -> Result<Schedule, headwater_schedule::Error> {
    Schedule::wsd(WsdSteps { steps, warmup_steps: 0, decay_steps: steps }, Curve::Linear, peak, 0.0)
}

#[test]
fn fine_tuning_under_attack_raises_robust_accuracy() {
    let (examples, others) = (robust_or_accurate(400, 1).unwrap(), robust_or_accurate(400, 2).unwrap());
    let attack = Pgd { radius: 0.9, step: 0.225, steps: 7, start: Start::Random, bounds: None };
    let mut network = Mlp::new(&[1 + WEAK, 16, 2], 1).unwrap();
    let schedule = linear(400, 0.05).unwrap();
    train(&mut network, &examples, &Training { schedule: &schedule, batch: 20, momentum: 0.9, attack: None, seed: 1 })
        .unwrap();
    let natural = (accuracy(&network, &others).unwrap(), robust_accuracy(&network, &others, &attack, 3).unwrap());

    let frame = Frame { steps: 200, warmup_steps: 0, peak_lr: 0.05, floor: 0.0 };
    let schedule = Schedule::new(frame, Form::SlowStart { ramp: 5, factor: 0.5, epochs: 10 }).unwrap();
    let training = Training { schedule: &schedule, batch: 20, momentum: 0.9, attack: Some(attack), seed: 1 };
    train(&mut network, &examples, &training).unwrap();
    let tuned = (accuracy(&network, &others).unwrap(), robust_accuracy(&network, &others, &attack, 3).unwrap());

    assert!(natural.0 > 0.93, "training as usual: {natural:?}");
    assert!(tuned.1 > natural.1 + 0.3, "from {natural:?} to {tuned:?}");
    assert!(tuned.0 < natural.0, "robustness costs accuracy here: from {natural:?} to {tuned:?}");
}

/// x₀² − x₁ on [−1, 1]²; the last tenth of the examples is wrong, and weighs nothing.
#[test]
fn a_value_is_learnt_and_weights_are_heeded() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let inputs: Vec<f32> = (0..2 * 300).map(|_| 2.0 * random.random::<f32>() - 1.0).collect();
    let truth: Vec<f32> = inputs.chunks(2).map(|x| x[0] * x[0] - x[1]).collect();
    let mut targets = truth.clone();
    targets[270..].fill(50.0);
    let weights = (0..300).map(|at| if at < 270 { 1.0 } else { 0.0 }).collect();
    let examples = Examples::new(inputs.clone(), 2, Loss::squared_error(targets, weights).unwrap()).unwrap();

    let mut network = Mlp::new(&[2, 24, 1], 3).unwrap();
    let schedule = linear(1_500, 0.05).unwrap();
    let training = Training { schedule: &schedule, batch: 20, momentum: 0.9, attack: None, seed: 1 };
    train(&mut network, &examples, &training).unwrap();

    let all = Examples::new(inputs, 2, Loss::squared_error(truth, vec![1.0; 300]).unwrap()).unwrap();
    let error: f32 = all.losses(&network).unwrap().mean_all().unwrap().to_scalar().unwrap();
    // the variance of the values is 1/3 + 4/45
    assert!(error < 0.01, "{error}");
}
