//! datatrove's tokenized files: `.ds` with raw tokens, `.ds.index` with the end of each document, `.ds.metadata` for readers.
//!
//! Source: datatrove 0.10.1, `pipeline/tokens/tokenizer.py`.

use std::io::Write;

use bytes::Bytes;
use headwater_store::PlaceWriter;

use crate::formats::raw::RawTokens;
use crate::formats::{Sink, Target, Written};
use crate::texts::Batch;
use crate::{Error, Result};

pub(crate) struct Datatrove<'a> {
    target: Target<'a>,
    path: String,
    tokens: RawTokens,
    /// Ends of the documents, in tokens, as u64.
    index: PlaceWriter,
    end: u64,
    documents: u64,
}

impl<'a> Datatrove<'a> {
    pub(crate) fn begin(target: Target<'a>) -> Result<Self> {
        let path = format!("{}.ds", target.name);
        let tokens = RawTokens::begin(target.folder, &path, target.settings.token_bytes)?;
        let index = target.folder.writer(&format!("{path}.index"))?;
        Ok(Self { target, path, tokens, index, end: 0, documents: 0 })
    }
}

impl Sink for Datatrove<'_> {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        self.tokens.write(&batch.ids)?;
        let mut ends = Vec::with_capacity(batch.lengths.len() * size_of::<u64>());
        for length in &batch.lengths {
            self.end += length;
            ends.extend_from_slice(&self.end.to_le_bytes());
        }
        self.documents += batch.lengths.len() as u64;
        self.index.write_all(&ends).map_err(|error| Error::writing(&self.path, error))
    }

    fn finish(self: Box<Self>) -> Result<Written> {
        let Self { target, path, tokens, index, documents, .. } = *self;
        if documents == 0 {
            return Ok(Written::default());
        }
        let size = tokens.finish()?;
        index.finish()?;
        let metadata = metadata(&target.settings.tokenizer.name, target.settings.token_bytes, size.0);
        target.folder.write(&format!("{path}.metadata"), Bytes::from(metadata))?;
        Ok(Written { files: vec![target.file(path, documents, size)], dropped_tokens: 0 })
    }
}

/// Tokenizer and bytes of a token with a bar between, which therefore no name may hold; the tokens; the same for people.
fn metadata(tokenizer: &str, token_bytes: u8, tokens: u64) -> String {
    let tokenizer = tokenizer.replace(['|', '\n', '\r'], "_");
    format!("{tokenizer}|{token_bytes}\n{tokens}\n{}", with_prefix(tokens))
}

/// Three digits and a metric prefix, as datatrove writes numbers of tokens: rounded as 64-bit floats print.
fn with_prefix(tokens: u64) -> String {
    const PREFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    let digits = |power: u32| {
        let decimals = 2 - power as usize % 3;
        (format!("{:.decimals$}", tokens as f64 / 10_f64.powi(power as i32 / 3 * 3)), decimals)
    };
    let power = tokens.max(1).ilog10();
    let (text, decimals) = digits(power);
    // 999.9 rounds to a digit more than three, which the next power has
    let has_grown = text.len() - decimals - usize::from(decimals > 0) > power as usize % 3 + 1;
    let (power, text) = if has_grown { (power + 1, digits(power + 1).0) } else { (power, text) };
    format!("{text} {}T", PREFIXES[power as usize / 3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_datatrove_does() {
        // made with humanize.metric(n, unit="T") of humanize 4
        let cases = [
            (1005, "1.00 kT"),
            (1015, "1.01 kT"),
            (0, "0.00 T"),
            (1, "1.00 T"),
            (12, "12.0 T"),
            (123, "123 T"),
            (999, "999 T"),
            (1000, "1.00 kT"),
            (1234, "1.23 kT"),
            (12_345, "12.3 kT"),
            (123_456, "123 kT"),
            (999_999, "1.00 MT"),
            (1_234_567, "1.23 MT"),
            (12_345_678_901, "12.3 GT"),
            (50_000_000_000_000, "50.0 TT"),
            (1_000_000_000_000_000, "1.00 PT"),
        ];
        for (tokens, text) in cases {
            assert_eq!(with_prefix(tokens), text, "{tokens}");
        }
    }

    #[test]
    fn a_bar_in_a_name_does_not_end_it() {
        assert_eq!(metadata("a|b", 2, 10), "a_b|2\n10\n10.0 T");
    }
}
