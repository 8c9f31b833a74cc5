//! Units of a plan and the rows of their sidecars.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, DictionaryArray, RecordBatch, StringArray};
use arrow::datatypes::{ArrowPrimitiveType, Int32Type};
use headwater_corpus::BeginningText;
use headwater_record::run::Labels;
use headwater_record::{DocumentAddress, Fingerprint, RunFile, UnitKey};

use crate::rows::UnitRows;
use crate::{Error, Result};

/// Sidecars read at the same time, to hide the latency of a store; bounds memory to the rows of as many units.
const READERS: usize = 16;

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

    pub(crate) fn sidecar_path(&self) -> String {
        headwater_record::run::sidecar_path(&self.fingerprint, &self.source, &self.key)
    }
}

/// The units of a run's plan in the order of document addresses: source, path, first row.
///
/// # Errors
/// [`Error::Overlap`] if a row has two units.
pub fn units(run: &RunFile) -> Result<Vec<Unit>> {
    let mut units = Vec::new();
    for source in &run.sources {
        let name: Arc<str> = Arc::from(source.name.as_str());
        let labels = Arc::new(source.labels.clone());
        for shard in &source.shards {
            let path: Arc<str> = Arc::from(shard.path.as_str());
            units.extend(shard.units.iter().map(|key| Unit {
                source: name.clone(),
                path: path.clone(),
                key: key.clone(),
                fingerprint: source.fingerprint.clone(),
                labels: labels.clone(),
            }));
        }
    }
    units.sort_by(|a: &Unit, b: &Unit| {
        (&a.source, &a.path, a.key.first_row).cmp(&(&b.source, &b.path, b.key.first_row))
    });
    let shared = units.windows(2).find(|pair| {
        let same = pair[0].source == pair[1].source && pair[0].path == pair[1].path;
        same && pair[1].key.first_row < pair[0].key.first_row.saturating_add(pair[0].key.rows)
    });
    match shared {
        None => Ok(units),
        Some(pair) => Err(Error::Overlap {
            source_name: pair[1].source.to_string(),
            path: pair[1].path.to_string(),
            row: pair[1].key.first_row,
        }),
    }
}

/// Something that hands out sidecar rows, as often as asked and from several threads.
pub trait Sidecars: Sync {
    /// The units, in the order of document addresses (see [`units`]).
    fn units(&self) -> &[Unit];

    /// The named columns of a unit's sidecar, in that order, one row per source row.
    ///
    /// # Errors
    /// Whatever keeps the sidecar from being read.
    fn read(&self, unit: &Unit, columns: &[&str]) -> Result<Vec<RecordBatch>>;

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
    if rows == unit.key.rows { Ok(batches) } else { Err(wrong(unit, "number of rows", &unit.key.rows, &rows)) }
}

/// The error of a sidecar that is not what its name says.
pub(crate) fn wrong(unit: &Unit, what: &str, expected: &dyn fmt::Display, got: &dyn fmt::Display) -> Error {
    Error::Sidecar {
        path: unit.sidecar_path(),
        what: what.to_owned(),
        expected: expected.to_string(),
        got: got.to_string(),
    }
}

/// A column of numbers.
pub(crate) fn numbers<'a, T: ArrowPrimitiveType>(
    unit: &Unit,
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a arrow::array::PrimitiveArray<T>> {
    let column = batch.column_by_name(name).ok_or_else(|| wrong(unit, name, &T::DATA_TYPE, &"missing"))?;
    column.as_primitive_opt::<T>().ok_or_else(|| wrong(unit, name, &T::DATA_TYPE, &column.data_type()))
}

/// A dictionary column of words: its keys and its words.
pub(crate) fn words<'a>(
    unit: &Unit,
    batch: &'a RecordBatch,
    name: &str,
) -> Result<(&'a DictionaryArray<Int32Type>, &'a StringArray)> {
    let expected = "dictionary of words, none null";
    let column = batch.column_by_name(name).ok_or_else(|| wrong(unit, name, &expected, &"missing"))?;
    let found = column.as_dictionary_opt::<Int32Type>().filter(|words| words.null_count() == 0);
    found
        .and_then(|words| Some((words, words.values().as_string_opt::<i32>()?)))
        .ok_or_else(|| wrong(unit, name, &expected, &column.data_type()))
}

/// For each row, the index of its word in a dictionary column's words.
pub(crate) fn word_indices<'a>(words: &'a DictionaryArray<Int32Type>) -> impl Iterator<Item = usize> + 'a {
    words.keys().values().iter().map(|&key| usize::try_from(key).unwrap_or_default())
}
