//! `metrics.json`: where the time of the last process went.

use headwater_record::Metrics;

use crate::{Result, RunFolder};

impl RunFolder {
    /// The metrics of the process that ran last, if there are any.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`] if the file cannot be understood; what the store says.
    pub fn metrics(&self) -> Result<Option<Metrics>> {
        self.read_json(Self::METRICS)
    }
}
