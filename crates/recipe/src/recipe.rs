//! What a recipe is made from and what comes out: files as bytes, for the caller to write.

use std::collections::BTreeSet;

use headwater_record::SelectionFile;
use headwater_schedule::{Schedule, ScheduleConfig};
use headwater_select::Mixture;

use crate::file::RecipeFile;
use crate::plan::Plan;
use crate::{Preset, RecipeConfig, Result, Trainer, hf, nanotron};

/// What a recipe is made from.
#[derive(Clone, Copy, Debug)]
pub struct RecipeInputs<'a> {
    /// The `[recipe]` table.
    pub config: &'a RecipeConfig,
    /// The `[schedule]` table.
    pub schedule: &'a ScheduleConfig,
    /// Shares of corpus and selected subset.
    pub mixture: &'a Mixture,
    /// What was selected.
    pub selection: &'a SelectionFile,
    /// Path or URL of the subset's folder.
    pub subset: &'a str,
    /// Sources of the corpus: name and configured paths.
    pub corpus: &'a [(String, Vec<String>)],
    /// Seed of the run.
    pub seed: u64,
    /// Whether only a sample of the corpus was scored, so that numbers and weights are those of the sample.
    pub is_sampled: bool,
}

/// The files of a recipe and the schedule they follow.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipes {
    /// The schedule, resolved to steps.
    pub schedule: Schedule,
    /// Tokens a step: sequence length × sequences.
    pub tokens_per_step: u64,
    /// The files, `schedule.csv` first.
    pub files: Vec<RecipeFile>,
}

/// Writes the recipe of every configured trainer for a preset that comes with the program.
///
/// # Errors
/// [`Error::UnknownPreset`](crate::Error::UnknownPreset), and as [`write_recipes_for`].
///
/// # Determinism
/// Pure: the same inputs give the same bytes.
pub fn write_recipes(inputs: &RecipeInputs<'_>) -> Result<Recipes> {
    write_recipes_for(inputs, &Preset::named(&inputs.config.preset)?)
}

/// Writes the recipe of every configured trainer for `preset`, whatever `inputs.config.preset` says.
///
/// # Errors
/// [`Error::Schedule`](crate::Error::Schedule) and [`Error::StepTokens`](crate::Error::StepTokens) for a run of no steps or too
/// many, [`Error::Batch`](crate::Error::Batch) for a batch that the preset's machines cannot share.
///
/// # Determinism
/// Pure: the same inputs give the same bytes.
pub fn write_recipes_for(inputs: &RecipeInputs<'_>, preset: &Preset) -> Result<Recipes> {
    let plan = Plan::new(inputs, preset)?;
    let mut files = vec![RecipeFile::new("schedule.csv", plan.schedule_csv())];
    for trainer in inputs.config.trainers.iter().collect::<BTreeSet<_>>() {
        files.extend(match trainer {
            Trainer::Nanotron => nanotron::files(&plan)?,
            Trainer::Hf => hf::files(&plan)?,
        });
    }
    Ok(Recipes { schedule: plan.schedule, tokens_per_step: plan.tokens_per_step, files })
}

#[cfg(test)]
mod tests;
