//! Errors of recipes.

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a recipe cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The schedule cannot be resolved to steps.
    #[error("the schedule does not fit the run of {tokens} tokens at {tokens_per_step} a step")]
    Schedule {
        /// `recipe.tokens`.
        tokens: f64,
        /// Tokens a step, sequence length × sequences.
        tokens_per_step: u64,
        /// What does not fit.
        source: headwater_schedule::Error,
    },
    /// The schedule of one run cannot be resolved to steps.
    #[error("`{name}` does not fit the run")]
    RunSchedule {
        /// What the user calls it.
        name: String,
        /// What does not fit.
        source: headwater_schedule::Error,
    },
    /// A child that cannot leave its parent there, or not decay so.
    #[error("cannot branch there")]
    Branch {
        /// Why.
        source: headwater_schedule::Error,
    },
    /// A sequence or batch of nothing, or a step of more tokens than 2^53.
    #[error(
        "`recipe.sequence_tokens` × `recipe.batch_sequences` is {sequence_tokens} × {batch_sequences}, but must lie between 1 and 2^53"
    )]
    StepTokens {
        /// Tokens a sequence.
        sequence_tokens: u64,
        /// Sequences a step.
        batch_sequences: u64,
    },
    /// A batch that the machines of the preset cannot share evenly.
    #[error(
        "`recipe.batch_sequences` is {batch_sequences}, which does not divide into the {share} sequences that preset \"{preset}\" passes at once under {trainer} ({arithmetic}): choose a multiple of {share}, or a preset file for your machines"
    )]
    Batch {
        /// Sequences a step.
        batch_sequences: u64,
        /// Sequences that all devices pass at once.
        share: u64,
        /// Where `share` comes from.
        arithmetic: String,
        /// The trainer's name.
        trainer: &'static str,
        /// The preset's name.
        preset: String,
    },
    /// A ramp of the batch that cannot be climbed.
    #[error("`recipe.batch_ramp.{key}` is {got}, expected {expected}")]
    BatchRamp {
        /// The key.
        key: &'static str,
        /// What was given.
        got: String,
        /// What would do.
        expected: String,
    },
    /// Data of which one pass does not fill a sequence.
    #[error(
        "the data{stage} does not fill one sequence: {parts}, but `recipe.sequence_tokens` is {sequence_tokens}; set it to at most {most}, or give more text"
    )]
    ShortData {
        /// The stage in words, if there are several.
        stage: String,
        /// Its parts and their tokens.
        parts: String,
        /// Tokens a sequence.
        sequence_tokens: u64,
        /// Tokens of one pass over all of it, with those that end documents.
        most: u64,
    },
    /// A mixture for a decay that there is not.
    #[error(
        "`mixture.decay` is set, but a \"{kind}\" schedule has no decay at the end: remove it, or set `schedule.decay`"
    )]
    NoDecay {
        /// The kind of the schedule.
        kind: &'static str,
    },
    /// A schedule that is too far from anything that a trainer does.
    #[error("{trainer} has nothing like a {schedule}")]
    UnsupportedSchedule {
        /// The trainer.
        trainer: &'static str,
        /// The schedule.
        schedule: String,
    },
    /// A trainer that recipes are not written for.
    #[error("no trainer is named `{name}`; there are: {present}")]
    UnknownTrainer {
        /// The name asked for.
        name: String,
        /// The names there.
        present: String,
    },
    /// A preset that does not come with the program.
    #[error(
        "no preset is named \"{name}\"; there are: {present}; or give the path of a preset file that ends in .toml"
    )]
    UnknownPreset {
        /// The name asked for.
        name: String,
        /// The names there.
        present: String,
    },
    /// A preset file that is no preset.
    #[error("preset \"{preset}\" cannot be read")]
    PresetSyntax {
        /// Its name.
        preset: String,
        /// Where and why.
        source: toml::de::Error,
    },
    /// A value that no trainer takes.
    #[error("in preset \"{preset}\", {key} is {got}, expected {expected}")]
    PresetValue {
        /// The preset's name.
        preset: String,
        /// Its key.
        key: String,
        /// What was given.
        got: String,
        /// What would do.
        expected: String,
    },
    /// A value that the YAML serializer refuses.
    #[error("{path} cannot be written as YAML")]
    Yaml {
        /// The file, relative to the run.
        path: &'static str,
        /// Why.
        source: serde_saphyr::ser::Error,
    },
    /// A value that the TOML serializer refuses.
    #[error("{path} cannot be written as TOML")]
    Toml {
        /// The file, relative to the run.
        path: &'static str,
        /// Why.
        source: toml::ser::Error,
    },
    /// A value that the JSON serializer refuses.
    #[error("{path} cannot be written as JSON")]
    Json {
        /// The file, relative to the run.
        path: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}
