//! The tables of a pipeline that fix a training run's schedule, and that schedule resolved.

use headwater_schedule::length::whole_number;
use headwater_schedule::{BranchParent, RunLength, Schedule, ScheduleConfig};
use headwater_select::MixtureConfig;
use serde::{Deserialize, Serialize};

use crate::{Error, RecipeConfig, Result};

/// The tables `[schedule]`, `[recipe]` and `[mixture]`; other tables of a file are ignored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainingTables {
    /// Learning rate.
    pub schedule: ScheduleConfig,
    /// Size of the run, and what it trains.
    pub recipe: RecipeConfig,
    /// What it reads.
    pub mixture: MixtureConfig,
}

/// What a run's size is instead of what its tables say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RunSize {
    /// Steps, which decide instead of the tokens.
    pub steps: Option<u64>,
    /// Training tokens; a whole number.
    pub tokens: Option<f64>,
    /// The highest learning rate.
    pub peak_lr: Option<f64>,
}

/// A schedule and the training run that it is for.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingRun {
    /// What the user calls it: a file, or a schedule in one word.
    pub name: String,
    /// The tables, with the size of this run.
    pub tables: TrainingTables,
    /// Steps and batch.
    pub length: RunLength,
    /// The schedule, resolved.
    pub schedule: Schedule,
}

impl TrainingTables {
    /// Resolves the schedule for a run of `size`; `name` stands for it in messages.
    ///
    /// # Errors
    /// [`Error::StepTokens`], and [`Error::RunSchedule`] if the schedule does not fit the run.
    pub fn resolve(mut self, name: &str, size: &RunSize) -> Result<TrainingRun> {
        self.recipe.peak_lr = size.peak_lr.unwrap_or(self.recipe.peak_lr);
        self.recipe.tokens = size.tokens.unwrap_or(self.recipe.tokens);
        let batch = self.recipe.batch()?;
        let unfit = |source| Error::RunSchedule { name: name.to_owned(), source };
        let length = match size.steps {
            Some(steps) => RunLength { steps, batch },
            None => {
                let tokens = whole_number(self.recipe.tokens, "tokens").map_err(unfit)?;
                RunLength::of_tokens(tokens, batch).map_err(unfit)?
            }
        };
        let schedule = self.schedule.resolve(length, self.recipe.peak_lr).map_err(unfit)?;
        self.recipe.tokens = length.steps as f64 * batch.tokens() as f64;
        Ok(TrainingRun { name: name.to_owned(), tables: self, length, schedule })
    }
}

impl TrainingRun {
    /// Returns what a branch needs to know of the run.
    pub(crate) const fn as_parent(&self) -> BranchParent<'_> {
        BranchParent { config: &self.tables.schedule, schedule: &self.schedule, run: self.length }
    }
}

#[cfg(test)]
mod tests {
    use headwater_schedule::Length;

    use super::*;

    #[test]
    fn the_size_that_is_asked_for_comes_first() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let schedule = ScheduleConfig { decay: Some(Length::Fraction(0.5)), ..ScheduleConfig::default() };
        let tables = TrainingTables { schedule, ..TrainingTables::default() };
        let run = tables.clone().resolve("wsd", &RunSize::default())?;
        assert_eq!((run.length.steps, run.schedule.peak_lr()), (119_209, 4.0e-4));
        assert_eq!(run.tables.recipe.tokens, 119_209.0 * 8_388_608.0);
        let size = RunSize { steps: Some(100), tokens: None, peak_lr: Some(1.0) };
        let run = tables.clone().resolve("wsd", &size)?;
        assert_eq!((run.schedule.steps(), run.schedule.decay_steps(), run.schedule.peak_lr()), (100, 50, 1.0));
        let size = RunSize { tokens: Some(1e10), ..RunSize::default() };
        assert_eq!(tables.clone().resolve("wsd", &size)?.length.steps, 1192);
        let size = RunSize { tokens: Some(0.5), ..RunSize::default() };
        let error = tables.clone().resolve("mine", &size).expect_err("half a token").to_string();
        assert!(error.contains("`mine` does not fit the run"), "{error}");
        let empty = RecipeConfig { sequence_tokens: 0, ..RecipeConfig::default() };
        let error = TrainingTables { recipe: empty, ..tables }.resolve("mine", &RunSize::default());
        assert!(matches!(error, Err(Error::StepTokens { .. })));
        Ok(())
    }
}
