//! Fetching and loading the model.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use etcetera::{BaseStrategy, choose_base_strategy};
use headwater_model::{EngineOptions, Model, ModelPaths, Precision, Tokenizer};
use headwater_store::model::{Fetcher, ModelFiles, ModelSpec};
use headwater_tokens::{TokenizerSetup, TokensConfig};
use serde::Serialize;

use crate::failure::Outcome;
use crate::progress::Console;
use crate::stages::{Session, json_bytes};

/// A tokenizer that lies in a folder without a model.
const TOKENIZER_FILE: &str = "tokenizer.json";

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
        let (paths, name) = paths(fetch(&self.pipeline.model.name, self.console)?);
        let config = &self.pipeline.model;
        let options = EngineOptions {
            engine: config.engine,
            instructions: config.instructions.0,
            device: config.device.clone(),
            precision,
        };
        Ok((Model::load(&paths, &options)?, name))
    }

    /// Loads the tokenizer that token files are made with; returns its name too.
    pub(super) fn load_tokenizer(&self) -> Result<(Tokenizer, String)> {
        let name = self.pipeline.tokens.tokenizer.as_ref().unwrap_or(&self.pipeline.model.name);
        tokenizer_of(name, self.console)
    }
}

/// Loads the tokenizer of a model, of a folder, or in a `tokenizer.json`; returns its name too.
fn tokenizer_of(name: &str, console: &Console) -> Result<(Tokenizer, String)> {
    let path = Path::new(name);
    let alone = if path.is_dir() { path.join(TOKENIZER_FILE) } else { path.to_owned() };
    if alone.extension().is_some_and(|extension| extension == "json") && alone.is_file() {
        return Ok((Tokenizer::open(&alone)?, name.to_owned()));
    }
    let (paths, name) = paths(fetch(name, console)?);
    Ok((Tokenizer::load(&paths)?, name))
}

/// Writes the tokenizer of a model into a folder, as transformers loads it.
pub(crate) fn write_tokenizer(name: &str, eos: Option<&str>, folder: &Path, console: &Console) -> Result<Outcome> {
    /// What transformers reads beside `tokenizer.json`.
    #[derive(Serialize)]
    struct TokenizerConfig {
        tokenizer_class: &'static str,
        eos_token: String,
        pad_token: String,
        clean_up_tokenization_spaces: bool,
    }
    let (tokenizer, name) = tokenizer_of(name, console)?;
    let config = TokensConfig { eos: eos.map(str::to_owned), ..TokensConfig::default() };
    let eos = TokenizerSetup::new(&config, &tokenizer, &name, 1)?.eos().text.clone();
    let written = TokenizerConfig {
        tokenizer_class: "PreTrainedTokenizerFast",
        pad_token: eos.clone(),
        eos_token: eos.clone(),
        clean_up_tokenization_spaces: false,
    };
    let place = super::stores().open(&folder.display().to_string())?;
    place.write(TOKENIZER_FILE, tokenizer.to_json()?.into())?;
    place.write("tokenizer_config.json", json_bytes(&written)?)?;
    console.say(&format!(
        "{:>12} {}: {} tokens, documents end with {eos}",
        "written",
        folder.display(),
        tokenizer.vocab_size()
    ));
    Ok(Outcome::Done)
}

/// What the `model` crate loads, and the model's name.
fn paths(files: ModelFiles) -> (ModelPaths, String) {
    let ModelFiles { name, weights, tokenizer, config, weights_hash } = files;
    (ModelPaths { weights, config, tokenizer, weights_hash }, name)
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
    let files = Fetcher::new(&cache_folder()?, &super::stores()).fetch(&spec, &|bytes| fetched.advance(bytes))?;
    fetched.discard();
    Ok(files)
}

/// `$XDG_CACHE_HOME/headwater`, or what the system uses instead.
pub(super) fn cache_folder() -> Result<PathBuf> {
    let strategy = choose_base_strategy()
        .context("there is no home folder to keep models and measurements in; set XDG_CACHE_HOME")?;
    Ok(strategy.cache_dir().join("headwater"))
}
