//! What is wrong with a filter.

use arrow::error::ArrowError;
use headwater_record::sidecar::column::LATER;

/// What adds a column that sidecars of earlier versions lack.
const ADDED: &str = "; `headwater features` on the pipeline adds it to scores of earlier versions";

/// What is wrong with a filter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilterProblem {
    /// Nothing but blanks.
    #[error("it is empty; give it a condition such as tokens > 100, or leave the key out")]
    Empty,
    /// More than is read.
    #[error("it has {got} names, operators and brackets, but at most {limit} are read; long lists belong into IN (…)")]
    TooLong {
        /// How many there are.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// Brackets or operators inside each other, too many.
    #[error("it is nested too deeply; use fewer parentheses, and IN (…) for long lists")]
    TooDeep,
    /// No SQL.
    #[error("{problem}")]
    Syntax {
        /// What is wrong and where, in the parser's words.
        problem: String,
    },
    /// Something follows the condition.
    #[error(
        "`{found}` at line {line}, column {column} is left over after the condition; join conditions with AND or OR"
    )]
    Trailing {
        /// What follows.
        found: String,
        /// Its line, from 1.
        line: u64,
        /// Its first character, from 1.
        column: u64,
    },
    /// SQL that filters do not have.
    #[error(
        "`{what}` is not supported; there are comparisons, AND, OR, NOT, BETWEEN, IN, LIKE, ILIKE, IS NULL, + - * /, ln, log10, abs and sqrt"
    )]
    Unsupported {
        /// What it is.
        what: String,
    },
    /// A column that sidecars do not have.
    #[error(
        "there is no column `{name}`{}; the columns are {present}{}",
        near.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default(),
        if *is_quoted { "; texts stand in single quotes" } else { "" }
    )]
    UnknownColumn {
        /// The name.
        name: String,
        /// The nearest column, if near.
        near: Option<&'static str>,
        /// All columns.
        present: String,
        /// Whether it stands in double quotes, as texts do elsewhere.
        is_quoted: bool,
    },
    /// A number held against a text, or a condition against either.
    #[error(
        "`{left}` is {left_kind}, `{right}` is {right_kind}; only numbers with numbers and text with text can be compared"
    )]
    Mismatch {
        /// One side.
        left: String,
        /// What it is.
        left_kind: &'static str,
        /// The other side.
        right: String,
        /// What it is.
        right_kind: &'static str,
    },
    /// An operand of the wrong kind.
    #[error("`{what}` is {got}, but {operator} takes {expected}")]
    Operand {
        /// The operand.
        what: String,
        /// What it is.
        got: &'static str,
        /// What it is an operand of.
        operator: String,
        /// What must stand there.
        expected: &'static str,
    },
    /// A filter that is true or false of nothing.
    #[error("`{what}` is {got} and no condition; compare it with something")]
    NoCondition {
        /// The filter.
        what: String,
        /// What it is.
        got: &'static str,
    },
    /// A comparison with NULL, which is never true.
    #[error("nothing compares with NULL; write IS NULL or IS NOT NULL")]
    Null,
    /// A number beyond the range of 64-bit floats.
    #[error("{number} is out of range")]
    OutOfRange {
        /// The number.
        number: String,
    },
    /// A comparison that is the same for all rows.
    #[error("`{what}` reads no column, so it holds for all rows or for none; names of columns stand without quotes")]
    Constant {
        /// The comparison.
        what: String,
    },
    /// A column that is missing in the sidecars at hand, or of another type.
    #[error("column `{column}` is {got}, expected {expected}{}", if LATER.contains(column) { ADDED } else { "" })]
    Column {
        /// The column.
        column: &'static str,
        /// What was expected.
        expected: &'static str,
        /// What was found.
        got: String,
    },
    /// A kernel failed.
    #[error("the columns cannot be computed with")]
    Compute(#[from] ArrowError),
}

/// The first `most` characters of `text`, and dots if there are more.
pub(super) fn beginning(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
