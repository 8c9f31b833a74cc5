//! Which columns hold text, ids and domains, and whether their types can serve.

use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use crate::source::{DEFAULT_DOMAIN, DEFAULT_ID};
use crate::{Error, Result, SourceConfig};

const TEXT_TYPES: &str = "a string or binary column";
const ID_TYPES: &str = "a string or integer column";
const DOMAIN_TYPES: &str = "a string, integer or boolean column";

/// Names farther than this from the configured one are not suggested (Jaro-Winkler similarity).
const NEAR: f64 = 0.75;

/// The columns that a source's documents are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// The text column.
    pub text: String,
    /// The id column; `None` if no shard has it.
    pub id: Option<String>,
    /// Where domains come from.
    pub domain: Domain,
}

/// Where a source's domains come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Domain {
    /// A column; a shard without it has null domains.
    Column(String),
    /// One domain for every document.
    Constant(String),
}

/// How the values of a flat column are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing but nulls.
    Null,
    Bytes,
    Signed,
    Unsigned,
    Bool,
}

/// Which of the optional columns one shard has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Present {
    /// The leaf.
    pub(crate) text: usize,
    pub(crate) id: Label,
    pub(crate) domain: Label,
}

/// What one shard has of a column that it need not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Present,
    Missing,
    /// There is a column of that name and of a type that cannot serve.
    Unusable,
}

/// Finds the leaf of the column `name`, of which every row has one value: a top-level column of that name, else one inside structs, whose
/// name is written with dots. `None` if there is no such column or it is in a list or map.
pub(crate) fn leaf(schema: &SchemaDescriptor, name: &str) -> Option<usize> {
    let flat = || schema.columns().iter().enumerate().filter(|(_, column)| column.max_rep_level() == 0);
    let top = flat().find(|(_, column)| column.path().parts() == [name]);
    let inside = || flat().find(|(_, column)| column.path().string() == name);
    top.or_else(inside).map(|(leaf, _)| leaf)
}

/// Whether there is a column of that name, of whatever type.
fn has(schema: &SchemaDescriptor, name: &str) -> bool {
    let is_group = |path: &str| path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    has_root(schema, name)
        || schema.columns().iter().map(|column| column.path().string()).any(|path| path == name || is_group(&path))
}

/// Finds the leaf of the text column `name` in `shard`.
pub(crate) fn text_leaf(shard: &str, schema: &SchemaDescriptor, name: &str) -> Result<usize> {
    if !has(schema, name) {
        return Err(missing(shard, schema, "text", name));
    }
    let can_serve = |leaf: &usize| matches!(kind(&schema.column(*leaf)), Some(Kind::Bytes | Kind::Null));
    let found = leaf(schema, name).filter(can_serve);
    found.ok_or_else(|| wrong(shard, schema, ("text", name), TEXT_TYPES))
}

/// How the values of a leaf are read; `None` for types that can be neither text nor id nor domain.
pub(crate) fn kind(column: &ColumnDescriptor) -> Option<Kind> {
    let (logical, converted) = (column.logical_type_ref(), column.converted_type());
    let is_readable =
        matches!(column.physical_type(), Physical::BOOLEAN | Physical::INT32 | Physical::INT64 | Physical::BYTE_ARRAY);
    if matches!(logical, Some(LogicalType::Unknown)) && is_readable {
        return Some(Kind::Null);
    }
    match column.physical_type() {
        Physical::BOOLEAN => Some(Kind::Bool),
        Physical::BYTE_ARRAY => match (logical, converted) {
            (Some(LogicalType::String | LogicalType::Json | LogicalType::Enum), _) => Some(Kind::Bytes),
            (None, ConvertedType::NONE | ConvertedType::UTF8 | ConvertedType::JSON | ConvertedType::ENUM) => {
                Some(Kind::Bytes)
            }
            _ => None,
        },
        Physical::INT32 | Physical::INT64 => match (logical, converted) {
            (Some(LogicalType::Integer(integer)), _) if integer.is_signed => Some(Kind::Signed),
            (Some(LogicalType::Integer(_)), _) => Some(Kind::Unsigned),
            (
                None,
                ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64,
            ) => Some(Kind::Unsigned),
            (
                None,
                ConvertedType::NONE
                | ConvertedType::INT_8
                | ConvertedType::INT_16
                | ConvertedType::INT_32
                | ConvertedType::INT_64,
            ) => Some(Kind::Signed),
            _ => None,
        },
        _ => None,
    }
}

/// Checks the columns of one shard against its source.
///
/// A column of default name that cannot serve is none: the user did not ask for it.
pub(crate) fn check(source: &SourceConfig, shard: &str, schema: &SchemaDescriptor) -> Result<Present> {
    let text = text_leaf(shard, schema, &source.text)?;
    let of = |name: &str| leaf(schema, name).and_then(|leaf| kind(&schema.column(leaf)));
    let label = |role: &'static str, name: &str, (default, accepted): (&str, &'static str), can_serve: bool| {
        if name.is_empty() || !has(schema, name) {
            Ok(Label::Missing)
        } else if can_serve {
            Ok(Label::Present)
        } else if name == default {
            Ok(Label::Unusable)
        } else {
            Err(wrong(shard, schema, (role, name), accepted))
        }
    };
    let is_id = matches!(of(&source.id), Some(Kind::Bytes | Kind::Signed | Kind::Unsigned | Kind::Null));
    let id = label("id", &source.id, (DEFAULT_ID, ID_TYPES), is_id)?;
    let domain = match source.domain_value {
        Some(_) => Label::Missing,
        None => label("domain", &source.domain, (DEFAULT_DOMAIN, DOMAIN_TYPES), of(&source.domain).is_some())?,
    };
    Ok(Present { text, id, domain })
}

/// Settles a source's columns from what its shards have; `example` is a shard to name if a column is nowhere.
pub(crate) fn settle(
    source: &SourceConfig,
    shards: &[Present],
    example: Option<(&str, &SchemaDescriptor)>,
) -> Result<Columns> {
    let missing = |role, name: &str| example.map(|(shard, schema)| missing(shard, schema, role, name));
    note_unusable(source, shards);
    let id = shards.iter().any(|shard| shard.id == Label::Present);
    if !id && source.id != DEFAULT_ID && !source.id.is_empty() {
        missing("id", &source.id).map_or(Ok(()), Err)?;
    }
    let domain = match &source.domain_value {
        Some(value) => Domain::Constant(value.clone()),
        None if shards.iter().any(|shard| shard.domain == Label::Present) => Domain::Column(source.domain.clone()),
        None => {
            if source.domain != DEFAULT_DOMAIN && !source.domain.is_empty() {
                missing("domain", &source.domain).map_or(Ok(()), Err)?;
            }
            Domain::Constant(source.name.clone())
        }
    };
    Ok(Columns { text: source.text.clone(), id: id.then(|| source.id.clone()), domain })
}

/// Tells, once for a source, which columns of default name are passed over.
fn note_unusable(source: &SourceConfig, shards: &[Present]) {
    let ids = shards.iter().filter(|shard| shard.id == Label::Unusable).count();
    let domains = shards.iter().filter(|shard| shard.domain == Label::Unusable).count();
    for (role, column, count) in [("id", &source.id, ids), ("domain", &source.domain, domains)] {
        if count > 0 {
            tracing::warn!(
                source = source.name,
                column,
                shards = count,
                "its type cannot serve as `{role}`, so it is not used"
            );
        }
    }
}

/// The first name that two top-level columns share: which of them is meant nobody can tell.
pub(crate) fn repeated(schema: &SchemaDescriptor) -> Option<&str> {
    let mut names: Vec<&str> = roots(schema).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

pub(crate) fn roots(schema: &SchemaDescriptor) -> impl Iterator<Item = &str> {
    schema.root_schema().get_fields().iter().map(|field| field.name())
}

pub(crate) fn has_root(schema: &SchemaDescriptor, name: &str) -> bool {
    roots(schema).any(|root| root == name)
}

fn missing(shard: &str, schema: &SchemaDescriptor, role: &'static str, column: &str) -> Error {
    Error::MissingColumn {
        shard: shard.to_owned(),
        column: column.to_owned(),
        role,
        present: roots(schema).collect::<Vec<_>>().join(", "),
        near: nearest(roots(schema), column),
    }
}

fn wrong(
    shard: &str,
    schema: &SchemaDescriptor,
    (role, column): (&'static str, &str),
    accepted: &'static str,
) -> Error {
    let found = describe(leaf(schema, column).map(|leaf| schema.column(leaf)).as_deref());
    Error::ColumnType { shard: shard.to_owned(), column: column.to_owned(), role, found, accepted }
}

/// The name that is most like `wanted`, if it is like it.
pub(crate) fn nearest<'a>(names: impl Iterator<Item = &'a str>, wanted: &str) -> Option<String> {
    let similarity = |name: &str| strsim::jaro_winkler(&name.to_lowercase(), &wanted.to_lowercase());
    let near = names.max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    near.filter(|name| similarity(name) >= NEAR).map(str::to_owned)
}

/// A column's type in the words of the Parquet format; `None` is one that is no flat leaf.
pub(crate) fn describe(column: Option<&ColumnDescriptor>) -> String {
    let Some(column) = column else { return "nested (a list, map or struct)".to_owned() };
    match (column.logical_type_ref(), column.converted_type()) {
        (Some(logical), _) => format!("{} ({logical:?})", column.physical_type()),
        (None, ConvertedType::NONE) => column.physical_type().to_string(),
        (None, converted) => format!("{} ({converted})", column.physical_type()),
    }
}
