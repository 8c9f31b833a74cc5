//! The `[score]` table of a pipeline.

use std::fmt;
use std::num::NonZeroUsize;

use headwater_model::MaskKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;

/// How documents longer than a window are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LongDocuments {
    /// All of them.
    #[default]
    All,
    /// Only the first; the rest is not tokenised.
    First,
    /// That many, spread evenly over the document from a start that is drawn by its shard and row.
    Sample(NonZeroUsize),
}

impl LongDocuments {
    /// The windows of a document that are scored, at most.
    #[must_use]
    pub const fn most_windows(self) -> usize {
        match self {
            Self::All => usize::MAX,
            Self::First => 1,
            Self::Sample(windows) => windows.get(),
        }
    }
}

/// As the fingerprint writes it.
impl fmt::Display for LongDocuments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::First => f.write_str("first"),
            Self::Sample(windows) => write!(f, "sample={windows}"),
        }
    }
}

/// Who scores the corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScoredBy {
    /// The model itself.
    #[default]
    Teacher,
    /// The student that `distill` fitted to the model's scores.
    Student,
    /// The student, and then the model where the student leaves open on which side of the cut a document is.
    Cascade,
}

/// The `[score]` table of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScoreConfig {
    /// Who scores: the model, a student of it, thousands of times as fast, or the student and then the model near the cuts of `[select]`.
    pub by: ScoredBy,
    /// Tokens of the documents that the model scores in a cascade, at most: of those within two standard errors of the cut, first those that
    /// most probably belong on the other side, by their tokens. By default a tenth of the tokens that the student scored.
    pub teacher_tokens: Option<f64>,
    /// Tokens that the model sees together, at least 2; at most the model's context. Longer documents are cut into windows that are
    /// scored independently.
    pub window_tokens: usize,
    /// Which windows of a document are scored.
    pub long_documents: LongDocuments,
    /// What a masked head outputs.
    pub mask: MaskKind,
    /// Documents with fewer tokens are not scored and get the status `short`.
    pub min_tokens: usize,
    /// Share of rows, 0 to 1, that may be null, not UTF-8 or without a finite loss. Above it the exit code is 2.
    pub max_rejects: f64,
}

impl Default for ScoreConfig {
    fn default() -> Self {
        Self {
            by: ScoredBy::Teacher,
            teacher_tokens: None,
            window_tokens: 4096,
            long_documents: LongDocuments::All,
            mask: MaskKind::CausalUniform,
            min_tokens: 32,
            max_rejects: 0.01,
        }
    }
}

impl ScoreConfig {
    /// Validates what needs no model.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first key whose value cannot be used.
    pub fn validate(&self) -> Result<(), Error> {
        let wrong = |key, value: String, rule| Err(Error::Config { key, value, rule });
        if self.window_tokens < 2 {
            return wrong(
                "score.window_tokens",
                self.window_tokens.to_string(),
                "a window needs 2 tokens to have a target",
            );
        }
        if let Some(tokens) = self.teacher_tokens.filter(|tokens| !(tokens.is_finite() && *tokens >= 0.0)) {
            return wrong("score.teacher_tokens", tokens.to_string(), "it is a number of tokens");
        }
        if self.teacher_tokens.is_some() && self.by != ScoredBy::Cascade {
            let rule = "only a cascade uses it; set `score.by = \"cascade\"`, or remove it";
            return wrong("score.teacher_tokens", "set".to_owned(), rule);
        }
        if !(0.0..=1.0).contains(&self.max_rejects) {
            return wrong("score.max_rejects", self.max_rejects.to_string(), "it is a share, from 0 to 1");
        }
        Ok(())
    }

    /// The window that a model of `context_tokens` can take once `leading` tokens are put before it.
    #[must_use]
    pub fn window_for(&self, context_tokens: usize, leading: usize) -> usize {
        self.window_tokens.min(context_tokens.saturating_sub(leading))
    }
}
