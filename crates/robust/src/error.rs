//! Errors of this crate.

/// What keeps a network from being built, attacked, trained or judged.
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
        /// How many there must be.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// An input outside the bounds that attacks keep to: no attacked input could lie both within its radius and within them.
    #[error("inputs reach from {low} to {high}, beyond the bounds of the attack")]
    OutOfBounds {
        /// The lowest input.
        low: f32,
        /// The highest.
        high: f32,
    },
    /// Accuracy was asked of examples without labels.
    #[error("accuracy needs class labels, and these examples have values")]
    NoLabels,
    /// The loss became infinite or not a number, so the rate is too high.
    #[error("the loss is not finite at update {update}")]
    Diverged {
        /// The update, from 0.
        update: u64,
    },
    /// A tensor operation failed.
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
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

    /// Makes sure that there are as many of `what` as `expected`.
    pub(crate) const fn unless_size(what: &'static str, expected: usize, got: usize) -> Result<(), Self> {
        if expected == got { Ok(()) } else { Err(Self::Size { what, expected, got }) }
    }
}
