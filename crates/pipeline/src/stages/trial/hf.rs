//! Runs that the Trainer of transformers trains: what they need, and what they left.
//!
//! ```text
//! hf/train.py                       trains the runs of runs.json
//! hf/runs.json                      the plan's hash, how to train, and the runs
//! hf/model/                         config.json, tokenizer.json
//! hf/start/SEED.safetensors         the parameters that all runs of a seed begin with
//! hf/tokens/TEXTS/SEED.safetensors  what a run reads, step after step
//! hf/rates/ARM.json                 the rate of every step
//! hf/runs/ARM/SEED/                 what train.py leaves: final/, stable/, log.jsonl, and last run.json
//! ```

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use headwater_record::ContentHash;
use headwater_schedule::Schedule;
use headwater_train::{Parameters, Settings, Trainer, sequences_file};
use serde::{Deserialize, Serialize};

use super::log::Steps;
use super::names::path_name;
use super::runs::{Judged, Models, Run, Runs};
use crate::pipeline::json_bytes;
use crate::{Error, Result, Total};

/// The program that trains.
const PROGRAM: &str = include_str!("../../../../python/python/headwater/trial_runs.py");

/// Its name.
const PROGRAM_FILE: &str = "train.py";

/// `runs.json`: what the program is to do.
#[derive(Serialize, Deserialize)]
struct RunList {
    plan: ContentHash,
    settings: Settings,
    peak_lr: f64,
    steps: u64,
    runs: Vec<ListedRun>,
}

/// A run of the list; paths are relative to the folder of the list.
#[derive(Serialize, Deserialize)]
struct ListedRun {
    arm: String,
    seed: u64,
    start: String,
    tokens: String,
    rates: String,
    output: String,
    /// The step before which the model is saved as well.
    stable: Option<u64>,
}

/// `run.json`: what the program says of a run that is done.
#[derive(Deserialize)]
struct TrainedRun {
    plan: ContentHash,
    arm: String,
    seed: u64,
    /// Device, precision and versions, in words.
    way: String,
}

impl Runs<'_> {
    /// The folder of what is there for the trainer, relative to the output.
    fn hf(&self, path: &str) -> String {
        format!("{}/hf/{path}", self.folder)
    }

    /// The program that trains what is missing; none if the trainer is built in.
    pub(super) fn program(&self) -> Option<String> {
        let is_built_in = self.plan.trainer == headwater_trial::TrialTrainer::BuiltIn;
        (!is_built_in).then(|| self.pipeline.describe(&self.hf(PROGRAM_FILE)))
    }

    /// Leaves what runs without a result need and is not there, and the list of all.
    pub(super) fn prepare(&self) -> Result<()> {
        let place = self.pipeline.place();
        let list_path = self.hf("runs.json");
        let listed: Option<RunList> =
            place.read_if_exists(&list_path)?.and_then(|json| serde_json::from_slice(&json).ok());
        let mut runs = listed.filter(|list| list.plan == self.plan.hash()).map(|list| list.runs).unwrap_or_default();
        let config = self.plan.training.model_config();
        let tokenizer = self.gathered.tokenizer.to_json()?;
        for (path, content) in
            [(PROGRAM_FILE, PROGRAM), ("model/config.json", &config), ("model/tokenizer.json", &tokenizer)]
        {
            let (path, content) = (self.hf(path), Bytes::copy_from_slice(content.as_bytes()));
            if place.read_if_exists(&path)?.is_none_or(|there| there != content) {
                place.write(&path, content)?;
            }
        }
        let all = self.runs();
        let step = self.pipeline.step("prepare", "runs", Total::Exactly(all.len() as u64));
        let mut waiting = 0;
        for run in &all {
            self.pipeline.heed_cancel()?;
            step.advance(1);
            if self.result(run)?.is_some() || self.trained(run)?.is_some() {
                continue;
            }
            match self.schedule_of(run)? {
                Some(schedule) => {
                    runs.retain(|of| (of.arm.as_str(), of.seed) != (run.arm, run.seed));
                    runs.push(self.leave(run, &schedule)?);
                }
                None => waiting += 1,
            }
        }
        step.finish();
        self.warn_of_waiting(waiting, "`--collect` prepares them once that run is collected");
        let (plan, settings) = (self.plan.hash(), self.plan.training.clone());
        let list = RunList { plan, settings, peak_lr: self.plan.peak_lr, steps: self.plan.steps, runs };
        // last: what is listed is there
        Ok(place.write(&list_path, json_bytes("the runs of a trial", &list)?)?)
    }

    /// Leaves what one run needs and is not there; the plan decides what is in every file.
    fn leave(&self, run: &Run<'_>, schedule: &Schedule) -> Result<ListedRun> {
        let (place, settings) = (self.pipeline.place(), self.settings(run));
        let file = |path: String, bytes: &dyn Fn() -> Result<Vec<u8>>| -> Result<String> {
            if place.entry(&self.hf(&path)).is_err() {
                place.write(&self.hf(&path), Bytes::from(bytes()?))?;
            }
            Ok(path)
        };
        Ok(ListedRun {
            arm: run.arm.to_owned(),
            seed: run.seed,
            start: file(format!("start/{}.safetensors", run.seed), &|| {
                Ok(Parameters::draw(&settings.shape, run.seed)?.to_safetensors())
            })?,
            // texts that are drawn for a seed have it in their name
            tokens: file(format!("tokens/{}/{}.safetensors", path_name(&run.texts), run.seed), &|| {
                Ok(sequences_file(&self.sequences(run), settings.length + 1))
            })?,
            rates: file(format!("rates/{}.json", path_name(run.arm)), &|| {
                let rates: Vec<f64> = (0..self.plan.steps).map(|step| schedule.lr(step)).collect();
                Ok(json_bytes("the rates of a run", &rates)?.to_vec())
            })?,
            output: format!("runs/{}/{}", path_name(run.arm), run.seed),
            stable: self.stable_step(schedule),
        })
    }

    /// Judges the models of runs that have no result yet; one that cannot be judged keeps no other from it.
    pub(super) fn collect(&self) -> Result<()> {
        let (mut trained, mut ways, mut failed) = (Vec::new(), BTreeSet::new(), None);
        for run in self.runs() {
            match self.trained(&run) {
                Ok(None) => {}
                Ok(Some(said)) => {
                    ways.insert(said.way);
                    if self.result(&run)?.is_none() {
                        trained.push(run);
                    }
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if ways.len() > 1 {
            let ways: Vec<String> = ways.into_iter().collect();
            tracing::warn!("differences between arms may be those of how runs were trained: {}", ways.join("; "));
        }
        let judged = self.judged()?;
        let step = self.pipeline.step("collect", "runs", Total::Exactly(trained.len() as u64));
        for run in &trained {
            self.pipeline.heed_cancel()?;
            if let Err(error) = self.collect_one(run, &judged) {
                failed = failed.or(Some(error));
            }
            step.advance(1);
        }
        step.finish();
        failed.map_or(Ok(()), Err)
    }

    /// Judges the models of one run.
    fn collect_one(&self, run: &Run<'_>, judged: &[Judged]) -> Result<()> {
        let Some(schedule) = self.schedule_of(run)? else { return Ok(()) };
        let log_path = self.of_run(run, "log.jsonl");
        let steps = Steps::read(&String::from_utf8_lossy(&self.pipeline.place().read(&log_path)?));
        if steps.count() as u64 != self.plan.steps {
            let reason = format!(
                "it has {} steps, the run has {}; remove its folder and train the run again",
                steps.count(),
                self.plan.steps
            );
            return Err(Error::TrialFile { path: self.pipeline.describe(&log_path), reason });
        }
        let last = self.model(run, &schedule, "final")?;
        let stable = self.stable_step(&schedule).map(|_| self.model(run, &schedule, "stable")).transpose()?;
        self.finish(run, &Models { last: &last, stable: stable.as_ref() }, &steps, judged)
    }

    fn of_run(&self, run: &Run<'_>, file: &str) -> String {
        self.hf(&format!("runs/{}/{}/{file}", path_name(run.arm), run.seed))
    }

    /// What the program says of a run; `None` if it is not done.
    fn trained(&self, run: &Run<'_>) -> Result<Option<TrainedRun>> {
        let path = self.of_run(run, "run.json");
        let Some(json) = self.pipeline.place().read_if_exists(&path)? else { return Ok(None) };
        let wrong = |reason: String| Error::TrialFile { path: self.pipeline.describe(&path), reason };
        let said: TrainedRun = serde_json::from_slice(&json)
            .map_err(|error| wrong(format!("{error}; remove its folder and train the run again")))?;
        if said.plan != self.plan.hash() || (said.arm.as_str(), said.seed) != (run.arm, run.seed) {
            let reason = format!(
                "its model is of another trial: arm {}, seed {}; remove its folder and train it again",
                said.arm, said.seed
            );
            return Err(wrong(reason));
        }
        Ok(Some(said))
    }

    /// A model that a run left.
    fn model(&self, run: &Run<'_>, schedule: &Schedule, which: &str) -> Result<Trainer> {
        let path = self.of_run(run, &format!("{which}/model.safetensors"));
        let bytes = self.pipeline.place().read(&path)?;
        let (settings, shown) = (self.settings(run), self.pipeline.describe(&path));
        let parameters = Parameters::from_safetensors(&settings.shape, Path::new(&shown), &bytes).map_err(|error| {
            let reason = format!("{error}; remove the folder of its run and train it again");
            Error::TrialFile { path: shown, reason }
        })?;
        Ok(Trainer::with_parameters(settings, schedule.clone(), parameters)?)
    }
}
