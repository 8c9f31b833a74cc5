use std::error::Error as _;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Float32Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow::datatypes::Int32Type;
use headwater_record::sidecar;
use proptest::prelude::*;

use super::meaning::COLUMNS;
use super::parse::MOST_WORDS;
use super::{Filter, FilterProblem};
use crate::{Error, Result};

/// Five rows; the last is not scored.
fn rows() -> RecordBatch {
    let domains: DictionaryArray<Int32Type> = ["web", "code", "web", "50%", "it's"].into_iter().collect();
    let columns: [(&str, ArrayRef); 6] = [
        ("row", Arc::new(UInt64Array::from(vec![7, 8, 9, 10, 11]))),
        ("id", Arc::new(StringArray::from(vec![Some("a/1"), None, Some("A/2"), Some("b_3"), Some("")]))),
        ("domain", Arc::new(domains)),
        ("tokens", Arc::new(UInt32Array::from(vec![10, 20, 30, 40, 0]))),
        ("compression", Arc::new(Float32Array::from(vec![1.0, 2.0, 4.0, 0.5, 0.0]))),
        ("influence", Arc::new(Float32Array::from(vec![Some(0.5), Some(-0.0), Some(f32::NAN), Some(-1.0), None]))),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

/// The indices of the rows kept.
fn kept(text: &str) -> Vec<usize> {
    let filter = Filter::parse("select.filter", text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let keeps = filter.keeps(&rows()).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    keeps.into_iter().enumerate().filter_map(|(row, keeps)| keeps.then_some(row)).collect()
}

/// What is wrong with a filter.
fn problem(text: &str) -> String {
    match Filter::parse("select.filter", text) {
        Err(error @ Error::Filter { .. }) => error.source().expect("a cause").to_string(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn the_columns_are_those_of_sidecars() {
    let schema = sidecar::schema();
    // a hash is no number to calculate with, and windows are many
    let others = [sidecar::column::TEXT_HASH, sidecar::column::WINDOWS];
    let fields = schema.fields().iter().filter(|field| !others.contains(&field.name().as_str()));
    let there: Vec<(&str, bool)> =
        fields.map(|field| (field.name().as_str(), field.data_type().is_numeric())).collect();
    assert_eq!(there, COLUMNS);
}

#[test]
fn comparisons_and_logic() {
    let cases: [(&str, &[usize]); 15] = [
        ("tokens > 20", &[2, 3]),
        ("tokens >= 20", &[1, 2, 3]),
        ("20 < tokens", &[2, 3]),
        ("tokens <= 20", &[0, 1, 4]),
        ("tokens <> 20", &[0, 2, 3, 4]),
        ("TOKENS != 20", &[0, 2, 3, 4]),
        ("\"tokens\" = 20", &[1]),
        ("tokens = 20 OR domain = 'web' AND tokens = 30", &[1, 2]),
        ("(tokens = 20 OR domain = 'web') AND tokens = 30", &[2]),
        ("NOT domain = 'web' AND NOT (tokens = 0)", &[1, 3]),
        ("domain = 'it''s'", &[4]),
        ("domain >= 'code' and domain < 'd'", &[1]),
        ("row = 9", &[2]),
        ("tokens > row", &[0, 1, 2, 3]),
        ("'web' <> domain", &[1, 3, 4]),
    ];
    for (text, expected) in cases {
        assert_eq!(kept(text), expected, "{text}");
    }
}

#[test]
fn ranges_lists_and_patterns() {
    let cases: [(&str, &[usize]); 15] = [
        ("tokens BETWEEN 10 AND 30", &[0, 1, 2]),
        ("tokens NOT BETWEEN 10 AND 30", &[3, 4]),
        ("domain BETWEEN 'a' AND 'd'", &[1]),
        ("tokens IN (30, 1e1, -5)", &[0, 2]),
        ("tokens NOT IN (30, 10)", &[1, 3, 4]),
        ("influence IN (0)", &[1]),
        ("influence IN (-0.0, 0.5)", &[0, 1]),
        ("domain IN ('web', 'it''s', 'web')", &[0, 2, 4]),
        ("id NOT IN ('a/1')", &[2, 3, 4]),
        ("id LIKE 'a/%'", &[0]),
        ("id ILIKE 'a/_'", &[0, 2]),
        ("id NOT LIKE '%/%'", &[3, 4]),
        ("id LIKE 'b\\_3'", &[3]),
        ("domain LIKE '50\\%'", &[3]),
        ("domain NOT ILIKE 'W%'", &[1, 3, 4]),
    ];
    for (text, expected) in cases {
        assert_eq!(kept(text), expected, "{text}");
    }
}

#[test]
fn null_is_neither_kept_nor_its_opposite() {
    let cases: [(&str, &[usize]); 9] = [
        ("influence > 0", &[0]),
        ("NOT influence > 0", &[1, 3]),
        ("influence IS NULL", &[2, 4]),
        ("influence IS NOT NULL", &[0, 1, 3]),
        ("id IS NULL", &[1]),
        ("NOT (id IS NULL)", &[0, 2, 3, 4]),
        ("influence > 0 OR tokens = 0", &[0, 4]),
        ("NOT (influence > 0 AND tokens = 0)", &[0, 1, 2, 3]),
        ("id <> 'x'", &[0, 2, 3, 4]),
    ];
    for (text, expected) in cases {
        assert_eq!(kept(text), expected, "{text}");
    }
}

#[test]
fn arithmetic_is_that_of_numbers() {
    let cases: [(&str, &[usize]); 14] = [
        ("tokens + 10 * 2 = 40", &[1]),
        ("(tokens + 10) * 2 = 40", &[0]),
        ("tokens - row - 1 = 2", &[0]),
        ("tokens / 4 = 2.5", &[0]),
        ("-tokens < -25", &[2, 3]),
        ("- 2 + tokens = +8", &[0]),
        ("tokens / tokens = 1", &[0, 1, 2, 3]),
        ("(tokens / tokens) IS NULL", &[4]),
        ("ln(compression) < 0", &[3]),
        ("ln(compression) IS NULL", &[4]),
        ("LOG10(tokens) = 1", &[0]),
        ("sqrt(compression) = 2", &[2]),
        ("abs(influence) >= 0.5", &[0, 3]),
        ("influence = 0 AND -influence = 0", &[1]),
    ];
    for (text, expected) in cases {
        assert_eq!(kept(text), expected, "{text}");
    }
}

#[test]
fn columns_are_named_once_each() -> Result<()> {
    let filter = Filter::parse("select.filter", "tokens > 5 AND (Domain = 'x' OR tokens < ln(bytes))")?;
    assert_eq!(filter.columns(), ["tokens", "domain", "bytes"]);
    Ok(())
}

#[test]
fn problems_name_the_part_and_the_way_out() {
    let cases = [
        ("", "it is empty; give it a condition such as tokens > 100, or leave the key out"),
        (" \n-- nothing\n", "it is empty; give it a condition such as tokens > 100, or leave the key out"),
        ("tokens >", "expected an expression, found the end"),
        ("tokens > > 5", "expected an expression, found > at line 1, column 10"),
        ("tokens > 5\nAND (domain = 'web'", "expected ), found the end"),
        ("domain = 'web", "unterminated string literal at line 1, column 10"),
        (
            "tokens > 5 tokens",
            "`tokens` at line 1, column 12 is left over after the condition; join conditions with AND or OR",
        ),
        (
            "tokens > 5; tokens > 6",
            "`;` at line 1, column 11 is left over after the condition; join conditions with AND or OR",
        ),
        ("tokens + 1", "`tokens + 1` is a number and no condition; compare it with something"),
        ("domain", "`domain` is text and no condition; compare it with something"),
        (
            "domain = 3",
            "`domain` is text, `3` is a number; only numbers with numbers and text with text can be compared",
        ),
        (
            "1 < tokens < 5",
            "`1 < tokens` is a condition, `5` is a number; only numbers with numbers and text with text can be compared",
        ),
        (
            "tokens IN (3, 'a')",
            "`tokens` is a number, `'a'` is text; only numbers with numbers and text with text can be compared",
        ),
        ("-domain = 'x'", "`domain` is text, but - takes numbers"),
        ("tokens + domain = 1", "`domain` is text, but + takes numbers"),
        ("ln(domain) = 1", "`domain` is text, but ln takes numbers"),
        ("tokens AND tokens > 1", "`tokens` is a number, but AND takes conditions"),
        ("NOT tokens", "`tokens` is a number, but NOT takes conditions"),
        ("tokens LIKE '1%'", "`tokens` is a number, but LIKE takes text"),
        ("(tokens > 5) IS NULL", "`(tokens > 5)` is a condition, but IS NULL takes a number or text"),
        ("domain = NULL", "nothing compares with NULL; write IS NULL or IS NOT NULL"),
        ("tokens < 1e400", "1e400 is out of range"),
        (
            "'domain' = 'web'",
            "`'domain' = 'web'` reads no column, so it holds for all rows or for none; names of columns stand without quotes",
        ),
        (
            "tokens > 1 OR 1 = 1",
            "`1 = 1` reads no column, so it holds for all rows or for none; names of columns stand without quotes",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(problem(text), expected, "{text}");
    }
}

#[test]
fn an_unknown_column_is_answered_with_the_near_one_and_the_list() {
    let text = problem("tokns > 5");
    let list = "the columns are source, shard, row, id, domain, status, bytes, compression, tokens, scored_tokens, loss_base, \
                loss_masked, influence, influence_stderr, copied, by";
    assert_eq!(text, format!("there is no column `tokns` (did you mean `tokens`?); {list}"));
    assert_eq!(problem("zz > 5"), format!("there is no column `zz`; {list}"));
    assert_eq!(problem("domain = \"qq\""), format!("there is no column `qq`; {list}; texts stand in single quotes"));
    assert!(problem("\"Tokens\" > 5").starts_with("there is no column `Tokens` (did you mean `tokens`?)"));
}

#[test]
fn what_filters_do_not_have_is_refused_by_name() {
    let unsupported = [
        "tokens > (SELECT 1)",
        "tokens IN (SELECT 1)",
        "EXISTS (SELECT 1)",
        "tokens IN (row)",
        "tokens IN (1 + 1)",
        "domain IN (id)",
        "domain LIKE id",
        "domain LIKE 'a!%' ESCAPE '!'",
        "lower(domain) = 'web'",
        "ln(tokens, 2) = 1",
        "ln(DISTINCT tokens) = 1",
        "sqrt(tokens) OVER () = 1",
        "sum(tokens) > 1",
        "sidecar.tokens > 1",
        "tokens % 2 = 0",
        "domain || 'x' = 'y'",
        "tokens::text = 'x'",
        "CASE WHEN tokens > 1 THEN 1 ELSE 2 END = 1",
        "domain = E'web'",
        "(tokens > 1) IS TRUE",
        "TRUE",
        "tokens > $1",
        "domain SIMILAR TO 'x'",
        "tokens > ANY (1)",
    ];
    for text in unsupported {
        assert!(problem(text).contains("is not supported; there are comparisons"), "{text}: {}", problem(text));
    }
}

#[test]
fn depth_and_length_are_bounded() {
    let nested = |depth: usize| format!("{}tokens > 20{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(kept(&nested(20)), [2, 3]);
    for depth in [100, 400] {
        assert!(problem(&nested(depth)).contains("nested too deeply"));
    }
    assert!(problem(&nested(10_000)).contains("it has 20002 names, operators and brackets"));
    assert_eq!(kept(&format!("{}tokens > 20", "NOT ".repeat(20))), [2, 3]);
    assert!(Filter::parse("select.filter", &format!("{}tokens > 20", "NOT ".repeat(900))).is_err());
    assert!(problem(&format!("tokens{} > 20", " + 1".repeat(900))).contains("nested too deeply"));
    assert!(problem(&format!("({}", "(".repeat(900))).contains("nested too deeply"));

    let chain = |terms: usize| vec!["tokens = 30"; terms].join(" OR ");
    assert_eq!(kept(&chain(MOST_WORDS / 3)), [2]);
    assert!(problem(&chain(100_000)).contains("long lists belong into IN"));
    let mut list = "tokens IN (30".to_owned();
    (0..100_000).for_each(|number| write!(list, ", {}", number * 1000 + 1).expect("strings can be written to"));
    assert_eq!(kept(&format!("{list})")), [2]);
}

#[test]
fn a_batch_without_the_column_or_of_another_type_is_an_error() -> Result<()> {
    let filter = Filter::parse("select.filter", "loss_base > 1")?;
    let wrong =
        |batch: &RecordBatch| filter.keeps(batch).expect_err("no such column").source().expect("a cause").to_string();
    assert_eq!(wrong(&rows()), "column `loss_base` is missing, expected numbers");
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
    let texts = RecordBatch::try_from_iter([("loss_base", texts)]).expect("one column");
    assert_eq!(wrong(&texts), "column `loss_base` is Utf8, expected numbers");
    Ok(())
}

#[test]
fn an_error_names_the_key_and_shows_the_beginning() {
    let text = format!("tokens IN ({}'x')", "1, ".repeat(500));
    let error = Filter::parse("select.guards.filter", &text).expect_err("a text in a list of numbers");
    let shown: String = text.chars().take(200).collect();
    assert_eq!(error.to_string(), format!("`select.guards.filter` = \"{shown}…\" is no filter that can be applied"));
    let Error::Filter { source, .. } = error else { panic!("{error}") };
    assert!(matches!(*source, FilterProblem::Mismatch { .. }));
}

/// A condition written by hand, with SQL's truth of it: `None` for NULL.
#[derive(Clone, Debug)]
enum Naive {
    Tokens(&'static str, u32),
    Influence(&'static str, i32),
    Id(&'static str, String),
    NoInfluence,
    Not(Box<Naive>),
    And(Box<Naive>, Box<Naive>),
    Or(Box<Naive>, Box<Naive>),
}

#[derive(Clone, Debug)]
struct Row {
    tokens: u32,
    influence: Option<f32>,
    id: Option<String>,
}

fn holds<T: PartialOrd>(left: &T, operator: &str, right: &T) -> bool {
    match operator {
        "=" => left == right,
        "<>" => left != right,
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        _ => left >= right,
    }
}

impl Naive {
    fn sql(&self) -> String {
        match self {
            Self::Tokens(operator, value) => format!("tokens {operator} {value}"),
            Self::Influence(operator, value) => format!("influence {operator} {value} / 2"),
            Self::Id(operator, value) => format!("id {operator} '{value}'"),
            Self::NoInfluence => "influence IS NULL".to_owned(),
            Self::Not(inner) => format!("NOT ({})", inner.sql()),
            Self::And(a, b) => format!("({}) AND ({})", a.sql(), b.sql()),
            Self::Or(a, b) => format!("({}) OR ({})", a.sql(), b.sql()),
        }
    }

    fn truth(&self, row: &Row) -> Option<bool> {
        match self {
            Self::Tokens(operator, value) => Some(holds(&row.tokens, operator, value)),
            Self::Influence(operator, value) => {
                row.influence.map(|got| holds(&f64::from(got), operator, &(f64::from(*value) / 2.0)))
            }
            Self::Id(operator, value) => row.id.as_ref().map(|got| holds(got, operator, value)),
            Self::NoInfluence => Some(row.influence.is_none()),
            Self::Not(inner) => inner.truth(row).map(|truth| !truth),
            Self::And(a, b) => match (a.truth(row), b.truth(row)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(a, b) => match (a.truth(row), b.truth(row)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }
}

fn naive() -> impl Strategy<Value = Naive> {
    let operator = || prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        (operator(), 0_u32..4).prop_map(|(operator, value)| Naive::Tokens(operator, value)),
        (operator(), -2_i32..3).prop_map(|(operator, value)| Naive::Influence(operator, value)),
        (operator(), "[ab]{0,2}").prop_map(|(operator, value)| Naive::Id(operator, value)),
        Just(Naive::NoInfluence),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Naive::Not(Box::new(inner))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Naive::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner).prop_map(|(a, b)| Naive::Or(Box::new(a), Box::new(b))),
        ]
    })
}

fn row() -> impl Strategy<Value = Row> {
    let influence = prop::option::of(prop::sample::select(vec![-1.0_f32, -0.5, -0.0, 0.0, 0.5, 1.0]));
    (0_u32..4, influence, prop::option::of("[ab]{0,2}")).prop_map(|(tokens, influence, id)| Row {
        tokens,
        influence,
        id,
    })
}

proptest! {
    #[test]
    fn a_filter_keeps_what_its_condition_is_true_of(condition in naive(), rows in prop::collection::vec(row(), 0..12)) {
        let columns: [(&str, ArrayRef); 3] = [
            ("tokens", Arc::new(rows.iter().map(|row| row.tokens).collect::<UInt32Array>())),
            ("influence", Arc::new(rows.iter().map(|row| row.influence).collect::<Float32Array>())),
            ("id", Arc::new(rows.iter().map(|row| row.id.clone()).collect::<StringArray>())),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)));
        let filter = Filter::parse("select.filter", &condition.sql()).expect("a condition");
        let expected: Vec<bool> = rows.iter().map(|row| condition.truth(row) == Some(true)).collect();
        prop_assert_eq!(filter.keeps(&batch.expect("columns of one length")).expect("the columns"), expected);
    }
}
