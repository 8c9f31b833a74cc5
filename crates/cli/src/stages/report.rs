//! `report.html`: everything that is known of a run, whatever state it is in.

use anyhow::Result;
use bytes::Bytes;
use headwater_corpus::Plan;
use headwater_record::profile::Profile;
use headwater_record::{RunFile, SelectionFile};
use headwater_report::{Mixture, MixturePart, MixtureStage, PageInputs, PlannedSchedule, page};
use headwater_run::Arm;
use headwater_select::{Mixtures, StoredSidecars, profile};

use crate::failure::{Outcome, classify};
use crate::stages::Session;

const REPORT_PATH: &str = "report.html";

impl Session<'_> {
    /// Runs this stage alone.
    pub(crate) fn report_only(&self) -> Result<Outcome> {
        self.place.ensure_writable()?;
        let run = self.folder().run_file()?;
        let plan = run.as_ref().and_then(|_| self.shards_at_hand());
        let path = self.write_report(run.as_ref(), plan.as_ref())?;
        self.console.say(&format!("{:>12} {}", "written", self.place.describe(&path)));
        Ok(Outcome::Done)
    }

    /// Writes the page from what there is; returns its path. Without a plan it shows no texts.
    pub(super) fn write_report(&self, run: Option<&RunFile>, plan: Option<&Plan>) -> Result<String> {
        let _timer = self.meters.stage("report");
        let folder = self.folder();
        let heads = folder.heads()?;
        let metrics = folder.metrics()?;
        let selection = folder.selection(Arm::Selection)?;
        let mut warnings = Vec::new();
        if self.is_sampled() {
            warnings
                .push("Only a sample of the corpus was scored: cuts and mixture are those of the sample.".to_owned());
        }
        // what the settings do not allow is said on the page, which shows the rest
        let mut refused = |what: &str, error: anyhow::Error| {
            tracing::warn!("the report does not show {what}: {error:#}");
            warnings.push(format!("The page does not show {what}: {error:#}."));
        };
        let profile = match run.map(|run| self.profile(run, plan)).transpose() {
            Err(error) if classify(&error) == Outcome::Transient => return Err(error),
            profile => profile.map_err(|error| refused("the scores", error)).ok().flatten().flatten(),
        };
        let recipes = self.rehearse_recipe().map_err(|error| refused("the learning rate", error)).ok();
        let mixture = selection.as_ref().map(|selection| self.mixture(selection)).transpose();
        let mixture = mixture.map_err(|error| refused("the mixture", error)).ok().flatten();
        let html = page(&PageInputs {
            pipeline: &self.command_line,
            run,
            heads: heads.as_ref(),
            profile: profile.as_ref(),
            selection: selection.as_ref(),
            mixture: mixture.as_ref(),
            schedule: recipes.as_ref().map(|recipes| PlannedSchedule {
                schedule: &recipes.schedule,
                tokens_per_step: recipes.tokens_per_step,
            }),
            metrics: metrics.as_ref(),
            warnings: &warnings,
        });
        self.place.write(REPORT_PATH, Bytes::from(html))?;
        Ok(REPORT_PATH.to_owned())
    }

    /// Profiles the sidecars that there are; nothing before the first.
    fn profile(&self, run: &RunFile, plan: Option<&Plan>) -> Result<Option<Profile>> {
        let (sidecars, missing) = StoredSidecars::open_partly(&self.folder(), run)?;
        let sidecars = match plan {
            Some(plan) => sidecars.with_shards(plan),
            None => sidecars,
        };
        let scored = headwater_select::Sidecars::units(&sidecars).len();
        if scored == 0 {
            return Ok(None);
        }
        let (config, seed) = (&self.pipeline.select, self.pipeline.run.seed);
        let step = self.console.step("report", "sidecars read", 0);
        let profile = profile(&sidecars, scored + missing, (config, seed), &|read| step.advance(read));
        step.discard();
        Ok(Some(profile?))
    }

    fn mixture(&self, selection: &SelectionFile) -> Result<Mixture> {
        let Mixtures { stable, decay } = Mixtures::new(selection, self.pipeline.mixture)?;
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
