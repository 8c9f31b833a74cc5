//! Reading sidecars, several at a time, in the order of addresses.

use arrow::array::RecordBatch;
use headwater_run::Unit;

use crate::Result;
use crate::rows::UnitRows;
use crate::sidecars::Sidecars;

/// Sidecars read at the same time, to hide the latency of a store; bounds memory to the rows of as many units.
const READERS: usize = 16;

/// The scores of a run, to be read again and again.
#[derive(Clone, Copy)]
pub(crate) struct Scores<'a> {
    pub(crate) sidecars: &'a dyn Sidecars,
    /// Gets the number of sidecars newly read.
    pub(crate) on_progress: &'a (dyn Fn(u64) + Sync),
}

impl Scores<'_> {
    /// Reads some columns of all units; see [`Scores::scan`].
    pub(crate) fn scan_all<T: Send>(
        &self,
        columns: impl IntoIterator<Item = &'static str>,
        digest: impl Fn(&UnitRows<'_>) -> Result<T> + Sync,
        visit: impl FnMut(usize, T) -> Result<()>,
    ) -> Result<()> {
        let everything: Vec<usize> = (0..self.sidecars.units().len()).collect();
        self.scan(&everything, columns, digest, visit)
    }

    /// Reads some columns, each once though it be named twice, of the units at `wanted` (rising), several units at a time, and visits
    /// what `digest` makes of each in that order. `digest` runs in the reading threads.
    pub(crate) fn scan<T: Send>(
        &self,
        wanted: &[usize],
        columns: impl IntoIterator<Item = &'static str>,
        digest: impl Fn(&UnitRows<'_>) -> Result<T> + Sync,
        mut visit: impl FnMut(usize, T) -> Result<()>,
    ) -> Result<()> {
        let mut distinct: Vec<&'static str> = Vec::new();
        columns.into_iter().for_each(|name| {
            if !distinct.contains(&name) {
                distinct.push(name);
            }
        });
        let sidecars = self.sidecars;
        let read = |index: usize| {
            let unit = &sidecars.units()[index];
            let batches = read_whole(sidecars, unit, &distinct)?;
            digest(&UnitRows { index, unit, batches: &batches, sidecars })
        };
        let read = &read;
        for group in wanted.chunks(READERS) {
            let digests: Vec<Result<T>> = std::thread::scope(|scope| {
                let readers: Vec<_> = group.iter().map(|&index| scope.spawn(move || read(index))).collect();
                readers
                    .into_iter()
                    .map(|reader| reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                    .collect()
            });
            for (&index, digest) in group.iter().zip(digests) {
                visit(index, digest?)?;
                (self.on_progress)(1);
            }
        }
        Ok(())
    }
}

fn read_whole(sidecars: &dyn Sidecars, unit: &Unit, columns: &[&str]) -> Result<Vec<RecordBatch>> {
    let batches = sidecars.read(unit, columns)?;
    let rows: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    if rows == unit.key.rows {
        Ok(batches)
    } else {
        Err(headwater_run::Error::sidecar(unit, "number of rows", &unit.key.rows, &rows).into())
    }
}
