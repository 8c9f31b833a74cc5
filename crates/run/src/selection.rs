//! `selection.json` and its control arm.

use headwater_record::SelectionFile;

use crate::{Arm, Result, RunFolder};

impl RunFolder {
    /// The selection of an arm, if it was made.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`] if the file cannot be understood; what the store says.
    pub fn selection(&self, arm: Arm) -> Result<Option<SelectionFile>> {
        self.read_json(Self::selection_file(arm))
    }

    /// Writes the selection of an arm: the last thing a selection does, after its subset.
    ///
    /// # Errors
    /// What the store says.
    pub fn write_selection(&self, arm: Arm, selection: &SelectionFile) -> Result<()> {
        self.write_json(Self::selection_file(arm), selection)
    }
}
