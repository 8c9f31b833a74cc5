//! The run that every trainer gets: steps, stages of the data, places of the files, and tables of learning rates.

use std::fmt::Write as _;

use headwater_record::tokens::{TextPart, TokenFormat};
use headwater_record::{SelectionFile, TokenCount};
use headwater_run::{Arm, RunFolder};
use headwater_schedule::length::whole_number;
use headwater_schedule::{Batch, RunLength, Schedule};
use headwater_select::Mixture;

use crate::inputs::{CorpusSource, RecipeInputs, TokenFileCount};
use crate::ramp::Ramp;
use crate::{Error, Preset, Result, Trainer, open_size};

/// Rows of a table of learning rates, about.
pub(crate) const TABLE_ROWS: u64 = 2000;

/// The plan of a training run, resolved to steps.
#[derive(Clone, Debug)]
pub(crate) struct TrainingPlan<'a> {
    pub(crate) inputs: &'a RecipeInputs<'a>,
    pub(crate) preset: &'a Preset,
    pub(crate) schedule: Schedule,
    /// `recipe.tokens`; the steps train on about as many.
    pub(crate) tokens: u64,
    pub(crate) batch: Batch,
    /// How the batch grows at the beginning, if it does.
    pub(crate) ramp: Option<Ramp>,
    /// The sizes that the table leaves open and the data settled, a sentence each.
    pub(crate) settled: Vec<String>,
    /// Stretches of the run with a mixture each, in order; the first starts at 0.
    pub(crate) stages: Vec<Stage>,
}

/// A stretch of the run that reads one mixture.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    /// Completed steps when it starts.
    pub(crate) start: u64,
    /// Steps that it lasts.
    pub(crate) steps: u64,
    /// The parts that are read at all, the corpus first; their weights sum to 1.
    pub(crate) parts: Vec<Part>,
    /// How the weights are computed, for people.
    pub(crate) arithmetic: String,
}

/// A part of the data that training reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) name: TextPart,
    /// Share of the tokens of the stage.
    pub(crate) token_weight: f64,
    /// Tokens of one pass, by the tokenizer that scored.
    pub(crate) tokens: TokenCount,
    /// Documents of one pass.
    pub(crate) documents: u64,
}

impl Stage {
    /// The share of a part, which is 0 if it is not read.
    pub(crate) fn weight(&self, name: TextPart) -> f64 {
        self.parts.iter().find(|part| part.name == name).map_or(0.0, |part| part.token_weight)
    }
}

impl<'a> TrainingPlan<'a> {
    pub(crate) fn new(inputs: &'a RecipeInputs<'a>, preset: &'a Preset) -> Result<Self> {
        let config = inputs.config;
        let (batch, settled) = open_size::settle(inputs, preset)?;
        let ramp = Ramp::new(config, batch, preset)?;
        let unfit = |source| Error::Schedule { tokens: config.tokens, tokens_per_step: batch.tokens(), source };
        let tokens = whole_number(config.tokens, "tokens").map_err(unfit)?;
        let run = RunLength::of_tokens(tokens, batch).map_err(unfit)?;
        let schedule = inputs.schedule.resolve(run, config.peak_lr).map_err(unfit)?;
        let stages = stages(inputs, &schedule)?;
        Ok(Self { inputs, preset, schedule, tokens, batch, ramp, settled, stages })
    }

    /// Passes over the batch that one step makes, if all devices together pass `factors` multiplied.
    pub(crate) fn accumulation(&self, trainer: Trainer, factors: [(&str, u64); 2]) -> Result<u64> {
        let batch_sequences = self.batch.sequences;
        let share = factors[0].1.saturating_mul(factors[1].1);
        if batch_sequences.is_multiple_of(share) {
            return Ok(batch_sequences / share);
        }
        Err(Error::Batch {
            batch_sequences,
            share,
            arithmetic: factors.map(|(name, count)| format!("{name} {count}")).join(" × "),
            trainer: trainer.name(),
            preset: self.preset.name.clone(),
        })
    }

    /// The parts that some stage reads, the corpus first, as the first of those stages has them.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        let of = |name| self.stages.iter().flat_map(|stage| &stage.parts).find(|part| part.name == name);
        self.inputs.selection.parts().into_iter().filter_map(of)
    }

    /// The seed of the run, cut to the 32 bits that `NumPy`, and so every trainer, takes.
    pub(crate) fn seed(&self) -> u64 {
        self.inputs.seed & u64::from(u32::MAX)
    }

    /// The seed of a stage's data: a part that two stages read is shuffled otherwise in the second.
    pub(crate) fn stage_seed(&self, stage: usize) -> u64 {
        (self.seed() + stage as u64) & u64::from(u32::MAX)
    }

    /// The output of the run up to where `recipe/` and `tokens/` begin, with the slash; empty if it is not known.
    pub(crate) fn beside(&self) -> &str {
        let subset = self.inputs.subset.trim_end_matches('/');
        subset.strip_suffix(&format!("selected/{}", self.inputs.selection.hash)).unwrap_or_default()
    }

    /// The path in the run's output of a file that lies at `path` unless another folder is asked for.
    pub(crate) fn path(&self, path: &str) -> String {
        let folder = self.inputs.folder.trim_end_matches('/');
        match path.strip_prefix("recipe/") {
            _ if folder == RunFolder::recipes(Arm::Selection) => path.to_owned(),
            Some(inside) => format!("{folder}/{inside}"),
            None => format!("{folder}/{path}"),
        }
    }

    /// The place of a file of the recipe, as the pipeline writes places.
    pub(crate) fn place(&self, path: &str) -> String {
        format!("{}{}", self.beside(), self.path(path))
    }

    /// A path as the pipeline writes places, in full: a relative one is below the folder that the pipeline runs in.
    pub(crate) fn full(&self, path: &str) -> String {
        let folder = self.inputs.working_folder;
        if folder.is_empty() || path.starts_with('/') || path.contains("://") {
            return path.to_owned();
        }
        format!("{}/{}", folder.trim_end_matches('/'), path.strip_prefix("./").unwrap_or(path))
    }

    /// The Parquet files of a part that come from one source of the corpus: paths and patterns.
    pub(crate) fn texts(&self, part: TextPart, source: &CorpusSource) -> Vec<String> {
        let folder = part.folder_in(self.inputs.subset.trim_end_matches('/'));
        folder.map_or_else(|| source.paths.clone(), |folder| vec![format!("{folder}/{}/**/*.parquet", source.name)])
    }

    /// Where the token files of a part belong, of one format, as the pipeline writes places.
    pub(crate) fn token_folder(&self, part: TextPart, format: TokenFormat) -> String {
        format!("{}{}/{}", self.beside(), part.token_folder(&self.inputs.selection.hash), format.name())
    }

    /// The same of every part, a line each for the head of a config.
    pub(crate) fn token_folder_lines(&self, format: TokenFormat) -> Vec<String> {
        let parts = self.inputs.selection.parts().into_iter();
        parts.map(|part| format!("  {}: {}", part.name(), self.token_folder(part, format))).collect()
    }

    /// The token files of a part that are there, of one format, but for those that hold nothing.
    pub(crate) fn token_files(&self, part: TextPart, format: TokenFormat) -> Vec<&TokenFileCount> {
        let of_part = self.inputs.tokens.iter().filter(|there| there.part == part && there.format == format);
        of_part.flat_map(|there| &there.files).filter(|file| file.tokens.0 > 0).collect()
    }
}

/// Returns the canonical schedule by completed steps, every boundary and about `rows` steps: `step,tokens,lr`.
#[must_use]
pub fn schedule_csv(schedule: &Schedule, tokens_per_step: u64, rows: u64) -> String {
    let mut table = "step,tokens,lr\n".to_owned();
    for step in schedule.sampled_steps(rows) {
        let tokens = u128::from(step) * u128::from(tokens_per_step);
        let _ = writeln!(table, "{step},{tokens},{:?}", schedule.lr(step));
    }
    table
}

fn stages(inputs: &RecipeInputs<'_>, schedule: &Schedule) -> Result<Vec<Stage>> {
    let stage = |name, range: std::ops::Range<u64>, mixture: &Mixture| Stage {
        name,
        start: range.start,
        steps: range.end - range.start,
        parts: parts(inputs.selection, mixture),
        arithmetic: mixture.arithmetic.clone(),
    };
    let (steps, stable) = (schedule.steps(), &inputs.mixtures.stable);
    let Some(decay) = &inputs.mixtures.decay else { return Ok(vec![stage("corpus and selected", 0..steps, stable)]) };
    let start = schedule.decay_start();
    if start == steps {
        return Err(Error::NoDecay { kind: schedule.kind() });
    }
    let stages = [stage("stable", 0..start, stable), stage("decay", start..steps, decay)];
    Ok(stages.into_iter().filter(|stage| stage.steps > 0).collect())
}

/// The parts that a mixture reads.
fn parts(selection: &SelectionFile, mixture: &Mixture) -> Vec<Part> {
    let part = |(name, token_weight)| {
        let (tokens, documents) = match name {
            TextPart::Corpus => (selection.tokens(), selection.documents()),
            TextPart::Selected => (selection.kept_tokens(), selection.kept_documents()),
            TextPart::Bucket(index) => {
                let bucket = selection.buckets.get(index)?;
                (bucket.tokens, bucket.documents)
            }
        };
        Some(Part { name, token_weight, tokens, documents })
    };
    mixture.parts(selection).into_iter().filter_map(part).collect()
}

#[cfg(test)]
mod tests;
