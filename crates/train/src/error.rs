//! Errors of this crate.

use std::io;
use std::path::PathBuf;

/// What keeps a model from being trained, saved or resumed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value that cannot be used.
    #[error("{name} = {value}: {rule}")]
    Setting {
        /// What it sets.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it breaks.
        rule: &'static str,
    },
    /// Numbers that do not fit together.
    #[error("{what}: {got}, not {expected}")]
    Size {
        /// What was counted.
        what: &'static str,
        /// How many there must be, in words.
        expected: String,
        /// How many there are.
        got: usize,
    },
    /// A token outside of the vocabulary.
    #[error("token {token} at place {place} is not in the vocabulary of {vocabulary}")]
    Token {
        /// The token.
        token: u32,
        /// Where it stands among those given, from 0.
        place: usize,
        /// Tokens that there are.
        vocabulary: usize,
    },
    /// The loss or its gradient became infinite or not a number, so the rate is too high. The update was not made.
    #[error("the loss or its gradient is not finite at step {step}")]
    Diverged {
        /// The step, from 0.
        step: u64,
    },
    /// A checkpoint was made under other settings.
    #[error("{path} was made with {name} = {checkpoint}, not {here}", path = path.display())]
    OtherSettings {
        /// The checkpoint.
        path: PathBuf,
        /// The setting.
        name: String,
        /// Its value in the checkpoint.
        checkpoint: String,
        /// Its value here.
        here: String,
    },
    /// A file is not what this crate wrote.
    #[error("{path} is damaged: {problem}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file cannot be read.
    #[error("cannot read {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// Makes sure that `sound` holds for the setting `name`.
    pub(crate) fn unless(
        sound: bool,
        name: &'static str,
        value: impl std::fmt::Display,
        rule: &'static str,
    ) -> Result<(), Self> {
        if sound { Ok(()) } else { Err(Self::Setting { name, value: value.to_string(), rule }) }
    }
}
