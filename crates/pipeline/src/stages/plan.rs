//! Planning: what there is to score, from footers alone.

use headwater_corpus::{Domain, Plan, PlanOptions, PlannedSource, plan};
use headwater_record::run::SkippedShard;
use headwater_record::{ByteCount, TokenCount};
use headwater_run::RunFolder;
use headwater_score::ScoredBy;
use serde::Serialize;

use crate::estimate::{ASSUMED_BYTES_PER_TOKEN, tokens};
use crate::measurement::{Known, Measurement, Settings};
use crate::{Event, OnChange, Pipeline, Result, Total, Verdict};

/// What a corpus holds, as its footers tell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanSummary {
    /// Each source.
    pub sources: Vec<SourceSummary>,
    /// All sources together.
    pub total: Extent,
    /// What the estimates of tokens and time rest on.
    pub basis: Basis,
    /// The commands that together do what `run` does, in their order, for those who divide them among workers.
    pub commands: Vec<PlannedCommand>,
}

/// A command of those that together do what `run` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedCommand {
    /// Its name.
    pub command: &'static str,
    /// Whether it takes `--part I/N`, so that workers share it; the next command waits for all parts.
    pub is_divided: bool,
}

/// What a source holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceSummary {
    /// Its name.
    pub name: String,
    /// The text column.
    pub text: String,
    /// The id column, if there is one.
    pub id: Option<String>,
    /// The domain column, if there is one.
    pub domain: Option<String>,
    /// The domain of all documents, if there is no column.
    pub domain_value: Option<String>,
    /// How much there is.
    #[serde(flatten)]
    pub extent: Extent,
    /// Shards that cannot be read, with the reason.
    pub unreadable: Vec<SkippedShard>,
}

/// How much there is of a corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Extent {
    /// Shards.
    pub shards: u64,
    /// Shards that are left out because they cannot be read.
    pub skipped: u64,
    /// Size of the shards.
    pub bytes: ByteCount,
    /// Stored size of the columns that scoring reads.
    pub bytes_to_read: ByteCount,
    /// Units.
    pub units: u64,
    /// Documents.
    pub documents: u64,
    /// Size of the texts, estimated.
    pub text_bytes: ByteCount,
    /// Tokens, estimated.
    pub tokens: TokenCount,
    /// Hours that this machine takes to score it; absent if its speed was not measured.
    pub hours: Option<f64>,
}

/// What estimates rest on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Basis {
    /// Bytes of text a token.
    pub bytes_per_token: f64,
    /// Whether that was assumed, not measured.
    pub is_assumed: bool,
    /// Tokens that this machine scores in a second, if that was measured.
    pub tokens_per_second: Option<f64>,
    /// When, as RFC 3339.
    pub measured: Option<String>,
}

impl PlanSummary {
    /// Whether shards were left out.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        Verdict::of(self.total.skipped > 0)
    }
}

impl Pipeline {
    /// Says what there is to score and, once [`Pipeline::bench`] has measured, how long that takes. Reads footers only and writes
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Corpus`](crate::Error::Corpus) for paths and shards.
    pub fn plan_summary(&self) -> Result<PlanSummary> {
        let plan = self.plan()?;
        let known = self.known_speed();
        let sources: Vec<SourceSummary> = plan.sources.iter().map(|source| summary(source, &known)).collect();
        let total = sources.iter().fold(Extent::default(), |sum, source| sum.and(&source.extent)).estimated(&known);
        let here = known.here.as_ref();
        let basis = Basis {
            bytes_per_token: bytes_per_token(&known),
            is_assumed: known.bytes_per_token.is_none(),
            tokens_per_second: here.map(|measurement| measurement.speed.tokens_per_second),
            measured: here.map(|measurement| measurement.measured.clone()),
        };
        Ok(PlanSummary { sources, total, basis, commands: self.commands() })
    }

    /// The commands that together do what [`Pipeline::run`] does.
    fn commands(&self) -> Vec<PlannedCommand> {
        let first = match self.config.score.by {
            ScoredBy::Teacher => "heads",
            ScoredBy::Student | ScoredBy::Cascade => "distill",
        };
        let tokens: &[_] = if self.config.tokens.formats.is_empty() { &[] } else { &["select", "tokens"] };
        let names = [first, "score"].into_iter().chain(tokens.iter().copied()).chain(["run"]);
        names.map(|command| PlannedCommand { command, is_divided: matches!(command, "score" | "tokens") }).collect()
    }

    /// Plans the corpus as it was when the run began, where that can be told.
    pub(crate) fn plan(&self) -> Result<Plan> {
        self.plan_for(OnChange::Refuse)
    }

    /// Plans the corpus: datasets of the hub at the commits that the run began with, or as they are now if changes are accepted.
    pub(crate) fn plan_for(&self, on_change: OnChange) -> Result<Plan> {
        let is_of_hub = |path: &String| path.starts_with("hf://");
        if on_change == OnChange::Refuse
            && self.config.corpus.iter().any(|source| source.paths.iter().any(is_of_hub))
            && let Some(run) = self.folder.run_file()?
        {
            self.environment.stores.pin(&run.revisions);
        }
        let _timer = self.meters.stage("plan");
        let step = self.step("plan", "footers", Total::Unknown);
        // what a run writes in Parquet
        let own = [RunFolder::SCORES, RunFolder::SUBSETS, RunFolder::COPIES, RunFolder::REJECTS, RunFolder::LABELS];
        let excluded = own.iter().map(|path| self.place().child(path)).collect();
        let copies = Some(self.place().child(RunFolder::COPIES));
        let options = PlanOptions { excluded, copies, ..self.config.plan_options() };
        let plan = plan(&self.config.corpus, &options, &self.environment.stores, &|footers| step.advance(footers))?;
        drop(step);
        let shards = || plan.sources.iter().flat_map(|source| &source.shards);
        let units: usize = shards().map(|shard| shard.units.len()).sum();
        self.tell(&Event::Planned { units: units as u64, shards: shards().count() as u64 });
        Ok(plan)
    }

    /// The plan, or a warning and nothing where the corpus cannot be read: scores can be looked at without it.
    pub(crate) fn shards_at_hand(&self) -> Option<Plan> {
        self.plan()
            .inspect_err(|error| {
                tracing::warn!("the corpus cannot be read, so no texts are shown: {}", crate::error::chain(error));
            })
            .ok()
    }

    /// What earlier measurements tell about this pipeline.
    pub(crate) fn known_speed(&self) -> Known {
        let cache = self.measurement_cache();
        let known = cache.and_then(|cache| Known::find(&cache, &Settings::of(&self.config)));
        known.unwrap_or_else(|error| {
            tracing::warn!("earlier measurements cannot be read: {}", crate::error::chain(&error));
            Known::default()
        })
    }
}

fn summary(source: &PlannedSource, known: &Known) -> SourceSummary {
    let (units, documents) =
        source.units().fold((0, 0), |(units, documents), (_, unit)| (units + 1, documents + unit.rows));
    let (domain, domain_value) = match source.columns.domain.clone() {
        Domain::Column(name) => (Some(name), None),
        Domain::Constant(value) => (None, Some(value)),
    };
    let extent = Extent {
        shards: source.shards.len() as u64,
        skipped: source.skipped.len() as u64,
        bytes: source.shards.iter().map(|shard| ByteCount(shard.bytes)).sum(),
        bytes_to_read: source.stored_bytes(),
        units,
        documents,
        text_bytes: source.text_bytes(),
        ..Extent::default()
    };
    SourceSummary {
        name: source.name.clone(),
        text: source.columns.text.clone(),
        id: source.columns.id.clone(),
        domain,
        domain_value,
        extent: extent.estimated(known),
        unreadable: source.skipped.clone(),
    }
}

fn bytes_per_token(known: &Known) -> f64 {
    known.bytes_per_token.unwrap_or(ASSUMED_BYTES_PER_TOKEN)
}

impl Extent {
    fn and(self, other: &Self) -> Self {
        Self {
            shards: self.shards + other.shards,
            skipped: self.skipped + other.skipped,
            bytes: self.bytes + other.bytes,
            bytes_to_read: self.bytes_to_read + other.bytes_to_read,
            units: self.units + other.units,
            documents: self.documents + other.documents,
            text_bytes: self.text_bytes + other.text_bytes,
            ..self
        }
    }

    /// The same with tokens and time.
    fn estimated(self, known: &Known) -> Self {
        let hours = known.here.as_ref().map(|Measurement { speed, .. }| speed.hours(self.text_bytes));
        Self { tokens: tokens(self.text_bytes, bytes_per_token(known)), hours, ..self }
    }
}
