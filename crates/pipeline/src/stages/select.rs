//! Cutting each domain and writing what is kept.

use headwater_corpus::Plan;
use headwater_record::{RunFile, SelectionFile};
use headwater_run::{RejectsWriter, RunFolder};
use headwater_score::{ScoredBy, labels};
use headwater_select::{Rule, SelectConfig, Sidecars, StoredSidecars, control, cut_with_rejects, write_subset};
use serde::Serialize;

use crate::{Arm, Error, Event, Pipeline, Result, Total, Verdict};

/// What a selection keeps, and whether the scores that it is of are complete.
#[derive(Clone, Debug, Serialize)]
pub struct SelectSummary {
    /// `selection.json`.
    #[serde(flatten)]
    pub selection: SelectionFile,
    /// Whether all is as it should be.
    pub verdict: Verdict,
}

/// What was selected, of the run as it then is.
pub(crate) struct Selected {
    pub(crate) selection: SelectionFile,
    pub(crate) run: RunFile,
}

impl Pipeline {
    /// Cuts each domain of the scores that are there, writes the kept rows, and last of all the cuts.
    ///
    /// # Errors
    /// [`Error::NotBegun`]; [`Error::NothingToMatch`] and [`Error::OtherRule`] for the control arm; [`Error::Select`] for a rule that
    /// cannot be kept to, a missing sidecar or a shard that changed.
    pub fn select(&self, arm: Arm) -> Result<SelectSummary> {
        self.place().ensure_writable()?;
        let run = self.begun_run()?;
        if self.config.score.by == ScoredBy::Cascade && run.scoring.student.is_some() && run.scoring.cascade.is_none() {
            return Err(Error::HalfCascade { output: self.place().to_string(), pipeline: self.name.clone() });
        }
        let plan = self.plan()?;
        refuse_other_labels(&run, &plan)?;
        let Selected { selection, run } = self.select_from(run, &plan, arm)?;
        let verdict = self.verdict(&selection, &run);
        Ok(SelectSummary { selection, verdict })
    }

    /// The selection that was made.
    pub(crate) fn selection(&self, arm: Arm) -> Result<SelectionFile> {
        self.folder.selection(arm)?.ok_or_else(|| Error::NoSelection {
            output: self.place().to_string(),
            path: RunFolder::selection_file(arm).to_owned(),
            pipeline: self.name.clone(),
            flag: if arm == Arm::Control { " --control" } else { "" },
        })
    }

    /// The rule to cut by: the pipeline's, or for the control arm as much at random as the selection keeps.
    fn rule(&self, arm: Arm) -> Result<SelectConfig> {
        let config = &self.config.select;
        if arm == Arm::Selection {
            return Ok(config.clone());
        }
        let nothing = || Error::NothingToMatch { pipeline: self.name.clone() };
        let selection = self.folder.selection(Arm::Selection)?.ok_or_else(nothing)?;
        let (rank, by) = (config.rank.to_string(), config.by.as_str());
        if selection.rank == rank && selection.by == by {
            return Ok(control(config, &selection));
        }
        Err(Error::OtherRule {
            there: format!("{} and {}", selection.rank, selection.by),
            here: format!("{rank} and {by}"),
            pipeline: self.name.clone(),
        })
    }

    /// Cuts every domain, writes the subset and the rejects, and last of all `selection.json`. A shard that turns out unreadable is taken
    /// out of the run if the pipeline says so, and all is cut again.
    pub(crate) fn select_from(&self, run: RunFile, plan: &Plan, arm: Arm) -> Result<Selected> {
        let _timer = self.meters.stage("select");
        let mut run = run;
        loop {
            match self.select_once(&run, plan, arm) {
                Err(Error::Select(headwater_select::Error::Shard(shard))) if self.may_skip_shard(&shard.error) => {
                    run = self.skip_shard(&shard.source_name, &shard.path, &shard.error)?;
                }
                selection => return Ok(Selected { selection: selection?, run }),
            }
        }
    }

    fn select_once(&self, run: &RunFile, plan: &Plan, arm: Arm) -> Result<SelectionFile> {
        let (config, seed) = (self.rule(arm)?, self.config.run.seed);
        let sidecars = StoredSidecars::open(&self.folder, run)?.with_shards(plan);
        let mut rejects = RejectsWriter::new(&self.folder)?;
        let step = self.step("cut", "sidecars read", Total::Unknown);
        let rule = Rule { config: &config, seed };
        let selection = cut_with_rejects(&sidecars, rule, &mut rejects, &|read| step.advance(read))?;
        let step = self.step("subset", "units", Total::Exactly(sidecars.units().len() as u64));
        write_subset(&self.folder, &sidecars, &selection, &|done| step.advance(done))?;
        step.finish();
        self.meters.read_sidecars(&sidecars.metrics());
        rejects.finish()?;
        self.folder.write_selection(arm, &selection.file)?;
        if let Some(fidelity) = self.known_fidelity(&run.scoring)? {
            self.tell(&Event::Fidelity(fidelity));
        }
        Ok(selection.file)
    }
}

/// Refuses to cut by the domains of the sidecars where the pipeline by now names others.
pub(crate) fn refuse_other_labels(run: &RunFile, plan: &Plan) -> Result<()> {
    let now = plan.sources.iter().map(|source| (&*source.name, labels(source)));
    Ok(headwater_run::refuse_other_labels(run, now)?)
}
