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
    Bytes,
    Signed,
    Unsigned,
    Bool,
}

/// Which of the optional columns one shard has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Present {
    pub(crate) text: usize,
    pub(crate) id: bool,
    pub(crate) domain: bool,
}

/// Finds the leaf of the flat top-level column `name`; `None` if there is no such column or it is nested.
pub(crate) fn leaf(schema: &SchemaDescriptor, name: &str) -> Option<usize> {
    schema.columns().iter().position(|column| column.path().parts() == [name] && column.max_rep_level() == 0)
}

/// How the values of a leaf are read; `None` for types that can be neither text nor id nor domain.
pub(crate) fn kind(column: &ColumnDescriptor) -> Option<Kind> {
    let (logical, converted) = (column.logical_type_ref(), column.converted_type());
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
pub(crate) fn check(source: &SourceConfig, shard: &str, schema: &SchemaDescriptor) -> Result<Present> {
    let uses_domain = source.domain_value.is_none() && !source.domain.is_empty();
    let id = !source.id.is_empty() && has_root(schema, &source.id);
    let domain = uses_domain && has_root(schema, &source.domain);
    if !has_root(schema, &source.text) {
        return Err(missing(shard, schema, "text", &source.text));
    }
    let wrong = |role, column: &str, accepted| Error::ColumnType {
        shard: shard.to_owned(),
        column: column.to_owned(),
        role,
        found: describe(schema, column),
        accepted,
    };
    let of = |name: &str| leaf(schema, name).and_then(|leaf| Some((leaf, kind(&schema.column(leaf))?)));
    let text = match of(&source.text) {
        Some((leaf, Kind::Bytes)) => leaf,
        _ => return Err(wrong("text", &source.text, TEXT_TYPES)),
    };
    if id && !matches!(of(&source.id), Some((_, Kind::Bytes | Kind::Signed | Kind::Unsigned))) {
        return Err(wrong("id", &source.id, ID_TYPES));
    }
    if domain && of(&source.domain).is_none() {
        return Err(wrong("domain", &source.domain, DOMAIN_TYPES));
    }
    Ok(Present { text, id, domain })
}

/// Settles a source's columns from what its shards have; `example` is a shard to name if a column is nowhere.
pub(crate) fn settle(
    source: &SourceConfig,
    shards: &[Present],
    example: Option<(&str, &SchemaDescriptor)>,
) -> Result<Columns> {
    let missing = |role, name: &str| example.map(|(shard, schema)| missing(shard, schema, role, name));
    let id = shards.iter().any(|shard| shard.id);
    if !id && source.id != DEFAULT_ID && !source.id.is_empty() {
        missing("id", &source.id).map_or(Ok(()), Err)?;
    }
    let domain = match &source.domain_value {
        Some(value) => Domain::Constant(value.clone()),
        None if shards.iter().any(|shard| shard.domain) => Domain::Column(source.domain.clone()),
        None => {
            if source.domain != DEFAULT_DOMAIN && !source.domain.is_empty() {
                missing("domain", &source.domain).map_or(Ok(()), Err)?;
            }
            Domain::Constant(source.name.clone())
        }
    };
    Ok(Columns { text: source.text.clone(), id: id.then(|| source.id.clone()), domain })
}

fn roots(schema: &SchemaDescriptor) -> impl Iterator<Item = &str> {
    schema.root_schema().get_fields().iter().map(|field| field.name())
}

fn has_root(schema: &SchemaDescriptor, name: &str) -> bool {
    roots(schema).any(|root| root == name)
}

fn missing(shard: &str, schema: &SchemaDescriptor, role: &'static str, column: &str) -> Error {
    let similarity = |name: &str| strsim::jaro_winkler(&name.to_lowercase(), &column.to_lowercase());
    let near =
        roots(schema).max_by(|a, b| similarity(a).total_cmp(&similarity(b))).filter(|name| similarity(name) >= NEAR);
    Error::MissingColumn {
        shard: shard.to_owned(),
        column: column.to_owned(),
        role,
        present: roots(schema).collect::<Vec<_>>().join(", "),
        near: near.map(str::to_owned),
    }
}

/// A column's type in the words of the Parquet format.
fn describe(schema: &SchemaDescriptor, name: &str) -> String {
    let Some(leaf) = leaf(schema, name) else { return "nested (a list, map or struct)".to_owned() };
    let column = schema.column(leaf);
    match (column.logical_type_ref(), column.converted_type()) {
        (Some(logical), _) => format!("{} ({logical:?})", column.physical_type()),
        (None, ConvertedType::NONE) => column.physical_type().to_string(),
        (None, converted) => format!("{} ({converted})", column.physical_type()),
    }
}
