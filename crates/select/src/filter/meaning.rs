//! What a part of a filter is: a number, a text or a condition; and the errors that name such parts.

use headwater_record::sidecar::column;
use sqlparser::ast::{Expr, Ident, Value};

use super::FilterProblem;
use super::condition::{Condition, Number, Text};
use super::problem::beginning;

/// Characters of a part of the filter that an error shows.
const SHOWN_CHARS: usize = 80;

/// Names farther than this from a column are not taken for it (Jaro-Winkler similarity).
const NEAR: f64 = 0.75;

/// The columns of sidecars, in order, and whether they hold numbers.
pub(super) const COLUMNS: [(&str, bool); 16] = [
    (column::SOURCE, false),
    (column::SHARD, false),
    (column::ROW, true),
    (column::ID, false),
    (column::DOMAIN, false),
    (column::STATUS, false),
    (column::BYTES, true),
    (column::COMPRESSION, true),
    (column::TOKENS, true),
    (column::SCORED_TOKENS, true),
    (column::LOSS_BASE, true),
    (column::LOSS_MASKED, true),
    (column::INFLUENCE, true),
    (column::INFLUENCE_STDERR, true),
    (column::COPIED, true),
    (column::BY, false),
];

/// What an expression turned out to be.
pub(super) enum Meaning {
    Number(Number),
    Text(Text),
    Condition(Condition),
}

impl Meaning {
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::Condition(_) => "a condition",
        }
    }
}

/// What a name stands for, and the column.
pub(super) fn column(name: &Ident) -> Result<(&'static str, Meaning), FilterProblem> {
    let is_named = |column: &str| match name.quote_style {
        Some(_) => column == name.value,
        None => column.eq_ignore_ascii_case(&name.value),
    };
    let found = COLUMNS.into_iter().find(|(column, _)| is_named(column));
    let (column, is_number) = found.ok_or_else(|| unknown(name))?;
    let meaning = if is_number { Meaning::Number(Number::Column(column)) } else { Meaning::Text(Text::Column(column)) };
    Ok((column, meaning))
}

/// What a literal stands for.
pub(super) fn literal(value: &Value) -> Result<Meaning, FilterProblem> {
    match value {
        Value::Number(digits, false) => match digits.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Meaning::Number(Number::Constant(value))),
            _ => Err(FilterProblem::OutOfRange { number: beginning(digits, SHOWN_CHARS) }),
        },
        Value::SingleQuotedString(text) => Ok(Meaning::Text(Text::Constant(text.clone()))),
        Value::Null => Err(FilterProblem::Null),
        other => Err(FilterProblem::Unsupported { what: beginning(&other.to_string(), SHOWN_CHARS) }),
    }
}

fn unknown(name: &Ident) -> FilterProblem {
    let similarity = |column: &str| strsim::jaro_winkler(column, &name.value.to_lowercase());
    let names = COLUMNS.map(|(column, _)| column);
    let near = names.into_iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    FilterProblem::UnknownColumn {
        name: beginning(&name.value, SHOWN_CHARS),
        near: near.filter(|column| similarity(column) >= NEAR),
        present: names.join(", "),
        is_quoted: name.quote_style == Some('"'),
    }
}

pub(super) fn mismatch((left, left_is): (&Expr, &Meaning), (right, right_is): (&Expr, &Meaning)) -> FilterProblem {
    FilterProblem::Mismatch {
        left: shown(left),
        left_kind: left_is.kind(),
        right: shown(right),
        right_kind: right_is.kind(),
    }
}

pub(super) fn operand_of(operator: &str, expected: &'static str, (operand, is): (&Expr, &Meaning)) -> FilterProblem {
    FilterProblem::Operand { what: shown(operand), got: is.kind(), operator: operator.to_owned(), expected }
}

pub(super) fn constant(whole: &Expr) -> FilterProblem {
    FilterProblem::Constant { what: shown(whole) }
}

pub(super) fn unsupported(what: &Expr) -> FilterProblem {
    FilterProblem::Unsupported { what: shown(what) }
}

pub(super) fn shown(expression: &Expr) -> String {
    beginning(&expression.to_string(), SHOWN_CHARS)
}
