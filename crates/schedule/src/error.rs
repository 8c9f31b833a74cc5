//! Errors of schedules.

use std::io;

/// A schedule that cannot be read or resolved to steps, or gradient norms that cannot be read or refined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Phases do not fit into the run.
    #[error("{phases} exceed the run of {steps} steps: shorten one or train longer")]
    TooLong {
        /// The phases with their steps.
        phases: String,
        /// Steps of the run.
        steps: u64,
    },
    /// A wave that is none.
    #[error("the wave's {what} is {got}: amplitude and shift are numbers, the period is at least one token")]
    Wave {
        /// Its amplitude, period or shift.
        what: &'static str,
        /// The value.
        got: f64,
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
    #[error("{got} is not a fraction in [0, 1): write {{ steps = 2000 }} or {{ tokens = 1e10 }} for a length")]
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
    /// A child run that would not decay.
    #[error("the child would not decay: give its decay a length, such as 0.1 or {{ steps = 1000 }}")]
    NoDecay,
    /// A table that the TOML serializer refuses.
    #[error("the schedule cannot be written as TOML")]
    Toml {
        /// Why.
        source: toml::ser::Error,
    },
    /// A file of gradient norms in a format that is not read.
    #[error(
        "{file}: gradient norms are read from .csv, .tsv, .jsonl, .json, .parquet, and .log or .txt of Megatron-LM"
    )]
    LogFormat {
        /// The file.
        file: String,
    },
    /// A log that cannot be read to its end.
    #[error("{place} cannot be read")]
    LogRead {
        /// The file, with the line if there is one.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// A line of a table with a quote that stays open.
    #[error("{file}:{line}: has a quote that is not closed: mend or remove the line")]
    LogQuote {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
    },
    /// A line of a table that has more or fewer fields than the first.
    #[error("{file}:{line}: has {got} fields where the first line has {expected}: mend or remove the line")]
    LogWidth {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// Its fields.
        got: usize,
        /// The fields of the first line.
        expected: usize,
    },
    /// A line of a log that is no JSON.
    #[error("{file}:{line}: is no JSON: mend or remove the line")]
    LogJson {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// Why.
        source: serde_json::Error,
    },
    /// A log without the column of gradient norms.
    #[error("{file}: has no column `{column}`; name one of {present}")]
    NormColumn {
        /// The file.
        file: String,
        /// The column looked for.
        column: String,
        /// The columns there.
        present: String,
    },
    /// A log with several columns that may be the gradient norms.
    #[error("{file}: {columns} may all be the gradient norms; name one")]
    SeveralNorms {
        /// The file.
        file: String,
        /// The columns.
        columns: String,
    },
    /// A table without the header line that would say where the norms are.
    #[error("{file}: {}", header(*columns, column.as_deref()))]
    NormHeader {
        /// The file.
        file: String,
        /// Its columns.
        columns: usize,
        /// The column asked for.
        column: Option<String>,
    },
    /// A logged norm that no gradient has.
    #[error("{file}:{line}: gradient norm {got}: a norm is a number that is not negative")]
    LoggedNorm {
        /// The file.
        file: String,
        /// The line, entry or row, from 1.
        line: u64,
        /// The number.
        got: f64,
    },
    /// A log without a norm.
    #[error("{file}: has no gradient norms")]
    NoNorms {
        /// The file.
        file: String,
    },
}

fn header(columns: usize, column: Option<&str>) -> String {
    column.map_or_else(
        || format!("has {columns} columns and no header line that names them"),
        |column| format!("has no header line to find `{column}` in"),
    )
}
