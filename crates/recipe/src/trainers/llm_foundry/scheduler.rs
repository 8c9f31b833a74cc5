//! A schedule in LLM Foundry's keys: a scheduler that it brings, or phases for the one that `llm_foundry_schedule.py` registers.
//!
//! # Source
//! LLM Foundry 0.22, `optim/scheduler.py`; Composer 0.32, `optim/scheduler.py`.

use headwater_schedule::length::whole_number;
use headwater_schedule::{Curve, Form, Schedule};
use serde::Serialize;

/// Phases in a config at most; a schedule of more is not expressed.
const MOST_PHASES: usize = 1024;

/// What times are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Updates, `ba`.
    Steps,
    /// Tokens, `tok`; so many a step.
    Tokens(u64),
}

impl Clock {
    /// A length as Composer writes it.
    pub(crate) fn time(self, steps: u64) -> String {
        match self {
            Self::Steps => format!("{steps}ba"),
            Self::Tokens(per_step) => format!("{}tok", u128::from(steps) * u128::from(per_step)),
        }
    }
}

/// The value of `scheduler`.
#[derive(Debug, Serialize)]
#[serde(tag = "name")]
pub(crate) enum Scheduler {
    /// Warm-up, √(scale / (time since warm-up + scale)) or, with an `alpha_f_decay` of 1, a plateau, then a linear cooldown.
    #[serde(rename = "inv_sqrt_with_warmup")]
    InverseSqrt { t_warmup: String, t_scale: String, t_cooldown: String, alpha_f_decay: f64, alpha_f_cooldown: f64 },
    /// Warm-up and half a cosine.
    #[serde(rename = "cosine_with_warmup")]
    Cosine { t_warmup: String, alpha_f: f64 },
    /// The one of `llm_foundry_schedule.py`.
    #[serde(rename = "headwater")]
    Phases { phases: Vec<Phase> },
}

impl Scheduler {
    /// `None` for a schedule of too many phases.
    pub(crate) fn new(schedule: &Schedule, clock: Clock) -> Option<Self> {
        native(schedule, clock).or_else(|| phases(schedule).map(|phases| Self::Phases { phases }))
    }
}

fn native(schedule: &Schedule, clock: Clock) -> Option<Scheduler> {
    let (warmup, floor) = (schedule.warmup_steps(), schedule.floor());
    let inverse_sqrt = |scale, cooldown, alpha_f_decay| Scheduler::InverseSqrt {
        t_warmup: clock.time(warmup),
        t_scale: clock.time(scale),
        t_cooldown: clock.time(cooldown),
        alpha_f_decay,
        alpha_f_cooldown: floor,
    };
    match schedule.form() {
        Form::Wsd(decay) if decay.steps == 0 || decay.curve == Curve::Linear => {
            Some(inverse_sqrt(warmup.max(1), decay.steps, 1.0))
        }
        Form::Wsd(decay) if decay.curve == Curve::Cosine && decay.start == warmup => {
            Some(Scheduler::Cosine { t_warmup: clock.time(warmup), alpha_f: floor })
        }
        // LLM Foundry's curve leads to a floor, ours is cut off at it: they agree without one
        Form::InverseSqrt { timescale_steps, decay } if floor == 0.0 => {
            let is_linear = decay.steps == 0 || decay.curve == Curve::Linear;
            let scale = whole_number(*timescale_steps, "timescale").ok().filter(|scale| is_linear && *scale > 0);
            scale.map(|scale| inverse_sqrt(scale, decay.steps, 0.0))
        }
        _ => None,
    }
}

/// A stretch of the run in which the rate follows one formula.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Phase {
    start: Place,
    end: Place,
    /// The rate at the start, or what it is kept below, as a multiple of the peak.
    from: f64,
    /// The rate at the end, or what it is kept above.
    to: f64,
    #[serde(flatten)]
    rate: Rate,
}

/// A number of completed steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Place {
    Step(u64),
    /// The corner of a schedule by points need not lie on a step.
    Between(f64),
}

/// How the rate goes from one to the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "shape", rename_all = "kebab-case")]
enum Rate {
    Linear,
    #[serde(rename = "1-sqrt")]
    OneMinusSqrt,
    Cosine,
    #[serde(rename = "1-square")]
    OneMinusSquare,
    MirrorCosine,
    #[serde(rename_all = "snake_case")]
    Exponential {
        half_life: f64,
    },
    Polynomial {
        exponent: f64,
    },
    InverseSqrt {
        timescale: f64,
    },
    /// coefficient · step^exponent of the peak.
    Power {
        coefficient: f64,
        exponent: f64,
    },
}

impl From<Curve> for Rate {
    fn from(curve: Curve) -> Self {
        match curve {
            Curve::Linear => Self::Linear,
            Curve::OneMinusSqrt => Self::OneMinusSqrt,
            Curve::Cosine => Self::Cosine,
            Curve::OneMinusSquare => Self::OneMinusSquare,
            Curve::MirrorCosine => Self::MirrorCosine,
            Curve::Exponential { half_life_steps } => Self::Exponential { half_life: half_life_steps },
            Curve::Polynomial { exponent } => Self::Polynomial { exponent },
        }
    }
}

/// Phases in order, each from where the one before ends.
struct Phases(Vec<Phase>);

impl Phases {
    fn push(&mut self, end: Place, (from, to): (f64, f64), rate: Rate) {
        let start = self.0.last().map_or(Place::Step(0), |phase| phase.end);
        if start != end {
            self.0.push(Phase { start, end, from, to, rate });
        }
    }

    fn until(&mut self, end: u64, ends: (f64, f64), rate: impl Into<Rate>) {
        self.push(Place::Step(end), ends, rate.into());
    }

    fn hold(&mut self, end: u64, multiplier: f64) {
        self.until(end, (multiplier, multiplier), Rate::Linear);
    }
}

/// `None` for too many.
fn phases(schedule: &Schedule) -> Option<Vec<Phase>> {
    let (warmup, steps, floor) = (schedule.warmup_steps(), schedule.steps(), schedule.floor());
    let multiplier = |step| schedule.lr(step) / schedule.peak_lr();
    let mut phases = Phases(Vec::new());
    phases.until(warmup, (0.0, multiplier(warmup)), Rate::Linear);
    match schedule.form() {
        Form::Wsd(decay) => phases.hold(decay.start, 1.0),
        Form::WsdS { periods, curve } => {
            for period in periods {
                phases.hold(period.end - period.decay_steps, 1.0);
                phases.until(period.end, (1.0, floor), *curve);
            }
        }
        Form::MultiStep { .. } | Form::SlowStart { .. } => {
            let mut from = warmup;
            for bound in schedule.boundaries().into_iter().filter(|bound| *bound > warmup) {
                phases.hold(bound, multiplier(from));
                from = bound;
            }
        }
        Form::InverseSqrt { timescale_steps, decay } => {
            phases.until(decay.start, (1.0, floor), Rate::InverseSqrt { timescale: *timescale_steps });
        }
        Form::Power { coefficient, exponent, tokens_per_step, decay } => {
            let coefficient = coefficient * (*tokens_per_step as f64).powf(*exponent) / schedule.peak_lr();
            phases.until(decay.start, (1.0, floor), Rate::Power { coefficient, exponent: *exponent });
        }
        Form::Infinite { cooldown, hold, decay } => {
            phases.until(cooldown.end(), (1.0, *hold), cooldown.curve);
            phases.hold(decay.start, multiplier(cooldown.end()));
        }
        Form::Triangular { cycle_steps, rise_steps, damping } => {
            let mut height = 1.0 - floor;
            for start in (0..steps.div_ceil(*cycle_steps)).take(MOST_PHASES + 1).map(|cycle| cycle * cycle_steps) {
                phases.until(start + rise_steps, (floor, floor + height), Rate::Linear);
                phases.until(start + cycle_steps, (floor + height, floor), Rate::Linear);
                height *= damping;
            }
        }
        Form::Points(points) => {
            for pair in points.windows(2) {
                let end = whole_number(pair[1].step, "step").map_or(Place::Between(pair[1].step), Place::Step);
                phases.push(end, (pair[0].multiplier, pair[1].multiplier), Rate::Linear);
            }
        }
    }
    if let Some(decay) = schedule.decay() {
        phases.until(decay.end(), (multiplier(decay.start), floor), decay.curve);
    }
    (phases.0.len() <= MOST_PHASES).then_some(phases.0)
}
