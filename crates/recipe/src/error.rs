//! What can be wrong with a recipe.

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a recipe cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The schedule cannot be resolved to steps.
    #[error("the schedule does not fit the run")]
    Schedule(#[from] headwater_schedule::Error),
    /// A step of more tokens than 64 bits count.
    #[error("{sequence_tokens} tokens × {batch_sequences} sequences a step overflow: shrink the batch")]
    StepTokens {
        /// Tokens a sequence.
        sequence_tokens: u64,
        /// Sequences a step.
        batch_sequences: u64,
    },
}
