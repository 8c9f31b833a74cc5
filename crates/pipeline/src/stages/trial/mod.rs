//! A trial: small models trained on competing selections, and what that says of the selections.

mod gather;
mod hf;
mod log;
mod names;
mod runs;
mod schedules;
mod shown;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use headwater_record::{ContentHash, Part, RunFile};
use headwater_run::RunFolder;
use headwater_schedule::{Batch, Length, RunLength, Schedule, ScheduleConfig};
use headwater_score::ScoredBy;
use headwater_select::{ArmRule, Arms, By, RankBy, SelectConfig, StoredSidecars};
use headwater_train::{AdamW, Precision, Settings, Trainer};
use headwater_trial::{
    ArmSelections, CONTROL, Design, FLOOR, HeldOutSummary, JudgedDocument, PRIMARY_METRIC, PlannedDomain, ScheduleArm,
    Sensitivity, TEST, TrialConfig, TrialFile, TrialPlan, TrialTrainer, TriedArm,
};
use serde::Serialize;

use crate::error::chain;
use crate::{Error, Pipeline, PipelineConfig, Result, Total};
use gather::{Gathered, Gathering};
use names::{drawn_name, path_name};
use runs::Runs;
use schedules::Course;
pub(crate) use shown::{FLOOR_VERDICT, shown_trial};

/// Norm that gradients of a greater one are scaled to.
const CLIP: f64 = 1.0;

/// What a trial would take, and what it could see.
#[derive(Clone, Debug, Serialize)]
pub struct TrialForecast {
    /// Arms, control and floor included.
    pub arms: Vec<String>,
    /// Runs.
    pub runs: u64,
    /// Parameters of the model.
    pub parameters: u64,
    /// Tokens that a run trains on.
    pub run_tokens: u64,
    /// Steps of a run.
    pub steps: u64,
    /// Floating-point operations of a run.
    pub run_flops: f64,
    /// Tokens a second on this machine, measured by a few steps; none if it is not what trains.
    pub tokens_per_second: Option<f64>,
    /// What products of training are computed in by the built-in trainer.
    pub precision: Precision,
    /// Hours of all runs on this machine.
    pub hours: Option<f64>,
    /// Those with products in bfloat16, where the processor multiplies it and the runs would be in float32.
    pub bf16_hours: Option<f64>,
    /// What it could see.
    pub sensitivity: Sensitivity,
}

/// How a trial went.
#[derive(Clone, Debug, Serialize)]
pub struct TrialSummary {
    /// The folder of the trial.
    pub folder: String,
    /// Runs that are done.
    pub runs: usize,
    /// Runs that are planned.
    pub planned: usize,
    /// The program that trains those that are missing, under another trainer than the built-in one.
    pub program: Option<String>,
    /// What it came to, once all runs are done.
    pub trial: Option<TrialFile>,
}

impl Pipeline {
    /// Says what a trial would take and what it could see. Reads no scores and no corpus.
    ///
    /// # Errors
    /// [`Error::Trial`], [`Error::Schedule`] for settings that cannot be used.
    pub fn trial_forecast(&self) -> Result<TrialForecast> {
        let (config, schedule) = (&self.config.trial, self.trial_schedule()?);
        self.tried_schedules()?;
        let design = self.design();
        let sensitivity = design.sensitivity()?;
        let settings = self.training(config.vocabulary);
        settings.check()?;
        let tokens_per_second = match config.trainer {
            TrialTrainer::BuiltIn => Some(speed(&settings, &schedule)?),
            TrialTrainer::Hf => None,
        };
        let is_f32 = settings.precision == Precision::F32;
        let bf16 = if tokens_per_second.is_some() && is_f32 && Precision::Bf16.is_native() {
            Some(speed(&Settings { precision: Precision::Bf16, ..settings.clone() }, &schedule)?)
        } else {
            None
        };
        let run_tokens = schedule.steps() * (settings.sequences * settings.length) as u64;
        let arms: Vec<String> = arm_names(&design).collect();
        let runs = (arms.len() * design.seeds.len()) as u64;
        let hours = |speed| runs as f64 * run_tokens as f64 / speed / 3600.0;
        Ok(TrialForecast {
            runs,
            parameters: settings.shape.parameters(),
            run_tokens,
            steps: schedule.steps(),
            run_flops: run_tokens as f64 * settings.shape.flops_per_token(settings.length),
            tokens_per_second,
            precision: settings.precision,
            hours: tokens_per_second.map(hours),
            bf16_hours: bf16.map(hours),
            sensitivity,
            arms,
        })
    }

    /// Trains small models on what each arm selects of the scores that are there, and on random documents, and judges them by text that none of
    /// them has seen. Goes on with the runs of the same plan that are done, and trains those of `part`. Under the trainer `hf` it leaves what the
    /// runs need and a program that trains them.
    ///
    /// # Errors
    /// [`Error::NotBegun`]; [`Error::Trial`] for settings that cannot be used, an arm without text in a domain; [`Error::NothingHeldOut`];
    /// [`Error::Train`] for a run that diverged; those of [`Pipeline::select`].
    pub fn trial(&self, part: Part) -> Result<TrialSummary> {
        match self.config.trial.trainer {
            TrialTrainer::BuiltIn => self.trial_by(&|runs| runs.train(part)),
            TrialTrainer::Hf if part.of() > 1 => {
                Err(self
                    .other_trainer("the program that it leaves takes `--part`; this command only prepares the runs"))
            }
            TrialTrainer::Hf => self.trial_by(&|runs| runs.prepare()),
        }
    }

    /// Judges the models that another trainer left for a trial, and the trial if all are there.
    ///
    /// # Errors
    /// [`Error::Trial`] under the built-in trainer, [`Error::TrialFile`] and [`Error::Train`] for a model that is not of the trial, and those of
    /// [`Pipeline::trial`].
    pub fn collect_trial(&self) -> Result<TrialSummary> {
        match self.config.trial.trainer {
            TrialTrainer::BuiltIn => Err(self.other_trainer(
                "`--collect` reads back what another trainer left, as under `--set trial.trainer=hf`; without it the command trains and judges",
            )),
            TrialTrainer::Hf => self.trial_by(&|runs| {
                runs.collect()?;
                // a schedule can be refined from what has come
                runs.prepare()
            }),
        }
    }

    fn other_trainer(&self, rule: &'static str) -> Error {
        let value = self.config.trial.trainer.as_str().to_owned();
        headwater_trial::Error::Setting { name: "trial.trainer", value, rule }.into()
    }

    /// Plans the trial, does `work` on its runs, and judges it if all are done.
    fn trial_by(&self, work: &dyn Fn(&Runs<'_>) -> Result<()>) -> Result<TrialSummary> {
        self.place().ensure_writable()?;
        let schedule = self.trial_schedule()?;
        let (schedules, courses): (Vec<ScheduleArm>, Vec<Course>) = self.tried_schedules()?.into_iter().unzip();
        let run = self.begun_run()?;
        if self.config.score.by == ScoredBy::Cascade && run.scoring.student.is_some() && run.scoring.cascade.is_none() {
            return Err(Error::HalfCascade { output: self.place().to_string(), pipeline: self.name.clone() });
        }
        let plan = self.plan()?;
        let sidecars = StoredSidecars::open(&self.folder, &run)?.with_shards(&plan);
        let step = self.step("cut", "sidecars read", Total::Unknown);
        let arms = Arms::cut(&sidecars, &self.arm_rules()?, &|read| step.advance(read))?;
        drop(step);
        let domains = shares(&arms);
        let gathered = Gathering { pipeline: self, plan: &plan, arms: &arms, domains: &domains }.gather()?;
        let trial = self.trial_plan(&arms, &gathered, &domains, (&schedule, schedules, scores_hash(&run)));
        let folder = RunFolder::trial(&trial.hash());
        self.write_plan(&folder, &trial)?;
        let courses = trial.schedules.iter().map(|of| of.arm.as_str()).zip(courses).collect();
        let runs = Runs {
            pipeline: self,
            plan: &trial,
            gathered: &gathered,
            schedule: &schedule,
            courses,
            folder: folder.clone(),
        };
        work(&runs)?;
        // other parts may have ended runs meanwhile
        let results = runs.results()?;
        let planned = trial.runs();
        if results.len() < planned {
            let program = runs.program();
            return Ok(TrialSummary {
                folder: self.describe(&folder),
                runs: results.len(),
                planned,
                program,
                trial: None,
            });
        }
        let documents: Vec<JudgedDocument> = gathered
            .held_out
            .iter()
            .map(|document| JudgedDocument { domain: document.domain.clone(), bytes: document.text.len() as u64 })
            .collect();
        let file = TrialFile::of(&trial, &documents, &results)?;
        self.folder.write_json(&format!("{folder}/trial.json"), &file)?;
        self.folder.write_json(RunFolder::TRIAL, &file)?;
        // the verdicts are there, whatever becomes of the page
        match self.write_report(Some(&run), Some(&plan)) {
            Ok(report) => self.tell_written(&report),
            Err(error) => tracing::warn!("the report was not written: {}", chain(&error)),
        }
        Ok(TrialSummary {
            folder: self.describe(&folder),
            runs: results.len(),
            planned,
            program: None,
            trial: Some(file),
        })
    }

    /// The learning rate of every step of a run.
    fn trial_schedule(&self) -> Result<Schedule> {
        self.resolved(&self.course(&self.config.schedule))
    }

    /// A course as a trial follows it, with the warm-up of trials.
    fn course(&self, schedule: &ScheduleConfig) -> ScheduleConfig {
        let has_warmup = schedule.kind.keys().contains(&"warmup");
        let warmup = if has_warmup { Some(Length::Fraction(self.config.trial.warmup)) } else { schedule.warmup };
        ScheduleConfig { warmup, ..schedule.clone() }
    }

    /// A course over the steps of a run.
    fn resolved(&self, course: &ScheduleConfig) -> Result<Schedule> {
        let config = &self.config.trial;
        let batch = Batch { sequences: config.batch_sequences as u64, sequence_tokens: config.sequence_tokens as u64 };
        Ok(course.resolve(RunLength { steps: config.steps(), batch }, config.peak_lr)?)
    }

    /// How every run is trained, with a tokenizer of so many entries.
    fn training(&self, vocabulary: usize) -> Settings {
        let TrialConfig { model, sequence_tokens, batch_sequences, precision, .. } = self.config.trial;
        Settings {
            shape: model.shape(vocabulary),
            sequences: batch_sequences,
            length: sequence_tokens,
            optimiser: AdamW::default(),
            clip: Some(CLIP),
            seed: 0,
            precision,
        }
    }

    fn design(&self) -> Design {
        let (config, first) = (&self.config.trial, self.config.run.seed);
        let ranks = config.arms.iter().map(ToString::to_string);
        Design {
            control: CONTROL.to_owned(),
            floor: Some(FLOOR.to_owned()),
            arms: ranks.chain(config.schedules.iter().map(|tried| tried.arm())).collect(),
            seeds: (0..config.seeds).map(|number| first.wrapping_add(number)).collect(),
        }
    }

    /// The rule of every arm; of control and floor one for each seed.
    fn arm_rules(&self) -> Result<Vec<ArmRule>> {
        let own = &self.config.select;
        let random = rank_of(own, &RankBy::Random);
        let mut rules = Vec::new();
        for (number, seed) in (0_u64..).zip(self.design().seeds) {
            for (other, arm) in (0_u64..).zip([CONTROL, FLOOR]) {
                // other draws than those of the `random` rank itself
                let seed_of_draws = self.config.run.seed.wrapping_add(1_000_003 * (1 + 2 * number + other));
                rules.push(ArmRule { name: drawn_name(arm, seed), config: random.clone(), seed: seed_of_draws });
            }
        }
        for arm in &self.config.trial.arms {
            let config = match arm {
                TriedArm::All => SelectConfig { rank: RankBy::Random, fraction: 1.0, ..SelectConfig::default() },
                TriedArm::Rank(rank) => rank_of(own, rank),
                TriedArm::Pipeline(path) => {
                    let select = PipelineConfig::load(Path::new(path), &[])?.select;
                    select.validate()?;
                    select
                }
            };
            let (name, seed) = (arm.to_string(), self.config.run.seed);
            if rules.iter().any(|rule| path_name(&rule.name) == path_name(&name)) {
                let rule = "its files would have the names of another arm's: rename the pipeline, or leave one out";
                return Err(headwater_trial::Error::Setting { name: "trial.arms", value: name, rule }.into());
            }
            rules.push(ArmRule { name, config, seed });
        }
        if rules.iter().any(|rule| rule.config.by == By::Upsample) {
            return Err(Error::TrialOfUpsample);
        }
        Ok(rules)
    }

    fn trial_plan(
        &self,
        arms: &Arms<'_>,
        gathered: &Gathered,
        domains: &[(String, f64)],
        (schedule, schedules, scores): (&Schedule, Vec<ScheduleArm>, ContentHash),
    ) -> TrialPlan {
        let (config, design) = (&self.config.trial, self.design());
        let hashes: BTreeMap<&str, ContentHash> = arms.selections().collect();
        let selections = arm_names(&design).map(|arm| {
            let drawn = if schedules.iter().any(|of| of.arm == arm) { CONTROL } else { arm.as_str() };
            let names: Vec<String> = match drawn {
                CONTROL | FLOOR => design.seeds.iter().map(|seed| drawn_name(drawn, *seed)).collect(),
                _ => vec![arm.clone()],
            };
            let of = |name: &String| gathered.arms.iter().position(|of| of.name == *name);
            let places: Vec<usize> = names.iter().filter_map(of).collect();
            ArmSelections {
                selections: names.iter().filter_map(|name| hashes.get(name.as_str()).copied()).collect(),
                texts: places.iter().map(|at| gathered.arms[*at].text.hash()).collect(),
                held_out_seen: places.first().map_or(0.0, |at| gathered.arms[*at].held_out_seen),
                arm,
            }
        });
        let selections = selections.collect();
        let tokens = |at: usize| gathered.arms.first().map_or(0, |of| of.text.domains[at].tokens());
        let read = schedule.steps() as f64 * (config.batch_sequences * config.sequence_tokens) as f64;
        let domains = domains.iter().enumerate().map(|(at, (domain, share))| PlannedDomain {
            domain: domain.clone(),
            share: *share,
            tokens: tokens(at) as u64,
            passes: read * share / (tokens(at) as f64).max(1.0),
        });
        let texts = gathered.held_out.iter().map(|document| document.text.as_bytes());
        TrialPlan {
            headwater: env!("CARGO_PKG_VERSION").to_owned(),
            scores: scores.to_string(),
            selections,
            schedules,
            primary_metric: PRIMARY_METRIC.to_owned(),
            test: TEST.to_owned(),
            domains: domains.collect(),
            held_out: HeldOutSummary {
                documents: gathered.held_out.len() as u64,
                bytes: texts.clone().map(|text| text.len() as u64).sum(),
                hash: ContentHash::of_fields(texts.collect::<Vec<_>>()),
            },
            tokenizer: gathered.tokenizer.hash(),
            trainer: config.trainer,
            training: self.training(usize::try_from(gathered.tokenizer.vocab_size()).unwrap_or(usize::MAX)),
            schedule: serde_json::to_value(self.course(&self.config.schedule)).unwrap_or_default(),
            peak_lr: config.peak_lr,
            steps: schedule.steps(),
            decay_from: schedule.decay().map(|decay| decay.start),
            design,
        }
    }

    /// Writes the plan before anything is trained, unless it is there.
    fn write_plan(&self, folder: &str, plan: &TrialPlan) -> Result<()> {
        let path = format!("{folder}/plan.json");
        if self.place().read_if_exists(&path)?.is_none() {
            self.folder.write_json(&path, plan)?;
        }
        Ok(())
    }
}

/// A selection under another rank.
fn rank_of(select: &SelectConfig, rank: &RankBy) -> SelectConfig {
    let rank_sum = if *rank == RankBy::RankSum { select.rank_sum.clone() } else { BTreeMap::new() };
    SelectConfig { rank: rank.clone(), rank_sum, ..select.clone() }
}

/// Tokens a second that this machine trains on, measured by a few steps.
fn speed(settings: &Settings, schedule: &Schedule) -> Result<f64> {
    let mut trainer = Trainer::new(settings.clone(), schedule.clone())?;
    let vocabulary = settings.shape.vocabulary;
    let tokens: Vec<u32> =
        (0..settings.batch_tokens()).map(|at| u32::try_from(at * 7919 % vocabulary).unwrap_or_default()).collect();
    // memory is made in the first step
    trainer.step(&tokens)?;
    let (began, mut steps) = (Instant::now(), 0_u32);
    while steps < 2 || began.elapsed().as_secs_f64() < 2.0 {
        trainer.step(&tokens)?;
        steps += 1;
    }
    Ok(f64::from(steps) * (settings.sequences * settings.length) as f64 / began.elapsed().as_secs_f64())
}

/// What names all scores of a run.
pub(crate) fn scores_hash(run: &RunFile) -> ContentHash {
    let fingerprints: Vec<String> = run.sources.iter().map(|source| source.fingerprint.to_string()).collect();
    ContentHash::of_fields(fingerprints.iter().map(String::as_bytes))
}

/// Every arm, the control and the floor first.
fn arm_names(design: &Design) -> impl Iterator<Item = String> {
    std::iter::once(design.control.clone()).chain(design.floor.clone()).chain(design.arms.clone())
}

/// The domains with their shares of the tokens.
fn shares(arms: &Arms<'_>) -> Vec<(String, f64)> {
    let all: u64 = arms.domains().map(|(_, tokens)| tokens).sum();
    arms.domains().map(|(domain, tokens)| (domain.to_owned(), tokens as f64 / all.max(1) as f64)).collect()
}
