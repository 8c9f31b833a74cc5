//! What can go wrong between a configured source and its documents.

use std::io;

use parquet::errors::ParquetError;

/// Short for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who can do something about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The user: a setting, a path, a permission, a full disk.
    User,
    /// Whoever made the shard.
    Data,
    /// Nobody: the same call may succeed later.
    Transient,
}

/// What can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A source's name cannot be a folder's name.
    #[error("`{name}` cannot name a corpus source: use letters, digits, `_`, `-` and `.`, not beginning with `.`")]
    SourceName {
        /// What was given.
        name: String,
    },
    /// An empty constant domain.
    #[error("corpus source `{name}`: domain_value is empty; give the domain a name or leave the key out")]
    EmptyDomain {
        /// Name of the source.
        name: String,
    },
    /// Two sources of one name.
    #[error("two corpus sources are named `{name}`; names must differ, they become folders")]
    DuplicateSource {
        /// The name.
        name: String,
    },
    /// A source without paths.
    #[error("corpus source `{name}` has no `paths`")]
    NoPaths {
        /// The source.
        name: String,
    },
    /// A sample share outside (0, 1].
    #[error("corpus source `{name}`: `sample` is {sample}, but must be above 0 and at most 1")]
    Sample {
        /// The source.
        name: String,
        /// What was given.
        sample: f64,
    },
    /// A unit size of zero.
    #[error("`unit_bytes` must be at least 1 byte")]
    UnitBytes,
    /// A path with wildcards that do not parse.
    #[error("corpus source `{name}`: `{entry}` is not a valid pattern")]
    Pattern {
        /// The source.
        name: String,
        /// The entry of `paths`.
        entry: String,
        /// Cause.
        source: globset::Error,
    },
    /// An entry of `paths` under which no shard lies.
    #[error("corpus source `{name}`: `{entry}` matches no Parquet file")]
    NoShards {
        /// The source.
        name: String,
        /// The entry of `paths`.
        entry: String,
    },
    /// Two files of one source with the same relative path.
    #[error(
        "corpus source `{name}`: `{first}` and `{second}` both give a shard `{path}`; remove one or move it to a source of its own"
    )]
    DuplicateShard {
        /// The source.
        name: String,
        /// The relative path.
        path: String,
        /// One entry of `paths`.
        first: String,
        /// The other entry, possibly the same.
        second: String,
    },
    /// A shard lacks a column that the source needs.
    #[error("{shard}: no column `{column}` for `{role}`{}; the columns are {present}", near.as_ref().map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default())]
    MissingColumn {
        /// The shard's path or URL.
        shard: String,
        /// The configured name.
        column: String,
        /// The setting: `text`, `id` or `domain`.
        role: &'static str,
        /// The shard's top-level columns, comma-separated.
        present: String,
        /// The nearest of them, if near.
        near: Option<String>,
    },
    /// A column of a type that cannot serve.
    #[error("{shard}: column `{column}` is {found}, but `{role}` must be {accepted}; set `{role}` to another column")]
    ColumnType {
        /// The shard's path or URL.
        shard: String,
        /// The column.
        column: String,
        /// The setting: `text`, `id` or `domain`.
        role: &'static str,
        /// The column's type.
        found: String,
        /// The types that can serve.
        accepted: &'static str,
    },
    /// A shard lacks a column that numbers are to be read from.
    #[error(
        "{shard}: no column `{column}`{}; {}",
        near.as_ref().map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default(),
        if present.is_empty() { "it has no columns of numbers".to_owned() } else { format!("its columns of numbers are {present}") }
    )]
    NoNumbers {
        /// The shard's path or URL.
        shard: String,
        /// The column asked for.
        column: String,
        /// The shard's columns of numbers, comma-separated; those inside structs with dots. Empty if there are none.
        present: String,
        /// The nearest of them, if near.
        near: Option<String>,
    },
    /// A column that holds no numbers.
    #[error("{shard}: column `{column}` is {found}, but must hold numbers, decimals or booleans, one a row")]
    NotNumbers {
        /// The shard's path or URL.
        shard: String,
        /// The column.
        column: String,
        /// The column's type.
        found: String,
    },
    /// A file that is no readable Parquet shard.
    #[error("{shard}: {reason}; repair or remove it, or set on_bad_shard = \"skip\" to go on without it")]
    BadShard {
        /// The shard's path or URL.
        shard: String,
        /// What is wrong.
        reason: String,
    },
    /// A file of numbers that is no readable Parquet file.
    #[error("{file}: {reason}; write it again")]
    NumberFile {
        /// The file's path or URL.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The disk or store failed.
    #[error(transparent)]
    Store(#[from] headwater_store::Error),
    /// Pages that cannot be decoded.
    #[error(
        "{shard}: row group {row_group}, rows {first_row} to {last_row}, column `{column}` cannot be decoded; repair or remove it, or set on_bad_shard = \"skip\" to go on without it"
    )]
    Corrupt {
        /// The shard's path or URL.
        shard: String,
        /// Row group, 0-based.
        row_group: usize,
        /// First of the rows that were being read, counted from the start of the shard.
        first_row: u64,
        /// Last of them.
        last_row: u64,
        /// The column.
        column: String,
        /// Cause.
        source: ParquetError,
    },
    /// A row has another text than the one that was scored.
    #[error(
        "{shard}: row {row} has another text than when it was scored; run `headwater run --rescore` to score the shard as it is now"
    )]
    OtherText {
        /// The shard's path or URL.
        shard: String,
        /// The row, counted from the start of the shard.
        row: u64,
    },
    /// A unit that is not one of the shard's.
    #[error("{shard}: unit {unit} does not belong to it; plan again")]
    ForeignUnit {
        /// The shard's path or URL.
        shard: String,
        /// The unit's name.
        unit: String,
    },
    /// Rows out of order.
    #[error("rows must rise strictly, but {row} follows {before}")]
    RowOrder {
        /// The row.
        row: u64,
        /// The row before it.
        before: u64,
    },
    /// A row that the shard lacks.
    #[error("{shard}: row {row} is asked for, but the shard has {rows} rows")]
    RowOutOfRange {
        /// The shard's path or URL.
        shard: String,
        /// The row.
        row: u64,
        /// Rows of the shard.
        rows: u64,
    },
    /// Another number of values of an added column than of kept rows.
    #[error("{values} values for {rows} kept rows")]
    ColumnLength {
        /// Kept rows.
        rows: usize,
        /// Values.
        values: usize,
    },
    /// The shard has a column of the name of the one to be added.
    #[error(
        "{shard}: it already has a column `{column}`; give the added one another name, as in influence_column = \"attention_influence\""
    )]
    ColumnTaken {
        /// The shard's path or URL.
        shard: String,
        /// The name.
        column: String,
    },
    /// The subset cannot be written.
    #[error("the subset of {shard} cannot be written")]
    Write {
        /// The shard's path or URL.
        shard: String,
        /// Cause.
        source: io::Error,
    },
    /// The subset cannot be encoded.
    #[error("the subset of {shard} cannot be encoded")]
    Encode {
        /// The shard's path or URL.
        shard: String,
        /// Cause.
        source: ParquetError,
    },
}

impl Error {
    /// Who can do something about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Store(error) => of_store(error),
            Self::Write { source, .. } => source
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<headwater_store::Error>())
                .map_or(Class::User, of_store),
            Self::BadShard { .. }
            | Self::NumberFile { .. }
            | Self::Corrupt { .. }
            | Self::OtherText { .. }
            | Self::Encode { .. } => Class::Data,
            _ => Class::User,
        }
    }

    /// Whether the same call may succeed later with nothing else changed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.class() == Class::Transient
    }
}

const fn of_store(error: &headwater_store::Error) -> Class {
    if error.is_transient() { Class::Transient } else { Class::User }
}
