//! `report.html`: everything that is known of a run, whatever state it is in.

use bytes::Bytes;
use headwater_corpus::Plan;
use headwater_record::profile::Profile;
use headwater_record::{RunFile, SelectionFile};
use headwater_report::{Mixture, MixturePart, MixtureStage, PageInputs, PlannedSchedule, render_page};
use headwater_run::RunFolder;
use headwater_select::{Mixtures, Rule, StoredSidecars, profile};

use crate::error::chain;
use crate::{Arm, Class, Error, Pipeline, Result};

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
        let planned = self.planned_schedule(selection.as_ref());
        let planned = planned.map_err(|error| refused("the learning rate", error)).ok();
        let mixture = selection.as_ref().map(|selection| self.mixture(selection)).transpose();
        let mixture = mixture.map_err(|error| refused("the mixture", error)).ok().flatten();
        let html = render_page(&PageInputs {
            pipeline: &self.command_line,
            run,
            heads: heads.as_ref(),
            profile: profile.as_ref(),
            selection: selection.as_ref(),
            mixture: mixture.as_ref(),
            schedule: planned
                .as_ref()
                .map(|(schedule, tokens_per_step)| PlannedSchedule { schedule, tokens_per_step: *tokens_per_step }),
            metrics: metrics.as_ref(),
            warnings: &warnings,
        });
        self.place().write(RunFolder::REPORT, Bytes::from(html))?;
        Ok(RunFolder::REPORT.to_owned())
    }

    /// Profiles the sidecars that there are; nothing before the first.
    fn profile(&self, run: &RunFile, plan: Option<&Plan>) -> Result<Option<Profile>> {
        let (sidecars, missing) = StoredSidecars::open_partly(&self.folder, run)?;
        let sidecars = match plan {
            Some(plan) => sidecars.with_shards(plan),
            None => sidecars,
        };
        let scored = headwater_select::Sidecars::units(&sidecars).len();
        if scored == 0 {
            return Ok(None);
        }
        let rule = Rule { config: &self.config.select, seed: self.config.run.seed };
        let step = self.step("report", "sidecars read", None);
        let profile = profile(&sidecars, scored + missing, rule, &|read| step.advance(read));
        self.meters.read_sidecars(&sidecars.metrics());
        Ok(Some(profile?))
    }

    fn mixture(&self, selection: &SelectionFile) -> Result<Mixture> {
        let Mixtures { stable, decay } = Mixtures::new(selection, self.config.mixture)?;
        let stage = |name: &str, mixture: &headwater_select::Mixture| MixtureStage {
            name: name.to_owned(),
            parts: mixture
                .parts(selection)
                .into_iter()
                .map(|(part, weight)| MixturePart { name: part.name(), weight })
                .collect(),
            arithmetic: mixture.arithmetic.clone(),
        };
        let stages = match &decay {
            None => vec![stage("throughout", &stable)],
            Some(decay) => vec![stage("until the decay", &stable), stage("while the rate decays", decay)],
        };
        Ok(Mixture { stages })
    }
}
