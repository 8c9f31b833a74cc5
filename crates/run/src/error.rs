//! What can go wrong with the artefacts of a run.

use std::fmt;
use std::io;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use crate::Unit;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an artefact cannot be read or written, or a run not be begun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk or store failed.
    #[error(transparent)]
    Store(#[from] headwater_store::Error),
    /// An artefact that is not what it should be.
    #[error("{path} of the run is damaged: {reason}; move it away and run again")]
    Damaged {
        /// The file, relative to the run.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An artefact in JSON that cannot be encoded.
    #[error("{path} cannot be encoded")]
    Json {
        /// The file, relative to the run.
        path: String,
        /// Cause.
        source: serde_json::Error,
    },
    /// The run was begun with other settings.
    #[error(
        "this run was begun with other settings ({}); undo the change, choose another [run] output, or pass --rescore to score again",
        .differences.join("; ")
    )]
    OtherSettings {
        /// `name: then → now`.
        differences: Vec<String>,
    },
    /// Shards were replaced since the run began.
    #[error(
        "shards changed since the run began ({}); restore them, choose another [run] output, or pass --rescore to score them again",
        .shards.join(", ")
    )]
    ChangedShards {
        /// The shards, as source/path.
        shards: Vec<String>,
    },
    /// The plan lacks units that the run was begun with.
    #[error(
        "{lost} units that this run was begun with are no longer planned, such as of {example}; restore the paths, names and \
         samples of [[corpus]] and [run] unit_bytes, choose another [run] output, or run `headwater run --rescore` to go on with the new plan"
    )]
    SmallerPlan {
        /// Units that are no longer planned.
        lost: usize,
        /// The first shard that lost some, as source/path.
        example: String,
    },
    /// Id or domain columns changed since the run began.
    #[error(
        "the id or domain columns changed since the run began ({}); run `headwater score --relabel` to rewrite those columns without scoring again",
        .differences.join("; ")
    )]
    OtherLabels {
        /// `source: then → now`.
        differences: Vec<String>,
    },
    /// Two shards of one source share a relative path, or two units share rows: addresses would be ambiguous.
    #[error(
        "two units of source {source_name} claim row {row} of {path}; give the `paths` entries different sources or relative paths"
    )]
    Overlap {
        /// The source.
        source_name: String,
        /// The shard's relative path.
        path: String,
        /// First row claimed twice.
        row: u64,
    },
    /// A sidecar that is not what its name says.
    #[error("sidecar {path}: {what} is {got}, expected {expected}; delete it and run `headwater score` again")]
    Sidecar {
        /// The file, relative to the run.
        path: String,
        /// What is wrong: a footer key, a column.
        what: String,
        /// What was expected.
        expected: String,
        /// What was found.
        got: String,
    },
    /// A sidecar whose ids or domains come from other columns than the run's.
    #[error("sidecar {path} has {got}, but the run has {expected}; run `headwater score --relabel`")]
    Labels {
        /// The file, relative to the run.
        path: String,
        /// The run's labels.
        expected: String,
        /// The sidecar's.
        got: String,
    },
    /// A sidecar that is no readable Parquet file.
    #[error("sidecar {path} cannot be read; delete it and run `headwater score` again")]
    Unreadable {
        /// Path or URL.
        path: String,
        /// Cause.
        source: ParquetError,
    },
    /// A sidecar or `rejects.parquet` that cannot be encoded.
    #[error("{path} cannot be encoded")]
    Encode {
        /// Path or URL, or the unit of a sidecar.
        path: String,
        /// Cause.
        source: ParquetError,
    },
    /// The columns of a sidecar that cannot be assembled.
    #[error("cannot assemble the sidecar of unit {unit}")]
    Columns {
        /// The unit.
        unit: String,
        /// Cause.
        source: ArrowError,
    },
}

impl Error {
    /// The error of a sidecar that is not what its name says.
    #[must_use]
    pub fn sidecar(unit: &Unit, what: &str, expected: &dyn fmt::Display, got: &dyn fmt::Display) -> Self {
        Self::Sidecar {
            path: unit.sidecar_path(),
            what: what.to_owned(),
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }

    /// The error of the Parquet file at `path`: the store's own where that is what stopped the encoder.
    pub(crate) fn encoding(path: String, source: ParquetError) -> Self {
        let ParquetError::External(cause) = source else { return Self::Encode { path, source } };
        match cause.downcast::<io::Error>().map(|cause| cause.downcast::<headwater_store::Error>()) {
            Ok(Ok(cause)) => Self::Store(cause),
            Ok(Err(cause)) => Self::Encode { path, source: ParquetError::External(Box::new(cause)) },
            Err(cause) => Self::Encode { path, source: ParquetError::External(cause) },
        }
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}
