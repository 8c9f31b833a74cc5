//! How often a run goes through each part of the data, and whether a pass makes a sequence.

use headwater_record::TokenCount;
use headwater_record::tokens::TextPart;
use serde::Serialize;

use crate::backend::TrainerBackend;
use crate::open_size::WORTHWHILE_PASSES;
use crate::plan::{Part, Stage, TrainingPlan};
use crate::{Error, Result};

/// Passes above this are warned of: rounding to whole steps makes four a little more.
const MOST_PASSES: f64 = WORTHWHILE_PASSES * 1.01;

/// How often a run goes through a part of the data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartPasses {
    /// The part: `corpus`, `selected` or a bucket such as `bucket-00`.
    pub part: String,
    /// Tokens of one pass, by the tokenizer that scored.
    pub tokens: TokenCount,
    /// Passes of the whole run.
    pub passes: f64,
}

/// The stages that read a part, each with the part as it has it.
pub(crate) type Reads<'a> = Vec<(&'a Stage, &'a Part)>;

impl TrainingPlan<'_> {
    /// The stages that read a part.
    pub(crate) fn reads(&self, name: TextPart) -> Reads<'_> {
        let read = self.stages.iter().flat_map(|stage| stage.parts.iter().map(move |part| (stage, part)));
        read.filter(|(_, part)| part.name == name).collect()
    }

    /// Tokens that a stage trains on.
    pub(crate) const fn stage_tokens(&self, stage: &Stage) -> u64 {
        stage.steps.saturating_mul(self.batch.tokens())
    }

    /// Tokens that the run reads of a part.
    pub(crate) fn tokens_read(&self, name: TextPart) -> f64 {
        let tokens = |(stage, part): &(&Stage, &Part)| part.token_weight * self.stage_tokens(stage) as f64;
        self.reads(name).iter().map(tokens).sum()
    }

    /// The passes over each part that is read.
    pub(crate) fn passes(&self) -> Vec<PartPasses> {
        let passes = self.parts().map(|part| PartPasses {
            part: part.name.name(),
            tokens: part.tokens,
            passes: self.tokens_read(part.name) / part.tokens.0 as f64,
        });
        passes.collect()
    }

    /// What to say of parts that are read too often; nothing if none is.
    pub(crate) fn passes_warning(&self, passes: &[PartPasses]) -> Option<String> {
        let often: Vec<_> = passes.iter().filter(|part| part.passes > MOST_PASSES).collect();
        let most = often.iter().map(|part| part.passes).fold(0.0, f64::max);
        let listed: Vec<_> = often.iter().map(|part| format!("{} {:.1} times", part.part, part.passes)).collect();
        let sample = if self.inputs.is_sampled { " (of the sample that was scored)" } else { "" };
        (!listed.is_empty()).then(|| {
            format!(
                "the run reads {}{sample}: beyond four passes the same text is worth less and less (arXiv 2305.16264); four would be \
                 `recipe.tokens` = {:.2e}, or give more text",
                listed.join(", "),
                self.inputs.config.tokens * WORTHWHILE_PASSES / most,
            )
        })
    }

    /// Refuses a stage of whose data one pass does not fill a sequence: training would never get its first.
    pub(crate) fn check_sequences(&self) -> Result<()> {
        let sequence_tokens = self.batch.sequence_tokens;
        let short =
            self.stages.iter().find(|stage| stage.parts.iter().map(written_tokens).sum::<u64>() < sequence_tokens);
        let Some(stage) = short else { return Ok(()) };
        let parts = stage.parts.iter().map(|part| format!("{} has {} tokens", part.name.name(), part.tokens));
        Err(Error::ShortData {
            stage: if self.stages.len() > 1 { format!(" of stage \"{}\"", stage.name) } else { String::new() },
            parts: parts.collect::<Vec<_>>().join(", "),
            sequence_tokens,
            most: stage.parts.iter().map(written_tokens).sum(),
        })
    }

    /// What to say of parts that make no sequence by themselves, for a trainer that takes sequences from each part.
    pub(crate) fn short_part_warnings(&self, backend: &dyn TrainerBackend) -> Vec<String> {
        let sequence_tokens = self.batch.sequence_tokens;
        let short = self.parts().filter(|part| backend.cuts_each_part() && written_tokens(part) < sequence_tokens);
        let warnings = short.map(|part| {
            format!(
                "{} takes sequences from each part by itself, but {} has {} tokens and `recipe.sequence_tokens` is {sequence_tokens}: \
                 lower it, or nothing of {} is read",
                backend.trainer().title(),
                part.name.name(),
                part.tokens,
                part.name.name(),
            )
        });
        warnings.collect()
    }
}

/// Tokens of one pass with the token that ends each document.
const fn written_tokens(part: &Part) -> u64 {
    part.tokens.0.saturating_add(part.documents)
}
