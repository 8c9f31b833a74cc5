//! Reading sidecars, many at a time, in the order of addresses.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use headwater_run::{Error as RunError, Unit};

use crate::Result;
use crate::rows::UnitRows;
use crate::sidecars::Sidecars;

/// Sidecars read at the same time, to hide the latency of a store.
const READERS: usize = 128;

/// Rows in flight, unless one unit has more; bounds memory.
const MOST_ROWS: u64 = 256 << 10;

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

    /// Reads some columns, each once though it be named twice, of the units at `wanted` (rising), many units at a time, and visits
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
            let batches = read_whole(sidecars, index, &distinct)?;
            digest(&UnitRows { index, unit, batches: &batches, sidecars })
        };
        let rows: Vec<u64> = wanted.iter().map(|index| sidecars.units()[*index].key.rows).collect();
        let gate = Gate { rows: &rows, state: Mutex::default(), moved: Condvar::new() };
        let (sender, receiver) = channel();
        std::thread::scope(|scope| {
            let _stopper = Stopper(&gate);
            let work = || {
                let sender = sender.clone();
                let (gate, read) = (&gate, &read);
                scope.spawn(move || {
                    let stopper = Stopper(gate);
                    while let Some(place) = gate.enter() {
                        if sender.send((place, read(wanted[place]))).is_err() {
                            break;
                        }
                    }
                    // only a panic stops the others
                    std::mem::forget(stopper);
                })
            };
            let readers: Vec<_> = (0..READERS.min(wanted.len())).map(|_| work()).collect();
            drop(sender);
            let outcome = in_order(receiver, |place, digest| {
                gate.leave(place);
                visit(wanted[place], digest?)?;
                (self.on_progress)(1);
                Ok(())
            });
            gate.stop();
            readers.into_iter().for_each(|reader| {
                reader.join().unwrap_or_else(|panic| resume_unwind(panic));
            });
            outcome
        })
    }
}

/// Visits what comes in the order of its places, from 0.
fn in_order<T>(receiver: Receiver<(usize, T)>, mut visit: impl FnMut(usize, T) -> Result<()>) -> Result<()> {
    let mut early = BTreeMap::new();
    let mut due = 0;
    for (place, item) in receiver {
        early.insert(place, item);
        while let Some(item) = early.remove(&due) {
            visit(due, item)?;
            due += 1;
        }
    }
    Ok(())
}

/// Lets units in one after another, as long as those inside have few rows together.
struct Gate<'a> {
    /// By place.
    rows: &'a [u64],
    state: Mutex<Inside>,
    moved: Condvar,
}

#[derive(Default)]
struct Inside {
    next: usize,
    rows: u64,
    is_stopped: bool,
}

impl Gate<'_> {
    /// Waits for room and takes the next place; `None` if there is none or all is over.
    fn enter(&self) -> Option<usize> {
        let mut state = self.state();
        loop {
            let rows = *self.rows.get(state.next)?;
            if state.is_stopped {
                return None;
            }
            if state.rows == 0 || state.rows + rows <= MOST_ROWS {
                state.rows += rows;
                state.next += 1;
                return Some(state.next - 1);
            }
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn leave(&self, place: usize) {
        self.state().rows -= self.rows[place];
        self.moved.notify_all();
    }

    fn stop(&self) {
        self.state().is_stopped = true;
        self.moved.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, Inside> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stops all readers when it is dropped, so that a panic ends them.
struct Stopper<'a>(&'a Gate<'a>);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn read_whole(sidecars: &dyn Sidecars, index: usize, columns: &[&'static str]) -> Result<Vec<RecordBatch>> {
    let unit: &Unit = &sidecars.units()[index];
    let batches = sidecars.read(index, columns)?;
    let rows: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    if rows == unit.key.rows {
        return Ok(batches);
    }
    Err(RunError::sidecar(unit, "number of rows", &unit.key.rows, &rows).into())
}
