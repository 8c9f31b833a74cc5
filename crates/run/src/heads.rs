//! `heads.json` and what belongs to it: the head set of a run.

use headwater_record::HeadsFile;
use headwater_record::fidelity::FidelityFile;
use headwater_record::heads::MeasuredProbes;
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

    /// What an unfinished search has measured, if there is one.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`] if the file cannot be understood; what the store says.
    pub fn measured_probes(&self) -> Result<Option<MeasuredProbes>> {
        self.read_json(Self::PARTIAL_HEADS)
    }

    /// Keeps what an unfinished search has measured.
    ///
    /// # Errors
    /// What the store says.
    pub fn write_measured_probes(&self, probes: &MeasuredProbes) -> Result<()> {
        self.write_json(Self::PARTIAL_HEADS, probes)
    }

    /// Removes what a search has measured that is finished now.
    ///
    /// # Errors
    /// What the store says.
    pub fn remove_measured_probes(&self) -> Result<()> {
        Ok(self.place().remove(Self::PARTIAL_HEADS)?)
    }

    /// How alike the run's numerics class and float32 rank documents, if that was measured.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`] if the file cannot be understood; what the store says.
    pub fn fidelity(&self) -> Result<Option<FidelityFile>> {
        self.read_json(Self::FIDELITY)
    }

    /// Keeps how alike they rank documents.
    ///
    /// # Errors
    /// What the store says.
    pub fn write_fidelity(&self, fidelity: &FidelityFile) -> Result<()> {
        self.write_json(Self::FIDELITY, fidelity)
    }

    /// Keeps a head set that was refused, to be looked at or pinned.
    ///
    /// # Errors
    /// What the store says.
    pub fn write_weak_heads(&self, heads: &HeadsFile) -> Result<()> {
        self.write_json(Self::WEAK_HEADS, heads)
    }
}
