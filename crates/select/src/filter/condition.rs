//! The condition that a filter says, and its truth for each row of a batch.

use std::collections::BTreeSet;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, Float64Array, RecordBatch, StringArray};
use arrow::compute::kernels::comparison::{ilike, like};
use arrow::compute::kernels::{cmp, numeric};
use arrow::compute::{and_kleene, cast, is_null, not, or_kleene};
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;

use super::FilterProblem;

/// What is true, false or NULL of a row.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Numbers(Number, Comparison, Number),
    Texts(Text, Comparison, Text),
    /// One of some numbers, in rising order.
    NumberIn(Number, Vec<f64>),
    /// The text of a column is one of some.
    TextIn(&'static str, BTreeSet<String>),
    /// The text of a column is like a pattern.
    Like(&'static str, Letters, String),
    NumberIsNull(Number),
    TextIsNull(&'static str),
}

/// How two values are held against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Whether `a` and `A` are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letters {
    Exact,
    AnyCase,
}

/// A number of each row.
#[derive(Clone, Debug)]
pub(super) enum Number {
    Column(&'static str),
    Constant(f64),
    Computed(Box<Number>, Arithmetic, Box<Number>),
    Of(Function, Box<Number>),
}

/// What is computed of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// What is computed of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Minus,
    Ln,
    Log10,
    Abs,
    Sqrt,
}

/// A text of each row.
#[derive(Clone, Debug)]
pub(super) enum Text {
    Column(&'static str),
    Constant(String),
}

impl Condition {
    /// The condition's truth for each row.
    pub(super) fn truth(&self, batch: &RecordBatch) -> Result<BooleanArray, FilterProblem> {
        Ok(match self {
            Self::All(conditions) => joined(conditions, batch, true, and_kleene)?,
            Self::Any(conditions) => joined(conditions, batch, false, or_kleene)?,
            Self::Not(condition) => not(&condition.truth(batch)?)?,
            Self::Numbers(left, comparison, right) => comparison.of(&left.values(batch)?, &right.values(batch)?)?,
            Self::Texts(left, comparison, right) => comparison.of(&*left.values(batch)?, &*right.values(batch)?)?,
            Self::NumberIn(number, list) => {
                let is_in = |value| list.binary_search_by(|listed| listed.total_cmp(&value)).is_ok();
                number.values(batch)?.iter().map(|value| value.map(is_in)).collect()
            }
            Self::TextIn(column, list) => {
                let values = texts(batch, column)?;
                values.as_string::<i32>().iter().map(|value| value.map(|value| list.contains(value))).collect()
            }
            Self::Like(column, letters, pattern) => {
                let (values, pattern) = (texts(batch, column)?, StringArray::new_scalar(pattern));
                match letters {
                    Letters::Exact => like(&values, &pattern)?,
                    Letters::AnyCase => ilike(&values, &pattern)?,
                }
            }
            Self::NumberIsNull(number) => is_null(&number.values(batch)?)?,
            Self::TextIsNull(column) => is_null(&texts(batch, column)?)?,
        })
    }
}

/// Joins the truths of conditions, beginning with what changes none.
fn joined(
    conditions: &[Condition],
    batch: &RecordBatch,
    neutral: bool,
    join: fn(&BooleanArray, &BooleanArray) -> Result<BooleanArray, ArrowError>,
) -> Result<BooleanArray, FilterProblem> {
    let neutral = BooleanArray::from(vec![neutral; batch.num_rows()]);
    conditions.iter().try_fold(neutral, |joined, condition| Ok(join(&joined, &condition.truth(batch)?)?))
}

impl Comparison {
    fn of(self, left: &dyn Datum, right: &dyn Datum) -> Result<BooleanArray, ArrowError> {
        match self {
            Self::Equal => cmp::eq(left, right),
            Self::NotEqual => cmp::neq(left, right),
            Self::Less => cmp::lt(left, right),
            Self::LessOrEqual => cmp::lt_eq(left, right),
            Self::Greater => cmp::gt(left, right),
            Self::GreaterOrEqual => cmp::gt_eq(left, right),
        }
    }
}

impl Number {
    /// Whether it is the same for all rows.
    pub(super) fn is_constant(&self) -> bool {
        match self {
            Self::Column(_) => false,
            Self::Constant(_) => true,
            Self::Computed(left, _, right) => left.is_constant() && right.is_constant(),
            Self::Of(_, number) => number.is_constant(),
        }
    }

    /// The number of each row; NULL if it is not finite. Zero has no sign, so that arrow's total order is that of numbers.
    fn values(&self, batch: &RecordBatch) -> Result<Float64Array, FilterProblem> {
        let values = match self {
            Self::Constant(value) => Float64Array::from_value(*value, batch.num_rows()),
            Self::Column(name) => {
                let column = column(batch, name, "numbers", DataType::is_numeric)?;
                cast(column, &DataType::Float64)?.as_primitive().clone()
            }
            Self::Computed(left, arithmetic, right) => {
                let (left, right) = (left.values(batch)?, right.values(batch)?);
                let computed = match arithmetic {
                    Arithmetic::Add => numeric::add(&left, &right),
                    Arithmetic::Subtract => numeric::sub(&left, &right),
                    Arithmetic::Multiply => numeric::mul(&left, &right),
                    Arithmetic::Divide => numeric::div(&left, &right),
                };
                computed?.as_primitive().clone()
            }
            Self::Of(function, number) => {
                let of = match function {
                    Function::Minus => |value: f64| -value,
                    Function::Ln => libm::log,
                    Function::Log10 => libm::log10,
                    Function::Abs => f64::abs,
                    Function::Sqrt => f64::sqrt,
                };
                number.values(batch)?.unary::<_, Float64Type>(of)
            }
        };
        Ok(values.unary_opt(|value| value.is_finite().then_some(value + 0.0)))
    }
}

impl Text {
    /// Whether it is the same for all rows.
    pub(super) const fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }

    /// The text of each row, or the one of all.
    fn values(&self, batch: &RecordBatch) -> Result<Box<dyn Datum>, FilterProblem> {
        Ok(match self {
            Self::Constant(text) => Box::new(StringArray::new_scalar(text)),
            Self::Column(name) => Box::new(texts(batch, name)?),
        })
    }
}

/// The texts of a column, whether it is a dictionary or not.
fn texts(batch: &RecordBatch, name: &'static str) -> Result<ArrayRef, FilterProblem> {
    Ok(cast(column(batch, name, "text", is_text)?, &DataType::Utf8)?)
}

fn is_text(found: &DataType) -> bool {
    match found {
        DataType::Dictionary(_, words) => words.is_string(),
        other => other.is_string(),
    }
}

fn column<'a>(
    batch: &'a RecordBatch,
    name: &'static str,
    expected: &'static str,
    fits: fn(&DataType) -> bool,
) -> Result<&'a ArrayRef, FilterProblem> {
    let wrong = |got| FilterProblem::Column { column: name, expected, got };
    let column = batch.column_by_name(name).ok_or_else(|| wrong("missing".to_owned()))?;
    if fits(column.data_type()) { Ok(column) } else { Err(wrong(column.data_type().to_string())) }
}
