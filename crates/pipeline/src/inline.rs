//! Values, schedules and lengths in one word, as command lines write them: `0.1`, `20k`, `wsd:decay=0.2,shape=linear`.

use headwater_record::number;
use headwater_schedule::{Length, ScheduleConfig};
use serde::Deserialize;
use toml::{Table, Value};

use crate::explain::plain;
use crate::written::Written;
use crate::{Error, Result};

/// Returns the TOML value that `text` is, else a string. Numbers such as `20k` need no quotes inside of lists and braces.
pub(crate) fn toml_value(text: &str) -> Value {
    let value = parsed(text).or_else(|| parsed(&with_quoted_numbers(text)));
    value.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn parsed(text: &str) -> Option<Value> {
    toml::from_str::<Table>(&format!("value = {text}")).ok()?.remove("value")
}

/// Puts quotes around the words inside of lists and braces that are numbers for people and not for TOML.
fn with_quoted_numbers(text: &str) -> String {
    if !text.trim_start().starts_with(['[', '{']) {
        return text.to_owned();
    }
    let is_edge = |character: char| "[]{},=\"'".contains(character) || character.is_whitespace();
    let (mut written, mut is_quoted) = (String::with_capacity(text.len()), false);
    for piece in text.split_inclusive(is_edge) {
        let word = piece.trim_end_matches(is_edge);
        if !is_quoted && number::real(word).is_ok() && parsed(word).is_none() {
            written.push_str(&format!("\"{word}\"{}", &piece[word.len()..]));
        } else {
            written.push_str(piece);
        }
        is_quoted ^= piece.ends_with(['"', '\'']);
    }
    written
}

/// Reads `KIND[:KEY=VALUE,...]`: the keys of a `[schedule]` table, with TOML values whose quotes may be left out.
///
/// # Errors
/// [`Error::ScheduleName`] with what is wrong and the nearest known kind or key.
pub(crate) fn schedule(text: &str) -> Result<ScheduleConfig> {
    let wrong = |message: String| Error::ScheduleName { message };
    let (kind, keys) = text.split_once(':').unwrap_or((text, ""));
    let mut table = Table::new();
    table.insert("kind".to_owned(), Value::String(kind.trim().to_owned()));
    for assignment in split(keys) {
        let Some((key, value)) = assignment.split_once('=') else {
            let example = "write it as in wsd:decay=0.2,shape=linear";
            return Err(wrong(format!("`{assignment}` in `{text}` is not KEY=VALUE: {example}")));
        };
        let key = key.trim();
        if table.insert(key.to_owned(), toml_value(value.trim())).is_some() {
            return Err(wrong(format!("`{key}` stands twice in `{text}`: leave one out")));
        }
    }
    serde_path_to_error::deserialize(Written(Value::Table(table))).map_err(|error| {
        let hint = if text.is_empty() || text.contains(':') { "" } else { "; a file must end in .toml" };
        wrong(format!("`{text}` is no schedule: {}{hint}", at_key(&error)))
    })
}

/// Reads `0.25`, `{steps=2000}` or `{tokens=1T}`, which `option` gave.
///
/// # Errors
/// [`Error::ScheduleName`].
pub(crate) fn length(option: &str, text: &str) -> Result<Length> {
    let read = Length::deserialize(Written(toml_value(text)));
    read.map_err(|error| Error::ScheduleName { message: format!("{option} `{text}`: {}", plain(error.message())) })
}

/// What is wrong, after the key that it is wrong with.
pub(crate) fn at_key(error: &serde_path_to_error::Error<toml::de::Error>) -> String {
    let (path, said) = (error.path().to_string(), plain(error.inner().message()));
    if path == "." || said.contains(&format!("`{path}`")) { said } else { format!("`{path}`: {said}") }
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
    use headwater_schedule::{Kind, Shape};

    use super::*;

    #[test]
    fn a_kind_with_keys_is_a_schedule() -> Result<()> {
        let config = schedule("wsd:decay={steps = 4000},shape=linear, floor=0.1")?;
        assert_eq!((config.kind, config.decay, config.floor), (Kind::Wsd, Some(Length::Steps(4000)), Some(0.1)));
        assert_eq!(config.shape, Some(Shape::Linear));
        assert_eq!(schedule("cosine")?.kind, Kind::Cosine);
        let points = schedule("points:points=[[0,0],[0.1,1],[1,0]]")?.points;
        assert_eq!(points.map(|points| points.len()), Some(3));
        Ok(())
    }

    #[test]
    fn numbers_are_written_as_people_write_them() -> Result<()> {
        let config = schedule("wsd:decay={steps=20k},warmup={ tokens = 1.5B }")?;
        assert_eq!((config.decay, config.warmup), (Some(Length::Steps(20_000)), Some(Length::Tokens(1_500_000_000))));
        assert_eq!(schedule("multi-step:milestones=[{steps=1k}, 0.5]")?.milestones.map(|all| all.len()), Some(2));
        assert_eq!(schedule("slow-start:ramp=1e1,epochs=1_000")?.epochs, Some(1000));
        assert_eq!(toml_value("20k"), Value::String("20k".to_owned()));
        assert_eq!(toml_value("[1k, \"1k\", {a = 0.5}]").to_string(), "[\"1k\", \"1k\", { a = 0.5 }]");
        assert_eq!(toml_value("[1k, a]"), Value::String("[1k, a]".to_owned()));
        Ok(())
    }

    #[test]
    fn a_length_is_a_fraction_or_a_table() -> Result<()> {
        assert_eq!(length("--decay", "0.25")?, Length::Fraction(0.25));
        assert_eq!(length("--decay", "{steps=1000}")?, Length::Steps(1000));
        assert_eq!(length("--decay", "{tokens = 1e9}")?, Length::Tokens(1_000_000_000));
        for (wrong, said) in [
            ("1000", "{ steps = 2000 }"),
            ("half", "{ steps = 2000 }"),
            ("", "{ steps = 2000 }"),
            ("[1]", "{ steps = 2000 }"),
            ("{}", "{ steps = 2000 }"),
            ("{steps=half}", "{ steps = 2000 }"),
            ("{steps=\"half\"}", "not a number"),
            ("{steps=1.5}", "whole number of steps"),
            ("{steps=1,tokens=1}", "not both"),
        ] {
            let error = length("--decay", wrong).expect_err(wrong).to_string();
            assert!(error.starts_with(&format!("--decay `{wrong}`: ")) && error.contains(said), "{error}");
        }
        Ok(())
    }

    #[test]
    fn mistakes_are_named() {
        let said = |text: &str| schedule(text).expect_err("wrong").to_string();
        for (text, expected) in [
            ("cosin", "did you mean `cosine`?; a file must end in .toml"),
            ("wsd:dcay=0.1", "did you mean `decay`?"),
            ("wsd:decay=2000", "{ steps = 2000 }"),
            ("wsd:decay={step=2000}", "`decay`: unknown key `step`; did you mean `steps`?"),
            ("wsd:floor=[1]", "`floor`: write a number, not a list"),
            ("slow-start:ramp=some", "`ramp`: `some` is not a whole number"),
            ("wsd-s:periods=many", "`periods`: write "),
            ("wsd:decay", "KEY=VALUE"),
            ("wsd:decay=0.2,decay=0.3", "stands twice"),
        ] {
            assert!(said(text).contains(expected), "{text}: {}", said(text));
        }
    }
}
