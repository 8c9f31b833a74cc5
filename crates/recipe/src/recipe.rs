//! Builds recipes: files as bytes, for the caller to write.

use std::collections::BTreeSet;

use headwater_run::RunFolder;
use headwater_schedule::Schedule;

use crate::backend::{FollowedSchedule, TrainerBackend, expected_lr_csv};
use crate::comment::commented;
use crate::file::RecipeFile;
use crate::plan::{TrainingPlan, schedule_csv};
use crate::trainers::hf::Hf;
use crate::trainers::levanter::Levanter;
use crate::trainers::llm_foundry::LlmFoundry;
use crate::trainers::megatron::Megatron;
use crate::trainers::nanotron::Nanotron;
use crate::trainers::olmo_core::OlmoCore;
use crate::trainers::torchtitan::Torchtitan;
use crate::{Preset, RecipeInputs, Result, Trainer};

/// The files of a recipe and the schedule they follow.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipes {
    /// The schedule, resolved to steps.
    pub schedule: Schedule,
    /// Tokens a step: sequence length × sequences.
    pub tokens_per_step: u64,
    /// The files, `schedule.csv` first.
    pub files: Vec<RecipeFile>,
    /// Warnings for the user: trainers that follow a schedule far from the wanted one.
    pub warnings: Vec<String>,
}

/// Builds the recipe of every configured trainer for a preset that comes with the program.
///
/// # Errors
/// [`Error::UnknownPreset`](crate::Error::UnknownPreset), and as [`build_recipes_for`].
///
/// # Determinism
/// Pure: the same inputs give the same bytes.
pub fn build_recipes(inputs: &RecipeInputs<'_>) -> Result<Recipes> {
    build_recipes_for(inputs, &Preset::named(&inputs.config.preset)?)
}

/// Builds the recipe of every configured trainer for `preset`; `inputs.config.preset` is not read.
///
/// # Errors
/// [`Error::Schedule`](crate::Error::Schedule) and [`Error::StepTokens`](crate::Error::StepTokens) for a run of no steps or too
/// many, [`Error::Batch`](crate::Error::Batch) for a batch that the preset's machines cannot share.
///
/// # Determinism
/// Pure: the same inputs give the same bytes.
pub fn build_recipes_for(inputs: &RecipeInputs<'_>, preset: &Preset) -> Result<Recipes> {
    let plan = TrainingPlan::new(inputs, preset)?;
    let mut warnings = Vec::new();
    let mut files = vec![RecipeFile::new(RunFolder::SCHEDULE, schedule_csv(&plan.schedule, plan.batch.tokens()))];
    for trainer in inputs.config.trainers.iter().collect::<BTreeSet<_>>() {
        let backend = backend(*trainer);
        let followed = FollowedSchedule::new(backend, &plan.schedule)?;
        files.extend(backend.files(&plan, &followed)?);
        warnings.extend(followed.warning.clone());
        files.push(RecipeFile::new(
            format!("recipe/{}/expected_lr.csv", trainer.name()),
            expected_lr_csv(backend, &followed),
        ));
    }
    for file in &mut files {
        file.path = plan.path(&file.path);
    }
    let tokens_per_step = plan.batch.tokens();
    Ok(Recipes { schedule: plan.schedule, tokens_per_step, files, warnings })
}

const fn backend(trainer: Trainer) -> &'static dyn TrainerBackend {
    match trainer {
        Trainer::Nanotron => &Nanotron,
        Trainer::Hf => &Hf,
        Trainer::Torchtitan => &Torchtitan,
        Trainer::OlmoCore => &OlmoCore,
        Trainer::Megatron => &Megatron,
        Trainer::LlmFoundry => &LlmFoundry,
        Trainer::Levanter => &Levanter,
    }
}

/// A schedule in a trainer's own keys.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleExport {
    /// The keys, in the format of the trainer's config, under a comment that says what differs.
    pub keys: String,
    /// What the trainer logs: `step,lr`.
    pub expected_lr: String,
    /// A warning for the user, if the trainer follows a schedule far from the wanted one.
    pub warning: Option<String>,
}

/// Exports a schedule in a trainer's keys, or the nearest schedule that the trainer has.
///
/// # Errors
/// [`Error::UnsupportedSchedule`](crate::Error::UnsupportedSchedule).
pub fn export_schedule(schedule: &Schedule, trainer: Trainer) -> Result<ScheduleExport> {
    let backend = backend(trainer);
    let followed = FollowedSchedule::new(backend, schedule)?;
    let keys = commented(&followed.sentences) + &backend.scheduler_keys(&followed.schedule)?;
    Ok(ScheduleExport { keys, expected_lr: expected_lr_csv(backend, &followed), warning: followed.warning })
}

#[cfg(test)]
pub(crate) mod tests;
