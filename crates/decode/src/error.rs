//! Why no text is written.

/// Why no text is written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A word that the vocabulary has in no form.
    #[error(
        "`{word}` is no single token of this model, neither alone nor after a space: leave it out, or name another word"
    )]
    NoToken {
        /// The word.
        word: String,
    },
    /// A schedule without a token to act on.
    #[error("no usual reflection word, such as wait or but, is a token of this model: name words that are")]
    NoWords,
    /// The end of thinking is no token.
    #[error(
        "{token:?} is no token of this model, so the end of its thinking cannot be seen: name the token that it uses"
    )]
    NoEnd {
        /// The text of the token.
        token: String,
    },
    /// A schedule that acts on the end of thinking, of a model that has none.
    #[error(
        "a budget of thinking needs the token that ends it, and this model has no `</think>`: name the token that it uses"
    )]
    EndNeeded,
    /// A schedule that appends a word that the vocabulary lacks.
    #[error("a budget of thinking appends `Wait`, which is no single token of this model")]
    WaitNeeded,
    /// A setting outside its range.
    #[error("{what} is {got}: {expected}")]
    Setting {
        /// The setting.
        what: &'static str,
        /// Its value.
        got: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A wave that is none.
    #[error(transparent)]
    Wave(#[from] headwater_schedule::Error),
    /// A prompt without tokens.
    #[error("the prompt is empty: give the model some text to go on from")]
    EmptyPrompt,
    /// Logits that are no numbers.
    #[error("the model's logits after {tokens} tokens are no numbers")]
    NotFinite {
        /// Tokens so far.
        tokens: usize,
    },
    /// The model failed.
    #[error(transparent)]
    Model(#[from] headwater_model::Error),
}
