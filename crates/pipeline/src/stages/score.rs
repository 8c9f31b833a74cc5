//! Scoring the units that have no sidecar yet.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_corpus::{Class, Domain, OnBadShard, Plan, PlannedShard, PlannedSource};
use headwater_model::{HeadMask, Model};
use headwater_record::run::{Labels, RunShard, RunSource, SEMANTICS, ScoringInputs, SkippedShard};
use headwater_record::{ByteCount, HeadSet, HeadsFile, RunFile, UnitKey};
use headwater_run::{Candidate, OnChange, RunFolder, SidecarFooter};
use headwater_score::document::Windowing;
use headwater_score::{Advance, Phase, Scorer, UnitReport, UnitWork, Watch, score_units};
use serde::Serialize;

use crate::meters::unusable;
use crate::verdict::{rejects, warn_skipped};
use crate::{Error, Event, Part, Pipeline, Progress, Result, Verdict};

/// What to score, and what to do about changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScoreRequest {
    /// The part of the plan.
    pub part: Part,
    /// What to do if the run was begun with other settings or shards.
    pub on_change: OnChange,
}

/// What scoring came to.
#[derive(Debug)]
pub(crate) struct Scored {
    /// The run as it now is.
    pub(crate) run: RunFile,
    /// Documents scored by this process.
    documents: u64,
    /// Rows that this process found unusable.
    rejects: u64,
}

/// What a call of [`Pipeline::score`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ScoreSummary {
    /// Documents scored by this call.
    pub documents: u64,
    /// Rows of them that are unusable: null, not UTF-8 or with a loss that is no number.
    pub rejects: u64,
    /// Whether all is as it should be.
    pub verdict: Verdict,
}

/// Time between the starts of two workers, so that a thousand that are started together do not list the corpus at once.
const STAGGER: Duration = Duration::from_millis(50);

/// The latest start.
const MOST_STAGGER: Duration = Duration::from_secs(30);

/// A unit and where it belongs.
pub(crate) struct Work<'a> {
    pub(crate) source: &'a PlannedSource,
    pub(crate) run: &'a RunSource,
    pub(crate) shard: &'a PlannedShard,
    pub(crate) unit: &'a UnitKey,
}

impl<'a> Work<'a> {
    /// Source and path.
    fn shard_name(&self) -> (&'a str, &'a str) {
        (&self.source.name, &self.shard.path)
    }

    fn to_score(&self) -> UnitWork<'a> {
        UnitWork { shard: self.shard, columns: &self.source.columns, footer: self.footer(), path: self.sidecar_path() }
    }

    pub(crate) fn sidecar_path(&self) -> String {
        RunFolder::sidecar(&self.run.fingerprint, &self.run.name, self.unit)
    }

    pub(crate) fn footer(&self) -> SidecarFooter {
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
struct Follower<'a> {
    pipeline: &'a Pipeline,
    pending: &'a [Work<'a>],
    step: Box<dyn Progress>,
    tally: Mutex<Tally<'a>>,
}

impl<'a> Follower<'a> {
    fn tally(&self) -> MutexGuard<'_, Tally<'a>> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Follower<'_> {
    fn skips(&self, index: usize) -> bool {
        self.tally().unreadable.contains(&self.pending[index].shard_name())
    }

    fn advance(&self, advance: Advance) {
        self.step.advance_tokens(advance.tokens);
        self.step.advance(advance.documents);
        self.pipeline.meters.advance(advance.documents, advance.tokens);
    }

    fn is_over(&self) -> bool {
        self.pipeline.is_cancelled()
    }

    fn spent(&self, phase: Phase, time: Duration) {
        self.pipeline.meters.spent(phase, time);
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
                self.pipeline.meters.unit(&report);
            }
            Err(error) if self.pipeline.may_skip(&error) => {
                if tally.unreadable.insert(work.shard_name()) {
                    tally.run = self.pipeline.skip(work, &error)?;
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Pipeline {
    /// Scores the documents of a part of the plan that have no score yet. Needs a head set: see [`Pipeline::heads`].
    ///
    /// # Errors
    /// [`Error::NoHeads`], [`Error::OtherHeads`]; [`Error::Score`] if the run was begun otherwise, or what keeps a document from being
    /// scored; [`Error::Cancelled`]. Finished units are kept, and another call scores the rest.
    pub fn score(&self, request: ScoreRequest) -> Result<ScoreSummary> {
        self.place().ensure_writable()?;
        self.wait_for_turn(request.part);
        let plan = self.plan()?;
        let model = self.load_model()?;
        let no_heads = || Error::NoHeads { output: self.place().to_string(), pipeline: self.name.clone() };
        let heads = self.read_heads(&model)?.ok_or_else(no_heads)?;
        let scored = self.score_units(&plan, &model, &heads, &request)?;
        self.write_metrics(request.part)?;
        let Scored { documents, rejects: unusable, .. } = scored;
        let is_above = self.is_above_rejects(unusable, documents);
        if is_above {
            let most = self.config.score.max_rejects;
            tracing::warn!("{} of those scored now, above [score] max_rejects = {most}", rejects(unusable, documents));
        }
        let skipped = warn_skipped(&scored.run);
        Ok(ScoreSummary { documents, rejects: unusable, verdict: Verdict::of(is_above || skipped > 0) })
    }

    /// Lets the workers of an array that reads from or writes to a store start one after another.
    pub(crate) fn wait_for_turn(&self, part: Part) {
        let is_remote = |path: &String| path.contains("://") && !path.starts_with("file://");
        let places = self.config.corpus.iter().flat_map(|source| &source.paths);
        if part.of() > 1 && places.chain([&self.config.run.output]).any(is_remote) {
            let all = STAGGER.saturating_mul(u32::try_from(part.of()).unwrap_or(u32::MAX)).min(MOST_STAGGER);
            std::thread::sleep(all.mul_f64(part.index() as f64 / part.of() as f64));
        }
    }

    /// Scores what is pending of the requested part.
    pub(crate) fn score_units(
        &self,
        plan: &Plan,
        model: &Model,
        heads: &HeadsFile,
        request: &ScoreRequest,
    ) -> Result<Scored> {
        let file = self.run_file(plan, model, heads)?;
        let run = self.folder.begin(Candidate { file, on_change: request.on_change })?;
        let (pending, done) = self.divide(plan, &run, request.part)?;
        if done.is_empty() && !pending.is_empty() {
            self.tell_fidelity(plan, model, heads)?;
        }
        let timer = self.meters.stage("score");
        let scorer = self.scorer(model, &heads.heads, run.scoring.window_tokens);
        let total = pending.iter().map(|work| work.unit.rows).sum();
        if !done.is_empty() {
            self.tell(&Event::Resumed { units: done.len() as u64 });
        }
        let units: Vec<UnitWork> = pending.iter().map(Work::to_score).collect();
        let needed = pending.iter().map(|work| work.shard.stored_bytes(work.unit)).sum();
        self.meters.wants(units.len() as u64, needed);
        let before = self.environment.stores.traffic();
        let tally = Tally { run: run.clone(), documents: 0, rejects: 0, unreadable: BTreeSet::new() };
        let step = self.step("score", "documents", Some(total));
        let watch = Follower { pipeline: self, pending: &pending, step, tally: Mutex::new(tally) };
        let watched = self.environment.cancel.watch();
        let ended = score_units(&scorer, &units, self.place(), &watch);
        drop((watched, timer));
        if ended.is_err() || self.is_cancelled() {
            // what was done is told all the same, unless the store is the trouble
            drop(self.write_metrics(request.part));
        }
        ended?;
        if !self.is_cancelled() {
            watch.step.finish();
        }
        if !units.is_empty() {
            let after = self.environment.stores.traffic();
            self.tell(&Event::Fetched {
                read_bytes: ByteCount(after.read_bytes - before.read_bytes),
                needed_bytes: needed,
                requests: after.requests,
                retries: after.retries(),
            });
        }
        let tally = watch.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Tally { run, documents, rejects, .. } = tally;
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(Scored { run, documents, rejects }) }
    }

    /// Writes what this process did so far.
    fn write_metrics(&self, part: Part) -> Result<()> {
        Ok(self.folder.write_json(&metrics_file(part), &self.meters.metrics())?)
    }

    /// Passes over what a unit came to, where scores are only measured, but for errors that the pipeline does not allow.
    pub(crate) fn passed_over(
        &self,
        outcome: Result<UnitReport, headwater_score::Error>,
    ) -> Result<(), headwater_score::Error> {
        match outcome {
            Err(error) if !self.may_skip(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether `error` is the fault of a shard that the pipeline allows to skip.
    pub(crate) fn may_skip(&self, error: &headwater_score::Error) -> bool {
        let unreadable = matches!(error, headwater_score::Error::Corpus(error) if error.class() == Class::Data);
        unreadable && self.config.run.on_bad_shard == OnBadShard::Skip
    }

    /// Takes the shard of `work` out of the run.
    fn skip(&self, work: &Work<'_>, error: &headwater_score::Error) -> Result<RunFile, headwater_score::Error> {
        let reason = error.to_string();
        tracing::warn!(shard = work.shard.location(), reason, "shard skipped");
        let shard = SkippedShard { path: work.shard.path.clone(), reason };
        Ok(self.folder.skip_shard(&work.source.name, &shard)?)
    }

    /// What scores as the pipeline says, with `heads` masked.
    pub(crate) fn scorer<'m>(&self, model: &'m Model, heads: &HeadSet, window_tokens: usize) -> Scorer<'m> {
        let config = &self.config.score;
        Scorer {
            model,
            mask: HeadMask { set: heads.clone(), kind: config.mask },
            windowing: Windowing { window_tokens, long_documents: config.long_documents, bos: model.tokenizer().bos() },
            min_tokens: config.min_tokens,
        }
    }

    /// The window that the model takes of what the pipeline asks for.
    pub(crate) fn window_tokens(&self, model: &Model) -> usize {
        self.config.score.window_for(model.shape().context_tokens, model.tokenizer().bos())
    }

    /// Splits the requested part of the plan into what is pending and what is done, in plan order.
    pub(crate) fn divide<'p>(
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
            let run = run
                .sources
                .iter()
                .find(|run| run.name == source.name)
                .ok_or_else(|| Error::LostSource { name: source.name.clone() })?;
            let finished = self.folder.done_units(run)?;
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
        let config = &self.config.score;
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
        let sources = plan.sources.iter().map(|source| run_source(source, &scoring)).collect::<Result<_>>()?;
        Ok(RunFile {
            headwater: env!("CARGO_PKG_VERSION").to_owned(),
            began: self.now(),
            config: serde_json::to_value(&self.config)
                .map_err(|source| Error::Json { what: "the pipeline", source })?,
            scoring,
            sources,
        })
    }
}

/// Where the metrics of a part go, relative to the run.
fn metrics_file(part: Part) -> String {
    match part {
        Part::WHOLE => RunFolder::METRICS.to_owned(),
        part => RunFolder::part_metrics(part.index(), part.of()),
    }
}

/// Where the ids and domains of a planned source come from.
pub(crate) fn labels(source: &PlannedSource) -> Labels {
    let (domain_column, domain_value) = match &source.columns.domain {
        Domain::Column(name) => (Some(name.clone()), None),
        Domain::Constant(value) => (None, Some(value.clone())),
    };
    Labels { id_column: source.columns.id.clone(), domain_column, domain_value }
}

fn run_source(source: &PlannedSource, scoring: &ScoringInputs) -> Result<RunSource> {
    let shard = |shard: &PlannedShard| RunShard {
        path: shard.path.clone(),
        id: shard.id.clone(),
        bytes: shard.bytes,
        etag: shard.etag.clone(),
        units: shard.units.clone(),
    };
    Ok(RunSource {
        name: source.name.clone(),
        text: source.columns.text.clone(),
        labels: labels(source),
        fingerprint: scoring.fingerprint(&source.columns.text)?,
        shards: source.shards.iter().map(shard).collect(),
        skipped: source.skipped.clone(),
    })
}
