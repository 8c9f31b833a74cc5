//! Selection and schedule to trainer configs. Pure: it returns files as bytes and writes none.
//!
//! - [`config`]: the `[recipe]` table
//! - [`recipe`]: what a recipe is made from and what comes out

pub mod config;
mod error;
pub mod recipe;

pub use config::{RecipeConfig, Trainer};
pub use error::{Error, Result};
pub use recipe::{RecipeFile, RecipeInputs, Recipes, write_recipes};
