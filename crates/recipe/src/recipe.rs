//! Builds recipes: files as bytes, for the caller to write.

use std::collections::BTreeSet;

use headwater_run::RunFolder;
use headwater_schedule::Schedule;

use crate::backend::{FollowedSchedule, TrainerBackend, expected_lr_csv};
use crate::comment::commented;
use crate::file::RecipeFile;
use crate::plan::{TABLE_ROWS, TrainingPlan, schedule_csv};
use crate::trainers::hf::Hf;
use crate::trainers::levanter::Levanter;
use crate::trainers::llm_foundry::LlmFoundry;
use crate::trainers::megatron::Megatron;
use crate::trainers::nanotron::Nanotron;
use crate::trainers::olmo_core::OlmoCore;
use crate::trainers::torchtitan::Torchtitan;
use crate::{PartPasses, Preset, RecipeInputs, Result, Trainer};

/// The table of learning rates that a trainer logs.
const EXPECTED_LR: &str = "expected_lr.csv";

/// The files of a recipe and the schedule they follow.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipes {
    /// The schedule, resolved to steps.
    pub schedule: Schedule,
    /// Tokens a step: sequence length × sequences.
    pub tokens_per_step: u64,
    /// The files, `schedule.csv` first.
    pub files: Vec<RecipeFile>,
    /// How often the run goes through each part of the data.
    pub passes: Vec<PartPasses>,
    /// The sizes that the pipeline leaves open and the data settled, a sentence each.
    pub settled: Vec<String>,
    /// Warnings for the user: data that is read too often, and trainers that follow a schedule far from the wanted one.
    pub warnings: Vec<String>,
}

/// Builds the recipe of every configured trainer for a preset that comes with the program: the one that `inputs.config` names, else
/// [`RecipeInputs::default_preset`].
///
/// # Errors
/// [`Error::UnknownPreset`](crate::Error::UnknownPreset), and as [`build_recipes_for`].
///
/// # Determinism
/// Pure: the same inputs give the same bytes.
pub fn build_recipes(inputs: &RecipeInputs<'_>) -> Result<Recipes> {
    let preset = match &inputs.config.preset {
        Some(name) => Preset::named(name)?,
        None => inputs.default_preset()?,
    };
    build_recipes_for(inputs, &preset)
}

/// Builds the recipe of every configured trainer for `preset`, which is the one that `inputs.config` names, if it does.
///
/// # Errors
/// [`Error::Schedule`](crate::Error::Schedule) and [`Error::StepTokens`](crate::Error::StepTokens) for a run of no steps or too
/// many, [`Error::ShortData`](crate::Error::ShortData) for data that fills no sequence, [`Error::Batch`](crate::Error::Batch) for a
/// batch that the preset's machines cannot share.
///
/// # Determinism
/// Pure: the same inputs give the same bytes.
pub fn build_recipes_for(inputs: &RecipeInputs<'_>, preset: &Preset) -> Result<Recipes> {
    let plan = TrainingPlan::new(inputs, preset)?;
    plan.check_sequences()?;
    let passes = plan.passes();
    let mut warnings: Vec<_> = plan.passes_warning(&passes).into_iter().collect();
    let table = schedule_csv(&plan.schedule, plan.batch.tokens(), TABLE_ROWS);
    let mut files = vec![RecipeFile::new(RunFolder::SCHEDULE, table)];
    for trainer in inputs.config.trainers.iter().collect::<BTreeSet<_>>() {
        let backend = backend(*trainer);
        let mut followed = FollowedSchedule::new(backend, &plan.schedule)?;
        if plan.ramp.is_some() && !backend.ramps_batch(&plan) {
            let title = trainer.title();
            followed.sentences.push(format!(
                "Batch ramp: {title} does not get `recipe.batch_ramp`, as this config counts in steps; every step has the whole batch."
            ));
            warnings.push(format!("{title} does not get `recipe.batch_ramp`: every step has the whole batch"));
        }
        files.extend(backend.files(&plan, &followed)?);
        warnings.extend(followed.warning.clone());
        warnings.extend(plan.short_part_warnings(backend));
        files.push(RecipeFile::new(
            format!("recipe/{}/{EXPECTED_LR}", trainer.name()),
            expected_lr_csv(backend, &followed),
        ));
    }
    for file in &mut files {
        file.path = plan.path(&file.path);
    }
    let tokens_per_step = plan.batch.tokens();
    Ok(Recipes { schedule: plan.schedule, tokens_per_step, files, passes, settled: plan.settled, warnings })
}

/// Returns the schedule of the run that recipes are for, and the tokens of a step, whether or not the data suffices.
///
/// # Errors
/// Those of [`build_recipes_for`] that concern the run's length.
pub fn planned_schedule(inputs: &RecipeInputs<'_>, preset: &Preset) -> Result<(Schedule, u64)> {
    let plan = TrainingPlan::new(inputs, preset)?;
    let tokens_per_step = plan.batch.tokens();
    Ok((plan.schedule, tokens_per_step))
}

/// Returns the paths in the folder of recipes, without the folder, of all files that recipes of any settings may have.
pub fn recipe_paths() -> impl Iterator<Item = String> {
    Trainer::ALL.into_iter().flat_map(|trainer| {
        let paths = backend(trainer).paths().iter().map(|path| path.trim_start_matches("recipe/").to_owned());
        paths.chain([format!("{}/{EXPECTED_LR}", trainer.name())])
    })
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
