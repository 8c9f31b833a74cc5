//! Units of a plan, with what names their rows.

use std::sync::Arc;

use headwater_record::run::Labels;
use headwater_record::{DocumentAddress, Fingerprint, UnitKey};

use crate::RunFolder;

/// A unit of the plan, with what names its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Name of the corpus source.
    pub source: Arc<str>,
    /// The shard's path, relative to the fixed prefix of its `paths` entry.
    pub path: Arc<str>,
    /// The unit's name, with its rows.
    pub key: UnitKey,
    /// The fingerprint of its scores.
    pub fingerprint: Fingerprint,
    /// Where the ids and domains of its source come from.
    pub labels: Arc<Labels>,
}

impl Unit {
    /// The address of the unit's `offset`-th row.
    #[must_use]
    pub fn address(&self, offset: u64) -> DocumentAddress {
        DocumentAddress { source: self.source.clone(), path: self.path.clone(), row: self.key.first_row + offset }
    }

    /// Where its sidecar lies, relative to the run.
    #[must_use]
    pub fn sidecar_path(&self) -> String {
        RunFolder::sidecar(&self.fingerprint, &self.source, &self.key)
    }
}
