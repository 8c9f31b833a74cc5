//! Units of measure as types.

use std::borrow::Cow;
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Error, number};

/// A number of tokens of the scoring model's tokenizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenCount(pub u64);

/// A number of bytes. Reads `16MiB`, `1 GB`, `4096`, `1e9`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ByteCount(pub u64);

macro_rules! additive {
    ($name:ident) => {
        impl Add for $name {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
                counts.fold(Self(0), Add::add)
            }
        }
    };
}
additive!(TokenCount);
additive!(ByteCount);

const UNITS: [(&str, u64); 10] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

impl FromStr for ByteCount {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::ByteCount { text: text.to_owned() };
        let trimmed = text.trim();
        let (number, scale) = UNITS
            .iter()
            .find_map(|(unit, scale)| trimmed.strip_suffix(unit).map(|number| (number, *scale)))
            .unwrap_or((trimmed, 1));
        let number = number::whole(number).map_err(|_| wrong())?;
        number.checked_mul(scale).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match binary.into_iter().find(|(_, scale)| self.0 >= *scale) {
            Some((unit, scale)) if self.0.is_multiple_of(scale) => write!(f, "{} {unit}", self.0 / scale),
            Some((unit, scale)) => write!(f, "{:.1} {unit}", self.0 as f64 / scale as f64),
            None => write!(f, "{} B", self.0),
        }
    }
}

impl TokenCount {
    /// Returns the whole count nearest to one that repetitions make a fraction; none if it is negative or no number.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what does not fit saturates")]
    pub fn nearest(tokens: f64) -> Self {
        Self(tokens.round() as u64)
    }
}

impl fmt::Display for TokenCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (position, digit) in digits.chars().enumerate() {
            if position > 0 && (digits.len() - position).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

impl JsonSchema for ByteCount {
    fn schema_name() -> Cow<'static, str> {
        "ByteCount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "size", "type": ["integer", "string"], "minimum": 0 })
    }
}

impl<'de> Deserialize<'de> for ByteCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a number of bytes or a size such as \"16MiB\"")]
        enum Written {
            Number(u64),
            Float(f64),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Number(bytes) => return Ok(Self(bytes)),
            Written::Float(bytes) => bytes.to_string(),
            Written::Text(text) => text,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let cases = [
            ("16MiB", 16 << 20),
            ("1 GiB", 1 << 30),
            ("4096", 4096),
            ("2 KB", 2000),
            ("1_000 B", 1000),
            ("1e9", 1_000_000_000),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse::<ByteCount>().ok(), Some(ByteCount(bytes)), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5 MiB", "99999999999 TiB"] {
            assert!(text.parse::<ByteCount>().is_err(), "{text}");
        }
    }

    #[test]
    fn counts_print_for_people() {
        assert_eq!(ByteCount(16 << 20).to_string(), "16 MiB");
        assert_eq!(ByteCount(1_600_000).to_string(), "1.5 MiB");
        assert_eq!(ByteCount(12).to_string(), "12 B");
        assert_eq!(TokenCount(1_234_567).to_string(), "1,234,567");
        assert_eq!(TokenCount(999).to_string(), "999");
        assert_eq!((TokenCount::nearest(1234.5), TokenCount::nearest(-1.0)), (TokenCount(1235), TokenCount(0)));
    }
}
