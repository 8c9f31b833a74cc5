//! `metrics.json`: where the time of the last process went; `audit.json`: whether the cut cares about form.

use headwater_record::Metrics;
use headwater_record::audit::AuditFile;

use crate::{Result, RunFolder};

impl RunFolder {
    /// The metrics of the process that ran last, if there are any.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`] if the file cannot be understood; what the store says.
    pub fn metrics(&self) -> Result<Option<Metrics>> {
        self.read_json(Self::METRICS)
    }

    /// The audit of the run's cut, if there is one.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`] if the file cannot be understood; what the store says.
    pub fn audit(&self) -> Result<Option<AuditFile>> {
        self.read_json(Self::AUDIT)
    }
}
