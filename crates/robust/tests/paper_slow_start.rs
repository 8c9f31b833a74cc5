//! Slow start, fast decay: Jeddi et al. 2020 (arXiv 2012.13628), with the multipliers that public reconstructions have.

use headwater_robust::{Examples, Loss, Mlp, Pgd, Start, Training, train, updates_per_epoch};
use headwater_schedule::{Form, Frame, Schedule};

const EXAMPLES: usize = 24;
const BATCH: usize = 5;
const EPOCHS: u64 = 10;

/// In epoch e, from 1, the base rate is multiplied by e up to epoch 5, and by 5 · 0.5^(e − 5) after it.
fn multiplier(epoch: u64) -> f64 {
    if epoch <= 5 { epoch as f64 } else { 5.0 * 0.5_f64.powf(epoch as f64 - 5.0) }
}

#[test]
fn training_applies_the_rates_of_slow_start() {
    let base = 0.01;
    let per_epoch = updates_per_epoch(EXAMPLES, BATCH);
    assert_eq!(per_epoch, 5, "24 examples are four batches of 5 and one of 4");
    let frame = Frame { steps: EPOCHS * per_epoch, warmup_steps: 0, peak_lr: 5.0 * base, floor: 0.0 };
    let schedule = Schedule::new(frame, Form::SlowStart { ramp: 5, factor: 0.5, epochs: EPOCHS }).unwrap();

    let inputs = (0_u8..24).map(|at| f32::from(at) / 24.0).collect();
    let loss = Loss::cross_entropy((0..24).map(|at| at % 2).collect(), 2).unwrap();
    let examples = Examples::new(inputs, 1, loss).unwrap();
    let attack = Some(Pgd { radius: 0.01, step: 0.0025, steps: 2, start: Start::Random, bounds: None });
    let training = Training { schedule: &schedule, batch: BATCH, momentum: 0.0, attack, seed: 1 };
    let updates = train(&mut Mlp::new(&[1, 4, 2], 1).unwrap(), &examples, &training).unwrap();

    assert_eq!(updates.len(), 50);
    for (update, step) in updates.iter().zip(0..) {
        assert_eq!(update.rate, schedule.lr(step), "update {step}");
        let epoch = step / per_epoch + 1;
        let expected = base * multiplier(epoch);
        assert!((update.rate - expected).abs() < 1e-15, "epoch {epoch}: {}, not {expected}", update.rate);
    }
}
