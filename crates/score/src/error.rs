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
    /// An artefact of the run cannot be read or written.
    #[error(transparent)]
    Run(#[from] headwater_run::Error),
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
}

impl Error {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Corpus(error) => error.is_transient(),
            Self::Run(error) => error.is_transient(),
            _ => false,
        }
    }
}
