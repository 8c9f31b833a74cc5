//! The sidecars of a run where the run keeps them.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use headwater_corpus::{BeginningText, Plan, PlannedShard, PlannedSource, read_numbers, read_texts};
use headwater_record::RunFile;
use headwater_run::{RunFolder, Unit, sidecar, units};
use headwater_store::Place;

use crate::config::SelectConfig;
use crate::cut::Selection;
use crate::sidecars::Sidecars;
use crate::{Error, Result, cut};

/// Cuts every domain of a run: exactly the units of its plan, whatever else lies beside them.
///
/// `plan` says where the shards are, for ranks that read them. `seed` is the run's; `on_progress` gets the number of sidecars newly read,
/// see [`cut()`].
///
/// # Errors
/// [`Error::MissingSidecar`] if a unit is not scored, and what [`cut()`] says.
pub fn select(
    folder: &RunFolder,
    run: &RunFile,
    plan: &Plan,
    rule: (&SelectConfig, u64),
    on_progress: &(dyn Fn(u64) + Sync),
) -> Result<Selection> {
    let (config, seed) = rule;
    config.check()?;
    cut(&StoredSidecars::open(folder, run)?.with_shards(plan), config, seed, on_progress)
}

/// Shards by source and path, each with its text column.
type Shards<'a> = BTreeMap<(&'a str, &'a str), (&'a PlannedShard, &'a str)>;

/// The sidecars of a run's plan, in the folder or store of the run.
#[derive(Clone, Debug)]
pub struct StoredSidecars<'a> {
    place: Place,
    units: Vec<Unit>,
    /// The shards, if they are at hand.
    shards: Option<Shards<'a>>,
}

impl<'a> StoredSidecars<'a> {
    /// Lists the run's sidecars and checks that every unit of the plan has one.
    ///
    /// # Errors
    /// [`Error::MissingSidecar`] naming the first unit without one; [`Error::Run`]; [`Error::Store`].
    pub fn open(folder: &RunFolder, run: &RunFile) -> Result<Self> {
        let units = units(run)?;
        let (there, missing) = Self::there(folder, run, units.clone())?;
        let Some(first) = missing.first() else { return Ok(there) };
        Err(Error::MissingSidecar {
            unit: first.key.to_string(),
            source_name: first.source.to_string(),
            path: first.path.to_string(),
            first_row: first.key.first_row,
            end_row: first.key.first_row + first.key.rows,
            missing: missing.len(),
            units: units.len(),
        })
    }

    /// Lists the run's sidecars and takes those that there are; tells the number of units that have none, too.
    ///
    /// # Errors
    /// [`Error::Run`]; [`Error::Store`].
    pub fn open_partly(folder: &RunFolder, run: &RunFile) -> Result<(Self, usize)> {
        let (there, missing) = Self::there(folder, run, units(run)?)?;
        Ok((there, missing.len()))
    }

    /// The units that have a sidecar, and those that have none.
    fn there(folder: &RunFolder, run: &RunFile, units: Vec<Unit>) -> Result<(Self, Vec<Unit>)> {
        let mut there = BTreeSet::new();
        for source in &run.sources {
            there.extend(
                folder
                    .place()
                    .list(&RunFolder::sidecars(&source.fingerprint, &source.name))?
                    .into_iter()
                    .map(|entry| entry.path),
            );
        }
        let (units, missing) = units.into_iter().partition(|unit| there.contains(&unit.sidecar_path()));
        Ok((Self { place: folder.place().clone(), units, shards: None }, missing))
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

    fn read(&self, unit: &Unit, columns: &[&str]) -> Result<Vec<RecordBatch>> {
        Ok(sidecar::read(&self.place, unit, columns)?)
    }

    fn source_numbers(&self, unit: &Unit, column: &str) -> Result<Vec<f32>> {
        let rows = unit.key.first_row..unit.key.first_row + unit.key.rows;
        Ok(read_numbers(self.shard(unit)?.0, column, rows)?)
    }

    fn source_texts(&self, unit: &Unit, rows: &[u64], characters: usize) -> Result<Vec<Option<BeginningText>>> {
        if self.shards.is_none() {
            return Ok(vec![None; rows.len()]);
        }
        let (shard, text) = self.shard(unit)?;
        let rows: Vec<u64> = rows.iter().map(|row| unit.key.first_row + row).collect();
        Ok(read_texts(shard, text, &rows, characters)?)
    }
}
