//! The part of a tokenizer that probes need.

use headwater_model::TokenSpan;

/// The part of a tokenizer that probes need.
pub struct Vocabulary<'a> {
    /// Tokenises a text without special tokens; spans are bytes of the text.
    pub tokenise: &'a dyn Fn(&str) -> Result<Vec<TokenSpan>, headwater_model::Error>,
    /// The tokens that begin every window.
    pub leading: &'a [u32],
}
