//! Scoring the units that have no sidecar yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_corpus::{Class, OnBadShard, Plan};
use headwater_model::Model;
use headwater_record::run::{ScoringInputs, SkippedShard};
use headwater_record::{ByteCount, HeadSet, HeadsFile, RunFile};
use headwater_run::{Candidate, OnChange, RunFolder, SidecarRow};
use headwater_score::{
    Advance, Division, Phase, PlannedUnit, ScoredBy, Scorer, UnitReport, Watch, divide, run_file, score_units,
};
use serde::Serialize;

use crate::meters::unusable;
use crate::stages::heads::HeadsRequest;
use crate::verdict::{rejects, warn_skipped};
use crate::{Error, Event, Part, Pipeline, Progress, Result, Total, Verdict};

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
    pub(crate) documents: u64,
    /// Rows that this process found unusable.
    pub(crate) rejects: u64,
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

/// Source and path of a unit's shard.
fn shard_name<'a>(unit: &PlannedUnit<'a>) -> (&'a str, &'a str) {
    (&unit.source.name, &unit.shard.path)
}

/// What has been scored so far.
struct Tally<'a> {
    run: RunFile,
    documents: u64,
    rejects: u64,
    /// Source and path of the shards that turned out unreadable.
    unreadable: BTreeSet<(&'a str, &'a str)>,
}

/// Knows rows that need not be scored.
pub(crate) trait Known: Sync {
    /// Those of a unit, by their numbers.
    fn rows(&self, unit: &PlannedUnit<'_>) -> Result<BTreeMap<u64, SidecarRow>, headwater_score::Error>;
}

/// What is scored, with what.
#[derive(Clone, Copy)]
pub(crate) struct Pending<'a> {
    pub(crate) run: &'a RunFile,
    pub(crate) scorer: &'a Scorer<'a>,
    /// Rows that another scorer knows.
    pub(crate) known: Option<&'a dyn Known>,
}

impl<'a> Pending<'a> {
    /// All of `run`.
    pub(crate) const fn new(run: &'a RunFile, scorer: &'a Scorer<'a>) -> Self {
        Self { run, scorer, known: None }
    }
}

/// Follows the scoring: shows progress, counts, skips shards that turn out unreadable.
struct Follower<'a> {
    pipeline: &'a Pipeline,
    pending: &'a [PlannedUnit<'a>],
    known: Option<&'a dyn Known>,
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
        self.tally().unreadable.contains(&shard_name(&self.pending[index]))
    }

    fn known(&self, index: usize) -> Result<BTreeMap<u64, SidecarRow>, headwater_score::Error> {
        self.known.map_or_else(|| Ok(BTreeMap::new()), |known| known.rows(&self.pending[index]))
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
                tally.documents += work.key.rows;
                tally.rejects += unusable(&report);
                self.pipeline.meters.unit(&report);
            }
            Err(error) if self.pipeline.may_skip(&error) => {
                if tally.unreadable.insert(shard_name(work)) {
                    tally.run = self.pipeline.skip_shard(&work.source.name, &work.shard.path, &error)?;
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Follows scoring of which the scores are only measured: shows progress, passes over shards that the pipeline allows to skip.
pub(crate) struct MeasureFollower<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) step: Box<dyn Progress>,
}

impl Watch for MeasureFollower<'_> {
    fn skips(&self, _index: usize) -> bool {
        false
    }

    fn is_over(&self) -> bool {
        self.pipeline.is_cancelled()
    }

    fn advance(&self, advance: Advance) {
        self.step.advance_tokens(advance.tokens);
        self.step.advance(advance.documents);
    }

    fn unit(
        &self,
        _index: usize,
        outcome: Result<UnitReport, headwater_score::Error>,
    ) -> Result<(), headwater_score::Error> {
        match outcome {
            Err(error) if !self.pipeline.may_skip(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

impl Pipeline {
    /// Scores the documents of a part of the plan that have no score yet. Needs a head set: that of [`Pipeline::heads`], or the one that
    /// `[heads] file` pins.
    ///
    /// # Errors
    /// [`Error::NoHeads`], [`Error::OtherHeads`]; [`Error::Score`] if the run was begun otherwise, or what keeps a document from being
    /// scored; [`Error::Cancelled`]. Finished units are kept, and another call scores the rest.
    pub fn score(&self, request: ScoreRequest) -> Result<ScoreSummary> {
        self.place().ensure_writable()?;
        self.wait_for_turn(request.part);
        let plan = self.plan_for(request.on_change)?;
        let scored = match self.config.score.by {
            ScoredBy::Teacher => self.score_by_teacher(&plan, &request)?,
            ScoredBy::Student => self.score_by_student(&plan, &request)?,
            ScoredBy::Cascade => {
                let model = self.load_model()?;
                let heads = self.heads_to_score(&model, &plan)?;
                self.score_by_cascade(&plan, (&model, &heads), &request)?
            }
        };
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

    /// Scores with the model and the head set that is there.
    fn score_by_teacher(&self, plan: &Plan, request: &ScoreRequest) -> Result<Scored> {
        let model = self.load_model()?;
        let heads = self.heads_to_score(&model, plan)?;
        self.score_units(plan, &model, &heads, request)
    }

    /// The head set that is there, or that needs no search.
    fn heads_to_score(&self, model: &Model, plan: &Plan) -> Result<HeadsFile> {
        match self.read_heads(model)? {
            Some(heads) => Ok(heads),
            None if self.config.heads.file.is_some() => self.heads_of(model, plan, HeadsRequest::default()),
            None => Err(Error::NoHeads { output: self.place().to_string(), pipeline: self.name.clone() }),
        }
    }

    /// Scores with the student of the run, without the model.
    pub(crate) fn score_by_student(&self, plan: &Plan, request: &ScoreRequest) -> Result<Scored> {
        let student = self.ready_student()?;
        let scorer = Scorer::of_student(&student, &student.tokenizer, &self.config.score);
        let run = self.begin(plan, scorer.inputs(student.model_hashes()), request.on_change)?;
        self.score_pending(plan, Pending::new(&run, &scorer), request.part)
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

    /// Scores what is pending of the requested part with the model.
    pub(crate) fn score_units(
        &self,
        plan: &Plan,
        model: &Model,
        heads: &HeadsFile,
        request: &ScoreRequest,
    ) -> Result<Scored> {
        let scorer = self.scorer(model, &heads.heads);
        let run = self.begin(plan, scorer.inputs(model.into()), request.on_change)?;
        self.score_pending(plan, Pending::new(&run, &scorer), request.part)
    }

    /// What a run of `plan` is made of.
    pub(crate) fn described(&self, plan: &Plan, inputs: ScoringInputs) -> Result<RunFile> {
        let config =
            serde_json::to_value(&self.config).map_err(|source| Error::Json { what: "the pipeline", source })?;
        let file = run_file(plan, inputs, self.now(), config)?;
        Ok(RunFile { revisions: self.environment.stores.pins(), ..file })
    }

    /// Begins the run or goes on with it.
    pub(crate) fn begin(&self, plan: &Plan, inputs: ScoringInputs, on_change: OnChange) -> Result<RunFile> {
        Ok(self.folder.begin(Candidate { file: self.described(plan, inputs)?, on_change })?)
    }

    /// Scores what is pending of the requested part.
    pub(crate) fn score_pending(&self, plan: &Plan, of: Pending<'_>, part: Part) -> Result<Scored> {
        let Pending { run, scorer, known } = of;
        let division = divide(plan, run, part, &self.folder)?;
        let Division { pending, done } = &division;
        if !pending.is_empty() {
            self.tell_fidelity(plan, scorer, &run.scoring)?;
        }
        let timer = self.meters.stage("score");
        if !done.is_empty() {
            self.tell(&Event::Resumed { units: done.len() as u64 });
        }
        let needed = division.pending_bytes();
        self.meters.wants(pending.len() as u64, needed);
        let before = self.environment.stores.traffic();
        let tally = Tally { run: run.clone(), documents: 0, rejects: 0, unreadable: BTreeSet::new() };
        let step = self.step("score", "documents", Total::Exactly(division.pending_rows()));
        let watch = Follower { pipeline: self, pending, known, step, tally: Mutex::new(tally) };
        let watched = self.environment.cancel.watch();
        let ended = score_units(scorer, pending, &self.folder, &watch);
        drop((watched, timer));
        if ended.is_err() || self.is_cancelled() {
            // what was done is told all the same, unless the store is the trouble
            drop(self.write_metrics(part));
        }
        ended?;
        if !self.is_cancelled() {
            watch.step.finish();
        }
        if !pending.is_empty() {
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
        self.heed_cancel()?;
        Ok(Scored { run, documents, rejects })
    }

    /// Writes what this process did so far.
    fn write_metrics(&self, part: Part) -> Result<()> {
        Ok(self.folder.write_json(&metrics_file(part), &self.meters.metrics())?)
    }

    /// Whether `error` is the fault of a shard that the pipeline allows to skip.
    pub(crate) fn may_skip(&self, error: &headwater_score::Error) -> bool {
        matches!(error, headwater_score::Error::Corpus(error) if self.may_skip_shard(error))
    }

    /// Whether `error` is the fault of its shard, and the pipeline allows to skip it.
    pub(crate) fn may_skip_shard(&self, error: &headwater_corpus::Error) -> bool {
        error.class() == Class::Data && self.config.run.on_bad_shard == OnBadShard::Skip
    }

    /// Takes the shard at `path` of a source out of the run.
    pub(crate) fn skip_shard(
        &self,
        source: &str,
        path: &str,
        error: &dyn std::error::Error,
    ) -> Result<RunFile, headwater_run::Error> {
        let reason = error.to_string();
        tracing::warn!(source, shard = path, reason, "shard skipped");
        self.folder.skip_shard(source, &SkippedShard { path: path.to_owned(), reason })
    }

    /// What scores as the pipeline says, with `heads` masked.
    pub(crate) fn scorer<'m>(&self, model: &'m Model, heads: &HeadSet) -> Scorer<'m> {
        Scorer::new(model, heads.clone(), &self.config.score)
    }
}

/// Where the metrics of a part go, relative to the run.
fn metrics_file(part: Part) -> String {
    match part {
        Part::WHOLE => RunFolder::METRICS.to_owned(),
        part => RunFolder::part_metrics(part.index(), part.of()),
    }
}
