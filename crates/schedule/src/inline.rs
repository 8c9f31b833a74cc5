//! Schedules and lengths in one word, as command lines write them: `wsd:decay=0.2,shape=linear`.

use std::str::FromStr;

use serde::Deserialize;
use toml::{Table, Value};

use crate::{Error, Length, ScheduleConfig};

/// Returns the TOML value that `text` is, else a string.
#[must_use]
pub fn toml_value(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}")).ok();
    let value = parsed.and_then(|mut parsed| parsed.remove("value"));
    value.unwrap_or_else(|| Value::String(text.to_owned()))
}

impl FromStr for ScheduleConfig {
    type Err = Error;

    /// Reads `KIND[:KEY=VALUE,...]`: the keys of a `[schedule]` table, with TOML values whose quotes may be left out.
    ///
    /// # Errors
    /// [`Error::Assignment`], [`Error::RepeatedKey`], and [`Error::Inline`] for an unknown kind or key or a value of another type.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (kind, keys) = text.split_once(':').unwrap_or((text, ""));
        let mut table = Table::new();
        table.insert("kind".to_owned(), Value::String(kind.trim().to_owned()));
        for assignment in split(keys) {
            let Some((key, value)) = assignment.split_once('=') else {
                return Err(Error::Assignment { text: text.to_owned(), got: assignment.to_owned() });
            };
            let key = key.trim();
            if table.insert(key.to_owned(), toml_value(value.trim())).is_some() {
                return Err(Error::RepeatedKey { text: text.to_owned(), key: key.to_owned() });
            }
        }
        Self::deserialize(Value::Table(table)).map_err(|source| inline_error(text, source))
    }
}

impl FromStr for Length {
    type Err = Error;

    /// Reads `0.25`, `{steps=2000}` or `{tokens=1e10}`.
    ///
    /// # Errors
    /// [`Error::Inline`].
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::deserialize(toml_value(text)).map_err(|source| inline_error(text, source))
    }
}

fn inline_error(text: &str, source: toml::de::Error) -> Error {
    Error::Inline { text: text.to_owned(), source: Box::new(source) }
}

/// Splits at commas outside brackets.
fn split(keys: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_i32, 0, Vec::new());
    for (at, character) in keys.char_indices() {
        match character {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&keys[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&keys[start..]);
    parts.into_iter().filter(|part| !part.trim().is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Shape};

    #[test]
    fn a_kind_with_keys_is_a_schedule() -> Result<(), Error> {
        let config: ScheduleConfig = "wsd:decay={steps = 4000},shape=linear, floor=0.1".parse()?;
        assert_eq!((config.kind, config.decay, config.floor), (Kind::Wsd, Some(Length::Steps(4000)), Some(0.1)));
        assert_eq!(config.shape, Some(Shape::Linear));
        assert_eq!("cosine".parse::<ScheduleConfig>()?.kind, Kind::Cosine);
        let points = "points:points=[[0,0],[0.1,1],[1,0]]".parse::<ScheduleConfig>()?.points;
        assert_eq!(points.map(|points| points.len()), Some(3));
        Ok(())
    }

    #[test]
    fn a_length_is_a_fraction_or_a_table() -> Result<(), Error> {
        assert_eq!("0.25".parse::<Length>()?, Length::Fraction(0.25));
        assert_eq!("{steps=1000}".parse::<Length>()?, Length::Steps(1000));
        assert_eq!("{tokens = 1e9}".parse::<Length>()?, Length::Tokens(1_000_000_000));
        for wrong in ["1000", "half", ""] {
            assert!(matches!(wrong.parse::<Length>(), Err(Error::Inline { .. })), "{wrong}");
        }
        Ok(())
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str| text.parse::<ScheduleConfig>().expect_err("wrong");
        let cause = |text: &str| match error(text) {
            Error::Inline { source, .. } => source.message().to_owned(),
            other => other.to_string(),
        };
        assert!(cause("cosin").contains("`cosin`"), "{}", cause("cosin"));
        assert!(cause("wsd:dcay=0.1").contains("unknown field `dcay`"), "{}", cause("wsd:dcay=0.1"));
        assert!(cause("wsd:decay=2000").contains("{ steps = n }"), "{}", cause("wsd:decay=2000"));
        assert!(matches!(error("wsd:decay"), Error::Assignment { .. }));
        assert!(matches!(error("wsd:decay=0.2,decay=0.3"), Error::RepeatedKey { .. }));
    }
}
