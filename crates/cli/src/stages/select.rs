//! Cutting each domain and writing what is kept.

use anyhow::{Context, Result};
use headwater_corpus::{Plan, PlannedSource};
use headwater_record::{RunFile, SelectionFile};
use headwater_select::{SELECTION_PATH, SelectConfig, select, units, write_rejects, write_selection, write_subset};

use crate::failure::Outcome;
use crate::stages::Session;
use crate::stages::score::labels;
use crate::summary;

impl Session<'_> {
    /// Runs this stage alone.
    pub(crate) fn select_only(&self) -> Result<Outcome> {
        self.place.ensure_writable()?;
        let run = self.begun_run()?;
        let plan = self.plan()?;
        refuse_other_labels(&run, &plan)?;
        let selection = self.select(&run, &plan)?;
        summary::print_domains(&selection)?;
        Ok(self.verdict(&selection, &run))
    }

    /// The selection that was made.
    pub(super) fn selection(&self) -> Result<SelectionFile> {
        let json = self.place.read_if_exists(SELECTION_PATH)?.with_context(|| {
            format!("{} has no {SELECTION_PATH} yet: run `headwater select {}` first", self.place, self.file)
        })?;
        serde_json::from_slice(&json).with_context(|| format!("{} is damaged", self.place.describe(SELECTION_PATH)))
    }

    /// Cuts every domain, writes the subset and the rejects, and last of all `selection.json`.
    pub(super) fn select(&self, run: &RunFile, plan: &Plan) -> Result<SelectionFile> {
        let _timer = self.meters.stage("select");
        let (config, seed): (&SelectConfig, u64) = (&self.pipeline.select, self.pipeline.run.seed);
        let sidecars = units(run)?.len() as u64;
        let step = self.console.step("cut", "sidecars read", 0);
        let selection = select(&self.place, run, config, seed, &|read| step.advance(read))?;
        step.discard();
        let step = self.console.step("subset", "units", sidecars);
        write_subset(&self.place, run, plan, (&selection, config, seed), &|done| step.advance(done))?;
        step.finish();
        let step = self.console.step("rejects", "sidecars", sidecars);
        write_rejects(&self.place, run, &|read| step.advance(read))?;
        step.discard();
        write_selection(&self.place, &selection)?;
        Ok(selection)
    }
}

/// Refuses to cut by the domains of the sidecars where the pipeline by now names others.
fn refuse_other_labels(run: &RunFile, plan: &Plan) -> Result<()> {
    let difference = |source: &PlannedSource| {
        let before = run.sources.iter().find(|before| before.name == source.name)?;
        let now = labels(source);
        (before.labels != now).then(|| format!("{}: {} → {now}", source.name, before.labels))
    };
    let differences: Vec<String> = plan.sources.iter().filter_map(difference).collect();
    if differences.is_empty() { Ok(()) } else { Err(headwater_score::Error::OtherLabels { differences }.into()) }
}
