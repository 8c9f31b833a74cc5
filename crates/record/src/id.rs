//! Names of shards, units and documents.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{ContentHash, Error};

const SHARD_DIGITS: usize = 32;

/// The identity of a shard: a hash of its relative path, size and Parquet footer.
///
/// A copy of a shard elsewhere has the same identity; a shard with one changed row group has another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ShardId(String);

impl ShardId {
    /// Computes the identity of the shard at `path` (relative to the fixed prefix of its `paths` entry).
    #[must_use]
    pub fn new(path: &str, bytes: u64, footer: &[u8]) -> Self {
        let hash = ContentHash::of_fields([path.as_bytes(), &bytes.to_le_bytes(), footer]);
        Self(hash.short(SHARD_DIGITS))
    }

    /// Returns the identity as 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ShardId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        if text.len() == SHARD_DIGITS && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(Self(text))
        } else {
            Err(Error::Hex { text, digits: SHARD_DIGITS })
        }
    }
}

impl From<ShardId> for String {
    fn from(id: ShardId) -> Self {
        id.0
    }
}

/// The name of a unit: a range of rows of one shard.
///
/// Its text form names the unit's sidecar: `<shard>-g<row group>-r<first row>-n<rows>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitKey {
    /// The shard that holds the rows.
    pub shard: ShardId,
    /// Row group inside the shard, 0-based.
    pub row_group: u32,
    /// First row, counted from the start of the shard.
    pub first_row: u64,
    /// Number of rows.
    pub rows: u64,
}

impl fmt::Display for UnitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-g{:05}-r{:010}-n{}", self.shard, self.row_group, self.first_row, self.rows)
    }
}

impl FromStr for UnitKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::UnitKey { text: text.to_owned() };
        let mut parts = text.split('-');
        let shard = ShardId::try_from(parts.next().unwrap_or_default().to_owned()).map_err(|_| wrong())?;
        let mut number = |letter: char| parts.next()?.strip_prefix(letter)?.parse::<u64>().ok();
        let (row_group, first_row, rows) = (number('g'), number('r'), number('n'));
        let row_group = row_group.and_then(|n| u32::try_from(n).ok()).ok_or_else(wrong)?;
        let key = Self { shard, row_group, first_row: first_row.ok_or_else(wrong)?, rows: rows.ok_or_else(wrong)? };
        if key.to_string() == text { Ok(key) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for UnitKey {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<UnitKey> for String {
    fn from(key: UnitKey) -> Self {
        key.to_string()
    }
}

/// Where a document is: source, shard path, row. Its order breaks every tie in a ranking.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DocumentAddress {
    /// Name of the corpus source.
    pub source: Arc<str>,
    /// The shard's path, relative to the fixed prefix of its `paths` entry.
    pub path: Arc<str>,
    /// Row inside the shard, 0-based.
    pub row: u64,
}

impl fmt::Display for DocumentAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}#{}", self.source, self.path, self.row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_names_round_trip() {
        let key = UnitKey { shard: ShardId::new("a/b.parquet", 12, b"footer"), row_group: 3, first_row: 17, rows: 5 };
        assert_eq!(key.to_string().parse::<UnitKey>().ok(), Some(key));
    }

    #[test]
    fn foreign_names_are_refused() {
        for text in ["", "x", "00000000000000000000000000000000-g0-r0-n1", "….parquet"] {
            assert!(text.parse::<UnitKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn identity_covers_path_size_and_footer() {
        let id = ShardId::new("a.parquet", 12, b"footer");
        assert_ne!(id, ShardId::new("b.parquet", 12, b"footer"));
        assert_ne!(id, ShardId::new("a.parquet", 13, b"footer"));
        assert_ne!(id, ShardId::new("a.parquet", 12, b"Footer"));
    }
}
