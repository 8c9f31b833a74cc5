//! Errors of writing token files.

use std::io;

/// Short for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why token files could not be written.
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
    /// A vocabulary that two bytes cannot hold.
    #[error(
        "`tokens.token_bytes` is 2, which holds {most} tokens, but tokenizer {tokenizer} has {vocab_size}; \
         use 4, or \"auto\""
    )]
    Width {
        /// The tokenizer.
        tokenizer: String,
        /// The highest id plus one.
        vocab_size: u64,
        /// The greatest vocabulary that would do.
        most: u64,
    },
    /// A vocabulary that no format can hold.
    #[error("tokenizer {tokenizer} has ids up to {highest}; token files hold ids up to {most}")]
    Vocabulary {
        /// The tokenizer.
        tokenizer: String,
        /// Its highest id.
        highest: u64,
        /// The highest that would do.
        most: u64,
    },
    /// A token that the tokenizer does not have.
    #[error(
        "`tokens.eos` is {eos:?}, which is no token of tokenizer {tokenizer}; give a special token as its vocabulary writes it"
    )]
    UnknownEos {
        /// The text that was asked for.
        eos: String,
        /// The tokenizer.
        tokenizer: String,
    },
    /// A tokenizer of which it is not known how documents end.
    #[error(
        "nothing says which token ends a document with tokenizer {tokenizer}: it has no <|endoftext|>, and its files name no eos \
         token; set `tokens.eos` to one of its special tokens"
    )]
    NoEos {
        /// The tokenizer.
        tokenizer: String,
    },
    /// The files in a folder were begun with other settings.
    #[error(
        "the token files in {folder} were begun with other settings ({}); undo the change, move the folder away to write them again, \
         or choose another [run] output",
        .differences.join("; ")
    )]
    OtherSettings {
        /// The folder.
        folder: String,
        /// `name: then → now`.
        differences: Vec<String>,
    },
    /// A file of ours that is not what it should be.
    #[error("{path} is damaged: {reason}; remove it and run again")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A record or manifest that has no JSON form.
    #[error("{path} cannot be written as JSON")]
    Encode {
        /// The file.
        path: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The tokenizer failed on a document.
    #[error("cannot tokenise row {row} of {shard}")]
    Document {
        /// The shard.
        shard: String,
        /// Row inside the shard.
        row: u64,
        /// Why.
        #[source]
        source: Box<headwater_model::Error>,
    },
    /// A document or sample that is too long for its format.
    #[error("{path} cannot hold {tokens} tokens in one piece: the format counts them in 32 bits")]
    TooLong {
        /// The file.
        path: String,
        /// Tokens of the document or sample.
        tokens: u64,
    },
    /// The files that say how a tokenizer ends its texts cannot be understood.
    #[error(transparent)]
    Tokenizer(#[from] Box<headwater_model::Error>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] headwater_store::Error),
    /// The corpus failed.
    #[error(transparent)]
    Corpus(#[from] headwater_corpus::Error),
}

impl Error {
    /// Returns whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Corpus(error) => error.is_transient(),
            _ => false,
        }
    }

    /// The failure of a store's writer, which travels inside an I/O error.
    pub(crate) fn writing(path: &str, error: io::Error) -> Self {
        let error = error.downcast::<headwater_store::Error>();
        Self::Store(error.unwrap_or_else(|source| headwater_store::Error::Io { path: path.to_owned(), source }))
    }
}
