//! Errors of schedules.

/// A schedule that cannot be resolved to steps, or norms that cannot be refined.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// WsdSteps do not fit into the run.
    #[error("{phases} exceed the run of {steps} steps: shorten one or train longer")]
    TooLong {
        /// The phases with their steps.
        phases: String,
        /// Steps of the run.
        steps: u64,
    },
    /// Periods that do not fill the run.
    #[error("`periods` make {got} steps together, but the run has {steps}: they must fill it exactly")]
    Periods {
        /// Steps of all periods.
        got: u64,
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
    /// A value out of range.
    #[error("`{key}` must be {expected}, got {got}")]
    Value {
        /// The key of the `[schedule]` table, or `peak_lr`.
        key: &'static str,
        /// What was given.
        got: String,
        /// What would do.
        expected: &'static str,
    },
    /// A key that the kind does not have.
    #[error("`{key}` is no key of kind \"{kind}\", which takes {keys}")]
    ForeignKey {
        /// The key.
        key: &'static str,
        /// The kind.
        kind: &'static str,
        /// The keys of that kind.
        keys: String,
    },
    /// A key that the kind cannot do without.
    #[error("kind \"{kind}\" needs `{key}`, {example}")]
    MissingKey {
        /// The key.
        key: &'static str,
        /// The kind.
        kind: &'static str,
        /// What it could be.
        example: &'static str,
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
    /// A schedule that cannot be branched.
    #[error("a \"{kind}\" schedule has no stable phase to branch from: wsd, inverse-sqrt, power and infinite have")]
    NoPlateau {
        /// Its kind.
        kind: &'static str,
    },
    /// A branch from outside the stable phase.
    #[error("step {at} is outside the stable phase, which lasts from step {from} to step {to}: branch from inside it")]
    OffPlateau {
        /// Where the branch was to leave.
        at: u64,
        /// First step of the stable phase.
        from: u64,
        /// Where decay begins.
        to: u64,
    },
    /// Too few norms to say anything.
    #[error("{got} gradient norms are too few: at least {least} are needed, after infinite ones and edges are dropped")]
    FewNorms {
        /// Norms left.
        got: usize,
        /// Norms needed.
        least: usize,
    },
    /// A norm that no gradient has.
    #[error("gradient norm {index} is {got}: a norm is a number that is not negative")]
    Norm {
        /// Its position, from 0.
        index: usize,
        /// Its value.
        got: f64,
    },
    /// Norms that are all zero.
    #[error("all gradient norms are 0 after filtering, so they order no step before another")]
    NoGradient,
}
