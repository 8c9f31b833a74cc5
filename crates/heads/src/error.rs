//! Errors of the search for a head set.

use std::fmt;

use headwater_record::{ContentHash, HeadsFile};

/// What can go wrong while heads are sought.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value of the `[heads]` table that cannot be used.
    #[error("[heads] {key} = {value} cannot be used: {reason}")]
    Config {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What would do.
        reason: &'static str,
    },
    /// Probes longer than the model can take.
    #[error(
        "[heads] context_tokens = {context_tokens}, but the model's context is {model} tokens: lower context_tokens to {model} or less"
    )]
    BeyondModel {
        /// As configured.
        context_tokens: usize,
        /// Context of the model.
        model: usize,
    },
    /// A context that holds fewer pairs than the demonstrations and the question need.
    #[error(
        "[heads] context_tokens = {context_tokens} is too small: probe {probe} needs {needed} tokens for its {pairs} pairs; raise context_tokens or lower shots"
    )]
    ContextTooSmall {
        /// As configured.
        context_tokens: usize,
        /// Tokens that the smallest probe has.
        needed: usize,
        /// `shots` + 1.
        pairs: usize,
        /// Index of the probe.
        probe: usize,
    },
    /// Too few sentences that a probe can use.
    #[error(
        "only {usable} of {given} sentences can be used in a probe (at most {max_tokens} tokens, no quotes, backslashes or control characters), but {needed} are needed; use sentences = \"bundled\" or a larger corpus"
    )]
    TooFewSentences {
        /// Sentences that can be used.
        usable: usize,
        /// Sentences that were given.
        given: usize,
        /// `shots` + 1.
        needed: usize,
        /// Limit of a sentence, in tokens.
        max_tokens: usize,
    },
    /// The caller asked to stop.
    #[error("stopped while heads were sought")]
    Stopped,
    /// `sentences = "corpus"` without sentences of the corpus.
    #[error("[heads] sentences = \"corpus\", but no sentences of the corpus were given")]
    NoCorpusSentences,
    /// A tokenizer that merges the answer with what stands before it.
    #[error(
        "the tokenizer puts the end of the prompt and the start of the answer of probe {probe} into one token, so the answer cannot be told apart"
    )]
    AnswerBoundary {
        /// Index of the probe.
        probe: usize,
    },
    /// A tokenizer whose tokens do not cover the text.
    #[error("the tokenizer gives no token for the {part} of probe {probe}")]
    LostText {
        /// Index of the probe.
        probe: usize,
        /// `value` or `answer`.
        part: &'static str,
    },
    /// No probes to measure on.
    #[error("there are no probes to measure on")]
    NoProbes,
    /// A model with more layers or heads than a head's address can name.
    #[error("the model has {layers} layers of {heads} heads, more than a head's address can name ({most})")]
    TooManyHeads {
        /// Layers of the model.
        layers: usize,
        /// Query heads a layer.
        heads: usize,
        /// The most of either.
        most: u16,
    },
    /// A head set whose masking says nothing about retrieval; the file with all numbers is kept for the caller.
    #[error(
        "the head set is too weak to score with: {weakness}; use a larger model, more probes or a longer context ([heads] probes, context_tokens), or go on all the same with --allow-weak-heads"
    )]
    WeakHeads {
        /// What was measured.
        weakness: Weakness,
        /// The file that would have been written.
        file: Box<HeadsFile>,
    },
    /// A pinned head set that was found on another model.
    #[error(
        "the head set belongs to the model with weights {expected}, but this run's model has weights {got}: find the heads again or load that model"
    )]
    OtherModel {
        /// Weights that the head set names.
        expected: ContentHash,
        /// Weights of the model in use.
        got: ContentHash,
    },
    /// The model failed.
    #[error("the model failed on probe {probe}")]
    Model {
        /// Index of the probe.
        probe: usize,
        /// What it says.
        source: headwater_model::Error,
    },
    /// The tokenizer failed on a sentence.
    #[error("the tokenizer failed on sentence {sentence} of the probes' sentences")]
    Sentence {
        /// Index of the sentence.
        sentence: usize,
        /// What it says.
        source: headwater_model::Error,
    },
    /// A head set that breaks its rules.
    #[error(transparent)]
    HeadSet(#[from] headwater_record::Error),
}

/// Why a head set is not healthy.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Weakness {
    /// The model does not answer the probes even when intact.
    CannotRetrieve {
        /// Accuracy of the intact model.
        intact: f64,
        /// What it should be at least.
        needed: f64,
    },
    /// Masking the set costs too little, alone or beside the control sets.
    MaskCostsLittle {
        /// Accuracy of the intact model.
        intact: f64,
        /// Accuracy with the head set masked.
        masked: f64,
        /// Mean cost of the control sets.
        control_cost: f64,
        /// What intact − masked should be at least.
        needed: f64,
    },
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CannotRetrieve { intact, needed } => write!(
                f,
                "the intact model predicts {intact:.3} of the answer tokens, at least {needed:.3} are needed, so it hardly retrieves at all"
            ),
            Self::MaskCostsLittle { intact, masked, control_cost, needed } => write!(
                f,
                "masking it lowers accuracy from {intact:.3} to {masked:.3}, which should cost at least {needed:.3} (masking other heads of the same layers costs {control_cost:.3})"
            ),
        }
    }
}
