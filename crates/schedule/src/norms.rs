//! Gradient norms from the log of a training run: CSV, JSON lines, the `trainer_state.json` of transformers, or a column of values.
//!
//! The caller opens files and decodes Parquet; this module turns what they hold into norms in order.
//!
//! ```
//! use headwater_schedule::norms::NormSource;
//!
//! let source = NormSource { file: "norms.csv", column: None };
//! let log = source.read_csv("step,grad_norm\n1,0.5\n2,\n3,0.25\n".as_bytes())?;
//! assert_eq!((log.norms, log.skipped), (vec![0.5, 0.25], 1));
//! # Ok::<(), headwater_schedule::Error>(())
//! ```

use std::io::{BufRead, Read};
use std::path::Path;

use serde_json::Value;

use crate::Error;

/// The column that is taken if there are several and none is named.
const USUAL_COLUMN: &str = "grad_norm";

/// The format of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Comma-separated, with or without a header line.
    Csv,
    /// One JSON document, or JSON lines.
    Json,
    /// A JSON value a line.
    JsonLines,
    /// Parquet, which the caller decodes.
    Parquet,
}

impl LogFormat {
    /// Returns the format that the ending of `path` stands for.
    ///
    /// # Errors
    /// [`Error::LogFormat`] for any other ending.
    pub fn of(path: &Path) -> Result<Self, Error> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Ok(Self::Csv),
            Some("json") => Ok(Self::Json),
            Some("jsonl" | "ndjson") => Ok(Self::JsonLines),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(Error::LogFormat { file: path.display().to_string() }),
        }
    }
}

/// Gradient norms as a log has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NormLog {
    /// The norms in order; not negative, possibly infinite.
    pub norms: Vec<f64>,
    /// Entries without a norm, such as those of an evaluation.
    pub skipped: u64,
}

/// Where norms are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormSource<'a> {
    /// The file's name in messages.
    pub file: &'a str,
    /// The column or key with the norms; by default the only column, or `grad_norm`.
    pub column: Option<&'a str>,
}

impl NormSource<'_> {
    /// Reads comma-separated values; without a header line there must be one column.
    ///
    /// # Errors
    /// [`Error::LogCsv`], [`Error::NormColumn`], [`Error::NormHeader`], [`Error::NormText`], [`Error::LoggedNorm`] and
    /// [`Error::NoNorms`], each with the file and, where it has one, the line.
    pub fn read_csv(&self, log: impl Read) -> Result<NormLog, Error> {
        let wrong = |source| Error::LogCsv { file: self.file.to_owned(), source };
        let mut reader = csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(log);
        let mut records = reader.records();
        let Some(first) = records.next().transpose().map_err(wrong)? else {
            return self.finish(NormLog::default());
        };
        let is_header = first.iter().any(|field| field.parse::<f64>().is_err());
        let at = if is_header {
            self.column_among(&first.iter().collect::<Vec<_>>())?
        } else if first.len() == 1 && self.column.is_none() {
            0
        } else {
            let column = self.column.map(str::to_owned);
            return Err(Error::NormHeader { file: self.file.to_owned(), columns: first.len(), column });
        };
        let mut log = NormLog::default();
        for record in std::iter::once(Ok(first)).filter(|_| !is_header).chain(records) {
            let record = record.map_err(wrong)?;
            let line = record.position().map_or(0, csv::Position::line);
            match record.get(at).unwrap_or_default() {
                "" => log.skipped += 1,
                text => {
                    let norm = text.parse().map_err(|_| self.no_number(text, line))?;
                    log.norms.push(self.validated(norm, line)?);
                }
            }
        }
        self.finish(log)
    }

    /// Reads one JSON document, an array or an object with `log_history` as transformers leaves it; anything else as JSON lines.
    ///
    /// # Errors
    /// As [`NormSource::read_json_lines`].
    pub fn read_json(&self, mut log: impl Read) -> Result<NormLog, Error> {
        let mut text = String::new();
        log.read_to_string(&mut text).map_err(|source| Error::LogRead { place: self.file.to_owned(), source })?;
        let entries = match serde_json::from_str(&quoted(&text)) {
            Ok(Value::Array(entries)) => Some(entries),
            Ok(Value::Object(mut object)) => match object.remove("log_history") {
                Some(Value::Array(entries)) => Some(entries),
                _ => None,
            },
            _ => None,
        };
        let Some(entries) = entries else { return self.read_json_lines(text.as_bytes()) };
        let mut log = NormLog::default();
        for (entry, value) in (1..).zip(entries) {
            self.add(&mut log, value, entry)?;
        }
        self.finish_entries(log)
    }

    /// Reads a JSON value a line, numbers or objects; infinities and NaNs may stand bare, as Python writes them.
    ///
    /// # Errors
    /// [`Error::LogRead`], [`Error::LogJson`], [`Error::NormText`], [`Error::LoggedNorm`], [`Error::NormKey`] and
    /// [`Error::NoNorms`], each with the file and, where it has one, the line.
    pub fn read_json_lines(&self, lines: impl BufRead) -> Result<NormLog, Error> {
        let file = || self.file.to_owned();
        let mut log = NormLog::default();
        for (line, text) in (1..).zip(lines.lines()) {
            let text = text.map_err(|source| Error::LogRead { place: format!("{}:{line}", self.file), source })?;
            let text = quoted(&text);
            if text.trim().is_empty() {
                continue;
            }
            let value = serde_json::from_str(&text).map_err(|source| Error::LogJson { file: file(), line, source })?;
            self.add(&mut log, value, line)?;
        }
        self.finish_entries(log)
    }

    /// Takes the values of a column, `None` for null; messages count its rows from 1.
    ///
    /// # Errors
    /// [`Error::LoggedNorm`] and [`Error::NoNorms`].
    pub fn read_values(&self, values: impl IntoIterator<Item = Option<f64>>) -> Result<NormLog, Error> {
        let mut log = NormLog::default();
        for (row, value) in (1..).zip(values) {
            match value {
                Some(norm) => log.norms.push(self.validated(norm, row)?),
                None => log.skipped += 1,
            }
        }
        self.finish(log)
    }

    /// Returns which of the columns `names` has the norms.
    ///
    /// # Errors
    /// [`Error::NormColumn`] if there is none of the name that was asked for, or several and none is called `grad_norm`.
    pub fn column_among(&self, names: &[&str]) -> Result<usize, Error> {
        if self.column.is_none() && names.len() == 1 {
            return Ok(0);
        }
        let column = self.column.unwrap_or(USUAL_COLUMN);
        names.iter().position(|name| *name == column).ok_or_else(|| Error::NormColumn {
            file: self.file.to_owned(),
            column: column.to_owned(),
            present: names.join(", "),
        })
    }

    /// Adds the norm of an entry, which may have none.
    fn add(&self, log: &mut NormLog, value: Value, line: u64) -> Result<(), Error> {
        let value = match value {
            Value::Object(mut object) => object.remove(self.column.unwrap_or(USUAL_COLUMN)).unwrap_or_default(),
            value => value,
        };
        let norm = match &value {
            Value::Null => {
                log.skipped += 1;
                return Ok(());
            }
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let norm = norm.ok_or_else(|| self.no_number(&value.to_string(), line))?;
        log.norms.push(self.validated(norm, line)?);
        Ok(())
    }

    fn no_number(&self, got: &str, line: u64) -> Error {
        Error::NormText { file: self.file.to_owned(), line, got: got.to_owned() }
    }

    fn validated(&self, norm: f64, line: u64) -> Result<f64, Error> {
        if norm >= 0.0 { Ok(norm) } else { Err(Error::LoggedNorm { file: self.file.to_owned(), line, got: norm }) }
    }

    /// Where entries have no norm, the key is probably another.
    fn finish_entries(&self, log: NormLog) -> Result<NormLog, Error> {
        if log.norms.is_empty() && log.skipped > 0 {
            let key = self.column.unwrap_or(USUAL_COLUMN).to_owned();
            return Err(Error::NormKey { file: self.file.to_owned(), key });
        }
        self.finish(log)
    }

    fn finish(&self, log: NormLog) -> Result<NormLog, Error> {
        if log.norms.is_empty() { Err(Error::NoNorms { file: self.file.to_owned() }) } else { Ok(log) }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, text: &str, column: Option<&str>) -> Result<NormLog, Error> {
        let source = NormSource { file, column };
        match LogFormat::of(Path::new(file))? {
            LogFormat::Csv => source.read_csv(text.as_bytes()),
            LogFormat::Json => source.read_json(text.as_bytes()),
            LogFormat::JsonLines => source.read_json_lines(text.as_bytes()),
            LogFormat::Parquet => source.read_values(text.lines().map(|line| line.parse().ok())),
        }
    }

    #[test]
    fn logs_of_four_formats() -> Result<(), Error> {
        let norms = |norms: &[f64], skipped| NormLog { norms: norms.to_vec(), skipped };
        assert_eq!(read("a.csv", "1\ninf\n2.5\n", None)?, norms(&[1.0, f64::INFINITY, 2.5], 0));
        assert_eq!(read("a.csv", "step,grad_norm\n1, 0.5\n2,\n3,1e-3\n", None)?, norms(&[0.5, 1e-3], 1));
        assert_eq!(read("a.csv", "step,l1,l2\n1,2,3\n", Some("l1"))?, norms(&[2.0], 0));
        let log = "{\"grad_norm\": 2.0, \"loss\": 1}\n{\"eval_loss\": 3}\n\n{\"grad_norm\": Infinity}\n";
        assert_eq!(read("a.jsonl", log, None)?, norms(&[2.0, f64::INFINITY], 1));
        let compact = "{\"note\":\"an Infinity\",\"grad_norm\":Infinity}\n{\"grad_norm\":null}\n";
        assert_eq!(read("a.jsonl", compact, None)?, norms(&[f64::INFINITY], 1));
        assert_eq!(read("lines.json", log, None)?, norms(&[2.0, f64::INFINITY], 1));
        let state = "{\"epoch\": 1,\n \"log_history\": [{\"grad_norm\": 0.5, \"step\": 1},\n {\"eval_loss\": NaN}]}";
        assert_eq!(read("trainer_state.json", state, None)?, norms(&[0.5], 1));
        assert_eq!(read("a.parquet", "0.5\nnull\n4", None)?, norms(&[0.5, 4.0], 1));
        Ok(())
    }

    #[test]
    fn mistakes_name_the_file_the_line_and_the_columns() {
        for (name, text, column, expected) in [
            ("a.csv", "", None, "a.csv: has no gradient norms"),
            ("a.csv", "grad_norm\n1\n-2\n", None, "a.csv:3: gradient norm -2"),
            ("a.csv", "grad_norm\n1\nNaN\n", None, "a.csv:3: gradient norm NaN"),
            ("a.csv", "grad_norm\n1\nmany\n", None, "a.csv:3: `many` is no number"),
            ("a.csv", "step,norm\n1,2\n", None, "a.csv: has no column `grad_norm`; name one of step, norm"),
            ("a.csv", "step,norm\n1,2\n", Some("l1"), "a.csv: has no column `l1`; name one of step, norm"),
            ("a.csv", "1,2\n", None, "a.csv: has 2 columns and no header line that names them"),
            ("a.csv", "1\n2\n", Some("l1"), "a.csv: has no header line to find `l1` in"),
            ("a.csv", "1\n2,3\n", None, "a.csv: is no CSV"),
            ("a.jsonl", "{\"loss\": 1}\n", None, "a.jsonl: no entry has a key `grad_norm`"),
            ("a.jsonl", "{\"grad_norm\": NaN}\n", None, "a.jsonl:1: gradient norm NaN"),
            ("a.jsonl", "1\n{\n", None, "a.jsonl:2: is no JSON"),
            ("a.json", "[1, true]", None, "a.json:2: `true` is no number"),
            ("a.parquet", "1\n-1", None, "a.parquet:2: gradient norm -1"),
            ("a.txt", "1", None, "a.txt: gradient norms are read from .csv, .jsonl, .json and .parquet"),
        ] {
            let error = read(name, text, column).expect_err("wrong").to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
