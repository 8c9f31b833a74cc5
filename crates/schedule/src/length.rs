//! Lengths of phases and of the run: fractions, steps or tokens, resolved to steps.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::Error;

/// Largest count that an f64 holds exactly.
pub(crate) const EXACT: u64 = 1 << 53;

/// The length of a phase: `0.25`, `{ steps = 2000 }` or `{ tokens = 1.0e10 }`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// Share of the run's steps, in `[0, 1)`.
    Fraction(f64),
    /// Number of steps.
    Steps(u64),
    /// Number of training tokens.
    Tokens(u64),
}

const STEPS: &str = "steps";
const TOKENS: &str = "tokens";

/// What a length may be, for messages.
const FORMS: &str = "a fraction such as 0.25, { steps = 2000 } or { tokens = 1e10 }";

impl Serialize for Length {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (unit, count) = match *self {
            Self::Fraction(fraction) => return serializer.serialize_f64(fraction),
            Self::Steps(steps) => (STEPS, steps),
            Self::Tokens(tokens) => (TOKENS, tokens),
        };
        let mut table = serializer.serialize_map(Some(1))?;
        table.serialize_entry(unit, &(count as f64))?;
        table.end()
    }
}

impl JsonSchema for Length {
    fn schema_name() -> Cow<'static, str> {
        "Length".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "length",
            "anyOf": [
                { "type": "number", "minimum": 0, "exclusiveMaximum": 1 },
                {
                    "type": "object",
                    "properties": { STEPS: { "type": "integer", "minimum": 0 }, TOKENS: { "type": "integer", "minimum": 0 } },
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": false
                }
            ]
        })
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Forms)
    }
}

struct Forms;

impl Forms {
    fn fraction<E: de::Error>(got: f64) -> Result<Length, E> {
        if (0.0..1.0).contains(&got) { Ok(Length::Fraction(got)) } else { Err(E::custom(Error::Fraction { got })) }
    }
}

impl<'de> Visitor<'de> for Forms {
    type Value = Length;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORMS)
    }

    fn visit_f64<E: de::Error>(self, got: f64) -> Result<Length, E> {
        Self::fraction(got)
    }

    fn visit_i64<E: de::Error>(self, got: i64) -> Result<Length, E> {
        Self::fraction(got as f64)
    }

    fn visit_u64<E: de::Error>(self, got: u64) -> Result<Length, E> {
        Self::fraction(got as f64)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Length, A::Error> {
        let Some(unit) = table.next_key::<String>()? else { return Err(de::Error::custom(format!("write {FORMS}"))) };
        let count = |count, unit| whole_number(count, unit).map_err(de::Error::custom);
        let length = match unit.as_str() {
            STEPS => Length::Steps(count(table.next_value()?, STEPS)?),
            TOKENS => Length::Tokens(count(table.next_value()?, TOKENS)?),
            _ => return Err(de::Error::unknown_field(&unit, &[STEPS, TOKENS])),
        };
        if table.next_key::<String>()?.is_some() {
            return Err(de::Error::custom("write one of steps and tokens, not both"));
        }
        Ok(length)
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
