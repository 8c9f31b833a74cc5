//! From a measured speed to how long a corpus takes.

use headwater_record::{ByteCount, TokenCount};
use serde::{Deserialize, Serialize};

/// Bytes of text a token where nothing was measured: what English prose comes to with vocabularies of 30,000 to 150,000 tokens.
pub(crate) const ASSUMED_BYTES_PER_TOKEN: f64 = 4.0;

/// How fast a machine scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Tokens that go through the model in a second.
    pub tokens_per_second: f64,
    /// Bytes of text a token.
    pub bytes_per_token: f64,
    /// Share of the tokens that go through the model: below 1 where only the first window of a document is scored.
    pub scored_share: f64,
}

impl Speed {
    /// Hours that one machine takes for `text`; a fleet of n takes an n-th of it.
    #[must_use]
    pub fn hours(&self, text: ByteCount) -> f64 {
        bytes(text) / self.bytes_per_token * self.scored_share / self.tokens_per_second / 3600.0
    }
}

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
    fn hours_are_tokens_by_speed() {
        let speed = Speed { tokens_per_second: 1000.0, bytes_per_token: 5.0, scored_share: 1.0 };
        // 18 MB are 3.6 million tokens, 3,600 s of them
        assert_eq!(speed.hours(ByteCount(18_000_000)), 1.0);
        assert_eq!(Speed { scored_share: 0.25, ..speed }.hours(ByteCount(18_000_000)), 0.25);
        assert_eq!(tokens(ByteCount(18_000_000), 5.0), TokenCount(3_600_000));
        assert_eq!(speed.hours(ByteCount(0)), 0.0);
    }
}
