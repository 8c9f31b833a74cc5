//! JSON: lines of it, and whole documents such as the `trainer_state.json` of transformers.

use std::io::{BufRead, Read};

use serde_json::{Map, Value};

use super::columns::{Columns, number};
use super::lines::lines;
use super::{NormLog, NormSource};
use crate::Error;

/// The columns of an entry that is an array, as TensorBoard exports it.
const TRIPLE: [&str; 3] = ["Wall time", "Step", "Value"];

/// The column of an entry that is a bare value.
const BARE: &str = "value";

/// Reads the document that `source` names; see [`NormSource::read_json`].
pub(super) fn read_document(source: &NormSource<'_>, mut log: impl Read) -> Result<NormLog, Error> {
    let mut bytes = Vec::new();
    log.read_to_end(&mut bytes).map_err(|error| Error::LogRead { place: source.file.to_owned(), source: error })?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_start_matches('\u{feff}');
    let mut columns = Columns::new(source);
    let entries = match parsed(text) {
        Ok(Value::Array(entries)) => entries,
        Ok(Value::Object(mut object)) => match object.remove("log_history") {
            Some(Value::Array(entries)) => {
                let positive = |key: &str| object.get(key).and_then(Value::as_f64).filter(|count| *count >= 1.0);
                columns.plan.total = positive("max_steps");
                columns.plan.interval = positive("logging_steps");
                entries
            }
            _ => return read_lines(source, text.as_bytes()),
        },
        Ok(_) => return read_lines(source, text.as_bytes()),
        Err(error) => {
            let first = text.lines().find(|line| !line.trim().is_empty());
            if error.line() > 1 && first.is_some_and(|line| parsed(line).is_ok()) {
                return read_lines(source, text.as_bytes());
            }
            return Err(Error::LogJson { file: source.file.to_owned(), line: error.line() as u64, source: error });
        }
    };
    for (entry, value) in (1..).zip(entries) {
        add(&mut columns, &value, entry);
    }
    columns.finish()
}

/// Reads the lines that `source` names; see [`NormSource::read_json_lines`].
pub(super) fn read_lines(source: &NormSource<'_>, log: impl BufRead) -> Result<NormLog, Error> {
    let mut columns = Columns::new(source);
    let mut lines = lines(source.file, log).peekable();
    while let Some(line) = lines.next() {
        let line = line?;
        match parsed(&line.text) {
            Ok(value) => add(&mut columns, &value, line.number),
            Err(_) if !columns.is_empty() && lines.peek().is_none() => columns.pass_over(line.number),
            Err(error) => {
                return Err(Error::LogJson { file: source.file.to_owned(), line: line.number, source: error });
            }
        }
    }
    columns.finish()
}

/// Adds an entry as a row.
fn add(columns: &mut Columns<'_>, entry: &Value, line: u64) {
    match entry {
        Value::Object(object) => add_object(columns, "", object, line),
        Value::Array(values) if values.len() == TRIPLE.len() => {
            TRIPLE.iter().zip(values).for_each(|(name, value)| put(columns, name, value, line));
        }
        value => put(columns, BARE, value, line),
    }
    columns.end_row();
}

/// Adds what an object holds; names inside objects are joined by dots.
fn add_object(columns: &mut Columns<'_>, prefix: &str, object: &Map<String, Value>, line: u64) {
    for (key, value) in object {
        let joined;
        let name = if prefix.is_empty() {
            key
        } else {
            joined = format!("{prefix}.{key}");
            &joined
        };
        match value {
            Value::Object(inner) => add_object(columns, name, inner, line),
            value => put(columns, name, value, line),
        }
    }
}

fn put(columns: &mut Columns<'_>, name: &str, value: &Value, line: u64) {
    let value = match value {
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Value::String(text) => number(text.trim(), false),
        Value::Null | Value::Bool(_) => f64::NAN,
        Value::Array(_) | Value::Object(_) => return,
    };
    if let Some(at) = columns.column(name) {
        columns.put(at, value, line);
    }
}

/// Parses JSON as Python writes it.
fn parsed(text: &str) -> Result<Value, serde_json::Error> {
    if text.contains("NaN") || text.contains("Infinity") {
        serde_json::from_str(&quoted(text))
    } else {
        serde_json::from_str(text)
    }
}

/// Returns JSON with the infinities and NaNs that Python writes bare turned into texts.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut is_text) = (text, false);
    while let Some(first) = rest.chars().next() {
        let bare = ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| !is_text && rest.starts_with(word));
        let taken = match (bare, first) {
            (Some(word), _) => {
                out.push('"');
                out.push_str(word);
                out.push('"');
                word.len()
            }
            (None, '\\') if is_text => {
                let escaped = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                out.push_str(&rest[..escaped]);
                escaped
            }
            (None, _) => {
                is_text ^= first == '"';
                out.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    out
}
