//! Which commit each revision of a dataset is taken to be.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Commits by dataset and revision, as URLs name them (`datasets/OWNER/NAME@REVISION`).
#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<BTreeMap<String, String>>);

impl Pins {
    /// The commit of a revision, if it is settled.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.commits().get(name).cloned()
    }

    /// Settles a revision to `commit`, unless it is settled already; returns the commit that counts.
    pub(crate) fn settle(&self, name: &str, commit: String) -> String {
        self.commits().entry(name.to_owned()).or_insert(commit).clone()
    }

    /// All that is settled.
    pub(crate) fn all(&self) -> BTreeMap<String, String> {
        self.commits().clone()
    }

    fn commits(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
