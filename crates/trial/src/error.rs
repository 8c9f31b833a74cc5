//! Errors of this crate.

/// What keeps outcomes from being recorded or compared.
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
    /// A loss that is no loss: a run that diverged belongs in the report, not in a mean.
    #[error("the loss of arm {arm:?} under seed {seed} is {value} bits per byte, not finite and at least 0")]
    Loss {
        /// The arm.
        arm: String,
        /// The seed.
        seed: u64,
        /// The value.
        value: f64,
    },
    /// A run that was recorded before.
    #[error("arm {arm:?} has two runs under seed {seed}")]
    Twice {
        /// The arm.
        arm: String,
        /// The seed.
        seed: u64,
    },
    /// An arm without runs.
    #[error("arm {arm:?} has no runs")]
    NoRuns {
        /// The arm.
        arm: String,
    },
    /// Runs that cannot be paired.
    #[error("arm {arm:?} has no run under seed {seed}, so it cannot be paired: every arm needs a run under every seed")]
    Unpaired {
        /// The arm that lacks the run.
        arm: String,
        /// The seed.
        seed: u64,
    },
    /// Runs under a seed that the design does not name.
    #[error("arm {arm:?} has a run under seed {seed}, which the design does not name")]
    UnplannedSeed {
        /// The arm.
        arm: String,
        /// The seed.
        seed: u64,
    },
    /// Too few of something.
    #[error("{got} {what}, at least {least} are needed")]
    TooFew {
        /// What was counted.
        what: &'static str,
        /// How many there must be.
        least: usize,
        /// How many there are.
        got: usize,
    },
    /// A run that was measured on another number of documents.
    #[error("arm {arm:?} under seed {seed} has losses of {got} documents, not of {expected}")]
    Documents {
        /// The arm.
        arm: String,
        /// The seed.
        seed: u64,
        /// The held-out documents.
        expected: usize,
        /// The losses of the run.
        got: usize,
    },
    /// An arm without text in a domain.
    #[error(
        "arm {arm:?} has no text in domain {domain:?}: keep more of it (`select.fraction`), or leave the domain out by a guard"
    )]
    EmptyArm {
        /// The arm.
        arm: String,
        /// The domain.
        domain: String,
    },
    /// A trial of which not all runs are done.
    #[error("{done} of {of} runs are done: a trial is judged when all are")]
    Unfinished {
        /// Runs that are done.
        done: usize,
        /// Runs that are planned.
        of: usize,
    },
    /// A loss curve that cannot be read.
    #[error("point {at} of a loss curve: {rule}")]
    Curve {
        /// The point, from 0.
        at: usize,
        /// What it breaks.
        rule: &'static str,
    },
    /// Rungs of a ladder that cannot be set side by side.
    #[error("the rung of {parameters} parameters: {rule}")]
    Ladder {
        /// The size of the rung.
        parameters: u64,
        /// What it breaks.
        rule: &'static str,
    },
}

impl Error {
    /// Makes sure that there are at least `least` of `what`.
    pub(crate) const fn unless_enough(what: &'static str, least: usize, got: usize) -> Result<(), Self> {
        if got >= least { Ok(()) } else { Err(Self::TooFew { what, least, got }) }
    }
}
