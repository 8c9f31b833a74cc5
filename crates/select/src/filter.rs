//! A condition on the columns of sidecars, in SQL: which rows it keeps.
//!
//! `tokens BETWEEN 100 AND 20000 AND ln(compression) < 1.5 AND domain NOT IN ('code', 'tables')`. The text is read by sqlparser and
//! evaluated here with arrow's kernels, one batch of rows at a time. There are:
//!
//! - the columns of sidecars ([`headwater_record::sidecar::column`]), numbers, and texts in single quotes
//! - `+ - * /`, `ln`, `log10`, `abs`, `sqrt`
//! - `= <> < <= > >=`, `[NOT] BETWEEN`, `[NOT] IN (…)` of literals, `[NOT] LIKE` and `ILIKE`, `IS [NOT] NULL`
//! - `AND`, `OR`, `NOT`, parentheses
//!
//! Numbers are computed with and compared as 64-bit floats. What is no finite number (a division by zero, the logarithm of a negative
//! number) is `NULL`. Logic has three values as SQL's has, and a row whose condition is `NULL` is not kept: neither
//! `influence > 0` nor `NOT influence > 0` keeps a row without influence.
//!
//! What this is *not*: no query, and no join with anything else than sidecars hold.

mod condition;
mod meaning;
mod parse;
mod problem;
mod translate;

use arrow::array::RecordBatch;
use condition::Condition;
pub use problem::FilterProblem;

use crate::{Error, Result};

/// Characters of a filter that an error shows.
const SHOWN_CHARS: usize = 200;

/// A condition on the rows of sidecars.
#[derive(Clone, Debug)]
pub struct Filter {
    key: String,
    text: String,
    condition: Condition,
    columns: Vec<&'static str>,
}

impl Filter {
    /// Reads a condition; `key` is where it stands in the pipeline, for errors.
    ///
    /// # Errors
    /// [`Error::Filter`] with what is wrong and where.
    pub fn parse(key: &str, text: &str) -> Result<Self> {
        let parsed = parse::expression(text).and_then(|expression| translate::condition(&expression));
        let (condition, columns) = parsed.map_err(|problem| error(key, text, problem))?;
        Ok(Self { key: key.to_owned(), text: text.to_owned(), condition, columns })
    }

    /// The columns that it reads, each once.
    #[must_use]
    pub fn columns(&self) -> &[&'static str] {
        &self.columns
    }

    /// For each row, whether the condition is true of it; `batch` has at least [`Filter::columns`].
    ///
    /// # Errors
    /// [`Error::Filter`] if a column is missing or is not what sidecars have under its name.
    pub fn keeps(&self, batch: &RecordBatch) -> Result<Vec<bool>> {
        let truth = self.condition.truth(batch).map_err(|problem| error(&self.key, &self.text, problem))?;
        Ok(truth.iter().map(|truth| truth == Some(true)).collect())
    }
}

fn error(key: &str, text: &str, problem: FilterProblem) -> Error {
    Error::Filter { key: key.to_owned(), text: problem::beginning(text, SHOWN_CHARS), source: Box::new(problem) }
}

#[cfg(test)]
mod tests;
