//! Lengths of phases and of the run: fractions, steps or tokens, resolved to steps.

use serde::{Deserialize, Serialize};

use crate::Error;

/// Largest count that an f64 holds exactly.
pub(crate) const EXACT: u64 = 1 << 53;

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
            WrittenLength::Steps(written) => whole_number(written.steps, "steps").map(Self::Steps),
            WrittenLength::Tokens(written) => whole_number(written.tokens, "tokens").map(Self::Tokens),
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
pub fn whole_number(got: f64, unit: &'static str) -> Result<u64, Error> {
    if got.fract() == 0.0 && (0.0..=EXACT as f64).contains(&got) {
        Ok(truncated(got))
    } else {
        Err(Error::Count { got, unit })
    }
}

/// `value` rounded half up.
pub(crate) fn rounded(value: f64) -> u64 {
    if value.fract() == 0.0 {
        return truncated(value);
    }
    // a half that the product of a decimal fraction misses by its last bits is still a half
    truncated((value * (1.0 + 4.0 * f64::EPSILON) + 0.5).floor())
}

/// `share · steps` rounded half up.
pub(crate) fn rounded_share(share: f64, steps: u64) -> u64 {
    truncated((share * steps as f64 + 0.5).floor())
}

/// `value` without its fraction; 0 if it is negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and steps are far below 2^64")]
pub(crate) const fn truncated(value: f64) -> u64 {
    value as u64
}

/// What one step trains on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Sequences a step, over all devices.
    pub sequences: u64,
    /// Tokens a sequence.
    pub sequence_tokens: u64,
}

impl Batch {
    /// Returns the tokens a step.
    #[must_use]
    pub const fn tokens(self) -> u64 {
        self.sequences.saturating_mul(self.sequence_tokens)
    }
}

/// The extent of a training run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLength {
    /// Optimiser steps.
    pub steps: u64,
    /// What each trains on.
    pub batch: Batch,
}

impl RunLength {
    /// Returns the run that trains on `tokens`, in whole steps, rounded half up.
    ///
    /// # Errors
    /// [`Error::NoSteps`] if the batch is empty or that makes no step, [`Error::TooManySteps`] above 2^53 steps.
    pub fn of_tokens(tokens: u64, batch: Batch) -> Result<Self, Error> {
        match steps_of(tokens, batch.tokens()) {
            Some(steps) if steps > EXACT => Err(Error::TooManySteps { steps }),
            Some(steps) if steps > 0 => Ok(Self { steps, batch }),
            _ => Err(Error::NoSteps { tokens, tokens_per_step: batch.tokens() }),
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
    /// Returns the length in steps of `run`, rounded half up.
    #[must_use]
    pub fn steps(&self, run: RunLength) -> u64 {
        match *self {
            Self::Fraction(fraction) => rounded(fraction * run.steps as f64),
            Self::Steps(steps) => steps,
            Self::Tokens(tokens) => steps_of(tokens, run.batch.tokens()).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn batch(sequences: u64) -> Batch {
        Batch { sequences, sequence_tokens: 1 }
    }

    #[test]
    fn rounds_half_up() {
        assert_eq!(RunLength::of_tokens(149, batch(100)).unwrap().steps, 1);
        assert_eq!(RunLength::of_tokens(150, batch(100)).unwrap().steps, 2);
        assert!(matches!(RunLength::of_tokens(49, batch(100)), Err(Error::NoSteps { .. })));
        assert!(matches!(RunLength::of_tokens(49, batch(0)), Err(Error::NoSteps { .. })));
        let of = |fraction, steps| Length::Fraction(fraction).steps(RunLength { steps, batch: batch(1) });
        assert_eq!((of(0.25, 10), of(0.145, 100), of(0.1449, 100), of(0.0, 7)), (3, 15, 14, 0));
    }
}
