//! What can go wrong in a selection.

use std::fmt;

use headwater_record::TokenCount;
use headwater_run::Unit;

use crate::filter::FilterProblem;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong with one shard of the corpus. It reads like its cause.
#[derive(Debug)]
pub struct ShardError {
    /// Name of the corpus source.
    pub source_name: String,
    /// The shard's path, relative to the fixed prefix of its `paths` entry.
    pub path: String,
    /// What went wrong.
    pub error: headwater_corpus::Error,
}

impl ShardError {
    /// What went wrong with the shard of `unit`.
    pub(crate) fn of(unit: &Unit, error: headwater_corpus::Error) -> Box<Self> {
        Box::new(Self { source_name: unit.source.to_string(), path: unit.path.to_string(), error })
    }
}

impl fmt::Display for ShardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for ShardError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// Why a selection cannot be made or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A fraction or weight outside [0, 1].
    #[error("`{key}` is {got}, but must lie between 0 and 1")]
    Fraction {
        /// The key in the pipeline.
        key: String,
        /// What was given.
        got: f64,
    },
    /// A token count that is not a positive finite number.
    #[error("`{key}` is {got}, but must be a positive number of tokens below 2^63")]
    Tokens {
        /// The key in the pipeline.
        key: String,
        /// What was given.
        got: f64,
    },
    /// A token budget or upsampling without its number.
    #[error("`select.by` is \"{by}\", so `select.tokens` must say how many tokens")]
    NoBudget {
        /// The value of `select.by`.
        by: &'static str,
    },
    /// A number of tokens that nothing uses.
    #[error(
        "`select.tokens` is only used with `select.by = \"token-budget\"` and `\"upsample\"`; set one, or remove `select.tokens`"
    )]
    UnusedBudget,
    /// A key that nothing uses.
    #[error("`{key}` is only used with {with}; set that, or remove `{key}`")]
    UnusedKey {
        /// The key.
        key: String,
        /// What would use it.
        with: String,
    },
    /// A number out of its range.
    #[error("`{key}` is {got}, but must be {expected}")]
    Number {
        /// The key in the pipeline.
        key: String,
        /// What was given.
        got: f64,
        /// What it must be.
        expected: String,
    },
    /// Limits that nothing can meet.
    #[error("`{key}.min_tokens` is {least}, but `{key}.max_tokens` is {most}: no document has that many tokens")]
    Limits {
        /// The table.
        key: String,
        /// The lower limit.
        least: u32,
        /// The upper limit.
        most: u32,
    },
    /// A sum of ranks that cannot be made.
    #[error("`[select.rank_sum]`: {problem}")]
    RankSum {
        /// What is wrong.
        problem: String,
    },
    /// A sidecar of an earlier version, which does not say what is copied.
    #[error(
        "{path} was written by an earlier version and has no column `copied`, which the rank reads; run `headwater features` on the \
         pipeline, which adds it without the model"
    )]
    NoCopied {
        /// The sidecar, relative to the run.
        path: String,
    },
    /// A correction for nothing.
    #[error("`select.correct_for` is empty: name at least one of loss_base, compression, scored_tokens, copied")]
    CorrectForNothing,
    /// A cascade by a rank whose errors nobody knows.
    #[error(
        "a cascade needs to know how far the student's values may be off, and `select.rank = \"{rank}\"` does not say; rank by influence or \
         corrected, or set `score.by = \"student\"`"
    )]
    NoNoise {
        /// The rank.
        rank: String,
    },
    /// Guards that leave nothing of a domain.
    #[error(
        "the guards leave none of the {scored} scored documents of domain `{domain}` ({by_guard}); loosen them, or set `fraction = 0` in \
         `[select.domains.{domain}]` if it is to be left out"
    )]
    EmptyDomain {
        /// The domain.
        domain: String,
        /// Its scored documents.
        scored: u64,
        /// How many each guard keeps out.
        by_guard: String,
    },
    /// A rank that has no value for any document of a domain.
    #[error(
        "rank `{rank}` has no finite value for any of the {ranked} documents of domain `{domain}` that could be ranked; choose another rank, \
         or set `fraction = 0` in `[select.domains.{domain}]` if it is to be left out"
    )]
    NoValues {
        /// The domain.
        domain: String,
        /// The rank.
        rank: String,
        /// Documents that have scores and pass the guards.
        ranked: u64,
    },
    /// More tokens asked for than the cap allows.
    #[error(
        "`select.tokens` asks for {} tokens, but the {} tokens left after dropping the lowest {drop} of each domain, each read at most \
         {cap} times, make {}; raise `select.upsample.cap`, lower `select.upsample.drop`, or ask for fewer",
        TokenCount::nearest(*target), TokenCount(*kept), TokenCount::nearest(*most)
    )]
    OutOfReach {
        /// Tokens asked for.
        target: f64,
        /// Tokens above the drop.
        kept: u64,
        /// The share dropped.
        drop: f64,
        /// The most repetitions.
        cap: f64,
        /// Tokens within reach.
        most: f64,
    },
    /// More stretches to cut than memory is set aside for.
    #[error(
        "too many domains for {strata} length strata: together they are more than {limit} cuts; lower `select.length_strata`"
    )]
    TooManyStrata {
        /// Strata of each domain.
        strata: usize,
        /// The limit.
        limit: usize,
    },
    /// More buckets to cut than memory is set aside for.
    #[error("{domains} domains of {buckets} buckets are more than {limit} cuts; lower `select.upsample.buckets`")]
    TooManyBuckets {
        /// Domains there are.
        domains: usize,
        /// Buckets of each.
        buckets: usize,
        /// The limit.
        limit: usize,
    },
    /// A rank by a column of the source where only sidecars are at hand.
    #[error("rank `column:{column}` reads the source's shards, which are not at hand; see that the corpus can be read")]
    NoShards {
        /// The column.
        column: String,
    },
    /// An override that sets nothing, or both `fraction` and `tokens`.
    #[error("`select.domains.{domain}` must set one of `fraction` and `tokens`, or guards")]
    Override {
        /// The domain.
        domain: String,
    },
    /// An override of a domain that no document has.
    #[error("`select.domains.{domain}` names no domain of the corpus; there are: {present}")]
    UnknownDomain {
        /// The domain named.
        domain: String,
        /// Some of the domains there.
        present: String,
    },
    /// More domains than the limit.
    #[error(
        "more than {limit} domains: `{domain}` in {source_name}/{path} is one too many; choose a coarser domain column"
    )]
    TooManyDomains {
        /// The limit.
        limit: usize,
        /// The first domain beyond it.
        domain: String,
        /// Source of the document.
        source_name: String,
        /// Shard of the document.
        path: String,
    },
    /// A unit of the plan has no sidecar.
    #[error(
        "unit {unit} (source {source_name}, shard {path}, rows {first_row}..{end_row}) is not scored: {missing} of {units} \
         units are missing; run `headwater score` first"
    )]
    MissingSidecar {
        /// The first missing unit.
        unit: String,
        /// Its source.
        source_name: String,
        /// Its shard's relative path.
        path: String,
        /// Its first row.
        first_row: u64,
        /// The row after its last.
        end_row: u64,
        /// How many units lack a sidecar.
        missing: usize,
        /// How many units there are.
        units: usize,
    },
    /// Scores changed while they were being read.
    #[error(
        "the scores of domain `{domain}` changed while they were being read; let whatever writes them finish, then select again"
    )]
    Changed {
        /// The domain.
        domain: String,
    },
    /// A selection and a plan that do not belong together.
    #[error("source {source_name}, shard {path} of the run is not in the corpus plan; plan and select again")]
    NotPlanned {
        /// The source.
        source_name: String,
        /// The shard's relative path.
        path: String,
    },
    /// A shard that is no longer the one that was scored.
    #[error("source {source_name}, shard {path} is {got}, but {expected} was scored; score the new shard first")]
    ShardChanged {
        /// The source.
        source_name: String,
        /// The shard's relative path.
        path: String,
        /// The identity that was scored.
        expected: String,
        /// The identity now.
        got: String,
    },
    /// A rank that this version does not know.
    #[error(
        "unknown rank `{rank}`, expected one of `influence`, `corrected`, `loss`, `compression`, `copied`, `random`, `rank-sum`, `column:NAME` (greatest first), \
         `column:NAME:ascending`"
    )]
    UnknownRank {
        /// The rank's name.
        rank: String,
    },
    /// A selection that keeps nothing cannot have a share of a mixture.
    #[error("`mixture.selected` is {weight}, but nothing is selected; raise `select.fraction`")]
    NothingSelected {
        /// The weight asked for.
        weight: f64,
    },
    /// A corpus without tokens cannot be mixed.
    #[error("the corpus holds no tokens, so there is nothing to mix")]
    EmptyCorpus,
    /// The rule and the cuts have no JSON form to hash.
    #[error("the rule of the selection cannot be hashed")]
    Hash {
        /// Cause.
        source: serde_json::Error,
    },
    /// An artefact of the run cannot be read or written.
    #[error(transparent)]
    Run(#[from] headwater_run::Error),
    /// The disk or store failed.
    #[error(transparent)]
    Store(#[from] headwater_store::Error),
    /// A shard cannot be read or its subset not written.
    #[error(transparent)]
    Shard(#[from] Box<ShardError>),
    /// A filter that cannot be read, or not be applied.
    #[error("`{key}` = \"{text}\" is no filter that can be applied")]
    Filter {
        /// The key in the pipeline.
        key: String,
        /// The filter, its beginning if it is long.
        text: String,
        /// Cause.
        source: Box<FilterProblem>,
    },
}

impl Error {
    /// A number out of its range.
    pub(crate) fn number(key: &str, got: f64, expected: &str) -> Self {
        Self::Number { key: key.to_owned(), got, expected: expected.to_owned() }
    }

    /// A key that nothing uses.
    pub(crate) fn unused(key: &str, with: &str) -> Self {
        Self::UnusedKey { key: key.to_owned(), with: with.to_owned() }
    }

    /// Whether the same call may succeed later with nothing else changed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Shard(shard) => shard.error.is_transient(),
            Self::Run(error) => error.is_transient(),
            _ => false,
        }
    }
}
