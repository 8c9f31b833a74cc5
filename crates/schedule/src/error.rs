//! What can be wrong with a schedule.

/// A schedule that cannot be resolved to steps.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Warm-up and decay do not fit into the run.
    #[error(
        "warm-up of {warmup_steps} steps and decay of {decay_steps} steps exceed the run of {steps} steps: shorten one or train longer"
    )]
    TooLong {
        /// Steps of warm-up.
        warmup_steps: u64,
        /// Steps of decay.
        decay_steps: u64,
        /// Steps of the run.
        steps: u64,
    },
    /// A run without steps.
    #[error("{tokens} tokens make no step of {tokens_per_step} tokens: raise the tokens or shrink the batch")]
    NoSteps {
        /// Tokens of the run.
        tokens: u64,
        /// Tokens a step, sequence length × sequences.
        tokens_per_step: u64,
    },
    /// More steps than a 64-bit float counts exactly.
    #[error("a run of {steps} steps is longer than 2^53")]
    TooManySteps {
        /// Steps of the run.
        steps: u64,
    },
    /// A peak learning rate that is not positive and finite.
    #[error("the peak learning rate must be positive and finite, got {got}")]
    PeakLr {
        /// What was given.
        got: f64,
    },
    /// A floor outside [0, 1].
    #[error("the floor is a fraction of the peak in [0, 1], got {got}")]
    Floor {
        /// What was given.
        got: f64,
    },
    /// A length given as a bare number that is no fraction.
    #[error("{got} is not a fraction in [0, 1): write {{ steps = n }} or {{ tokens = n }} for a length")]
    Fraction {
        /// What was given.
        got: f64,
    },
    /// A count that is not a whole number.
    #[error("{got} is not a whole number of {unit} between 0 and 2^53")]
    Count {
        /// What was given.
        got: f64,
        /// `steps` or `tokens`.
        unit: &'static str,
    },
}
