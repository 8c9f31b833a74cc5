//! What documents are scored with.

use headwater_model::{Engine, Error, HeadMask, Model, Tokenizer};
use headwater_record::run::{SEMANTICS, ScoringInputs};
use headwater_record::{ContentHash, HeadSet};

use crate::ScoreConfig;
use crate::document::Windowing;

/// Turns texts into tokens.
pub trait Tokenise: Sync {
    /// Returns the token ids of `text`, without BOS.
    ///
    /// # Errors
    /// [`Error::Tokenise`] if there is no way to write the text in tokens.
    fn encode(&self, text: &str) -> Result<Vec<u32>, Error>;

    /// Returns those of the beginning of `text`, at least `tokens` or all of them, and how many bytes that is.
    ///
    /// # Errors
    /// As [`Tokenise::encode`].
    fn encode_beginning(&self, text: &str, tokens: usize) -> Result<(Vec<u32>, usize), Error> {
        _ = tokens;
        Ok((self.encode(text)?, text.len()))
    }
}

impl Tokenise for Tokenizer {
    fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        Self::encode(self, text)
    }

    fn encode_beginning(&self, text: &str, tokens: usize) -> Result<(Vec<u32>, usize), Error> {
        Self::encode_beginning(self, text, tokens)
    }
}

/// What documents are scored with.
#[derive(Clone)]
pub struct Scorer<'a> {
    /// Runs the model.
    pub engine: &'a dyn Engine,
    /// The model's tokenizer.
    pub tokenizer: &'a dyn Tokenise,
    /// The masked heads.
    pub mask: HeadMask,
    /// How documents are cut.
    pub windowing: Windowing,
    /// Documents with fewer tokens are `short`.
    pub min_tokens: usize,
}

/// The hashes of what a model's scores depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelHashes {
    /// SHA-256 of the weights.
    pub weights: ContentHash,
    /// SHA-256 of `config.json`, for weights that do not hold their configuration themselves.
    pub config: Option<ContentHash>,
    /// SHA-256 of the tokenizer.
    pub tokenizer: ContentHash,
}

impl From<&Model> for ModelHashes {
    fn from(model: &Model) -> Self {
        Self { weights: model.weights_hash(), config: model.config_hash(), tokenizer: model.tokenizer().hash() }
    }
}

impl<'a> Scorer<'a> {
    /// Scores with `model` as `config` says, with `heads` masked, in windows that the model's context has room for.
    #[must_use]
    pub fn new(model: &'a Model, heads: HeadSet, config: &ScoreConfig) -> Self {
        let bos = model.tokenizer().bos();
        let window_tokens = config.window_for(model.shape().context_tokens, bos);
        Self {
            engine: model.engine(),
            tokenizer: model.tokenizer(),
            mask: HeadMask { set: heads, kind: config.mask },
            windowing: Windowing { window_tokens, long_documents: config.long_documents, bos },
            min_tokens: config.min_tokens,
        }
    }

    /// Returns everything that changes the scores of a text, for the fingerprint; `model` is what the engine and the tokenizer are of.
    #[must_use]
    pub fn inputs(&self, model: ModelHashes) -> ScoringInputs {
        ScoringInputs {
            weights: model.weights,
            model_config: model.config,
            tokenizer: model.tokenizer,
            heads: self.mask.set.clone(),
            mask: self.mask.kind.as_str().to_owned(),
            window_tokens: self.windowing.window_tokens,
            long_documents: self.windowing.long_documents.as_str().to_owned(),
            min_tokens: self.min_tokens,
            numerics: self.engine.numerics(),
            semantics: SEMANTICS,
        }
    }
}
