//! From a measured speed to how long a corpus takes.

use headwater_record::{ByteCount, TokenCount};

/// Bytes of text a token where nothing was measured: what English prose comes to with vocabularies of 30,000 to 150,000 tokens.
pub(crate) const ASSUMED_BYTES_PER_TOKEN: f64 = 4.0;

/// Tokens in `text`.
pub(crate) fn tokens(text: ByteCount, bytes_per_token: f64) -> TokenCount {
    TokenCount(rounded(bytes(text) / bytes_per_token))
}

fn bytes(text: ByteCount) -> f64 {
    text.0 as f64
}

#[expect(clippy::cast_possible_truncation, reason = "an estimate, which saturates")]
fn rounded(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_text_by_their_bytes() {
        assert_eq!(tokens(ByteCount(18_000_000), 5.0), TokenCount(3_600_000));
    }
}
