//! What documents are scored with.

use std::sync::Arc;

use headwater_distill::features::Extractors;
use headwater_model::{Engine, Error, HeadMask, Model, Tokenizer};
use headwater_record::run::{SEMANTICS, ScoringInputs};
use headwater_record::{ContentHash, HeadSet, ScoreOf};

use crate::document::{DocumentScore, Windowing};
use crate::{LongDocuments, ScoreConfig};

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

/// A document as a student sees it.
#[derive(Clone, Copy, Debug)]
pub struct StudentDocument<'d> {
    /// Its domain.
    pub domain: &'d str,
    /// How many tokens it has, without BOS.
    pub tokens: usize,
    /// What describes it, see [`headwater_distill::features`].
    pub features: &'d [f32],
}

/// Predicts what a teacher would say of a document.
pub trait Student: Sync {
    /// What its teacher's scores were made with, and which student it is.
    fn inputs(&self) -> ScoringInputs;

    /// Returns the score of a document that has `targets` of them, at least one.
    fn score(&self, document: StudentDocument<'_>, targets: usize) -> DocumentScore;
}

/// A model with its masked heads.
#[derive(Clone)]
pub struct Teacher<'a> {
    /// Runs the model.
    pub engine: &'a dyn Engine,
    /// The masked heads.
    pub mask: HeadMask,
}

/// Who scores documents.
#[derive(Clone)]
pub enum By<'a> {
    /// The model.
    Teacher(Teacher<'a>),
    /// What predicts the model's scores.
    Student(&'a dyn Student),
}

/// What documents are scored with.
#[derive(Clone)]
pub struct Scorer<'a> {
    /// Who scores.
    pub by: By<'a>,
    /// The model's tokenizer.
    pub tokenizer: &'a dyn Tokenise,
    /// Counts what a document copies, and what else a student wants to know.
    pub extractors: Arc<Extractors>,
    /// How documents are cut.
    pub windowing: Windowing<'a>,
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
        let leading = model.tokenizer().leading();
        let window_tokens = config.window_for(model.shape().context_tokens, leading.len());
        Self {
            by: By::Teacher(Teacher { engine: model.engine(), mask: HeadMask { set: heads, kind: config.mask } }),
            tokenizer: model.tokenizer(),
            extractors: extractors(window_tokens, model.tokenizer()),
            windowing: Windowing { window_tokens, long_documents: config.long_documents, leading },
            min_tokens: config.min_tokens,
        }
    }

    /// Scores with `student`, in windows as its teacher read; `tokenizer` is the teacher's.
    #[must_use]
    pub fn of_student(student: &'a dyn Student, tokenizer: &'a Tokenizer, config: &ScoreConfig) -> Self {
        let windowing = Windowing {
            window_tokens: student.inputs().window_tokens,
            long_documents: config.long_documents,
            leading: tokenizer.leading(),
        };
        let extractors = extractors(windowing.window_tokens, tokenizer);
        Self { by: By::Student(student), tokenizer, extractors, windowing, min_tokens: config.min_tokens }
    }

    /// Tokenises what is scored of `text`; returns how many bytes that is, too.
    ///
    /// # Errors
    /// As [`Tokenise::encode`].
    pub fn encode(&self, text: &str) -> Result<(Vec<u32>, usize), Error> {
        match self.windowing.long_documents {
            LongDocuments::All | LongDocuments::Sample(_) => Ok((self.tokenizer.encode(text)?, text.len())),
            LongDocuments::First => self.tokenizer.encode_beginning(text, self.windowing.window_tokens),
        }
    }

    /// Returns everything that changes the scores of a text, for the fingerprint; `model` is what the engine and the tokenizer are of.
    #[must_use]
    pub fn inputs(&self, model: ModelHashes) -> ScoringInputs {
        let Teacher { engine, mask } = match &self.by {
            By::Teacher(teacher) => teacher,
            By::Student(student) => return ScoringInputs { min_tokens: self.min_tokens, ..student.inputs() },
        };
        ScoringInputs {
            weights: model.weights,
            model_config: model.config,
            tokenizer: model.tokenizer,
            heads: mask.set.clone(),
            mask: mask.kind.as_str().to_owned(),
            window_tokens: self.windowing.window_tokens,
            long_documents: self.windowing.long_documents.to_string(),
            min_tokens: self.min_tokens,
            numerics: engine.numerics(),
            semantics: SEMANTICS,
            student: None,
            cascade: None,
        }
    }

    /// Whose scores it gives.
    #[must_use]
    pub const fn score_of(&self) -> ScoreOf {
        match self.by {
            By::Teacher(_) => ScoreOf::Teacher,
            By::Student(_) => ScoreOf::Student,
        }
    }
}

/// What describes the documents that `tokenizer` cuts into tokens.
fn extractors(window_tokens: usize, tokenizer: &Tokenizer) -> Arc<Extractors> {
    Arc::new(Extractors::new(window_tokens, usize::try_from(tokenizer.vocab_size()).unwrap_or(usize::MAX)))
}
