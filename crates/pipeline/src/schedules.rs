//! Learning-rate schedules without a corpus: tables, pictures, branches, refinement, trainers' keys.
//!
//! A schedule is named as on the command line: a TOML file with the tables `schedule` and `recipe`, such as a pipeline, or a kind
//! with keys, such as `cosine` or `wsd:decay=0.2,shape=linear`.

mod log;

pub(crate) use log::warn_of_norms;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use headwater_recipe::{BranchPlan, ScheduleExport, TrainingRun, TrainingTables, export_schedule, schedule_csv};
use headwater_record::TokenCount;
use headwater_report::{PlottedCurve, curves_svg, schedule_svg};
use headwater_schedule::norms::NormLog;
use headwater_schedule::refine::{RefineOptions, RefineSummary, Refined, SPOILT_EDGES, refine_log};
use headwater_schedule::{
    Batch, BranchPoint, BranchRequest, Kind, NamedSchedule, RunLength, Schedule, ScheduleComparison, ScheduleConfig,
    ScheduleSummary,
};
use serde::Serialize;

use crate::extends::Extended;
use crate::inline;
use crate::{Environment, Error, Event, Result};

pub use headwater_recipe::{RunSize, Trainer};
pub use headwater_schedule::refine::GradientNorm;

/// Points of a curve on a picture.
const DRAWN: usize = 693;

/// A schedule, summarised.
#[derive(Clone, Debug, Serialize)]
pub struct ShownSchedule {
    /// Its kind, size and learning rate at some steps.
    #[serde(flatten)]
    pub summary: ScheduleSummary,
    /// The learning rate over the run in one line of block characters.
    pub sparkline: String,
    #[serde(skip)]
    run: TrainingRun,
}

impl ShownSchedule {
    /// A table of every boundary and about `rows` steps: `step,tokens,lr`.
    #[must_use]
    pub fn csv(&self, rows: u64) -> String {
        schedule_csv(&self.run.schedule, self.run.length.batch.tokens(), rows)
    }

    /// A picture.
    #[must_use]
    pub fn svg(&self) -> String {
        schedule_svg(&self.run.schedule, self.run.length.batch.tokens())
    }
}

/// Several schedules side by side.
#[derive(Clone, Debug, Serialize)]
pub struct ComparedSchedules {
    /// Their learning rates at shares of the run.
    #[serde(flatten)]
    pub comparison: ScheduleComparison,
    /// The learning rate of each in one line of block characters, all relative to the highest of any.
    pub sparklines: Vec<String>,
    #[serde(skip)]
    runs: Vec<TrainingRun>,
}

impl ComparedSchedules {
    /// All of them on one picture.
    #[must_use]
    pub fn svg(&self) -> String {
        let curves: Vec<PlottedCurve> =
            self.runs.iter().map(|run| PlottedCurve::of(run.name.as_str(), &run.schedule)).collect();
        curves_svg("Learning rates", "learning rate by completed steps", &curves)
    }
}

/// Where a child run leaves its parent.
#[derive(Clone, Debug, PartialEq)]
pub struct BranchOptions {
    /// After so many steps.
    pub at_step: Option<u64>,
    /// After so many tokens, if no step is given.
    pub at_tokens: Option<f64>,
    /// Length of the child's decay: a share of the child's steps, `{steps=N}` or `{tokens=N}`. By default the parent's share.
    pub decay: Option<String>,
}

/// A child run and its parent.
#[derive(Clone, Debug, Serialize)]
pub struct Branch {
    /// What to do and with which tables.
    #[serde(flatten)]
    pub plan: BranchPlan,
    /// The command that writes recipes of the child; absent if the parent is no file.
    pub recipe_command: Option<String>,
    #[serde(skip)]
    parent: TrainingRun,
}

impl Branch {
    /// The tables that configure the child.
    ///
    /// # Errors
    /// [`Error::Recipe`] if they cannot be written as TOML.
    pub fn toml(&self) -> Result<String> {
        Ok(self.plan.toml()?)
    }

    /// Child and parent on one picture.
    #[must_use]
    pub fn svg(&self) -> String {
        let (parent, child) = (&self.parent.schedule, &self.plan.schedule);
        let longest = parent.steps().max(child.steps());
        let curve = |name: &str, schedule: &Schedule| PlottedCurve::within(name, schedule, longest);
        let curves = [curve("parent", parent), curve("child", child)];
        curves_svg("A branch", &format!("learning rate over {} steps", TokenCount(longest)), &curves)
    }
}

/// How a schedule is made from gradient norms.
#[derive(Clone, Debug, PartialEq)]
pub struct RefineRequest {
    /// A log of norms: `.csv`, `.tsv`, `.jsonl`, `.json`, `.parquet`, or `.log` or `.txt` of Megatron-LM.
    pub norms: PathBuf,
    /// What the norms are.
    pub norm: GradientNorm,
    /// Width of the median filter, as a share of the norms.
    pub tau: f64,
    /// What norms are kept above, as a share of their median.
    pub floor: f64,
    /// The column or key with the norms; by default the one whose name speaks of gradient norms.
    pub column: Option<String>,
    /// Keeps the norms at both ends, which logs often spoil.
    pub keep_edges: bool,
}

/// A schedule made from gradient norms.
#[derive(Clone, Debug, Serialize)]
pub struct RefinedSchedule {
    /// How it was made and what it is near to.
    #[serde(flatten)]
    pub summary: RefineSummary,
    #[serde(skip)]
    refined: Refined,
}

impl RefinedSchedule {
    /// The table `step,lr_multiplier` for a run of `steps`; by default of as many as the log tells of.
    #[must_use]
    pub fn csv(&self, steps: Option<u64>) -> String {
        self.refined.csv(steps.map(|steps| usize::try_from(steps).unwrap_or(usize::MAX)))
    }

    /// A `[schedule]` table, with the nearest that most trainers have in comments.
    ///
    /// # Errors
    /// [`Error::Schedule`] if it cannot be written as TOML.
    pub fn toml(&self) -> Result<String> {
        Ok(self.refined.toml()?)
    }

    /// The schedule beside the nearest one and two usual ones.
    #[must_use]
    pub fn svg(&self) -> String {
        let last = (DRAWN - 1) as f64;
        let multipliers = self.refined.resampled(DRAWN).into_iter().enumerate();
        let run = RunLength { steps: DRAWN as u64 - 1, batch: Batch { sequences: 1, sequence_tokens: 1 } };
        let of = |name: &str, config: &ScheduleConfig| {
            config.resolve(run, 1.0).ok().map(|schedule| PlottedCurve::of(name, &schedule))
        };
        let kind = |kind| ScheduleConfig { kind, ..ScheduleConfig::default() };
        let refined = PlottedCurve {
            name: "refined".to_owned(),
            points: multipliers.map(|(at, multiplier)| (at as f64 / last, multiplier)).collect(),
        };
        let others = [
            of("nearest warm-up and polynomial", &self.refined.approximation().config()),
            of("linear", &kind(Kind::Linear)),
            of("WSD, 1-sqrt over the last quarter", &kind(Kind::Wsd)),
        ];
        let curves: Vec<PlottedCurve> = std::iter::once(refined).chain(others.into_iter().flatten()).collect();
        curves_svg("Refined schedule", "learning rate as a share of the peak", &curves)
    }
}

/// Summarises a schedule for a run of `size`, with about `rows` rows.
///
/// # Errors
/// [`Error::ScheduleName`], [`Error::Config`] and [`Error::Recipe`] for what is wrong with the name, file or size.
pub fn show(name: &str, size: &RunSize, rows: u64) -> Result<ShownSchedule> {
    let run = resolved(name, size)?;
    let summary = ScheduleSummary::new(&run.schedule, run.length.batch.tokens(), rows);
    let sparkline = run.schedule.sparkline(run.schedule.peak_lr());
    Ok(ShownSchedule { summary, sparkline, run })
}

/// Compares schedules for runs of `size`.
///
/// # Errors
/// As [`show`].
pub fn compare(names: &[String], size: &RunSize) -> Result<ComparedSchedules> {
    let runs = names.iter().map(|name| resolved(name, size)).collect::<Result<Vec<_>>>()?;
    let named = runs.iter().map(|run| NamedSchedule { name: &run.name, schedule: &run.schedule });
    let comparison = ScheduleComparison::new(&named.collect::<Vec<_>>());
    let highest = comparison.schedules.iter().map(|schedule| schedule.peak_lr).fold(0.0, f64::max);
    let sparklines = runs.iter().map(|run| run.schedule.sparkline(highest)).collect();
    Ok(ComparedSchedules { comparison, sparklines, runs })
}

/// Plans a run that leaves the stable phase of another one early and decays.
///
/// # Errors
/// As [`show`]; [`Error::Recipe`] if there is no stable phase to leave.
pub fn branch(name: &str, size: &RunSize, options: &BranchOptions) -> Result<Branch> {
    let parent = resolved(name, size)?;
    let at = options.at_step.map_or(BranchPoint::Tokens(options.at_tokens.unwrap_or(0.0)), BranchPoint::Step);
    let decay = options.decay.as_deref().map(|text| inline::length("--decay", text)).transpose()?;
    let plan = BranchPlan::new(&parent, &BranchRequest { at, decay })?;
    let recipe_command = if is_file(name) {
        let set: Vec<_> = plan.assignments()?.iter().map(|set| format!("--set {}", quoted(set))).collect();
        let (at, file) = (plan.resume_step, quoted(name));
        Some(format!("headwater recipe {file} --out recipe-branch-{at} {}", set.join(" ")))
    } else {
        None
    };
    Ok(Branch { plan, recipe_command, parent })
}

/// Makes a schedule from gradient norms (arXiv 2310.07831); warns where the norms say little.
///
/// # Errors
/// [`Error::Schedule`] for a log that cannot be read, with file and line; [`Error::Refine`] for norms that do not do.
pub fn refine(request: &RefineRequest, environment: &Environment) -> Result<RefinedSchedule> {
    let file = request.norms.display().to_string();
    let log = log::read(&request.norms, request.column.as_deref(), environment)?;
    let edges = if request.keep_edges { 0 } else { SPOILT_EDGES };
    let options = RefineOptions { norm: request.norm, tau: request.tau, floor: request.floor, edges };
    let refined = refine_norms(file, &log, &options, ", --keep-edges keeps them")?;
    let summary = refined.summary(&log);
    warn_of_norms(&summary);
    Ok(RefinedSchedule { summary, refined })
}

/// Refines the norms that `file` logged; `to_keep` says how edges that are left out are kept.
pub(crate) fn refine_norms(
    file: String,
    log: &NormLog,
    options: &RefineOptions,
    to_keep: &'static str,
) -> Result<Refined> {
    refine_log(log, options).map_err(|source| {
        let (read, edges) = (log.norms.len(), options.edges_of(log.norms.len()));
        let hint = if edges > 0 { to_keep } else { "" };
        Error::Refine { file, read, edges, hint, source: Box::new(source) }
    })
}

/// A schedule in the keys of a trainer.
///
/// # Errors
/// As [`show`]; [`Error::Recipe`] for an unknown trainer, or one that cannot follow the schedule.
pub fn export(name: &str, size: &RunSize, trainer: &str) -> Result<ScheduleExport> {
    let trainer = Trainer::named(trainer)?;
    let exported = export_schedule(&resolved(name, size)?.schedule, trainer)?;
    if let Some(warning) = &exported.warning {
        tracing::warn!("{warning}");
    }
    Ok(exported)
}

/// Writes a file whole and tells of it.
///
/// # Errors
/// [`Error::NoFileName`]; [`Error::Store`] if it cannot be written.
pub fn write_file(path: &Path, content: String, environment: &Environment) -> Result<()> {
    let (place, name) = log::folder_and_name(path, environment)?;
    place.write(&name, Bytes::from(content))?;
    environment.events.event(&Event::Written { path: path.display().to_string() });
    Ok(())
}

/// Reads a schedule and resolves it for a run of that size.
fn resolved(name: &str, size: &RunSize) -> Result<TrainingRun> {
    let tables = if is_file(name) {
        from_file(name)?
    } else {
        TrainingTables { schedule: inline::schedule(name)?, ..TrainingTables::default() }
    };
    Ok(tables.resolve(name, size)?)
}

/// Whether `name` is that of a TOML file.
fn is_file(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "toml")
}

/// Reads the tables of a file, with what it extends.
fn from_file(name: &str) -> Result<TrainingTables> {
    let files = Extended::read(Path::new(name), "schedule")?;
    let explain = |error| files.explain(&error);
    let (read, tables) = (files.to().map_err(explain)?, files.to::<toml::Table>().map_err(explain)?);
    if ["schedule", "recipe", "corpus"].iter().any(|table| tables.contains_key(*table)) {
        return Ok(read);
    }
    let message = "has neither a [schedule] nor a [recipe] table and is no pipeline, so it says nothing of a schedule";
    Err(Error::ScheduleName { message: format!("{name} {message}") })
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_takes_its_schedule_from_the_one_it_extends() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs_err::write(path("base.toml"), "[schedule]\nkind = \"cosine\"\n[recipe]\ntokens = 3e9\n")?;
        fs_err::write(path("child.toml"), "extends = \"base.toml\"\n[recipe]\npeak_lr = 0.5\n")?;
        let tables = from_file(&path("child.toml"))?;
        assert_eq!((tables.schedule.kind, tables.recipe.tokens, tables.recipe.peak_lr), (Kind::Cosine, 3e9, 0.5));
        fs_err::write(path("base.toml"), "[schedule]\nknid = \"cosine\"\n")?;
        let error = from_file(&path("child.toml")).expect_err("the key is unknown").to_string();
        assert!(error.contains("base.toml:2: unknown key `knid`; did you mean `kind`?"), "{error}");
        Ok(())
    }
}
