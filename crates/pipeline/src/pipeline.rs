//! A pipeline that is being worked on.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use headwater_record::{RunFile, json};
use headwater_run::RunFolder;
use headwater_store::Place;
use serde::Serialize;

use crate::meters::Meters;
use crate::{Environment, Error, Event, PipelineConfig, Progress, Result, Step, Total};

/// A pipeline and its output. Each stage is a method, and goes on from what earlier calls, also of other processes, left there.
pub struct Pipeline {
    pub(crate) config: PipelineConfig,
    /// The pipeline's file, for hints.
    pub(crate) name: String,
    /// Its file and the overrides, as a command line gives them.
    pub(crate) command_line: String,
    /// The run's output.
    pub(crate) folder: RunFolder,
    pub(crate) environment: Environment,
    pub(crate) meters: Arc<Meters>,
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("name", &self.name).field("folder", self.place()).finish_non_exhaustive()
    }
}

impl Pipeline {
    /// Reads the pipeline at `path` with `overrides`, each `key=value`, and opens its output. Nothing is written yet.
    ///
    /// # Errors
    /// Those of [`PipelineConfig::load`] and [`Pipeline::new`].
    pub fn load(path: &Path, overrides: &[String], environment: Environment) -> Result<Self> {
        let config = PipelineConfig::load(path, overrides)?;
        let name = path.display().to_string();
        let set = overrides.iter().map(|set| format!(" --set '{set}'"));
        let command_line = std::iter::once(name.clone()).chain(set).collect();
        Ok(Self { name, command_line, ..Self::new(config, environment)? })
    }

    /// Opens the output of a pipeline. Nothing is written yet.
    ///
    /// # Errors
    /// Those of [`PipelineConfig::validate`]; [`Error::Output`] if the output is no place.
    pub fn new(config: PipelineConfig, environment: Environment) -> Result<Self> {
        config.validate()?;
        let folder = RunFolder::new(environment.stores.open(&config.run.output).map_err(Error::Output)?);
        let meters = Arc::new(Meters::new(environment.stores.clone()));
        let name = "the pipeline".to_owned();
        Ok(Self { command_line: name.clone(), name, config, folder, environment, meters })
    }

    /// What the pipeline says.
    #[must_use]
    pub const fn config(&self) -> &PipelineConfig {
        &self.config
    }

    /// The pipeline's file and overrides, as a command line gives them.
    #[must_use]
    pub fn command_line(&self) -> &str {
        &self.command_line
    }

    /// The path or URL of `path`, which is relative to the run's output; of the output itself if it is empty.
    #[must_use]
    pub fn describe(&self, path: &str) -> String {
        self.place().describe(path)
    }

    /// What was done so far.
    #[must_use]
    pub const fn meters(&self) -> &Arc<Meters> {
        &self.meters
    }

    /// Reads the description of the run.
    ///
    /// # Errors
    /// [`Error::NotBegun`] if nothing was scored yet.
    pub fn begun_run(&self) -> Result<RunFile> {
        let not_begun = || Error::NotBegun { output: self.place().to_string(), pipeline: self.name.clone() };
        self.folder.run_file()?.ok_or_else(not_begun)
    }

    /// Where the artefacts go.
    pub(crate) const fn place(&self) -> &Place {
        self.folder.place()
    }

    pub(crate) fn tell(&self, event: &Event) {
        self.environment.events.event(event);
    }

    /// Tells that a file which the user asked for is there.
    pub(crate) fn tell_written(&self, path: &str) {
        self.tell(&Event::Written { path: self.place().describe(path) });
    }

    /// Begins to show a step.
    pub(crate) fn step(&self, name: &'static str, unit: &'static str, total: Total) -> Box<dyn Progress> {
        self.environment.events.begin(Step { name, unit, total })
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.environment.cancel.is_cancelled()
    }

    /// [`Error::Cancelled`] if it is.
    pub(crate) fn heed_cancel(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// The time, as RFC 3339.
    pub(crate) fn now(&self) -> String {
        humantime::format_rfc3339_seconds((self.environment.now)()).to_string()
    }
}

/// Encodes a file that belongs to no run.
pub(crate) fn json_bytes(what: &'static str, value: &impl Serialize) -> Result<Bytes> {
    Ok(json::encode(value).map_err(|source| Error::Json { what, source })?.into())
}
