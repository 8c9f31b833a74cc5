//! `report.html`: everything that is known of a run, whatever state it is in.

use bytes::Bytes;
use headwater_corpus::Plan;
use headwater_record::profile::Profile;
use headwater_record::tokens::TextPart;
use headwater_record::{RunFile, SelectionFile};
use headwater_report::{Mixture, MixturePart, MixtureStage, PageInputs, PlannedSchedule, render_page};
use headwater_run::RunFolder;
use headwater_select::{Mixtures, Rule, SelectedWeight, StoredSidecars, profile};
use headwater_trial::TrialFile;

use crate::error::chain;
use crate::stages::trial::{scores_hash, shown_trial};
use crate::{Arm, Class, Error, Pipeline, Result, Total};

impl Pipeline {
    /// Writes `report.html`, one page of everything that is known of the run, whatever state it is in; returns its path, relative to
    /// the run's output.
    ///
    /// # Errors
    /// What the store says; settings that cannot be shown are warned of, and the page says so.
    pub fn report(&self) -> Result<String> {
        self.place().ensure_writable()?;
        let run = self.folder.run_file()?;
        let plan = run.as_ref().and_then(|_| self.shards_at_hand());
        let path = self.write_report(run.as_ref(), plan.as_ref())?;
        self.tell_written(&path);
        Ok(path)
    }

    /// Writes the page from what there is; returns its path. Without a plan it shows no texts.
    pub(crate) fn write_report(&self, run: Option<&RunFile>, plan: Option<&Plan>) -> Result<String> {
        let _timer = self.meters.stage("report");
        let heads = self.folder.heads()?;
        let metrics = self.folder.metrics()?;
        let selection = self.folder.selection(Arm::Selection)?;
        let by_student = run.is_some_and(|run| run.scoring.student.is_some());
        let student = if by_student { self.folder.student()? } else { None };
        let audit = self.folder.audit()?;
        let mut warnings = Vec::new();
        if self.config.is_sampled() {
            warnings
                .push("Only a sample of the corpus was scored: cuts and mixture are those of the sample.".to_owned());
        }
        // what the settings do not allow is said on the page, which shows the rest
        let mut refused = |what: &str, error: Error| {
            let reason = chain(&error);
            tracing::warn!("the report does not show {what}: {reason}");
            warnings.push(format!("The page does not show {what}: {reason}."));
        };
        let profile = match run.map(|run| self.profile(run, plan)).transpose() {
            Err(error) if error.class() == Class::Transient => return Err(error),
            profile => profile.map_err(|error| refused("the scores", error)).ok().flatten().flatten(),
        };
        let schedule = self.planned_schedule(selection.as_ref());
        let schedule = schedule.map_err(|error| refused("the learning rate", error)).ok();
        let planned = schedule
            .as_ref()
            .map(|(schedule, tokens_per_step)| PlannedSchedule { schedule, tokens_per_step: *tokens_per_step });
        let mixture = selection.as_ref().map(|selection| self.mixture(selection, planned)).transpose();
        let mixture = mixture.map_err(|error| refused("the mixture", error)).ok().flatten();
        let trial = match self.trial_file() {
            Err(error) if error.class() == Class::Transient => return Err(error),
            trial => trial.map_err(|error| refused("the trial", error)).ok().flatten(),
        };
        if let Some((trial, run)) = trial.as_ref().zip(run)
            && trial.plan.scores != scores_hash(run).to_string()
        {
            warnings.push("The trial is of other scores than those of this run.".to_owned());
        }
        let trial = trial.map(|file| shown_trial(&file, self.describe(&RunFolder::trial(&file.trial))));
        let html = render_page(&PageInputs {
            pipeline: &self.command_line,
            run,
            heads: heads.as_ref(),
            student: student.as_ref().map(|(student, _)| student),
            audit: audit.as_ref(),
            profile: profile.as_ref(),
            selection: selection.as_ref(),
            mixture: mixture.as_ref(),
            schedule: planned,
            trial: trial.as_ref(),
            metrics: metrics.as_ref(),
            warnings: &warnings,
        });
        self.place().write(RunFolder::REPORT, Bytes::from(html))?;
        Ok(RunFolder::REPORT.to_owned())
    }

    /// The sidecars that there are, and how many are missing.
    pub(crate) fn scored_sidecars<'a>(
        &'a self,
        run: &RunFile,
        plan: Option<&'a Plan>,
    ) -> Result<(StoredSidecars<'a>, usize)> {
        let (sidecars, missing) = StoredSidecars::open_partly(&self.folder, run)?;
        Ok(match plan {
            Some(plan) => (sidecars.with_shards(plan), missing),
            None => (sidecars, missing),
        })
    }

    /// Profiles the sidecars that there are; nothing before the first.
    pub(crate) fn profile(&self, run: &RunFile, plan: Option<&Plan>) -> Result<Option<Profile>> {
        let (sidecars, missing) = self.scored_sidecars(run, plan)?;
        let scored = headwater_select::Sidecars::units(&sidecars).len();
        if scored == 0 {
            return Ok(None);
        }
        let rule = Rule { config: &self.config.select, seed: self.config.run.seed };
        let step = self.step("report", "sidecars read", Total::Unknown);
        let profile = profile(&sidecars, scored + missing, rule, &|read| step.advance(read));
        self.meters.read_sidecars(&sidecars.metrics());
        Ok(Some(profile?))
    }

    /// What the last trial came to; `None` before there is one.
    fn trial_file(&self) -> Result<Option<TrialFile>> {
        let Some(json) = self.place().read_if_exists(RunFolder::TRIAL)? else { return Ok(None) };
        serde_json::from_slice(&json)
            .map(Some)
            .map_err(|error| Error::TrialFile { path: self.describe(RunFolder::TRIAL), reason: error.to_string() })
    }

    fn mixture(&self, selection: &SelectionFile, planned: Option<PlannedSchedule<'_>>) -> Result<Mixture> {
        let Mixtures { stable, decay } = Mixtures::new(selection, self.config.mixture)?;
        let stage = |name: &str, mixture: &headwater_select::Mixture, weight: SelectedWeight| MixtureStage {
            name: name.to_owned(),
            parts: mixture
                .parts(selection)
                .into_iter()
                .map(|(part, weight)| MixturePart { name: part.name(), weight, tokens: part_tokens(selection, part) })
                .collect(),
            tokens: None,
            selected_weight: match weight {
                SelectedWeight::Concatenate => None,
                SelectedWeight::Weight(weight) => Some(weight),
            },
            arithmetic: mixture.arithmetic.clone(),
        };
        let mut stages = match decay.as_ref().zip(self.config.mixture.decay) {
            None => vec![stage("throughout", &stable, self.config.mixture.selected)],
            Some((decay, weight)) => vec![
                stage("until the decay", &stable, self.config.mixture.selected),
                stage("while the rate decays", decay, weight),
            ],
        };
        if let Some(PlannedSchedule { schedule, tokens_per_step }) = planned {
            let tokens = |steps: u64| Some(steps as f64 * tokens_per_step as f64);
            let start = if stages.len() > 1 { schedule.decay_start() } else { schedule.steps() };
            for (stage, steps) in stages.iter_mut().zip([start, schedule.steps() - start]) {
                stage.tokens = tokens(steps);
            }
        }
        Ok(Mixture { stages })
    }
}

/// Tokens of one pass over a part.
fn part_tokens(selection: &SelectionFile, part: TextPart) -> u64 {
    match part {
        TextPart::Corpus => selection.tokens().0,
        TextPart::Selected => selection.kept_tokens().0,
        TextPart::Bucket(index) => selection.buckets.get(index).map_or(0, |bucket| bucket.tokens.0),
    }
}
