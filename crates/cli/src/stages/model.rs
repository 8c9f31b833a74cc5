//! Fetching and loading the model.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use etcetera::{BaseStrategy, choose_base_strategy};
use headwater_model::{EngineOptions, Model, ModelPaths, Precision};
use headwater_store::model::{Fetcher, ModelFiles, ModelSpec};

use crate::failure::Outcome;
use crate::progress::Console;
use crate::stages::Session;

impl Session<'_> {
    /// Fetches the model if need be, checks its hash, loads it and says what it is.
    pub(super) fn load_model(&self) -> Result<Model> {
        let _timer = self.meters.stage("model");
        let (model, name) = self.load_model_in(self.pipeline.model.precision)?;
        let numerics = model.numerics();
        self.console.say(&format!(
            "{:>12} {name}: {} layers × {} heads, {} on {} ({}{}{})",
            "model",
            model.shape().layers,
            model.shape().heads,
            numerics.precision,
            numerics.device,
            numerics.engine,
            if numerics.instructions.is_empty() { "" } else { ", " },
            numerics.instructions,
        ));
        Ok(model)
    }

    /// Loads the model in `precision`; returns its name too.
    pub(super) fn load_model_in(&self, precision: Precision) -> Result<(Model, String)> {
        let files = fetch(&self.pipeline.model.name, self.console)?;
        let paths = ModelPaths {
            weights: files.weights,
            config: files.config,
            tokenizer: files.tokenizer,
            weights_hash: files.weights_hash,
        };
        let config = &self.pipeline.model;
        let options = EngineOptions {
            engine: config.engine,
            instructions: config.instructions.0,
            device: config.device.clone(),
            precision,
        };
        Ok((Model::load(&paths, &options)?, files.name))
    }
}

/// Fetches a model and says where it lies.
pub(crate) fn fetch_only(name: &str, console: &Console) -> Result<Outcome> {
    let files = fetch(name, console)?;
    let mut out = std::io::stdout().lock();
    for path in &files.weights {
        writeln!(out, "{}", path.display())?;
    }
    Ok(Outcome::Done)
}

fn fetch(name: &str, console: &Console) -> Result<ModelFiles> {
    let spec = ModelSpec::resolve(name)?;
    let fetched = console.step("model", "bytes", 0);
    let files = Fetcher::new(&cache_folder()?).fetch(&spec, &|bytes| fetched.advance(bytes))?;
    fetched.discard();
    Ok(files)
}

/// `$XDG_CACHE_HOME/headwater`, or what the system uses instead.
pub(super) fn cache_folder() -> Result<PathBuf> {
    let strategy = choose_base_strategy()
        .context("there is no home folder to keep models and measurements in; set XDG_CACHE_HOME")?;
    Ok(strategy.cache_dir().join("headwater"))
}
