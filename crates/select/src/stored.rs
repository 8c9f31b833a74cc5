//! The sidecars of a run where the run keeps them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::UInt64Type;
use headwater_corpus::{BeginningText, Class, Plan, PlannedShard, PlannedSource, read_numbers, read_texts};
use headwater_record::metrics::SidecarMetrics;
use headwater_record::sidecar::column;
use headwater_record::{ByteCount, RunFile};
use headwater_run::sidecar::{SidecarReader, numbers};
use headwater_run::{Error as RunError, RunFolder, Unit, units};
use headwater_store::Entry;

use crate::memory::{Memory, Missing, joined};
use crate::sidecars::Sidecars;
use crate::{Error, Result, ShardError};

/// Memory for rows that were read, beside what a selection needs.
const ROOM_BYTES: usize = 192 << 20;

/// Shards by source and path, each with its text column.
type Shards<'a> = BTreeMap<(&'a str, &'a str), (&'a PlannedShard, &'a str)>;

/// The sidecars of a run's plan, in the folder or store of the run.
///
/// Columns are fetched by ranges and kept in memory as far as there is room, so that several selections, subsets and a profile of one
/// value fetch them once.
#[derive(Debug)]
pub struct StoredSidecars<'a> {
    reader: SidecarReader,
    units: Vec<Unit>,
    /// The file of each unit.
    files: Vec<File>,
    memory: Memory,
    /// Of each unit, whether its rows were seen to be those of the plan.
    checked: Vec<AtomicBool>,
    /// The shards, if they are at hand.
    shards: Option<Shards<'a>>,
}

/// What the listing told of a sidecar, apart from its path.
#[derive(Clone, Debug)]
struct File {
    bytes: u64,
    etag: Option<Box<str>>,
}

impl<'a> StoredSidecars<'a> {
    /// Lists the run's sidecars and checks that every unit of the plan has one.
    ///
    /// # Errors
    /// [`Error::MissingSidecar`] naming the first unit without one; what the listing says.
    pub fn open(folder: &RunFolder, run: &RunFile) -> Result<Self> {
        let (there, missing) = Self::there(folder, run)?;
        let Some(first) = missing.first() else { return Ok(there) };
        Err(Error::MissingSidecar {
            unit: first.key.to_string(),
            source_name: first.source.to_string(),
            path: first.path.to_string(),
            first_row: first.key.first_row,
            end_row: first.key.first_row + first.key.rows,
            missing: missing.len(),
            units: missing.len() + there.units.len(),
        })
    }

    /// Lists the run's sidecars and takes those that there are; tells the number of units that have none, too.
    ///
    /// # Errors
    /// What the listing says.
    pub fn open_partly(folder: &RunFolder, run: &RunFile) -> Result<(Self, usize)> {
        let (there, missing) = Self::there(folder, run)?;
        Ok((there, missing.len()))
    }

    /// The units that have a sidecar, and those that have none.
    fn there(folder: &RunFolder, run: &RunFile) -> Result<(Self, Vec<Unit>)> {
        let mut listed = BTreeMap::new();
        for source in &run.sources {
            let sidecars = RunFolder::sidecars(&source.fingerprint, &source.name);
            for Entry { path, bytes, etag, .. } in folder.place().list(&sidecars)? {
                listed.insert(path, File { bytes, etag: etag.map(Into::into) });
            }
        }
        let (mut there, mut files, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for unit in units(run)? {
            match listed.remove(&unit.sidecar_path()) {
                Some(file) => {
                    there.push(unit);
                    files.push(file);
                }
                None => missing.push(unit),
            }
        }
        let reader = SidecarReader::new(folder.place().clone());
        let checked = there.iter().map(|_| AtomicBool::new(false)).collect();
        let memory = Memory::new(ROOM_BYTES);
        Ok((Self { reader, units: there, files, memory, checked, shards: None }, missing))
    }

    /// Keeps `bytes` of rows in memory at most.
    #[must_use]
    pub fn with_room(self, bytes: ByteCount) -> Self {
        Self { memory: Memory::new(usize::try_from(bytes.0).unwrap_or(usize::MAX)), ..self }
    }

    /// What was read so far.
    #[must_use]
    pub fn metrics(&self) -> SidecarMetrics {
        let metrics = self.reader.metrics();
        SidecarMetrics { passes: metrics.reads as f64 / self.units.len().max(1) as f64, ..metrics }
    }

    /// Takes along the shards that the sidecars are about.
    #[must_use]
    pub fn with_shards(self, plan: &'a Plan) -> Self {
        let shards = plan.sources.iter().flat_map(|source| source.shards.iter().map(move |shard| (source, shard)));
        let text = |source: &'a PlannedSource| source.columns.text.as_str();
        let shards = shards.map(|(source, shard)| ((source.name.as_str(), shard.path.as_str()), (shard, text(source))));
        let shards = shards.collect();
        Self { shards: Some(shards), ..self }
    }

    /// The shard of a unit, which must be the one that was scored, and its text column.
    pub(crate) fn shard(&self, unit: &Unit) -> Result<(&'a PlannedShard, &'a str)> {
        match self.shards.as_ref().and_then(|shards| shards.get(&(&*unit.source, &*unit.path))).copied() {
            None => Err(Error::NotPlanned { source_name: unit.source.to_string(), path: unit.path.to_string() }),
            Some((shard, _)) if shard.id != unit.key.shard => Err(Error::ShardChanged {
                source_name: unit.source.to_string(),
                path: unit.path.to_string(),
                expected: unit.key.shard.to_string(),
                got: shard.id.to_string(),
            }),
            Some(found) => Ok(found),
        }
    }
}

impl Sidecars for StoredSidecars<'_> {
    fn units(&self) -> &[Unit] {
        &self.units
    }

    fn will_read(&self, columns: &[&'static str]) {
        self.memory.will_read(columns);
    }

    fn read(&self, index: usize, columns: &[&'static str]) -> Result<Vec<RecordBatch>> {
        let Missing { columns: mut missing, at_hand } = self.memory.missing(index, columns);
        if missing.is_empty() {
            return Ok(at_hand);
        }
        let (unit, file) = (&self.units[index], &self.files[index]);
        let entry = Entry {
            path: unit.sidecar_path(),
            bytes: file.bytes,
            etag: file.etag.as_deref().map(str::to_owned),
            modified: None,
        };
        let is_checked = self.checked[index].load(Ordering::Relaxed);
        if !is_checked {
            missing.push(column::ROW);
        }
        let mut fetched = self.reader.read(unit, &entry, &missing)?;
        if !is_checked {
            validate_rows(unit, &fetched)?;
            self.checked[index].store(true, Ordering::Relaxed);
            fetched.iter_mut().for_each(remove_rows);
        }
        self.memory.keep(index, &fetched);
        let rows = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        let joined = joined(&at_hand, &fetched);
        let changed = || RunError::sidecar(unit, "number of rows", &rows(&at_hand), &rows(&fetched));
        Ok(joined.ok_or_else(changed)?)
    }

    fn source_numbers(&self, unit: &Unit, column: &str) -> Result<Vec<f32>> {
        let rows = unit.key.first_row..unit.key.first_row + unit.key.rows;
        Ok(read_numbers(self.shard(unit)?.0, column, rows).map_err(|error| ShardError::of(unit, error))?)
    }

    fn source_texts(&self, unit: &Unit, rows: &[u64], characters: usize) -> Result<Vec<Option<BeginningText>>> {
        if self.shards.is_none() {
            return Ok(vec![None; rows.len()]);
        }
        let (shard, text) = self.shard(unit)?;
        let rows: Vec<u64> = rows.iter().map(|row| unit.key.first_row + row).collect();
        match read_texts(shard, text, &rows, characters) {
            Err(error) if error.class() == Class::Data => {
                let reason = error.to_string();
                tracing::warn!(shard = shard.location(), reason, "its texts cannot be shown");
                Ok(vec![None; rows.len()])
            }
            read => Ok(read.map_err(|error| ShardError::of(unit, error))?),
        }
    }
}

/// Checks that a sidecar's rows are those of its unit, in order.
fn validate_rows(unit: &Unit, batches: &[RecordBatch]) -> Result<()> {
    let rows: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    if rows != unit.key.rows {
        return Err(RunError::sidecar(unit, "number of rows", &unit.key.rows, &rows).into());
    }
    let mut expected = unit.key.first_row;
    for batch in batches {
        for &row in numbers::<UInt64Type>(unit, batch, column::ROW)?.values() {
            if row != expected {
                return Err(RunError::sidecar(unit, column::ROW, &expected, &row).into());
            }
            expected += 1;
        }
    }
    Ok(())
}

/// Takes the numbers of rows out, which nothing reads again.
fn remove_rows(batch: &mut RecordBatch) {
    if let Ok(at) = batch.schema().index_of(column::ROW) {
        batch.remove_column(at);
    }
}
