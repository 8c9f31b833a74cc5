//! The arms: what a network starts from, and the form of its schedule.

use headwater_robust::{Error as RobustError, Examples, Mlp, Pgd, Training, train, updates_per_epoch};
use headwater_schedule::{Curve, Decay, Error, Form, Frame, Schedule};

use crate::Outcome;

pub(crate) const MOMENTUM: f64 = 0.9;

/// Epochs of training as usual, which every fine-tuned network starts from.
const NATURAL_EPOCHS: u64 = 40;
/// Epochs of fine-tuning, and of training from scratch at the same budget.
const EPOCHS: u64 = 10;
/// Epochs of training from scratch at eight times the budget.
const LONG_EPOCHS: u64 = 80;
/// Epochs in which slow start rises.
const RAMP_EPOCHS: u64 = 5;
/// What slow start multiplies the rate by in each epoch after them.
const SLOW_START_FACTOR: f64 = 0.5;
/// What step schedules multiply it by, at a half and at three quarters of the run.
const STEP_FACTOR: f64 = 0.1;

/// How the rate goes.
#[derive(Clone, Copy)]
enum Shape {
    SlowStart,
    Constant,
    Step,
    Cosine,
    /// To 0, after a linear warm-up.
    Linear {
        warmup_epochs: u64,
    },
}

/// What training starts from, and whether on attacked examples.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// From random weights, on the examples as they are.
    Natural,
    /// From the natural network, on attacked examples.
    FineTuned,
    /// From random weights, on attacked examples.
    Scratch,
}

/// A way to train.
#[derive(Clone, Copy)]
pub(crate) struct Arm {
    pub(crate) name: &'static str,
    pub(crate) epochs: u64,
    kind: Kind,
    shape: Shape,
}

/// One training of an arm.
#[derive(Clone, Copy)]
pub(crate) struct Course {
    pub(crate) peak_lr: f64,
    /// Examples of an update.
    pub(crate) batch: usize,
    /// `None` for the natural arm.
    pub(crate) attack: Option<Pgd>,
    pub(crate) seed: u64,
}

/// Training as usual.
pub(crate) const NATURAL: Arm =
    Arm { name: "natural", epochs: NATURAL_EPOCHS, kind: Kind::Natural, shape: Shape::Linear { warmup_epochs: 0 } };

/// All arms that train on attacked examples.
pub(crate) const ARMS: [Arm; 9] = [
    fine_tuned("slow start, fast decay", Shape::SlowStart),
    fine_tuned("constant", Shape::Constant),
    fine_tuned("step", Shape::Step),
    fine_tuned("cosine", Shape::Cosine),
    fine_tuned("linear", Shape::Linear { warmup_epochs: 0 }),
    fine_tuned("warm-up of 1 epoch, linear", Shape::Linear { warmup_epochs: 1 }),
    fine_tuned("warm-up of 5 epochs, linear", Shape::Linear { warmup_epochs: RAMP_EPOCHS }),
    from_scratch("from scratch, equal epochs", EPOCHS),
    from_scratch("from scratch, eightfold", LONG_EPOCHS),
];

const fn fine_tuned(name: &'static str, shape: Shape) -> Arm {
    Arm { name, epochs: EPOCHS, kind: Kind::FineTuned, shape }
}

const fn from_scratch(name: &'static str, epochs: u64) -> Arm {
    Arm { name, epochs, kind: Kind::Scratch, shape: Shape::Cosine }
}

impl Arm {
    pub(crate) fn is_fine_tuned(&self) -> bool {
        self.kind == Kind::FineTuned
    }

    /// Forward and backward passes over the training examples, under attacks of `steps`, with those of the network that it starts from.
    pub(crate) fn passes(&self, steps: u64) -> u64 {
        match self.kind {
            Kind::Natural => self.epochs,
            Kind::FineTuned => NATURAL.epochs + self.epochs * (steps + 1),
            Kind::Scratch => self.epochs * (steps + 1),
        }
    }

    /// Trains `network` on `examples`; `None` if it diverges.
    pub(crate) fn train(&self, mut network: Mlp, examples: &Examples, course: Course) -> Outcome<Option<Mlp>> {
        let Course { peak_lr, batch, attack, seed } = course;
        let schedule = self.schedule(updates_per_epoch(examples.loss().examples(), batch), peak_lr)?;
        let training = Training { schedule: &schedule, batch, momentum: MOMENTUM, attack, seed };
        match train(&mut network, examples, &training) {
            Ok(_) => Ok(Some(network)),
            Err(RobustError::Diverged { .. }) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    /// The arm's schedule, of `per_epoch` updates an epoch.
    fn schedule(&self, per_epoch: u64, peak_lr: f64) -> Result<Schedule, Error> {
        let steps = self.epochs * per_epoch;
        let warmup_steps = match self.shape {
            Shape::Linear { warmup_epochs } => warmup_epochs * per_epoch,
            _ => 0,
        };
        let decay = |curve| Form::Wsd(Decay { start: warmup_steps, steps: steps - warmup_steps, curve });
        let form = match self.shape {
            Shape::SlowStart => Form::SlowStart { ramp: RAMP_EPOCHS, factor: SLOW_START_FACTOR, epochs: self.epochs },
            Shape::Constant => Form::Wsd(Decay { start: steps, steps: 0, curve: Curve::Linear }),
            Shape::Step => Form::MultiStep { milestones: vec![steps / 2, steps * 3 / 4], factor: STEP_FACTOR },
            Shape::Cosine => decay(Curve::Cosine),
            Shape::Linear { .. } => decay(Curve::Linear),
        };
        Schedule::new(Frame { steps, warmup_steps, peak_lr, floor: 0.0 }, form)
    }
}
