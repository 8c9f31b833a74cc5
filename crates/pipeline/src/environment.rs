//! What a pipeline is given of the world around it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use headwater_store::Stores;

use crate::{CancelToken, Error, Events, Result, Silent};

/// What a pipeline is given of the process that it runs in: this crate reads no environment variable and no clock.
#[derive(Clone)]
pub struct Environment {
    /// The stores, with the environment variables that hold their credentials.
    pub stores: Stores,
    /// Where models and measurements are kept between runs; without it, models cannot be fetched.
    pub cache: Option<PathBuf>,
    /// The clock, for what `run.json` and measurements say of when they were made.
    pub now: fn() -> SystemTime,
    /// Who is told of the work.
    pub events: Arc<dyn Events>,
    /// What stops the work.
    pub cancel: CancelToken,
    /// The interpreter of Python that has torch and transformers, where a model is run by them.
    pub python: PathBuf,
}

impl Environment {
    /// An environment that nobody listens to and nobody stops.
    #[must_use]
    pub fn new(stores: Stores, cache: PathBuf, now: fn() -> SystemTime) -> Self {
        let (events, cancel) = (Arc::new(Silent), CancelToken::default());
        Self { stores, cache: Some(cache), now, events, cancel, python: PathBuf::from(headwater_model::PYTHON) }
    }

    /// The interpreter that is `named`, else the one beside the `command`, where a wheel puts it, else the first of `PATH`.
    #[must_use]
    pub fn python(named: Option<OsString>, command: Option<PathBuf>) -> PathBuf {
        let name = headwater_model::PYTHON;
        let beside = command.and_then(|command| Some(command.parent()?.join(name))).filter(|path| path.is_file());
        named.map(PathBuf::from).or(beside).unwrap_or_else(|| PathBuf::from(name))
    }

    /// Where models and measurements are kept.
    pub(crate) fn cache(&self) -> Result<&Path> {
        self.cache.as_deref().ok_or(Error::NoCache)
    }
}
