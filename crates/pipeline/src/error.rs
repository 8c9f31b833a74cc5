//! Why a pipeline stopped.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The user changes something: a setting, a path, a permission.
    User,
    /// The same call again may work, and goes on where this one stopped.
    Transient,
    /// A defect of Headwater.
    Bug,
}

/// Why a pipeline stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A TOML file that cannot be read.
    #[error("cannot read the {what}")]
    Read {
        /// What the file is.
        what: &'static str,
        /// Why, with the path.
        #[source]
        source: io::Error,
    },
    /// A file that another one extends cannot be read.
    #[error("cannot read what {}:{line} extends", path.display())]
    ReadExtended {
        /// The extending file.
        path: PathBuf,
        /// The line that names the other.
        line: usize,
        /// Why, with the path.
        #[source]
        source: io::Error,
    },
    /// Files that extend one another in a circle.
    #[error("{chain}: a file cannot extend itself; remove one `extends`")]
    ExtendsItself {
        /// The files, joined by `extends`.
        chain: String,
    },
    /// transformers could not be asked.
    #[error("cannot compare with transformers: {reason}")]
    Transformers {
        /// What Python says.
        reason: String,
    },
    /// A TOML file says something that cannot be understood.
    #[error("{}{}: {message}{}", path.display(), Line(*line), Quote(text))]
    Config {
        /// The file.
        path: PathBuf,
        /// The line, from 1; 0 if the fault has no place.
        line: usize,
        /// What is wrong, with the nearest known key.
        message: String,
        /// The line's text.
        text: String,
    },
    /// An override that cannot be applied.
    #[error("{problem}")]
    Override {
        /// The override and what is wrong with it.
        problem: String,
    },
    /// A schedule named on the command line that cannot be understood.
    #[error("{message}")]
    ScheduleName {
        /// The name and what is wrong with it.
        message: String,
    },
    /// Gradient norms that no schedule can be made from.
    #[error("{file}: {read} norms read, {edges} dropped at each end{hint}")]
    Refine {
        /// The log.
        file: String,
        /// Norms in it.
        read: usize,
        /// Norms left out at each end.
        edges: usize,
        /// What keeps them.
        hint: &'static str,
        /// Why.
        #[source]
        source: Box<headwater_schedule::Error>,
    },
    /// There is no folder for models and measurements.
    #[error("there is no home folder to keep models and measurements in; set XDG_CACHE_HOME")]
    NoCache,
    /// The output cannot be opened.
    #[error("[run] output cannot be used")]
    Output(#[source] headwater_store::Error),
    /// Files where recipes go that no recipe wrote, or that were changed since.
    #[error(
        "{}: not written by headwater, or changed since, and a new recipe would replace or remove it; move it elsewhere, or write the \
         recipes into another folder (`headwater recipe --out FOLDER`)",
        .files.join(", ")
    )]
    ForeignRecipeFiles {
        /// Their paths or URLs.
        files: Vec<String>,
    },
    /// Nothing was scored yet.
    #[error("{output} has no run.json yet: run `headwater run {pipeline}` first")]
    NotBegun {
        /// The run's output.
        output: String,
        /// The pipeline.
        pipeline: String,
    },
    /// A run without a score.
    #[error("{output} has no scores yet: run `headwater score {pipeline}` first")]
    NotScored {
        /// The run's output.
        output: String,
        /// The pipeline.
        pipeline: String,
    },
    /// Runs to put on one page that are not two.
    #[error("`report --compare` puts two runs on one page, and was given {pipelines}: name two pipelines")]
    NotTwoRuns {
        /// How many were given.
        pipelines: usize,
    },
    /// There is no head set to score with.
    #[error("{output} has no heads.json yet: run `headwater heads {pipeline}` first")]
    NoHeads {
        /// The run's output.
        output: String,
        /// The pipeline.
        pipeline: String,
    },
    /// There is no student to score with.
    #[error("{output} has no student.json yet: run `headwater distill {pipeline}` first")]
    NoStudent {
        /// The run's output.
        output: String,
        /// The pipeline.
        pipeline: String,
    },
    /// The student is not one of the teacher that the pipeline asks for.
    #[error("{path} is the student of another teacher ({}); undo the change, or run `headwater distill` again", .differences.join("; "))]
    OtherStudent {
        /// The student.
        path: String,
        /// Every difference, as `name: then → now`.
        differences: Vec<String>,
    },
    /// The pipeline cuts texts otherwise than the run that it would add to.
    #[error("{output} was scored with other settings ({}); undo the change", .differences.join("; "))]
    OtherTexts {
        /// The run's output.
        output: String,
        /// `name: then → now`.
        differences: Vec<String>,
    },
    /// The teacher's turn in a cascade comes when the student has scored every part.
    #[error(
        "this part is scored by the student, and {missing} of the run's {units} units are not yet: run the same command again when all other \
         parts have come to this, and the teacher follows"
    )]
    OtherParts {
        /// Units without a score.
        missing: usize,
        /// Units of the run.
        units: usize,
    },
    /// Two scorers gave the scores of the run, so a changed text would be held against another one's.
    #[error(
        "the scores of {output} are of a cascade, and an audit asks one scorer: audit a run by the teacher or by the student"
    )]
    AuditOfCascade {
        /// The run's output.
        output: String,
    },
    /// A cascade of which only the student has scored.
    #[error("the student has scored {output}, and the teacher has not: run `headwater score {pipeline}` again first")]
    HalfCascade {
        /// The run's output.
        output: String,
        /// The pipeline.
        pipeline: String,
    },
    /// The student ranks documents too unlike its teacher.
    #[error(
        "the student is refused: its rank correlation with the teacher is below {least} of the teacher's with itself ({}); {advice}. {path} \
         holds it, and `headwater distill --allow-weak-student` keeps it",
        .domains.join(", ")
    )]
    WeakStudent {
        /// Where it lies.
        path: String,
        /// `[distill] min_fidelity`.
        least: f64,
        /// The domains in which it is too weak, with both correlations.
        domains: Vec<String>,
        /// What would help.
        advice: String,
    },
    /// `[distill] sources` names a source that there is not.
    #[error("distill.sources names `{name}`, and the sources are {known}")]
    UnknownSource {
        /// The name.
        name: String,
        /// The sources of the corpus.
        known: String,
    },
    /// The stored head set is not the one that the pipeline asks for.
    #[error(
        "{path} was made with other settings ({}); undo the change, choose another [run] output, or run `headwater heads \
         --rescore` and score again",
        .differences.join("; ")
    )]
    OtherHeads {
        /// The stored head set.
        path: String,
        /// `key: then → now`.
        differences: Vec<String>,
    },
    /// A pinned head set that cannot be read.
    #[error("cannot read [heads] file")]
    ReadHeads(#[source] io::Error),
    /// A pinned head set that is none.
    #[error("{path} is no head set; it needs {{\"heads\": [[layer, head], ...]}}")]
    NotHeads {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A pinned head set without heads.
    #[error("{path} names no head: nothing would be masked and every influence would be 0")]
    EmptyHeads {
        /// The file.
        path: String,
    },
    /// A pinned head set that does not belong to the model.
    #[error("{path} cannot be used")]
    PinnedHeads {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: Box<headwater_heads::Error>,
    },
    /// A head set was found, and is too weak.
    #[error("no usable head set was found; {path} holds what was, and [heads] file can pin it")]
    WeakHeads {
        /// Where it lies.
        path: String,
        /// Why.
        #[source]
        source: Box<headwater_heads::Error>,
    },
    /// An artefact vanished.
    #[error("{path} vanished while it was being read; run the same command again")]
    Vanished {
        /// The artefact.
        path: String,
    },
    /// A value that cannot be written as JSON.
    #[error("cannot write {what} as JSON")]
    Json {
        /// What it is.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// No selection was made yet.
    #[error("{output} has no {path} yet: run `headwater select {pipeline}{flag}` first")]
    NoSelection {
        /// The run's output.
        output: String,
        /// The file that is missing.
        path: String,
        /// The pipeline.
        pipeline: String,
        /// ` --control` for the control arm.
        flag: &'static str,
    },
    /// The control arm needs a selection to match.
    #[error("the control arm keeps as much as the selection does: run `headwater select {pipeline}` first")]
    NothingToMatch {
        /// The pipeline.
        pipeline: String,
    },
    /// The selection to match was made by another rule.
    #[error(
        "the selection is by {there}, but the pipeline now asks for {here}: run `headwater select {pipeline}` first, so that the \
         control arm keeps as much"
    )]
    OtherRule {
        /// Rank and policy of the selection.
        there: String,
        /// Those of the pipeline.
        here: String,
        /// The pipeline.
        pipeline: String,
    },
    /// Fewer than two pipelines to compare.
    #[error("--compare needs two pipelines or more over the same scores")]
    NothingToCompare,
    /// Pipelines over different scores.
    #[error(
        "{other} has [run] output {other_output} and seed {other_seed}, but {first} has {first_output} and seed {first_seed}: only \
         cuts of the same scores can be compared; let one extend the other"
    )]
    OtherScores {
        /// The pipeline that differs.
        other: String,
        /// Its output.
        other_output: String,
        /// Its seed.
        other_seed: u64,
        /// The first pipeline.
        first: String,
        /// Its output.
        first_output: String,
        /// Its seed.
        first_seed: u64,
    },
    /// A folder that recipes cannot go to.
    #[error("--out `{folder}`: name a new folder inside the run's output, such as recipe-branch-1000")]
    RecipeFolder {
        /// The folder.
        folder: String,
    },
    /// A preset that cannot be read.
    #[error("cannot read [recipe] preset")]
    ReadPreset(#[source] io::Error),
    /// Token files that the preset's model cannot read.
    #[error(
        "{path} has a vocabulary of {tokens} tokens ({tokenizer}), but preset \"{preset}\" has model.vocab_size {preset_tokens}: \
         write token files with the tokenizer of that model, or take another preset"
    )]
    Vocabulary {
        /// The manifest of the token files.
        path: String,
        /// Tokens in its vocabulary.
        tokens: u64,
        /// Its tokenizer.
        tokenizer: String,
        /// The preset.
        preset: String,
        /// What the preset's model has.
        preset_tokens: u64,
    },
    /// No format of token files is asked for.
    #[error(
        "[tokens] formats is empty, so there is nothing to write; name some, such as --set 'tokens.formats=[\"datatrove\"]'"
    )]
    NoTokenFormats,
    /// The corpus is empty.
    #[error("the corpus of {pipeline} has no documents to measure with: every shard is empty")]
    NothingToMeasure {
        /// The pipeline.
        pipeline: String,
    },
    /// The metrics cannot be served.
    #[error("--metrics-addr {address} cannot be listened at; choose another address or port")]
    MetricsAddress {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file for a result cannot be written.
    #[error("{} names no file", path.display())]
    NoFileName {
        /// The path.
        path: PathBuf,
    },
    /// The caller asked to stop; what is finished is kept.
    #[error("stopped; finished units and files are kept, those in hand are dropped")]
    Cancelled,
    /// A value of the run cannot be made.
    #[error(transparent)]
    Record(#[from] headwater_record::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] headwater_store::Error),
    /// The corpus cannot be planned or read.
    #[error(transparent)]
    Corpus(#[from] headwater_corpus::Error),
    /// The model cannot be loaded or run.
    #[error(transparent)]
    Model(#[from] Box<headwater_model::Error>),
    /// The `[model] instructions` cannot be used here.
    #[error(transparent)]
    Instructions(#[from] headwater_model::LevelError),
    /// The head set cannot be found or used.
    #[error(transparent)]
    Heads(#[from] Box<headwater_heads::Error>),
    /// What a run leaves cannot be read or written, or does not belong to this pipeline.
    #[error(transparent)]
    Run(#[from] headwater_run::Error),
    /// Scoring failed.
    #[error(transparent)]
    Score(#[from] headwater_score::Error),
    /// A student cannot be made.
    #[error(transparent)]
    Distill(#[from] headwater_distill::Error),
    /// No text can be written.
    #[error(transparent)]
    Decode(#[from] Box<headwater_decode::Error>),
    /// The selection cannot be made or written.
    #[error(transparent)]
    Select(#[from] headwater_select::Error),
    /// The schedule cannot be made.
    #[error(transparent)]
    Schedule(#[from] headwater_schedule::Error),
    /// The recipes cannot be made.
    #[error(transparent)]
    Recipe(#[from] headwater_recipe::Error),
    /// The token files cannot be made.
    #[error(transparent)]
    Tokens(#[from] headwater_tokens::Error),
    /// A trial cannot be planned or judged.
    #[error(transparent)]
    Trial(#[from] headwater_trial::Error),
    /// A run of a trial cannot be trained.
    #[error(transparent)]
    Train(#[from] headwater_train::Error),
    /// A trial of parts that are repeated.
    #[error(
        "a trial gives every arm as many tokens of each domain, which `select.by = \"upsample\"` does not; set another, as with \
         `--set select.by=tokens`"
    )]
    TrialOfUpsample,
    /// A domain of which no document is held out.
    #[error(
        "no document of domain `{domain}` is held out, so no arm could be judged there: raise `trial.held_out`, now {share}, or leave the \
         domain out by a guard"
    )]
    NothingHeldOut {
        /// The domain.
        domain: String,
        /// The share that is held out.
        share: f64,
    },
    /// A file of a trial that cannot be used.
    #[error("{path}: {reason}")]
    TrialFile {
        /// Its path or URL.
        path: String,
        /// Why.
        reason: String,
    },
    /// The log of a run that cannot be encoded.
    #[error("cannot encode the log of a run")]
    TrialLog {
        /// Cause.
        source: parquet::errors::ParquetError,
    },
    /// The folder of a run that is not done.
    #[error("cannot keep the checkpoints of a run")]
    Work {
        /// Why, with the path.
        source: io::Error,
    },
}

/// `:line`, or nothing for line 0.
struct Line(usize);

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, ":{}", self.0) }
    }
}

/// A quoted line of a file, below the message.
struct Quote<'a>(&'a str);

impl std::fmt::Display for Quote<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "\n    {}", self.0) }
    }
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Cancelled | Self::Vanished { .. } | Self::OtherParts { .. } => Class::Transient,
            Self::Output(error) | Self::Store(error) if error.is_transient() => Class::Transient,
            Self::Run(error) if error.is_transient() => Class::Transient,
            Self::Corpus(error) if error.is_transient() => Class::Transient,
            Self::Score(error) if error.is_transient() => Class::Transient,
            Self::Select(error) if error.is_transient() => Class::Transient,
            Self::Tokens(error) if error.is_transient() => Class::Transient,
            _ => match self.of_model() {
                // the device's own errors are told as such by the model: a computation failed that should not
                Some(headwater_model::Error::Compute(_) | headwater_model::Error::TorchFailed { .. }) => Class::Bug,
                Some(headwater_model::Error::TorchDied { .. }) => Class::Transient,
                _ => Class::User,
            },
        }
    }

    /// The model's error behind this one.
    fn of_model(&self) -> Option<&headwater_model::Error> {
        if let Self::Model(error) = self {
            return Some(error);
        }
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let boxed = error.downcast_ref::<Box<headwater_model::Error>>().map(AsRef::as_ref);
            if let Some(found) = error.downcast_ref().or(boxed) {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}

impl From<headwater_heads::Error> for Error {
    fn from(error: headwater_heads::Error) -> Self {
        Self::Heads(Box::new(error))
    }
}

impl From<headwater_decode::Error> for Error {
    fn from(error: headwater_decode::Error) -> Self {
        match error {
            headwater_decode::Error::Model(error) => error.into(),
            error => Self::Decode(Box::new(error)),
        }
    }
}

impl From<headwater_model::Error> for Error {
    fn from(error: headwater_model::Error) -> Self {
        Self::Model(Box::new(error))
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        let next = error.to_string();
        // transparent errors repeat their source
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
