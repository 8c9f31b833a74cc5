//! The runs of a trial, each trained from where it was stopped.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use bytes::Bytes;
use fs_err as fs;
use headwater_record::Part;
use headwater_schedule::Schedule;
use headwater_train::{RunFolder, Settings, Trainer, pretrain};
use headwater_trial::{ArmText, HeldOutDocument, Mixture, RunResult, TrialPlan};

use super::gather::Gathered;
use super::log::{RunLog, Steps};
use super::names::{drawn_name, path_name};
use super::schedules::Course;
use crate::pipeline::json_bytes;
use crate::{Error, Event, Pipeline, Progress, Result, Total};

/// Steps from one checkpoint to the next.
const EVERY_STEPS: u64 = 100;

/// What all runs of a trial have in common.
pub(super) struct Runs<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) plan: &'a TrialPlan,
    pub(super) gathered: &'a Gathered,
    /// The course of every arm that tries no other.
    pub(super) schedule: &'a Schedule,
    /// The courses of those that do.
    pub(super) courses: BTreeMap<&'a str, Course>,
    /// The folder of the trial, relative to the output.
    pub(super) folder: String,
}

/// One run.
pub(super) struct Run<'a> {
    pub(super) arm: &'a str,
    pub(super) seed: u64,
    /// What names the texts: an arm that tries a schedule has those of another.
    pub(super) texts: String,
    text: &'a ArmText,
}

/// The models that a run left.
pub(super) struct Models<'a> {
    /// After the last step.
    pub(super) last: &'a Trainer,
    /// Before the decay.
    pub(super) stable: Option<&'a Trainer>,
}

/// A held-out document as sequences: those of one document lie together.
pub(super) struct Judged {
    /// `(sequence, length + 1)`.
    tokens: Vec<u32>,
    /// Tokens that are predicted in them; what comes after is padding.
    predicted: usize,
    bytes: f64,
}

impl Runs<'_> {
    /// Trains the runs of `part` that are not done, one seed of all arms after the other.
    pub(super) fn train(&self, part: Part) -> Result<()> {
        let runs = self.runs();
        let is_ours = |at: usize| at % part.of().max(1) == part.index();
        let mut missing = Vec::new();
        for (at, run) in runs.iter().enumerate() {
            if self.result(run)?.is_none() && is_ours(at) {
                missing.push(run);
            }
        }
        let steps = self.plan.steps * missing.len() as u64;
        let step = self.pipeline.step("trial", "steps", Total::Exactly(steps));
        let judged = self.judged()?;
        // what a schedule is refined from may be there later
        while !missing.is_empty() {
            let (before, mut waiting) = (missing.len(), Vec::new());
            for run in missing {
                let Some(schedule) = self.schedule_of(run)? else {
                    waiting.push(run);
                    continue;
                };
                self.one((run, &schedule), &judged, &*step)?;
            }
            missing = waiting;
            if missing.len() == before {
                break;
            }
        }
        step.spare(self.plan.steps * missing.len() as u64);
        step.finish();
        self.warn_of_waiting(missing.len(), "start this part again when the part that trains it is done");
        Ok(())
    }

    /// Says how many runs cannot be trained before another is done.
    pub(super) fn warn_of_waiting(&self, runs: usize, what_to_do: &str) {
        if runs > 0 {
            let control = &self.plan.design.control;
            tracing::warn!("runs that wait for the log of the first run of `{control}`: {runs}; {what_to_do}");
        }
    }

    /// What is there of all runs.
    pub(super) fn results(&self) -> Result<Vec<RunResult>> {
        self.runs().iter().filter_map(|run| self.result(run).transpose()).collect()
    }

    /// The course of a run; `None` if what it is refined from is not there yet.
    pub(super) fn schedule_of(&self, run: &Run<'_>) -> Result<Option<Schedule>> {
        match self.courses.get(run.arm) {
            None => Ok(Some(self.schedule.clone())),
            Some(Course::Known(schedule)) => Ok(Some(schedule.clone())),
            Some(Course::Refined) => {
                let Some(seed) = self.plan.design.seeds.first() else { return Ok(None) };
                let path = self.path_of(&self.plan.design.control, *seed, "parquet");
                let table = format!("{}/schedules/{}.csv", self.folder, path_name(run.arm));
                self.pipeline.refined_schedule(&path, &table)
            }
        }
    }

    /// Every run, in the order in which they are trained.
    pub(super) fn runs(&self) -> Vec<Run<'_>> {
        let mut runs = Vec::new();
        for seed in &self.plan.design.seeds {
            for arm in &self.plan.selections {
                let texts = self.plan.texts_of(&arm.arm);
                let name = if arm.texts.len() > 1 { drawn_name(texts, *seed) } else { texts.to_owned() };
                let of = self.gathered.arms.iter().find(|of| of.name == name);
                runs.extend(of.map(|of| Run { arm: &arm.arm, seed: *seed, texts: name, text: &of.text }));
            }
        }
        runs
    }

    fn result_path(&self, run: &Run<'_>) -> String {
        self.path_of(run.arm, run.seed, "json")
    }

    fn path_of(&self, arm: &str, seed: u64, extension: &str) -> String {
        format!("{}/runs/{}/{seed}.{extension}", self.folder, path_name(arm))
    }

    pub(super) fn result(&self, run: &Run<'_>) -> Result<Option<RunResult>> {
        let path = self.result_path(run);
        let Some(json) = self.pipeline.place().read_if_exists(&path)? else { return Ok(None) };
        let result: RunResult = serde_json::from_slice(&json)
            .map_err(|error| Error::TrialFile { path: self.pipeline.describe(&path), reason: error.to_string() })?;
        let is_of_run = (result.arm.as_str(), result.seed) == (run.arm, run.seed);
        if is_of_run && result.plan == self.plan.hash() && result.after.len() == self.gathered.held_out.len() {
            return Ok(Some(result));
        }
        let reason = "it is of another plan; remove it to train the run again".to_owned();
        Err(Error::TrialFile { path: self.pipeline.describe(&path), reason })
    }

    /// Trains one run to its end and judges it.
    fn one(&self, (run, schedule): (&Run<'_>, &Schedule), judged: &[Judged], progress: &dyn Progress) -> Result<()> {
        let work = self.work_folder(run)?;
        let settings = self.settings(run);
        let tokens = self.sequences(run);
        let mut log = RunLog::open(&work)?;
        let mut told = None;
        let folder = RunFolder { path: &work, every_steps: EVERY_STEPS };
        let next = |step: u64, batch: &mut [u32]| -> Result<()> {
            // what an earlier start did is done
            let first = *told.get_or_insert(step);
            progress.advance(if first == step { first } else { 0 });
            let start = usize::try_from(step).unwrap_or(usize::MAX) * batch.len();
            batch.iter_mut().zip(&tokens[start..]).for_each(|(to, token)| *to = u32::from(*token));
            Ok(())
        };
        let watch = |done: headwater_train::Progress| -> Result<ControlFlow<()>> {
            log.add(done.log)?;
            progress.advance(1);
            progress.advance_tokens(done.log.tokens);
            Ok(if self.pipeline.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        let trainer = pretrain(&settings, schedule, folder, next, watch)?;
        if trainer.completed() < schedule.steps() {
            return Err(Error::Cancelled);
        }
        let stable = self
            .stable_step(schedule)
            .map(|_| Trainer::resume(&settings, schedule, &work.join("stable")))
            .transpose()?
            .flatten();
        self.finish(run, &Models { last: &trainer, stable: stable.as_ref() }, &log.steps, judged)?;
        fs::remove_dir_all(&work).map_err(|source| Error::Work { source })?;
        // the folders around it stay as long as another run lies there
        work.ancestors().skip(1).take(2).try_for_each(|empty| fs::remove_dir(empty).ok());
        Ok(())
    }

    /// The step before which a run's model is judged, too: a rate that falls elsewhere than the control's leaves nothing to compare.
    pub(super) fn stable_step(&self, schedule: &Schedule) -> Option<u64> {
        schedule.decay().map(|decay| decay.start).filter(|start| Some(*start) == self.plan.decay_from)
    }

    /// How a run is trained.
    pub(super) fn settings(&self, run: &Run<'_>) -> Settings {
        Settings { seed: run.seed, ..self.plan.training.clone() }
    }

    /// What a run trains on, step after step, `(sequence, length + 1)`.
    pub(super) fn sequences(&self, run: &Run<'_>) -> Vec<u16> {
        let Settings { sequences, length, .. } = self.plan.training;
        let mixture = Mixture {
            shares: self.plan.domains.iter().map(|domain| domain.share).collect(),
            sequences: sequences * usize::try_from(self.plan.steps).unwrap_or(usize::MAX),
            length,
        };
        mixture.sequences(run.text, run.seed)
    }

    /// Judges the models that a run left, and leaves what it came to.
    pub(super) fn finish(&self, run: &Run<'_>, models: &Models<'_>, steps: &Steps, judged: &[Judged]) -> Result<()> {
        let result = RunResult {
            plan: self.plan.hash(),
            arm: run.arm.to_owned(),
            seed: run.seed,
            after: judge(models.last, judged)?,
            before_decay: models.stable.map(|stable| judge(stable, judged)).transpose()?,
            training_losses: steps.stretches(),
        };
        let place = self.pipeline.place();
        place.write(&self.path_of(run.arm, run.seed, "parquet"), steps.parquet()?)?;
        if self.plan.design.seeds.first() == Some(&run.seed) {
            self.export(run, models.last)?;
        }
        // last: what has a result is done
        place.write(&self.result_path(run), json_bytes("a run of a trial", &result)?)?;
        self.pipeline.tell(&Event::TrialRun {
            arm: result.arm,
            seed: result.seed,
            bits_per_byte: self.bits_per_byte(&result.after),
        });
        Ok(())
    }

    /// Leaves the model of an arm's first run with its tokenizer, as transformers loads them.
    fn export(&self, run: &Run<'_>, trainer: &Trainer) -> Result<()> {
        let (place, folder) = (self.pipeline.place(), format!("{}/models/{}", self.folder, path_name(run.arm)));
        for (name, bytes) in trainer.model_files() {
            place.write(&format!("{folder}/{name}"), Bytes::from(bytes))?;
        }
        let tokenizer = self.gathered.tokenizer.to_json()?;
        Ok(place.write(&format!("{folder}/tokenizer.json"), Bytes::from(tokenizer))?)
    }

    /// Where the checkpoints of a run lie until it is done: beside the results, or in the cache if these go to a store.
    fn work_folder(&self, run: &Run<'_>) -> Result<PathBuf> {
        let base = match self.pipeline.place().local_path() {
            Some(path) => path.join(&self.folder),
            None => self.pipeline.environment.cache()?.join(&self.folder),
        };
        let folder = base.join("work").join(path_name(run.arm)).join(run.seed.to_string());
        fs::create_dir_all(&folder).map_err(|source| Error::Work { source })?;
        Ok(folder)
    }

    /// The held-out documents as sequences, each after the token that ends documents.
    pub(super) fn judged(&self) -> Result<Vec<Judged>> {
        let (tokenizer, length) = (&self.gathered.tokenizer, self.plan.training.length);
        let end = tokenizer.eos()?.unwrap_or_default();
        let judged = |document: &HeldOutDocument| {
            let ids = tokenizer.encode(&document.text)?;
            let stream: Vec<u32> = std::iter::once(end).chain(ids.iter().copied()).collect();
            let mut tokens = Vec::new();
            for first in (0..ids.len()).step_by(length) {
                let part = &stream[first..stream.len().min(first + length + 1)];
                tokens.extend_from_slice(part);
                tokens.resize(tokens.len() + length + 1 - part.len(), end);
            }
            Ok(Judged { tokens, predicted: ids.len(), bytes: document.text.len() as f64 })
        };
        self.gathered.held_out.iter().map(judged).collect()
    }

    /// The loss over all held-out documents.
    fn bits_per_byte(&self, of_documents: &[f64]) -> f64 {
        let bytes = self.gathered.held_out.iter().map(|document| document.text.len() as f64);
        let (bits, bytes) = of_documents
            .iter()
            .zip(bytes)
            .fold((0.0, 0.0), |(bits, all), (loss, bytes)| (bits + loss * bytes, all + bytes));
        bits / bytes
    }
}

/// Documents that are judged together, so that all threads have sequences.
const JUDGED_TOGETHER: usize = 64;

/// Bits per byte of each document.
fn judge(trainer: &Trainer, documents: &[Judged]) -> Result<Vec<f64>> {
    let Settings { length, .. } = trainer.settings();
    let mut bits_per_byte = Vec::with_capacity(documents.len());
    for documents in documents.chunks(JUDGED_TOGETHER) {
        let tokens: Vec<u32> = documents.iter().flat_map(|document| &document.tokens).copied().collect();
        let losses = trainer.losses(&tokens)?;
        let mut first = 0;
        for document in documents {
            let of_document = losses[first..].iter().take(document.predicted);
            let nats: f64 = of_document.map(|loss| f64::from(*loss)).sum();
            bits_per_byte.push(nats / std::f64::consts::LN_2 / document.bytes);
            first += document.tokens.len() / (length + 1) * length;
        }
    }
    Ok(bits_per_byte)
}
