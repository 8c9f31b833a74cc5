//! Selection and schedule to trainer configs. Pure: it returns files as bytes and writes none.
//!
//! - [`config`]: the `[recipe]` table
//! - [`preset`]: the model to train and the machines
//! - [`recipe`]: building recipes and exporting schedules
//! - [`TrainingRun`]: a schedule resolved for the run of a `[recipe]` table; [`BranchPlan`]: a child of it that decays early
//!
//! Each trainer is one module, a `TrainerBackend`: the files it reads, the schedules it has keys for, the special cases of its
//! scheduler, and the learning rates that it will log. Where it has no keys for a schedule, it gets the nearest that it has, and a
//! comment in its config gives the difference.

mod arithmetic;
mod backend;
mod branch;
mod comment;
pub mod config;
mod error;
mod file;
mod inputs;
mod open_size;
mod passes;
mod plan;
pub mod preset;
mod ramp;
pub mod recipe;
mod trainers;
mod training;

pub use branch::{BranchPlan, CheckpointGap};
pub use config::{BatchRamp, RecipeConfig, Trainer};
pub use error::{Error, Result};
pub use file::RecipeFile;
pub use inputs::{CorpusSource, PartTokenFiles, RecipeInputs, TokenFileCount};
pub use passes::PartPasses;
pub use plan::schedule_csv;
pub use preset::Preset;
pub use recipe::{
    Recipes, ScheduleExport, build_recipes, build_recipes_for, export_schedule, planned_schedule, recipe_paths,
};
pub use training::{RunSize, TrainingRun, TrainingTables};
