//! The `[schedule]` table of a pipeline, before it is resolved to steps.

use serde::{Deserialize, Serialize};

use crate::{Error, Schedule, Shape};

/// Largest count that an f64 holds exactly.
pub(crate) const EXACT: u64 = 1 << 53;

/// Family of the schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Warm-up, stable, decay.
    #[default]
    Wsd,
}

/// The length of a phase: `0.25`, `{ steps = 2000 }` or `{ tokens = 1.0e10 }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "WrittenLength", into = "WrittenLength")]
pub enum Length {
    /// Share of the run's steps, in `[0, 1)`.
    Fraction(f64),
    /// Number of steps.
    Steps(u64),
    /// Number of training tokens.
    Tokens(u64),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "a length is a fraction in [0, 1), { steps = n } or { tokens = n }")]
enum WrittenLength {
    Fraction(f64),
    Steps(WrittenSteps),
    Tokens(WrittenTokens),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSteps {
    steps: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTokens {
    tokens: f64,
}

impl TryFrom<WrittenLength> for Length {
    type Error = Error;

    fn try_from(written: WrittenLength) -> Result<Self, Error> {
        match written {
            WrittenLength::Fraction(got) if (0.0..1.0).contains(&got) => Ok(Self::Fraction(got)),
            WrittenLength::Fraction(got) => Err(Error::Fraction { got }),
            WrittenLength::Steps(written) => whole(written.steps, "steps").map(Self::Steps),
            WrittenLength::Tokens(written) => whole(written.tokens, "tokens").map(Self::Tokens),
        }
    }
}

impl From<Length> for WrittenLength {
    fn from(length: Length) -> Self {
        match length {
            Length::Fraction(fraction) => Self::Fraction(fraction),
            Length::Steps(steps) => Self::Steps(WrittenSteps { steps: steps as f64 }),
            Length::Tokens(tokens) => Self::Tokens(WrittenTokens { tokens: tokens as f64 }),
        }
    }
}

/// Reads a whole number that may be written as a float, such as `1.0e12`.
///
/// # Errors
/// [`Error::Count`] if `got` is negative, has a fraction or exceeds 2^53.
pub fn whole(got: f64, unit: &'static str) -> Result<u64, Error> {
    if got.fract() == 0.0 && (0.0..=EXACT as f64).contains(&got) {
        Ok(truncated(got))
    } else {
        Err(Error::Count { got, unit })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "callers pass 0 ≤ value ≤ 2^53")]
fn truncated(value: f64) -> u64 {
    value as u64
}

/// The extent of a training run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLength {
    /// Optimiser steps.
    pub steps: u64,
    /// Tokens a step: sequence length × sequences a batch.
    pub tokens_per_step: u64,
}

impl RunLength {
    /// The run that trains on `tokens`, in whole steps, rounded half up.
    ///
    /// # Errors
    /// [`Error::NoSteps`] if `tokens_per_step` is 0 or that makes no step, [`Error::TooManySteps`] above 2^53 steps.
    pub fn of_tokens(tokens: u64, tokens_per_step: u64) -> Result<Self, Error> {
        match steps_of(tokens, tokens_per_step) {
            Some(steps) if steps > EXACT => Err(Error::TooManySteps { steps }),
            Some(steps) if steps > 0 => Ok(Self { steps, tokens_per_step }),
            _ => Err(Error::NoSteps { tokens, tokens_per_step }),
        }
    }
}

/// `tokens / tokens_per_step` rounded half up; `None` for a step of no tokens.
fn steps_of(tokens: u64, tokens_per_step: u64) -> Option<u64> {
    let whole = tokens.checked_div(tokens_per_step)?;
    let rest = tokens % tokens_per_step;
    Some(whole + u64::from(rest >= tokens_per_step - rest))
}

impl Length {
    /// The length in steps of `run`, rounded half up.
    #[must_use]
    pub fn steps(&self, run: RunLength) -> u64 {
        match *self {
            Self::Fraction(fraction) => truncated((fraction * run.steps as f64 + 0.5).floor()),
            Self::Steps(steps) => steps,
            Self::Tokens(tokens) => steps_of(tokens, run.tokens_per_step).unwrap_or(0),
        }
    }
}

/// The `[schedule]` table.
///
/// # Source
/// Defaults: AttentionInfluence (arXiv 2505.07293) §4 for the 0.1 % warm-up and the 25 % decay; the paper is silent on
/// shape and floor, which follow the `SmolLM` configuration that it refers to (1-sqrt to 0).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// Family.
    pub kind: Kind,
    /// Length of the linear warm-up; 0 for none.
    pub warmup: Length,
    /// Length of the decay, which ends with the run.
    pub decay: Length,
    /// Shape of the decay.
    pub shape: Shape,
    /// Learning rate at the end, as a fraction of the peak.
    pub floor: f64,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            kind: Kind::Wsd,
            warmup: Length::Fraction(0.001),
            decay: Length::Fraction(0.25),
            shape: Shape::OneMinusSqrt,
            floor: 0.0,
        }
    }
}

impl ScheduleConfig {
    /// Resolves the table for one run.
    ///
    /// # Errors
    /// As [`Schedule::new`].
    pub fn resolve(&self, run: RunLength, peak_lr: f64) -> Result<Schedule, Error> {
        let phases = crate::Phases {
            steps: run.steps,
            warmup_steps: self.warmup.steps(run),
            decay_steps: self.decay.steps(run),
        };
        Schedule::new(phases, self.shape, peak_lr, self.floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_fractions_steps_or_tokens() {
        let run = RunLength { steps: 1000, tokens_per_step: 100 };
        let config: ScheduleConfig =
            toml::from_str("warmup = { steps = 7 }\ndecay = { tokens = 2.5e4 }\nshape = \"linear\"").unwrap();
        assert_eq!((config.warmup.steps(run), config.decay.steps(run)), (7, 250));
        assert_eq!(toml::from_str::<ScheduleConfig>("").unwrap(), ScheduleConfig::default());
        let written = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<ScheduleConfig>(&written).unwrap(), config);
    }

    #[test]
    fn rounds_half_up() {
        assert_eq!(RunLength::of_tokens(149, 100).unwrap().steps, 1);
        assert_eq!(RunLength::of_tokens(150, 100).unwrap().steps, 2);
        assert!(matches!(RunLength::of_tokens(49, 100), Err(Error::NoSteps { .. })));
        assert!(matches!(RunLength::of_tokens(49, 0), Err(Error::NoSteps { .. })));
        assert_eq!(Length::Fraction(0.25).steps(RunLength { steps: 10, tokens_per_step: 1 }), 3);
    }

    #[test]
    fn mistakes_say_what_to_write() {
        let error = |text: &str| toml::from_str::<ScheduleConfig>(text).unwrap_err().to_string();
        assert!(error("warmup = 2000").contains("{ steps = n }"), "{}", error("warmup = 2000"));
        assert!(error("warmup = { steps = 1.5 }").contains("whole number of steps"));
        assert!(error("warmup = { epochs = 1 }").contains("{ tokens = n }"));
        assert!(error("decays = 0.1").contains("unknown field `decays`"));
        assert!(error("shape = \"sqrt\"").contains("1-sqrt"));
    }
}
