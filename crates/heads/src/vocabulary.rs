//! The part of a tokenizer that probes need.

use headwater_model::TokenSpan;

/// The part of a tokenizer that probes need.
pub struct Vocabulary<'a> {
    /// Tokenises a text without special tokens; spans are bytes of the text.
    pub tokenise: &'a dyn Fn(&str) -> Result<Vec<TokenSpan>, headwater_model::Error>,
    /// The token that begins every window, if the model has one.
    pub bos: Option<u32>,
}
