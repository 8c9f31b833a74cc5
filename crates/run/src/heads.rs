//! `heads.json`: the head set of a run.

use headwater_record::HeadsFile;
use headwater_store::Created;

use crate::{Result, RunFolder};

impl RunFolder {
    /// The head set of the run, if it has one.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`] if the file cannot be understood; what the store says.
    pub fn heads(&self) -> Result<Option<HeadsFile>> {
        self.read_json(Self::HEADS)
    }

    /// Fixes the head set of the run unless it has one: then its own is left, and is to be read.
    ///
    /// # Errors
    /// What the store says.
    pub fn create_heads(&self, heads: &HeadsFile) -> Result<Created> {
        self.create_json(Self::HEADS, heads)
    }

    /// Replaces the head set of the run.
    ///
    /// # Errors
    /// What the store says.
    pub fn write_heads(&self, heads: &HeadsFile) -> Result<()> {
        self.write_json(Self::HEADS, heads)
    }

    /// Keeps a head set that was refused, to be looked at or pinned.
    ///
    /// # Errors
    /// What the store says.
    pub fn write_weak_heads(&self, heads: &HeadsFile) -> Result<()> {
        self.write_json(Self::WEAK_HEADS, heads)
    }
}
