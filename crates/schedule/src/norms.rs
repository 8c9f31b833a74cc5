//! Gradient norms from the log of a training run, as trackers and trainers write it: CSV, JSON lines, the `trainer_state.json` of
//! transformers, the text that Megatron-LM prints, or columns of values.
//!
//! The caller opens files and decodes Parquet; this module finds the columns of norms and steps by their names and turns what they
//! hold into norms in the order of the steps.
//!
//! ```
//! use headwater_schedule::norms::NormSource;
//!
//! let source = NormSource { file: "norms.csv", column: None };
//! let log = source.read_csv("step,grad_norm\n1,0.5\n2,\n3,0.25\n".as_bytes())?;
//! assert_eq!((log.norms, log.skipped), (vec![0.5, 0.25], 1));
//! # Ok::<(), headwater_schedule::Error>(())
//! ```

mod columns;
mod csv;
mod json;
mod lines;
mod names;
mod run;
mod text;

use std::io::{BufRead, Read};
use std::path::Path;

use crate::Error;
use columns::Columns;

pub use run::LoggedRun;

/// The format of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Separated by commas, semicolons or tabs, with or without a header line.
    Csv,
    /// One JSON document, or JSON lines.
    Json,
    /// A JSON value a line.
    JsonLines,
    /// What a trainer prints for people, such as Megatron-LM.
    Text,
    /// Parquet, which the caller decodes.
    Parquet,
}

impl LogFormat {
    /// Returns the format that the ending of `path` stands for.
    ///
    /// # Errors
    /// [`Error::LogFormat`] for any other ending.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let ending = path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
        match ending.as_deref() {
            Some("csv" | "tsv") => Ok(Self::Csv),
            Some("json") => Ok(Self::Json),
            Some("jsonl" | "ndjson") => Ok(Self::JsonLines),
            Some("log" | "txt" | "out" | "err") => Ok(Self::Text),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(Error::LogFormat { file: path.display().to_string() }),
        }
    }
}

/// Gradient norms of a log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NormLog {
    /// The column that they stand in.
    pub column: String,
    /// The norms in the order of their steps, a step once; finite and not negative.
    pub norms: Vec<f64>,
    /// The run, if the log has steps.
    pub run: Option<LoggedRun>,
    /// Entries without a number, such as those of an evaluation.
    pub skipped: u64,
    /// Infinite norms, which are left out.
    pub infinite: u64,
    /// Norms that a later one of the same step replaces, as after a resume.
    pub repeated: u64,
    /// The last line, if it is cut and was passed over.
    pub passed_over: Option<u64>,
}

/// Where norms are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormSource<'a> {
    /// The file's name in messages.
    pub file: &'a str,
    /// The column or key with the norms; dots lead into objects, and a run that stands before it may be left out. By default the only
    /// column whose name speaks of gradient norms, or `grad_norm`.
    pub column: Option<&'a str>,
}

impl NormSource<'_> {
    /// Reads a table with commas, semicolons or tabs; without a header line there must be one column.
    ///
    /// A last line that is cut is passed over.
    ///
    /// # Errors
    /// [`Error::LogRead`], [`Error::LogQuote`], [`Error::LogWidth`], [`Error::NormHeader`], [`Error::NormColumn`],
    /// [`Error::SeveralNorms`], [`Error::LoggedNorm`] and [`Error::NoNorms`], each with the file and, where it has one, the line.
    pub fn read_csv(&self, log: impl BufRead) -> Result<NormLog, Error> {
        csv::read(self, log)
    }

    /// Reads one JSON document, an array or an object with `log_history` as transformers leaves it; anything else as JSON lines.
    ///
    /// # Errors
    /// As [`NormSource::read_json_lines`].
    pub fn read_json(&self, log: impl Read) -> Result<NormLog, Error> {
        json::read_document(self, log)
    }

    /// Reads a JSON value a line, numbers or objects; infinities and NaNs may stand bare, as Python writes them.
    ///
    /// A last line that is cut is passed over.
    ///
    /// # Errors
    /// [`Error::LogRead`], [`Error::LogJson`], [`Error::NormColumn`], [`Error::SeveralNorms`], [`Error::LoggedNorm`] and
    /// [`Error::NoNorms`], each with the file and, where it has one, the line.
    pub fn read_json_lines(&self, lines: impl BufRead) -> Result<NormLog, Error> {
        json::read_lines(self, lines)
    }

    /// Reads the lines `iteration  100/ 2000 | grad norm: 1.234 |` of what Megatron-LM prints, and passes over the others; a log that
    /// begins with a JSON object is read as JSON lines.
    ///
    /// # Errors
    /// As [`NormSource::read_csv`].
    pub fn read_text(&self, lines: impl BufRead) -> Result<NormLog, Error> {
        text::read(self, lines)
    }

    /// Returns which of the columns `names` are worth reading: those that may have norms or steps.
    #[must_use]
    pub fn columns_among(&self, names: &[&str]) -> Vec<usize> {
        let mut columns = Columns::new(self);
        if let [only] = names {
            columns.sole(only);
            return vec![0];
        }
        (0..names.len()).filter(|at| columns.column(names[*at]).is_some()).collect()
    }

    /// Takes the values of columns with the names of all columns of the log, `None` for null; of a column that was not read there
    /// are none. Messages count rows from 1.
    ///
    /// # Errors
    /// [`Error::NormColumn`], [`Error::SeveralNorms`], [`Error::LoggedNorm`] and [`Error::NoNorms`].
    pub fn read_columns(&self, read: &[(&str, Vec<Option<f64>>)]) -> Result<NormLog, Error> {
        let mut columns = Columns::new(self);
        let kept: Vec<Option<usize>> = match read {
            [(only, _)] => vec![Some(columns.sole(only))],
            read => read.iter().map(|(name, _)| columns.column(name)).collect(),
        };
        let rows = read.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
        for row in 0..rows {
            for ((_, values), at) in read.iter().zip(&kept) {
                if let (Some(at), Some(Some(value))) = (at, values.get(row)) {
                    columns.put(*at, *value, row as u64 + 1);
                }
            }
            columns.end_row();
        }
        columns.finish()
    }
}

#[cfg(test)]
mod tests;
