//! `rejects.parquet`, derived from the sidecars of a run.

use arrow::array::RecordBatch;
use headwater_record::RunFile;
use headwater_run::{Rejects, RejectsWriter, RunFolder};

use crate::Result;
use crate::rows::UnitRows;
use crate::scan::Scores;
use crate::stored::StoredSidecars;

/// Writes `rejects.parquet`, every row of the run's sidecars whose status is not `scored`, in address order; returns how many.
///
/// `on_progress` gets the number of sidecars newly read.
///
/// # Errors
/// A sidecar that is missing or cannot be read; [`crate::Error::Run`].
pub fn write_rejects(folder: &RunFolder, run: &RunFile, on_progress: &(dyn Fn(u64) + Sync)) -> Result<u64> {
    let sidecars = StoredSidecars::open(folder, run)?;
    let rejects = Rejects::new()?;
    let mut writer = RejectsWriter::new(folder, &rejects)?;
    let digest = |rows: &UnitRows<'_>| -> Result<Vec<RecordBatch>> {
        let rejected = rows.batches.iter().map(|batch| rejects.of(rows.unit, batch));
        Ok(rejected.collect::<headwater_run::Result<_>>()?)
    };
    let scores = Scores { sidecars: &sidecars, on_progress };
    scores.scan_all(Rejects::COLUMNS, digest, |_, rejected| {
        Ok(rejected.iter().try_for_each(|batch| writer.write(batch))?)
    })?;
    Ok(writer.finish()?)
}
