//! The sidecar: the Parquet file of scores of one unit, one row per source row.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::Error;

/// Column names of a sidecar, in order.
pub mod column {
    /// Name of the corpus source (dictionary).
    pub const SOURCE: &str = "source";
    /// The shard's relative path (dictionary).
    pub const SHARD: &str = "shard";
    /// Row inside the shard, u64.
    pub const ROW: &str = "row";
    /// The document's id, utf8, nullable.
    pub const ID: &str = "id";
    /// The document's domain (dictionary).
    pub const DOMAIN: &str = "domain";
    /// Why the row has or lacks a score (dictionary).
    pub const STATUS: &str = "status";
    /// Bytes of text, u64; 0 for null.
    pub const BYTES: &str = "bytes";
    /// The hash of the text's bytes, XXH3 of 64 bits, u64; null where there is no text that is UTF-8.
    pub const TEXT_HASH: &str = "text_hash";
    /// Text bytes / zstd-3 bytes, f32; 0 for empty text.
    pub const COMPRESSION: &str = "compression";
    /// Tokens of the document, u32.
    pub const TOKENS: &str = "tokens";
    /// Targets that were scored, u32.
    pub const SCORED_TOKENS: &str = "scored_tokens";
    /// Mean cross-entropy, nats per target, intact; f32, nullable.
    pub const LOSS_BASE: &str = "loss_base";
    /// The same with the head set masked; f32, nullable.
    pub const LOSS_MASKED: &str = "loss_masked";
    /// (masked − base) / base; f32, nullable.
    pub const INFLUENCE: &str = "influence";
    /// Standard error of influence; f32, nullable.
    pub const INFLUENCE_STDERR: &str = "influence_stderr";
    /// Share of the targets whose two tokens before stood before in their window, the last time followed by the same token; f32, nullable.
    pub const COPIED: &str = "copied";
    /// Whose score it is, see [`ScoreOf`](super::ScoreOf) (dictionary).
    pub const BY: &str = "by";
    /// The scored windows, see [`WindowScore`](super::WindowScore), a list of structs; null where all that was scored is one window.
    pub const WINDOWS: &str = "windows";

    /// Columns that sidecars of earlier versions lack.
    pub const LATER: [&str; 4] = [TEXT_HASH, COPIED, BY, WINDOWS];
}

/// Fields of [`column::WINDOWS`], in order.
pub mod window {
    use arrow_schema::{DataType, Field, Fields};

    /// Where the window begins in the document, in tokens, u32.
    pub const FIRST_TOKEN: &str = "first_token";
    /// Its targets, u32.
    pub const TARGETS: &str = "targets";
    /// Mean cross-entropy, nats per target, intact; f32.
    pub const LOSS_BASE: &str = "loss_base";
    /// The same with the head set masked; f32.
    pub const LOSS_MASKED: &str = "loss_masked";

    /// The fields of one window.
    #[must_use]
    pub fn fields() -> Fields {
        Fields::from(vec![
            Field::new(FIRST_TOKEN, DataType::UInt32, false),
            Field::new(TARGETS, DataType::UInt32, false),
            Field::new(LOSS_BASE, DataType::Float32, false),
            Field::new(LOSS_MASKED, DataType::Float32, false),
        ])
    }
}

/// Keys of a sidecar's footer.
pub mod footer {
    /// The unit's name.
    pub const UNIT: &str = "headwater.unit";
    /// The fingerprint that the scores were made under.
    pub const FINGERPRINT: &str = "headwater.fingerprint";
    /// The column used for ids; empty if none.
    pub const ID_COLUMN: &str = "headwater.id_column";
    /// The column used for domains; empty if none.
    pub const DOMAIN_COLUMN: &str = "headwater.domain_column";
    /// The constant domain of the source; empty if a column is used.
    pub const DOMAIN_VALUE: &str = "headwater.domain_value";
    /// Rows by status, so that counting them reads no rows.
    pub const STATUSES: &str = "headwater.statuses";
    /// Version of Headwater.
    pub const VERSION: &str = "headwater.version";
}

/// The name of the domain of rows whose domain is null.
pub const NO_DOMAIN: &str = "(none)";

/// Returns the Arrow schema of every sidecar.
#[must_use]
pub fn schema() -> SchemaRef {
    let words = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    Arc::new(Schema::new(vec![
        Field::new(column::SOURCE, words(), false),
        Field::new(column::SHARD, words(), false),
        Field::new(column::ROW, DataType::UInt64, false),
        Field::new(column::ID, DataType::Utf8, true),
        Field::new(column::DOMAIN, words(), false),
        Field::new(column::STATUS, words(), false),
        Field::new(column::BYTES, DataType::UInt64, false),
        Field::new(column::TEXT_HASH, DataType::UInt64, true),
        Field::new(column::COMPRESSION, DataType::Float32, false),
        Field::new(column::TOKENS, DataType::UInt32, false),
        Field::new(column::SCORED_TOKENS, DataType::UInt32, false),
        Field::new(column::LOSS_BASE, DataType::Float32, true),
        Field::new(column::LOSS_MASKED, DataType::Float32, true),
        Field::new(column::INFLUENCE, DataType::Float32, true),
        Field::new(column::INFLUENCE_STDERR, DataType::Float32, true),
        Field::new(column::COPIED, DataType::Float32, true),
        Field::new(column::BY, words(), false),
        Field::new_list(column::WINDOWS, Field::new_list_field(DataType::Struct(window::fields()), false), true),
    ]))
}

/// Why a row has or lacks a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// The row has losses.
    Scored,
    /// Fewer tokens than `min_tokens`, or no target at all.
    Short,
    /// The text is null.
    NullText,
    /// The text column is binary and the row is not UTF-8.
    NotUtf8,
    /// A loss was infinite or not a number.
    NonFinite,
}

impl Status {
    /// Every status, in the order of the sidecar's documentation.
    pub const ALL: [Self; 5] = [Self::Scored, Self::Short, Self::NullText, Self::NotUtf8, Self::NonFinite];

    /// Statuses of rows that are unusable, as opposed to merely short; what `max_rejects` counts.
    pub const UNUSABLE: [Self; 3] = [Self::NullText, Self::NotUtf8, Self::NonFinite];

    /// Returns the status as sidecars write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scored => "scored",
            Self::Short => "short",
            Self::NullText => "null-text",
            Self::NotUtf8 => "not-utf8",
            Self::NonFinite => "non-finite",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| Error::Status { text: text.to_owned() })
    }
}

/// The losses of one window of a document.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowScore {
    /// Where it begins in the document, in tokens.
    pub first_token: u32,
    /// Its targets.
    pub targets: u32,
    /// Mean cross-entropy, nats per target, intact.
    pub loss_base: f32,
    /// The same with the head set masked.
    pub loss_masked: f32,
}

/// Whose score a row has, or would have if it had one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreOf {
    /// The model's.
    Teacher,
    /// A prediction of it.
    Student,
}

impl ScoreOf {
    /// Everyone who scores.
    pub const ALL: [Self; 2] = [Self::Teacher, Self::Student];

    /// The name as sidecars write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Teacher => "teacher",
            Self::Student => "student",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_round_trip() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse::<Status>().ok(), Some(status));
        }
        assert!("Scored".parse::<Status>().is_err());
    }
}
