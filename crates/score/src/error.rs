//! Why scoring stopped.

/// Why scoring stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting that cannot be used.
    #[error("`{key}` is {value}, but {rule}")]
    Config {
        /// The key, with its table.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] headwater_store::Error),
    /// The corpus failed.
    #[error(transparent)]
    Corpus(#[from] headwater_corpus::Error),
    /// The model failed on a document.
    #[error("cannot score row {row} of {shard}")]
    Document {
        /// The shard's path.
        shard: String,
        /// Row inside the shard.
        row: u64,
        /// Why.
        #[source]
        source: Box<headwater_model::Error>,
    },
    /// A file of the run that is not what it should be.
    #[error("{path} of the run is damaged: {reason}; move it away and run again")]
    Damaged {
        /// The file, relative to the run.
        path: String,
        /// What is wrong with it.
        reason: String,
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
         samples of [[corpus]] and [run] unit_bytes, choose another [run] output, or pass --rescore to go on with the new plan"
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
    /// A sidecar could not be encoded.
    #[error("cannot write the sidecar of unit {unit}")]
    Sidecar {
        /// The unit.
        unit: String,
        /// Why.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A sidecar's columns could not be assembled.
    #[error("cannot assemble the sidecar of unit {unit}")]
    Columns {
        /// The unit.
        unit: String,
        /// Why.
        #[source]
        source: arrow::error::ArrowError,
    },
}

impl Error {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Corpus(error) => error.is_transient(),
            _ => false,
        }
    }
}
