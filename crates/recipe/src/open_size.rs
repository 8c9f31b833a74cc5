//! The sizes that a `[recipe]` table leaves open, settled by the data.

use headwater_record::TokenCount;
use headwater_record::tokens::TextPart;
use headwater_schedule::Batch;

use crate::config::BATCH_SEQUENCES;
use crate::{Preset, RecipeInputs, Result};

/// Passes over the same text that are worth about as much as just as much new text.
///
/// # Source
/// Muennighoff et al., arXiv 2305.16264: up to four epochs change the loss little against new text, more are worth less and less.
pub(crate) const WORTHWHILE_PASSES: f64 = 4.0;

/// Steps that a pass over the data, and a run, should have at least, where the batch is left open.
const LEAST_STEPS: u64 = 100;

impl RecipeInputs<'_> {
    /// Returns the bundled preset for a run whose table names none: the largest that the run has 20 tokens a parameter for, where
    /// of passes over the same text the first four count.
    ///
    /// # Errors
    /// As [`Preset::for_tokens`].
    pub fn default_preset(&self) -> Result<Preset> {
        Preset::for_tokens(self.worthwhile_tokens())
    }

    /// Tokens of different texts that the run reads: all that is selected is in the corpus, too.
    fn different_tokens(&self) -> TokenCount {
        let mixtures = [Some(&self.mixtures.stable), self.mixtures.decay.as_ref()];
        let mut parts = mixtures.into_iter().flatten().flat_map(|mixture| mixture.parts(self.selection));
        let reads_corpus = parts.any(|(part, _)| part == TextPart::Corpus);
        if reads_corpus { self.selection.tokens() } else { self.selection.kept_tokens() }
    }

    /// Tokens of one pass over the data, or of the run if it is shorter.
    fn stretch_tokens(&self) -> u64 {
        TokenCount::nearest(self.config.tokens.min(self.different_tokens().0 as f64)).0
    }

    /// The run's tokens, but at most four passes over the data.
    fn worthwhile_tokens(&self) -> f64 {
        self.config.tokens.min(WORTHWHILE_PASSES * self.different_tokens().0 as f64)
    }
}

/// What a step trains on, and the sizes that were settled, a sentence each.
pub(crate) fn settle(inputs: &RecipeInputs<'_>, preset: &Preset) -> Result<(Batch, Vec<String>)> {
    let mut settled = Vec::new();
    if inputs.config.preset.is_none() {
        settled.push(format!(
            "Preset: {}, as `recipe.preset` is not set: the largest that {} tokens, at most four passes over the data, have 20 a \
             parameter for, or the smallest.",
            preset.name,
            TokenCount::nearest(inputs.worthwhile_tokens()),
        ));
    }
    let batch = match inputs.config.batch_sequences {
        Some(_) => inputs.config.batch()?,
        None => inputs.config.batch_of(open_batch(inputs, preset))?,
    };
    if inputs.config.batch_sequences.is_none() && batch.sequences != BATCH_SEQUENCES {
        settled.push(format!(
            "Batch: {} sequences, as `recipe.batch_sequences` is not set: what {} devices pass at once ({}) as often as {BATCH_SEQUENCES} \
             sequences and a hundredth of {} tokens allow, the fewer of the data's and the run's, at least once.",
            batch.sequences,
            preset.machines.devices,
            preset.machines.sequences_at_once(),
            TokenCount(inputs.stretch_tokens()),
        ));
    }
    Ok((batch, settled))
}

/// The most sequences, up to the default and to a hundredth of the data or run, that all devices can share; at least one pass of theirs.
fn open_batch(inputs: &RecipeInputs<'_>, preset: &Preset) -> u64 {
    let at_once = preset.machines.sequences_at_once();
    let hundredth = inputs.stretch_tokens() / LEAST_STEPS / inputs.config.sequence_tokens.max(1);
    let most = BATCH_SEQUENCES.min(hundredth);
    (most / at_once).max(1).saturating_mul(at_once)
}
