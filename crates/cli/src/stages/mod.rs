//! The stages of a pipeline, each rerunnable alone from what the earlier ones left in the run's folder.

mod bench;
pub(crate) mod compare;
mod fidelity;
mod heads;
pub(crate) mod model;
mod plan;
mod recipe;
mod relabel;
mod report;
mod score;
pub(crate) mod select;
mod status;
mod tokens;

use std::ffi::OsString;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use headwater_record::{HeadsFile, RunFile, SelectionFile};
use headwater_run::{Arm, RunFolder};
use headwater_store::{Place, Stores};
use serde::Serialize;

use crate::args::{PipelineArgs, RunArgs, WorkerArgs};
use crate::exposition;
use crate::failure::Outcome;
use crate::meters::Meters;
use crate::pipeline::Pipeline;
use crate::progress::Console;
use crate::summary;

/// Where the time of a process went, relative to the run.
const METRICS_FILE: &str = "metrics.json";

/// Where recipes of the control arm go, relative to the run.
pub(crate) const CONTROL_RECIPES: &str = "recipe-control";

/// A pipeline being worked on.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    /// The pipeline as resolved.
    pipeline: Pipeline,
    /// Its file, for hints.
    file: String,
    /// Its file and the overrides, as the command line gives them.
    command_line: String,
    /// The run's output.
    place: Place,
    stores: Stores,
    /// Whether the control arm is meant, not the selection itself.
    is_control: bool,
    console: &'a Console,
    meters: Arc<Meters>,
}

/// Stores with the credentials of the environment.
pub(crate) fn stores() -> Stores {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    Stores::from_variables(std::env::vars_os().filter_map(text))
}

impl<'a> Session<'a> {
    /// Reads the pipeline and opens its output.
    pub(crate) fn open(args: &PipelineArgs, console: &'a Console) -> Result<Self> {
        let pipeline = Pipeline::load(&args.pipeline, &args.overrides)?;
        pipeline.heads.check()?;
        pipeline.score.check()?;
        pipeline.select.check()?;
        pipeline.mixture.check()?;
        pipeline.tokens.check()?;
        let stores = stores();
        let place = stores.open(&pipeline.run.output).context("[run] output cannot be used")?;
        let file = args.pipeline.display().to_string();
        let overrides = args.overrides.iter().map(|set| format!(" --set '{set}'"));
        let command_line = std::iter::once(file.clone()).chain(overrides).collect();
        let meters = Arc::new(Meters::new(stores.clone()));
        Ok(Self { pipeline, file, command_line, place, stores, is_control: false, console, meters })
    }

    /// The same of the control arm, if `is_control`.
    pub(crate) fn of_arm(self, is_control: bool) -> Self {
        Self { is_control, ..self }
    }

    /// Opens a pipeline for a command that computes.
    pub(crate) fn open_worker(args: &PipelineArgs, worker: &WorkerArgs, console: &'a Console) -> Result<Self> {
        let mut args = args.clone();
        args.overrides.extend(worker.numerics.iter().map(|level| format!("model.instructions={level}")));
        let session = Self::open(&args, console)?;
        if let Some(address) = worker.metrics_addr {
            let address = exposition::serve(address, Arc::clone(&session.meters))?;
            console.say(&format!("{:>12} http://{address}/metrics", "metrics"));
        }
        Ok(session)
    }

    /// The run's output, by its artefacts.
    fn folder(&self) -> RunFolder {
        RunFolder::new(self.place.clone())
    }

    /// Runs every stage.
    pub(crate) fn run(&self, args: &RunArgs) -> Result<Outcome> {
        self.place.ensure_writable()?;
        self.rehearse_recipe()?;
        self.rehearse_tokens()?;
        let plan = self.plan()?;
        let model = self.load_model()?;
        let heads = self.heads(&model, &plan, heads::Request::new(args.weak, args.change.rescore))?;
        let scored = self.score(&plan, &model, &heads, &score::Request::whole(args.change))?;
        let selection = self.select(&scored.run, &plan)?;
        let tokens = self.write_wanted_tokens(&plan, &scored.run, &selection)?;
        let recipes = self.recipe(&selection, None)?;
        self.write_json(METRICS_FILE, &self.meters.metrics())?;
        // the page shows the times up to here; it takes time itself
        let report = self.write_report(Some(&scored.run), Some(&plan))?;
        self.write_json(METRICS_FILE, &self.meters.metrics())?;
        self.print_ending(&selection, &heads, tokens.into_iter().chain(recipes).chain([report]))?;
        Ok(self.verdict(&selection, &scored.run))
    }

    fn print_ending(
        &self,
        selection: &SelectionFile,
        heads: &HeadsFile,
        written: impl Iterator<Item = String>,
    ) -> Result<()> {
        let mut artefacts = vec![
            ("subset", RunFolder::subset(&selection.hash)),
            ("cuts", RunFolder::selection_file(Arm::Selection).to_owned()),
            ("scores", "scores".to_owned()),
            ("rejects", RunFolder::REJECTS.to_owned()),
        ];
        if heads.search.is_some() {
            artefacts.push(("heads", heads::HEADS_PICTURE.to_owned()));
        }
        artefacts.extend(written.map(|path| {
            let what = ["schedule", "tokens", "report"].into_iter().find(|what| path.starts_with(what));
            (what.unwrap_or("recipe"), path)
        }));
        let ending =
            summary::Ending { place: &self.place, pipeline: &self.command_line, artefacts, sampled: self.is_sampled() };
        summary::print(selection, &ending)
    }

    /// Whether some source is scored in part only.
    fn is_sampled(&self) -> bool {
        self.pipeline.corpus.iter().any(|source| source.sample < 1.0)
    }

    /// Whether too much was rejected or left out.
    fn verdict(&self, selection: &SelectionFile, run: &RunFile) -> Outcome {
        let skipped = self.say_skipped(run);
        let rejects = summary::Rejects::of(selection);
        let above = rejects.share() > self.pipeline.score.max_rejects;
        if above {
            let most = self.pipeline.score.max_rejects;
            tracing::warn!("{rejects}, above [score] max_rejects = {most}; rejects.parquet lists them");
        }
        if above || skipped > 0 { Outcome::Partial } else { Outcome::Done }
    }

    /// Says how many shards were left out of the run, and returns the number.
    fn say_skipped(&self, run: &RunFile) -> usize {
        let skipped = run.sources.iter().map(|source| source.skipped.len()).sum();
        if skipped > 0 {
            tracing::warn!("{skipped} shards were skipped; run.json lists them");
        }
        skipped
    }

    /// Writes an artefact as indented JSON.
    fn write_json(&self, path: &str, value: &impl Serialize) -> Result<()> {
        Ok(self.place.write(path, json_bytes(value)?)?)
    }
}

/// Indented JSON with a final newline.
pub(crate) fn json_bytes(value: &impl Serialize) -> Result<Bytes> {
    let mut json = serde_json::to_vec_pretty(value)?;
    json.push(b'\n');
    Ok(Bytes::from(json))
}
