//! Where sidecar rows come from.

use arrow::array::RecordBatch;
use headwater_corpus::BeginningText;
use headwater_run::Unit;

use crate::{Error, Result};

/// Something that hands out sidecar rows, as often as asked and from several threads.
pub trait Sidecars: Sync {
    /// The units, in the order of document addresses (see [`headwater_run::units`]).
    fn units(&self) -> &[Unit];

    /// Tells which columns further readings ask for, so that one reading can fetch them together.
    fn will_read(&self, _columns: &[&'static str]) {}

    /// The named columns of the sidecar of the unit at `index`, one row per source row.
    ///
    /// # Errors
    /// What keeps the sidecar from being read.
    fn read(&self, index: usize, columns: &[&'static str]) -> Result<Vec<RecordBatch>>;

    /// A numeric column of the source's own rows of a unit, NaN for null.
    ///
    /// # Errors
    /// [`Error::NoShards`] if the source is not at hand, [`Error::NotPlanned`], or what keeps the shard from being read.
    fn source_numbers(&self, _unit: &Unit, column: &str) -> Result<Vec<f32>> {
        Err(Error::NoShards { column: column.to_owned() })
    }

    /// The beginnings of the texts of some rows of a unit, counted from its start and rising; `None` where there is no text, or the
    /// source is not at hand.
    ///
    /// # Errors
    /// What keeps the shard from being read.
    fn source_texts(&self, _unit: &Unit, rows: &[u64], _characters: usize) -> Result<Vec<Option<BeginningText>>> {
        Ok(vec![None; rows.len()])
    }
}
