//! Batches that grow at the beginning of a run, in whole sequences.

use headwater_record::TokenCount;
use headwater_schedule::Batch;
use headwater_schedule::length::whole_number;

use crate::{BatchRamp, Error, Preset, RecipeConfig, Result};

/// A ramp of the batch, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ramp {
    /// Sequences of the first step.
    pub(crate) start: u64,
    /// Sequences that each growth adds.
    pub(crate) growth: u64,
    /// Sequences after which the batch is whole.
    pub(crate) samples: u64,
}

impl Ramp {
    /// The ramp that the table asks for, if any, up to `batch`, on the machines of `preset`.
    ///
    /// # Errors
    /// [`Error::BatchRamp`] if the batch cannot grow so.
    pub(crate) fn new(config: &RecipeConfig, batch: Batch, preset: &Preset) -> Result<Option<Self>> {
        let Some(BatchRamp { start_sequences: start, step_sequences, tokens }) = config.batch_ramp else {
            return Ok(None);
        };
        let growth = step_sequences.unwrap_or(start);
        let share = preset.machines.data_parallel().saturating_mul(preset.machines.micro_batch);
        let wrong = |key, got: String, expected: String| Err(Error::BatchRamp { key, got, expected });
        if start == 0 || start >= batch.sequences || !start.is_multiple_of(share) {
            let expected = format!(
                "below the batch of {} and a multiple of the {share} that the machines pass at once",
                batch.sequences
            );
            return wrong("start_sequences", start.to_string(), expected);
        }
        if growth == 0 || !growth.is_multiple_of(share) || !(batch.sequences - start).is_multiple_of(growth) {
            let expected = format!(
                "a multiple of {share} that divides the batch of {} less the {start} of the start",
                batch.sequences
            );
            return wrong("step_sequences", growth.to_string(), expected);
        }
        match whole_number(tokens, "tokens") {
            Ok(whole)
                if tokens <= config.tokens && whole / batch.sequence_tokens >= (batch.sequences - start) / growth =>
            {
                Ok(Some(Self { start, growth, samples: whole / batch.sequence_tokens }))
            }
            _ => {
                let expected = format!(
                    "a whole number, up to `recipe.tokens`, {}, with a sequence or more for each growth",
                    config.tokens
                );
                wrong("tokens", tokens.to_string(), expected)
            }
        }
    }

    /// The batches in turn, each with the sequences after which it is taken: they grow at even distances.
    pub(crate) fn levels(self, batch: Batch) -> impl Iterator<Item = (u64, u64)> {
        let growths = (batch.sequences - self.start) / self.growth;
        (0..=growths).map(move |level| {
            let samples = u128::from(self.samples) * u128::from(level) / u128::from(growths.max(1));
            (u64::try_from(samples).unwrap_or(u64::MAX), self.start + level * self.growth)
        })
    }

    /// What the ramp does, for the head of a config.
    pub(crate) fn sentence(&self, batch: Batch) -> String {
        format!(
            "Batch ramp: from {} sequences to {}, by {} at a time, over the first {} sequences.",
            self.start,
            batch.sequences,
            self.growth,
            TokenCount(self.samples),
        )
    }
}
