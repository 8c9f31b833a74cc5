//! Cutting each domain and writing what is kept.

use anyhow::{Context, Result, bail, ensure};
use headwater_corpus::{Plan, PlannedSource};
use headwater_record::{RunFile, SelectionFile};
use headwater_run::{Arm, RunFolder, units};
use headwater_select::{SelectConfig, control, select, write_rejects, write_subset};

use crate::args::SelectArgs;
use crate::failure::Outcome;
use crate::progress::Console;
use crate::stages::Session;
use crate::stages::score::labels;
use crate::summary;

/// Runs this stage alone.
pub(crate) fn select_only(args: &SelectArgs, console: &Console) -> Result<Outcome> {
    let mut pipelines = args.each();
    let (Some(pipeline), None) = (pipelines.next(), pipelines.next()) else {
        bail!("select cuts by one pipeline; add --compare to see what several would keep")
    };
    let session = Session::open(&pipeline, console)?.of_arm(args.control);
    session.place.ensure_writable()?;
    let run = session.begun_run()?;
    let plan = session.plan()?;
    session.refuse_other_labels(&run, &plan)?;
    let selection = session.select(&run, &plan)?;
    summary::print_domains(&selection)?;
    Ok(session.verdict(&selection, &run))
}

impl Session<'_> {
    /// The selection that was made, or its control arm.
    pub(super) fn selection(&self) -> Result<SelectionFile> {
        self.folder().selection(self.arm())?.with_context(|| {
            let flag = if self.is_control { " --control" } else { "" };
            let path = RunFolder::selection_file(self.arm());
            format!("{} has no {path} yet: run `headwater select {}{flag}` first", self.place, self.file)
        })
    }

    const fn arm(&self) -> Arm {
        if self.is_control { Arm::Control } else { Arm::Selection }
    }

    /// The rule to cut by: the pipeline's, or for the control arm as much at random as the selection keeps.
    fn rule(&self) -> Result<SelectConfig> {
        let config = &self.pipeline.select;
        if !self.is_control {
            return Ok(config.clone());
        }
        let selection = self.folder().selection(Arm::Selection)?.with_context(|| {
            format!("the control arm keeps as much as the selection does: run `headwater select {}` first", self.file)
        })?;
        let (rank, by) = (config.rank.to_string(), config.by.as_str());
        ensure!(
            selection.rank == rank && selection.by == by,
            "the selection is by {} and {}, but the pipeline now asks for {rank} and {by}: run `headwater select {}` first, so that the control \
             arm keeps as much",
            selection.rank,
            selection.by,
            self.file
        );
        Ok(control(config, &selection))
    }

    /// Cuts every domain, writes the subset and the rejects, and last of all `selection.json`.
    pub(super) fn select(&self, run: &RunFile, plan: &Plan) -> Result<SelectionFile> {
        let _timer = self.meters.stage("select");
        let (folder, config, seed) = (self.folder(), self.rule()?, self.pipeline.run.seed);
        let sidecars = units(run)?.len() as u64;
        let step = self.console.step("cut", "sidecars read", 0);
        let selection = select(&folder, run, plan, (&config, seed), &|read| step.advance(read))?;
        step.discard();
        let step = self.console.step("subset", "units", sidecars);
        write_subset(&folder, run, plan, (&selection, &config), &|done| step.advance(done))?;
        step.finish();
        let step = self.console.step("rejects", "sidecars", sidecars);
        write_rejects(&folder, run, &|read| step.advance(read))?;
        step.discard();
        folder.write_selection(self.arm(), &selection.file)?;
        Ok(selection.file)
    }

    /// Refuses to cut by the domains of the sidecars where the pipeline by now names others.
    pub(super) fn refuse_other_labels(&self, run: &RunFile, plan: &Plan) -> Result<()> {
        let difference = |source: &PlannedSource| {
            let before = run.sources.iter().find(|before| before.name == source.name)?;
            let now = labels(source);
            (before.labels != now).then(|| format!("{}: {} → {now}", source.name, before.labels))
        };
        let differences: Vec<String> = plan.sources.iter().filter_map(difference).collect();
        if differences.is_empty() { Ok(()) } else { Err(headwater_run::Error::OtherLabels { differences }.into()) }
    }
}
