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
    /// A source of the plan is not part of the run any more.
    #[error("corpus source `{name}` left run.json while it was being scored; run the same command again")]
    LostSource {
        /// The source.
        name: String,
    },
    /// What scores depend on has no fingerprint.
    #[error(transparent)]
    Record(#[from] headwater_record::Error),
    /// The thread that scores is the only one of its pool, so that there is none to tokenise.
    #[error("scoring needs a thread of the pool beside the one that calls")]
    OnlyThread,
    /// No document is long enough to measure with.
    #[error(
        "none of the corpus's documents has the {min_tokens} tokens that [score] min_tokens asks for, so there is nothing to measure with"
    )]
    AllShort {
        /// The fewest tokens that are scored.
        min_tokens: usize,
    },
    /// No window went through the model while throughput was measured.
    #[error(
        "no document that can be scored was found in {seconds} s; give more --seconds, or see whether [score] min_tokens = {min_tokens} \
         fits the corpus"
    )]
    NothingInTime {
        /// How long was measured.
        seconds: f64,
        /// The fewest tokens that are scored.
        min_tokens: usize,
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
