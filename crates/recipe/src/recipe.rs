//! What a recipe is made from and what comes out: files as bytes, for the caller to write.

use std::fmt::Write as _;

use headwater_record::SelectionFile;
use headwater_schedule::config::whole;
use headwater_schedule::{RunLength, Schedule, ScheduleConfig};
use headwater_select::Mixture;

use crate::{Error, RecipeConfig, Result};

/// Rows of `schedule.csv`, about.
const SCHEDULE_ROWS: u64 = 2000;

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
}

/// The files of a recipe and the schedule they follow.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipes {
    /// The schedule, resolved to steps.
    pub schedule: Schedule,
    /// Tokens a step: sequence length × sequences.
    pub tokens_per_step: u64,
    /// The files, `schedule.csv` among them.
    pub files: Vec<RecipeFile>,
}

/// One file of a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipeFile {
    /// Path relative to the run's output, such as `recipe/hf/mixture.json`.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Resolves the schedule and writes the recipe of every trainer configured. Pure: the same inputs give the same bytes.
///
/// # Errors
/// [`Error::Schedule`] if the schedule does not fit the run, [`Error::StepTokens`] if a step overflows.
pub fn write_recipes(inputs: &RecipeInputs<'_>) -> Result<Recipes> {
    let config = inputs.config;
    let (sequence_tokens, batch_sequences) = (config.sequence_tokens, config.batch_sequences);
    let tokens_per_step =
        sequence_tokens.checked_mul(batch_sequences).ok_or(Error::StepTokens { sequence_tokens, batch_sequences })?;
    let run = RunLength::of_tokens(whole(config.tokens, "tokens")?, tokens_per_step)?;
    let schedule = inputs.schedule.resolve(run, config.peak_lr)?;
    let files = vec![RecipeFile {
        path: "schedule.csv".to_owned(),
        bytes: schedule_csv(&schedule, tokens_per_step).into_bytes(),
    }];
    Ok(Recipes { schedule, tokens_per_step, files })
}

/// The canonical schedule by completed steps: `step,tokens,lr`.
fn schedule_csv(schedule: &Schedule, tokens_per_step: u64) -> String {
    let mut table = "step,tokens,lr\n".to_owned();
    for step in schedule.sampled_steps(SCHEDULE_ROWS) {
        let tokens = u128::from(step) * u128::from(tokens_per_step);
        let _ = writeln!(table, "{step},{tokens},{:?}", schedule.lr(step));
    }
    table
}
