//! Selection and schedule to trainer configs. Pure: it returns files as bytes and writes none.
//!
//! - [`config`]: the `[recipe]` table
//! - [`preset`]: what is trained and on what machines
//! - [`recipe`]: what a recipe is made from and what comes out
//!
//! Each trainer is one module, a `TrainerBackend`: the files it reads, the schedules it has keys for, the corners of its scheduler, and the
//! learning rates that it will log. A schedule that it has no keys for becomes the nearest that it has, and the head of its config
//! says by how much that differs.

mod arithmetic;
mod backend;
mod comment;
pub mod config;
mod error;
mod file;
mod inputs;
mod plan;
pub mod preset;
pub mod recipe;
mod trainers;

pub use config::{RecipeConfig, Trainer};
pub use error::{Error, Result};
pub use file::RecipeFile;
pub use inputs::{CorpusSource, PartTokenFiles, RECIPE_FOLDER, RecipeInputs, TokenFileCount};
pub use plan::schedule_csv;
pub use preset::Preset;
pub use recipe::{Recipes, ScheduleExport, build_recipes, build_recipes_for, export_schedule};
