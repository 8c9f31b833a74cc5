//! Warm-up, stable, decay (WSD), resolved to steps.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::EXACT;

/// Shape of the decay, as the share of (peak − floor) left after the share *p* of the decay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// 1 − p.
    #[serde(rename = "linear")]
    Linear,
    /// 1 − √p (Hägele et al. 2024, arXiv 2405.18392).
    #[default]
    #[serde(rename = "1-sqrt")]
    OneMinusSqrt,
    /// (1 + cos πp) / 2.
    #[serde(rename = "cosine")]
    Cosine,
}

impl Shape {
    /// The shape's name in configurations: `linear`, `1-sqrt` or `cosine`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::OneMinusSqrt => "1-sqrt",
            Self::Cosine => "cosine",
        }
    }

    fn left(self, progress: f64) -> f64 {
        match self {
            Self::Linear => 1.0 - progress,
            Self::OneMinusSqrt => 1.0 - progress.sqrt(),
            Self::Cosine => 0.5 * (1.0 + (PI * progress).cos()),
        }
    }
}

/// The lengths of a run's phases, in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phases {
    /// The whole run, N.
    pub steps: u64,
    /// Linear warm-up, W.
    pub warmup_steps: u64,
    /// Decay, D; it ends with the run.
    pub decay_steps: u64,
}

/// A WSD schedule resolved to steps; warm-up and decay fit into the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    phases: Phases,
    shape: Shape,
    peak_lr: f64,
    floor: f64,
}

impl Schedule {
    /// Checks the phases and builds the schedule; `floor` is a fraction of `peak_lr`.
    ///
    /// # Errors
    /// [`Error::TooLong`] if warm-up and decay exceed the run; [`Error::NoSteps`], [`Error::TooManySteps`],
    /// [`Error::PeakLr`] and [`Error::Floor`] for values out of range.
    pub fn new(phases: Phases, shape: Shape, peak_lr: f64, floor: f64) -> Result<Self, Error> {
        let Phases { steps, warmup_steps, decay_steps } = phases;
        if steps == 0 {
            return Err(Error::NoSteps { tokens: 0, tokens_per_step: 1 });
        }
        if steps > EXACT {
            return Err(Error::TooManySteps { steps });
        }
        if warmup_steps.checked_add(decay_steps).is_none_or(|both| both > steps) {
            return Err(Error::TooLong { warmup_steps, decay_steps, steps });
        }
        if !(peak_lr.is_finite() && peak_lr > 0.0) {
            return Err(Error::PeakLr { got: peak_lr });
        }
        if !(0.0..=1.0).contains(&floor) {
            return Err(Error::Floor { got: floor });
        }
        Ok(Self { phases, shape, peak_lr, floor })
    }

    /// The learning rate after `step` completed steps, which is the rate of update `step`, counted from 0.
    ///
    /// Piecewise, with N steps, warm-up W, decay start S = N − D:
    /// - `step < W`: peak · step / W, so the first update of a run with warm-up is at 0
    /// - `W ≤ step ≤ S`: peak
    /// - `S < step < N`: floor + (peak − floor) · shape((step − S) / D)
    /// - `step ≥ N`: the floor; the last update, N − 1, is one step above it
    #[must_use]
    pub fn lr(&self, step: u64) -> f64 {
        let Phases { steps, warmup_steps, decay_steps } = self.phases;
        if step < warmup_steps {
            self.peak_lr * (step as f64 / warmup_steps as f64)
        } else if step >= steps && decay_steps > 0 {
            self.floor_lr()
        } else if step <= self.decay_start() || decay_steps == 0 {
            self.peak_lr
        } else {
            let progress = (step - self.decay_start()) as f64 / decay_steps as f64;
            self.floor_lr() + (self.peak_lr - self.floor_lr()) * self.shape.left(progress)
        }
    }

    /// Steps of the run, N.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.phases.steps
    }

    /// Steps of warm-up, W.
    #[must_use]
    pub fn warmup_steps(&self) -> u64 {
        self.phases.warmup_steps
    }

    /// Steps of decay, D.
    #[must_use]
    pub fn decay_steps(&self) -> u64 {
        self.phases.decay_steps
    }

    /// The step at which decay starts, S = N − D; the rate there is still the peak.
    #[must_use]
    pub fn decay_start(&self) -> u64 {
        self.phases.steps - self.phases.decay_steps
    }

    /// Shape of the decay.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Peak learning rate.
    #[must_use]
    pub fn peak_lr(&self) -> f64 {
        self.peak_lr
    }

    /// Learning rate at the end, as a fraction of the peak.
    #[must_use]
    pub fn floor(&self) -> f64 {
        self.floor
    }

    /// Learning rate at the end.
    #[must_use]
    pub fn floor_lr(&self) -> f64 {
        self.floor * self.peak_lr
    }

    /// At most about `rows` steps of `0..=N`, ascending, evenly spaced, with the steps at and beside every boundary.
    #[must_use]
    pub fn sampled_steps(&self, rows: u64) -> Vec<u64> {
        let last = self.phases.steps;
        let spacing = last.div_ceil(rows.max(1)).max(1);
        let bounds = [0, self.phases.warmup_steps, self.decay_start(), last];
        let beside = bounds.into_iter().flat_map(|bound| [bound.saturating_sub(1), bound, (bound + 1).min(last)]);
        let mut steps: Vec<u64> = (0..=last / spacing).map(|row| row * spacing).chain(beside).collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn phases(steps: u64, warmup_steps: u64, decay_steps: u64) -> Phases {
        Phases { steps, warmup_steps, decay_steps }
    }

    #[test]
    fn boundaries_are_exact() -> Result<(), Error> {
        for shape in [Shape::Linear, Shape::OneMinusSqrt, Shape::Cosine] {
            let schedule = Schedule::new(phases(100, 10, 40), shape, 3.0e-4, 0.1)?;
            assert_eq!(schedule.lr(0), 0.0);
            assert_eq!(schedule.lr(5), 1.5e-4);
            assert_eq!(schedule.lr(10), 3.0e-4);
            assert_eq!(schedule.lr(60), 3.0e-4);
            assert_eq!(schedule.lr(100), 0.1 * 3.0e-4);
            assert_eq!(schedule.lr(1000), 0.1 * 3.0e-4);
        }
        Ok(())
    }

    #[test]
    fn shapes_at_a_quarter_of_the_decay() -> Result<(), Error> {
        let at = |shape| Schedule::new(phases(100, 0, 40), shape, 1.0, 0.0).map(|schedule| schedule.lr(70));
        assert_eq!(at(Shape::Linear)?, 0.75);
        assert_eq!(at(Shape::OneMinusSqrt)?, 0.5);
        assert!((at(Shape::Cosine)? - 0.853_553_390_593_273_8).abs() < 1e-15);
        Ok(())
    }

    #[test]
    fn no_warmup_and_no_decay_is_constant() -> Result<(), Error> {
        let schedule = Schedule::new(phases(9, 0, 0), Shape::Linear, 2.0, 0.0)?;
        assert!((0..20).all(|step| schedule.lr(step) == 2.0));
        Ok(())
    }

    #[test]
    fn bad_values_are_refused() {
        let error = Schedule::new(phases(100, 60, 50), Shape::Linear, 1.0, 0.0).unwrap_err().to_string();
        assert!(error.contains("60") && error.contains("50") && error.contains("100"), "{error}");
        assert!(Schedule::new(phases(100, u64::MAX, 2), Shape::Linear, 1.0, 0.0).is_err());
        assert!(Schedule::new(phases(0, 0, 0), Shape::Linear, 1.0, 0.0).is_err());
        assert!(Schedule::new(phases(u64::MAX, 0, 0), Shape::Linear, 1.0, 0.0).is_err());
        for peak_lr in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Schedule::new(phases(1, 0, 0), Shape::Linear, peak_lr, 0.0).is_err());
        }
        assert!(Schedule::new(phases(1, 0, 0), Shape::Linear, 1.0, f64::NAN).is_err());
    }

    proptest! {
        #[test]
        fn rises_then_never_rises(steps in 1_u64..400, warmup in 0.0..0.5, decay in 0.0..0.5, floor in 0.0..=1.0) {
            let part = |fraction: f64| crate::Length::Fraction(fraction).steps(crate::RunLength { steps, tokens_per_step: 1 });
            let phases = phases(steps, part(warmup).min(steps / 2), part(decay).min(steps / 2));
            for shape in [Shape::Linear, Shape::OneMinusSqrt, Shape::Cosine] {
                let schedule = Schedule::new(phases, shape, 1.0, floor).unwrap();
                for step in 0..steps + 3 {
                    let (now, next) = (schedule.lr(step), schedule.lr(step + 1));
                    prop_assert!((0.0..=1.0).contains(&now));
                    let ordered = if step < phases.warmup_steps { next > now } else { next <= now + 1e-15 };
                    prop_assert!(ordered, "step {}: {} then {}", step, now, next);
                }
            }
        }

        #[test]
        fn samples_hold_every_boundary(steps in 1_u64..1_000_000, rows in 1_u64..500) {
            let schedule = Schedule::new(phases(steps, steps / 7, steps / 3), Shape::Linear, 1.0, 0.0).unwrap();
            let samples = schedule.sampled_steps(rows);
            prop_assert!(samples.len() as u64 <= rows + 13);
            prop_assert!(samples.windows(2).all(|pair| pair[0] < pair[1]));
            for step in [0, steps / 7, schedule.decay_start(), steps - 1, steps] {
                prop_assert!(samples.contains(&step));
            }
        }
    }
}
