//! A schedule resolved to steps, and its learning rate at every step.

use crate::form::{Decay, Form, Frame, Period, Point};
use crate::length::EXACT;
use crate::{Curve, Error, validate};

/// The lengths of the phases of a WSD run, in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WsdSteps {
    /// The whole run, N.
    pub steps: u64,
    /// Linear warm-up, W.
    pub warmup_steps: u64,
    /// Decay, D; it ends with the run.
    pub decay_steps: u64,
}

/// A schedule resolved to steps, its phases checked against the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    frame: Frame,
    form: Form,
    /// The rate that warm-up leads to.
    warm_lr: f64,
    /// The rate that the final decay falls from.
    decay_from: f64,
}

impl Schedule {
    /// Checks the frame and the form and builds the schedule.
    ///
    /// # Errors
    /// [`Error::TooLong`] if phases exceed the run, [`Error::Periods`] if they do not fill it, [`Error::NoSteps`],
    /// [`Error::TooManySteps`] and [`Error::Value`] for values out of range.
    pub fn new(frame: Frame, form: Form) -> Result<Self, Error> {
        validate::frame(&frame)?;
        validate::form(&frame, &form)?;
        let mut schedule = Self { frame, form, warm_lr: frame.peak_lr, decay_from: frame.peak_lr };
        // a form whose rate has fallen by then decays from where it is
        if let Some(decay) = schedule.decay().copied() {
            schedule.decay_from = schedule.before_decay(decay.start);
        }
        schedule.warm_lr = schedule.warmed(frame.warmup_steps);
        Ok(schedule)
    }

    /// Returns the warm-up-stable-decay schedule of `phases`; `floor` is a fraction of `peak_lr`.
    ///
    /// # Errors
    /// As [`Schedule::new`].
    pub fn wsd(phases: WsdSteps, curve: Curve, peak_lr: f64, floor: f64) -> Result<Self, Error> {
        let WsdSteps { steps, warmup_steps, decay_steps } = phases;
        let start = steps.saturating_sub(decay_steps);
        Self::new(Frame { steps, warmup_steps, peak_lr, floor }, Form::Wsd(Decay { start, steps: decay_steps, curve }))
    }

    /// Returns the learning rate after `step` completed steps, which is the rate of update `step`, counted from 0.
    ///
    /// With N steps and warm-up W:
    /// - `step < W`: a straight line from 0, so the first update of a run with warm-up is at 0
    /// - then what the [`Form`] says; at boundaries the exact rate, not a rounded one
    /// - `step ≥ N`: the rate at N, which for a decay is its end; the last update, N − 1, is one step above it
    #[must_use]
    pub fn lr(&self, step: u64) -> f64 {
        let Frame { steps, warmup_steps, .. } = self.frame;
        if step < warmup_steps {
            self.warm_lr * (step as f64 / warmup_steps as f64)
        } else {
            self.warmed(step.min(steps))
        }
    }

    /// The rate at `step`, at least W and at most N.
    fn warmed(&self, step: u64) -> f64 {
        let floor = self.floor_lr();
        match &self.form {
            Form::WsdS { periods, curve } => {
                // the end of a period is the start of the next, at the peak again; that of the last is the floor
                let at = periods.partition_point(|period| period.end <= step).min(periods.len() - 1);
                let Period { end, decay_steps } = periods[at];
                Decay { start: end - decay_steps, steps: decay_steps, curve: *curve }
                    .rate(step, (self.frame.peak_lr, floor))
            }
            form => match self.decay() {
                Some(decay) if step > decay.start => decay.rate(step, (self.decay_from, self.floor_lr())),
                _ => self.before_decay_of(form, step),
            },
        }
    }

    fn before_decay(&self, step: u64) -> f64 {
        self.before_decay_of(&self.form, step)
    }

    /// The rate at `step` if the final decay never came.
    fn before_decay_of(&self, form: &Form, step: u64) -> f64 {
        let (Frame { steps, warmup_steps, peak_lr, .. }, floor) = (self.frame, self.floor_lr());
        match form {
            Form::Wsd(_) | Form::WsdS { .. } => peak_lr,
            Form::MultiStep { milestones, factor } => {
                let passed = milestones.partition_point(|milestone| *milestone <= step);
                (peak_lr * power(*factor, passed as u64)).max(floor)
            }
            Form::InverseSqrt { timescale_steps, .. } => {
                let after = step.saturating_sub(warmup_steps) as f64;
                (peak_lr * (timescale_steps / (after + timescale_steps)).sqrt()).max(floor)
            }
            Form::Power { coefficient, exponent, tokens_per_step, .. } => {
                let tokens = step as f64 * *tokens_per_step as f64;
                (coefficient * tokens.powf(*exponent)).min(peak_lr).max(floor)
            }
            Form::Infinite { cooldown, hold, .. } => cooldown.rate(step, (peak_lr, hold * peak_lr)),
            Form::SlowStart { ramp, factor, epochs } => {
                let epoch = (step * epochs / steps).min(epochs - 1) + 1;
                let rate = if epoch <= *ramp {
                    peak_lr / *ramp as f64 * epoch as f64
                } else {
                    peak_lr * power(*factor, epoch - ramp)
                };
                rate.clamp(floor, peak_lr)
            }
            Form::Triangular { cycle_steps, rise_steps, damping } => {
                let (cycle, at) = (step / cycle_steps, step % cycle_steps);
                let height = (peak_lr - floor) * power(*damping, cycle);
                let share = if at <= *rise_steps && *rise_steps > 0 {
                    at as f64 / *rise_steps as f64
                } else {
                    1.0 - (at - rise_steps) as f64 / (cycle_steps - rise_steps) as f64
                };
                (floor + height * share).clamp(floor, peak_lr)
            }
            Form::Points(points) => between(points, step as f64) * peak_lr,
        }
    }

    /// Returns the steps of the run, N.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.frame.steps
    }

    /// Returns the steps of warm-up, W.
    #[must_use]
    pub const fn warmup_steps(&self) -> u64 {
        self.frame.warmup_steps
    }

    /// Returns what the rate does after warm-up.
    #[must_use]
    pub const fn form(&self) -> &Form {
        &self.form
    }

    /// Returns the decay that ends with the run; `None` if there is none or it has no steps.
    #[must_use]
    pub fn decay(&self) -> Option<&Decay> {
        self.form.decay().filter(|decay| decay.steps > 0)
    }

    /// Returns the steps of the final decay, D; 0 if there is none.
    #[must_use]
    pub fn decay_steps(&self) -> u64 {
        self.decay().map_or(0, |decay| decay.steps)
    }

    /// Returns the step at which the final decay starts; N if there is none.
    #[must_use]
    pub fn decay_start(&self) -> u64 {
        self.decay().map_or(self.frame.steps, |decay| decay.start)
    }

    /// Peak learning rate.
    #[must_use]
    pub const fn peak_lr(&self) -> f64 {
        self.frame.peak_lr
    }

    /// Returns the lowest rate after warm-up, as a fraction of the peak.
    #[must_use]
    pub const fn floor(&self) -> f64 {
        self.frame.floor
    }

    /// Returns the lowest rate after warm-up.
    #[must_use]
    pub fn floor_lr(&self) -> f64 {
        self.frame.floor * self.frame.peak_lr
    }

    /// Returns what every form of schedule has.
    #[must_use]
    pub const fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Returns the name of the form, as configurations write it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.form {
            Form::Wsd(_) => "wsd",
            Form::WsdS { .. } => "wsd-s",
            Form::MultiStep { .. } => "multi-step",
            Form::InverseSqrt { .. } => "inverse-sqrt",
            Form::Power { .. } => "power",
            Form::Infinite { .. } => "infinite",
            Form::SlowStart { .. } => "slow-start",
            Form::Triangular { .. } => "triangular",
            Form::Points(_) => "points",
        }
    }

    /// Mean of the rate over the N updates of the run, as a fraction of the peak: how much the run moves.
    ///
    /// Runs of more than 2²⁰ steps are sampled at as many.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let spacing = self.frame.steps.div_ceil(1 << 20);
        let rows = self.frame.steps.div_ceil(spacing);
        // cycles must not beat with the samples
        let offset = |row: u64| row.wrapping_mul(SCATTER) % spacing;
        let sum: f64 = (0..rows).map(|row| self.lr((row * spacing + offset(row)).min(self.frame.steps - 1))).sum();
        sum / rows as f64 / self.frame.peak_lr
    }
}

/// An odd number without pattern, the golden ratio of 2^64.
const SCATTER: u64 = 0x9e37_79b9_7f4a_7c15;

/// `base` to the power `exponent`; exact for 1 and for powers of a half.
fn power(base: f64, exponent: u64) -> f64 {
    base.powi(i32::try_from(exponent).unwrap_or(i32::MAX))
}

/// The multiplier at `step`, on the line between the points around it.
fn between(points: &[Point], step: f64) -> f64 {
    let after = points.partition_point(|point| point.step <= step);
    match (points.get(after.wrapping_sub(1)), points.get(after)) {
        (Some(left), Some(right)) => {
            let share = (step - left.step) / (right.step - left.step);
            left.multiplier + (right.multiplier - left.multiplier) * share
        }
        (Some(only), None) | (None, Some(only)) => only.multiplier,
        (None, None) => 0.0,
    }
}

const _: () = assert!(EXACT < u64::MAX / 2, "a step and its neighbour are counts");

#[cfg(test)]
mod tests;
