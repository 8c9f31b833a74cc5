//! The hash by which a text is known again.

use twox_hash::XxHash3_64;

/// The length and hash of the text that a row is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextCheck {
    /// Bytes of text.
    pub bytes: u64,
    /// [`text_hash`] of them, if it is known.
    pub hash: Option<u64>,
}

/// The hash of a text's bytes: XXH3 of 64 bits, without a seed.
#[must_use]
pub fn text_hash(text: &[u8]) -> u64 {
    XxHash3_64::oneshot(text)
}

impl TextCheck {
    /// Whether `text` is the text.
    pub(crate) fn fits(&self, text: &[u8]) -> bool {
        text.len() as u64 == self.bytes && self.hash.is_none_or(|hash| hash == text_hash(text))
    }
}
