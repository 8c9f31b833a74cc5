//! Selection and schedule to trainer configs. Pure: it returns files as bytes and writes none.
//!
//! - [`config`]: the `[recipe]` table
//! - [`preset`]: what is trained and on what machines
//! - [`recipe`]: what a recipe is made from and what comes out
//!
//! Each trainer is one module: the files it reads, the corners of its scheduler, and the learning rates that it will log.

pub mod config;
mod error;
mod file;
mod hf;
mod nanotron;
mod nanotron_config;
mod plan;
pub mod preset;
pub mod recipe;

pub use config::{RecipeConfig, Trainer};
pub use error::{Error, Result};
pub use file::RecipeFile;
pub use preset::Preset;
pub use recipe::{RecipeInputs, Recipes, write_recipes, write_recipes_for};
