//! Scoring the units that have no sidecar yet.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use headwater_corpus::{Class, Domain, OnBadShard, Plan, PlannedShard, PlannedSource};
use headwater_model::{HeadMask, Model};
use headwater_record::run::{Labels, RunShard, RunSource, SEMANTICS, ScoringInputs, SkippedShard};
use headwater_record::{ByteCount, HeadSet, HeadsFile, RunFile, UnitKey};
use headwater_run::{Candidate, OnChange, RunFolder, SidecarFooter};
use headwater_score::document::Windowing;
use headwater_score::{Advance, Phase, Scorer, UnitReport, UnitWork, Watch, score_units};

use crate::args::{ChangeArgs, Part, ScoreArgs};
use crate::failure::Outcome;
use crate::interrupt::{self, Interrupted, Listening};
use crate::meters::unusable;
use crate::progress::Step;
use crate::stages::{METRICS_FILE, Session};

/// What to score, and what to do about changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    part: Part,
    on_change: OnChange,
}

impl Request {
    /// Every unit of the plan.
    pub(super) fn whole(change: ChangeArgs) -> Self {
        Self { part: Part::WHOLE, on_change: change.into() }
    }
}

impl From<ChangeArgs> for OnChange {
    fn from(change: ChangeArgs) -> Self {
        if change.rescore { Self::Rescore } else { Self::Refuse }
    }
}

/// What scoring came to.
#[derive(Debug)]
pub(super) struct Scored {
    /// The run as it now is.
    pub(super) run: RunFile,
    /// Documents scored by this process.
    documents: u64,
    /// Rows that this process found unusable.
    rejects: u64,
}

/// Time between the starts of two workers, so that a thousand that are started together do not list the corpus at once.
const STAGGER: Duration = Duration::from_millis(50);

/// The latest start.
const MOST_STAGGER: Duration = Duration::from_secs(30);

/// A unit and where it belongs.
pub(super) struct Work<'a> {
    pub(super) source: &'a PlannedSource,
    pub(super) run: &'a RunSource,
    pub(super) shard: &'a PlannedShard,
    pub(super) unit: &'a UnitKey,
}

impl<'a> Work<'a> {
    /// Source and path.
    fn shard_name(&self) -> (&'a str, &'a str) {
        (&self.source.name, &self.shard.path)
    }

    fn to_score(&self) -> UnitWork<'a> {
        UnitWork { shard: self.shard, columns: &self.source.columns, footer: self.footer(), path: self.sidecar_path() }
    }

    pub(super) fn sidecar_path(&self) -> String {
        RunFolder::sidecar(&self.run.fingerprint, &self.run.name, self.unit)
    }

    pub(super) fn footer(&self) -> SidecarFooter {
        SidecarFooter {
            unit: self.unit.clone(),
            source: self.source.name.clone(),
            shard: self.shard.path.clone(),
            fingerprint: self.run.fingerprint.clone(),
            labels: self.run.labels.clone(),
        }
    }
}

/// What has been scored so far.
struct Tally<'a> {
    run: RunFile,
    documents: u64,
    rejects: u64,
    /// Source and path of the shards that turned out unreadable.
    unreadable: BTreeSet<(&'a str, &'a str)>,
}

/// Follows the scoring: shows progress, counts, skips shards that turn out unreadable.
struct Progress<'a> {
    session: &'a Session<'a>,
    pending: &'a [Work<'a>],
    step: Step,
    tally: Mutex<Tally<'a>>,
}

impl<'a> Progress<'a> {
    fn tally(&self) -> MutexGuard<'_, Tally<'a>> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Progress<'_> {
    fn skips(&self, index: usize) -> bool {
        self.tally().unreadable.contains(&self.pending[index].shard_name())
    }

    fn advance(&self, advance: Advance) {
        self.step.advance_tokens(advance.tokens);
        self.step.advance(advance.documents);
        self.session.meters.advance(advance.documents, advance.tokens);
    }

    fn is_over(&self) -> bool {
        interrupt::is_asked()
    }

    fn spent(&self, phase: Phase, time: Duration) {
        self.session.meters.spent(phase, time);
    }

    fn unit(
        &self,
        index: usize,
        outcome: Result<UnitReport, headwater_score::Error>,
    ) -> Result<(), headwater_score::Error> {
        let work = &self.pending[index];
        let mut tally = self.tally();
        match outcome {
            Ok(report) => {
                tally.documents += work.unit.rows;
                tally.rejects += unusable(&report);
                self.session.meters.unit(&report);
            }
            Err(error) if self.session.may_skip(&error) => {
                if tally.unreadable.insert(work.shard_name()) {
                    tally.run = self.session.skip(work, &error)?;
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Session<'_> {
    /// Runs this stage alone.
    pub(crate) fn score_only(&self, args: &ScoreArgs) -> Result<Outcome> {
        self.place.ensure_writable()?;
        let part = args.shard.unwrap_or(Part::WHOLE);
        self.wait_for_turn(part);
        let plan = self.plan()?;
        if args.relabel {
            return self.relabel(&plan);
        }
        let model = self.load_model()?;
        let heads = self.read_heads(&model)?;
        let heads = heads.with_context(|| {
            format!("{} has no heads.json yet: run `headwater heads {}` first", self.place, self.file)
        })?;
        let request = Request { part, on_change: args.change.into() };
        let scored = self.score(&plan, &model, &heads, &request)?;
        self.write_json(&metrics_file(part), &self.meters.metrics())?;
        let share = scored.rejects as f64 / scored.documents.max(1) as f64;
        let rejected = share > self.pipeline.score.max_rejects;
        if rejected {
            let (rejects, documents) = (scored.rejects, scored.documents);
            tracing::warn!("{rejects} of {documents} documents scored now are null, not UTF-8 or non-finite");
        }
        let skipped = self.say_skipped(&scored.run) > 0;
        Ok(if rejected || skipped { Outcome::Partial } else { Outcome::Done })
    }

    /// Lets the workers of an array that reads from or writes to a store start one after another.
    pub(super) fn wait_for_turn(&self, part: Part) {
        let is_remote = |path: &String| path.contains("://") && !path.starts_with("file://");
        let places = self.pipeline.corpus.iter().flat_map(|source| &source.paths);
        if part.of > 1 && places.chain([&self.pipeline.run.output]).any(is_remote) {
            let all = STAGGER.saturating_mul(u32::try_from(part.of).unwrap_or(u32::MAX)).min(MOST_STAGGER);
            std::thread::sleep(all.mul_f64(part.index as f64 / part.of as f64));
        }
    }

    /// Scores what is pending of the requested part.
    pub(super) fn score(&self, plan: &Plan, model: &Model, heads: &HeadsFile, request: &Request) -> Result<Scored> {
        let file = self.run_file(plan, model, heads)?;
        let run = self.folder().begin(Candidate { file, on_change: request.on_change })?;
        let (pending, done) = self.divide(plan, &run, request.part)?;
        if done.is_empty() && !pending.is_empty() {
            self.say_fidelity(plan, model, heads)?;
        }
        let timer = self.meters.stage("score");
        let scorer = self.scorer(model, &heads.heads, run.scoring.window_tokens);
        let total = pending.iter().map(|work| work.unit.rows).sum();
        if !done.is_empty() {
            self.console.say(&format!("{:>12} {} units were done before", "score", done.len()));
        }
        let units: Vec<UnitWork> = pending.iter().map(Work::to_score).collect();
        let needed = pending.iter().map(|work| work.shard.stored_bytes(work.unit)).sum();
        self.meters.wants(units.len() as u64, needed);
        let read_before = self.stores.traffic().read_bytes;
        let tally = Tally { run: run.clone(), documents: 0, rejects: 0, unreadable: BTreeSet::new() };
        let step = self.console.step("score", "documents", total);
        let watch = Progress { session: self, pending: &pending, step, tally: Mutex::new(tally) };
        let listening = Listening::begin();
        let ended = score_units(&scorer, &units, &self.place, &watch);
        drop((listening, timer));
        if ended.is_err() || interrupt::is_asked() {
            // what was done is told all the same, unless the store is the trouble
            drop(self.write_json(&metrics_file(request.part), &self.meters.metrics()));
        }
        ended?;
        watch.step.finish();
        if !units.is_empty() {
            self.say_traffic(ByteCount(self.stores.traffic().read_bytes - read_before), needed);
        }
        let tally = watch.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Tally { run, documents, rejects, .. } = tally;
        if interrupt::is_asked() {
            return Err(Interrupted.into());
        }
        Ok(Scored { run, documents, rejects })
    }

    /// Says what was fetched for what was needed.
    fn say_traffic(&self, read: ByteCount, needed: ByteCount) {
        let traffic = self.stores.traffic();
        let (requests, retries) = (traffic.requests, traffic.retries());
        let wire =
            if requests == 0 { String::new() } else { format!(", {requests} requests, {retries} of them again") };
        self.console.say(&format!("{:>12} {read} read for {needed} of text, id and domain columns{wire}", "score"));
    }

    /// Passes over what a unit came to, for whoever only measures, but for errors that the pipeline does not allow.
    pub(super) fn passed_over(
        &self,
        outcome: Result<UnitReport, headwater_score::Error>,
    ) -> Result<(), headwater_score::Error> {
        match outcome {
            Err(error) if !self.may_skip(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether `error` is the fault of a shard that the pipeline allows to skip.
    pub(super) fn may_skip(&self, error: &headwater_score::Error) -> bool {
        let unreadable = matches!(error, headwater_score::Error::Corpus(error) if error.class() == Class::Data);
        unreadable && self.pipeline.run.on_bad_shard == OnBadShard::Skip
    }

    /// Takes the shard of `work` out of the run.
    fn skip(&self, work: &Work<'_>, error: &headwater_score::Error) -> Result<RunFile, headwater_score::Error> {
        let reason = error.to_string();
        tracing::warn!(shard = work.shard.location(), reason, "shard skipped");
        let shard = SkippedShard { path: work.shard.path.clone(), reason };
        Ok(self.folder().skip_shard(&work.source.name, &shard)?)
    }

    /// What scores as the pipeline says, with `heads` masked.
    pub(super) fn scorer<'m>(&self, model: &'m Model, heads: &HeadSet, window_tokens: usize) -> Scorer<'m> {
        let config = &self.pipeline.score;
        Scorer {
            model,
            mask: HeadMask { set: heads.clone(), kind: config.mask },
            windowing: Windowing { window_tokens, long_documents: config.long_documents, bos: model.tokenizer().bos() },
            min_tokens: config.min_tokens,
        }
    }

    /// The window that the model takes of what the pipeline asks for.
    pub(super) fn window_tokens(&self, model: &Model) -> usize {
        self.pipeline.score.window_for(model.shape().context_tokens, model.tokenizer().bos())
    }

    /// Splits the requested part of the plan into what is pending and what is done, in plan order.
    pub(super) fn divide<'p>(
        &self,
        plan: &'p Plan,
        run: &'p RunFile,
        part: Part,
    ) -> Result<(Vec<Work<'p>>, Vec<Work<'p>>)> {
        let (mut pending, mut done) = (Vec::new(), Vec::new());
        // a row costs something even without text
        let weight = |shard: &PlannedShard, unit: &UnitKey| shard.text_bytes(unit).0.saturating_add(unit.rows);
        let of_source =
            |source: &PlannedSource| -> u64 { source.units().map(|(shard, unit)| weight(shard, unit)).sum() };
        let all: u64 = plan.sources.iter().map(of_source).sum();
        let mut before = 0;
        for source in &plan.sources {
            let run = run.sources.iter().find(|run| run.name == source.name).context("a source left the run")?;
            let finished = self.folder().done_units(run)?;
            for (shard, unit) in source.units() {
                let weight = weight(shard, unit);
                if part.holds(before, weight, all) {
                    let list = if finished.contains_key(unit) { &mut done } else { &mut pending };
                    list.push(Work { source, run, shard, unit });
                }
                before += weight;
            }
        }
        Ok((pending, done))
    }

    fn run_file(&self, plan: &Plan, model: &Model, heads: &HeadsFile) -> Result<RunFile> {
        let config = &self.pipeline.score;
        let scoring = ScoringInputs {
            weights: model.weights_hash(),
            model_config: model.config_hash(),
            tokenizer: model.tokenizer().hash(),
            heads: heads.heads.clone(),
            mask: config.mask.as_str().to_owned(),
            window_tokens: self.window_tokens(model),
            long_documents: config.long_documents.as_str().to_owned(),
            min_tokens: config.min_tokens,
            numerics: model.numerics(),
            semantics: SEMANTICS,
        };
        let sources = plan.sources.iter().map(|source| run_source(source, &scoring)).collect();
        Ok(RunFile {
            headwater: env!("CARGO_PKG_VERSION").to_owned(),
            began: now(),
            config: serde_json::to_value(&self.pipeline)?,
            scoring,
            sources,
        })
    }
}

/// Where the metrics of a part go, relative to the run.
fn metrics_file(part: Part) -> String {
    match part {
        Part::WHOLE => METRICS_FILE.to_owned(),
        Part { index, of } => format!("metrics/score-{index}-of-{of}.json"),
    }
}

/// Where the ids and domains of a planned source come from.
pub(super) fn labels(source: &PlannedSource) -> Labels {
    let (domain_column, domain_value) = match &source.columns.domain {
        Domain::Column(name) => (Some(name.clone()), None),
        Domain::Constant(value) => (None, Some(value.clone())),
    };
    Labels { id_column: source.columns.id.clone(), domain_column, domain_value }
}

fn run_source(source: &PlannedSource, scoring: &ScoringInputs) -> RunSource {
    let shard = |shard: &PlannedShard| RunShard {
        path: shard.path.clone(),
        id: shard.id.clone(),
        bytes: shard.bytes,
        etag: shard.etag.clone(),
        units: shard.units.clone(),
    };
    RunSource {
        name: source.name.clone(),
        text: source.columns.text.clone(),
        labels: labels(source),
        fingerprint: scoring.fingerprint(&source.columns.text),
        shards: source.shards.iter().map(shard).collect(),
        skipped: source.skipped.clone(),
    }
}

/// The time, as RFC 3339.
#[expect(clippy::disallowed_methods, reason = "the clock enters here")]
pub(super) fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
