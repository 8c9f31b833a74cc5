//! The sidecars of a run where the run keeps them, and `selection.json`.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use headwater_corpus::guarded;
use headwater_record::run::Labels;
use headwater_record::sidecar::footer;
use headwater_record::{RunFile, SelectionFile};
use headwater_store::Place;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::config::SelectConfig;
use crate::sidecars::{Sidecars, Unit, units, wrong};
use crate::{Error, Result, cut};

/// Where a run keeps its selection.
pub const SELECTION_PATH: &str = "selection.json";

/// Rows of a batch read from a sidecar.
const BATCH_ROWS: usize = 65_536;

/// Cuts every domain of a run: exactly the units of its plan, whatever else lies beside them.
///
/// `seed` is the run's; `on_progress` gets the number of sidecars newly read, see [`cut()`].
///
/// # Errors
/// [`Error::MissingSidecar`] if a unit is not scored, and what [`cut()`] says.
pub fn select(
    place: &Place,
    run: &RunFile,
    config: &SelectConfig,
    seed: u64,
    on_progress: &(dyn Fn(u64) + Sync),
) -> Result<SelectionFile> {
    config.check()?;
    cut(&StoredSidecars::open(place, run)?, config, seed, on_progress)
}

/// Writes `selection.json`: the last thing a selection does, after its subset.
///
/// # Errors
/// [`Error::Store`], [`Error::Json`].
pub fn write_selection(place: &Place, selection: &SelectionFile) -> Result<()> {
    let encode = |source| Error::Json { path: place.describe(SELECTION_PATH), source };
    let mut json = serde_json::to_vec_pretty(selection).map_err(encode)?;
    json.push(b'\n');
    Ok(place.write(SELECTION_PATH, json.into())?)
}

/// The sidecars of a run's plan, in the folder or store of the run.
#[derive(Clone, Debug)]
pub struct StoredSidecars {
    place: Place,
    units: Vec<Unit>,
}

impl StoredSidecars {
    /// Lists the run's sidecars and checks that every unit of the plan has one.
    ///
    /// # Errors
    /// [`Error::MissingSidecar`] naming the first unit without one; [`Error::Overlap`]; [`Error::Store`].
    pub fn open(place: &Place, run: &RunFile) -> Result<Self> {
        let units = units(run)?;
        let mut there = BTreeSet::new();
        for source in &run.sources {
            there.extend(place.list(&source.sidecar_folder())?.into_iter().map(|entry| entry.path));
        }
        let missing = || units.iter().filter(|unit| !there.contains(&unit.sidecar_path()));
        if let Some(first) = missing().next() {
            return Err(Error::MissingSidecar {
                unit: first.key.to_string(),
                source_name: first.source.to_string(),
                path: first.path.to_string(),
                first_row: first.key.first_row,
                end_row: first.key.first_row + first.key.rows,
                missing: missing().count(),
                units: units.len(),
            });
        }
        Ok(Self { place: place.clone(), units })
    }
}

impl Sidecars for StoredSidecars {
    fn units(&self) -> &[Unit] {
        &self.units
    }

    fn read(&self, unit: &Unit, columns: &[&str]) -> Result<Vec<RecordBatch>> {
        let path = unit.sidecar_path();
        let unreadable = |source: ParquetError| Error::Unreadable { path: self.place.describe(&path), source };
        let bytes = self.place.read(&path)?;
        let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(bytes)).map_err(unreadable)?;
        check_footer(unit, builder.metadata())?;
        for name in columns {
            builder.schema().field_with_name(name).map_err(|_| wrong(unit, name, &"a column", &"missing"))?;
        }
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        let batches = || {
            let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()?;
            reader.map(|batch| Ok(batch?)).collect()
        };
        guarded(batches).map_err(unreadable)
    }
}

/// Checks that a sidecar's footer names its unit and fingerprint, and the columns that the run takes labels from.
fn check_footer(unit: &Unit, metadata: &ParquetMetaData) -> Result<()> {
    let entries = metadata.file_metadata().key_value_metadata();
    let value = |key: &str| {
        let entry = entries.and_then(|entries| entries.iter().find(|entry| entry.key == key));
        entry.and_then(|entry| entry.value.clone())
    };
    let expected = [(footer::UNIT, unit.key.to_string()), (footer::FINGERPRINT, unit.fingerprint.to_string())];
    for (key, expected) in expected {
        let got = value(key);
        if got.as_ref() != Some(&expected) {
            return Err(wrong(unit, key, &expected, &got.as_deref().unwrap_or("missing")));
        }
    }
    let named = |key: &str| value(key).filter(|name| !name.is_empty());
    let got = Labels {
        id_column: named(footer::ID_COLUMN),
        domain_column: named(footer::DOMAIN_COLUMN),
        domain_value: named(footer::DOMAIN_VALUE),
    };
    if got == *unit.labels {
        return Ok(());
    }
    let (expected, got) = (unit.labels.to_string(), got.to_string());
    Err(Error::Labels { path: unit.sidecar_path(), expected, got })
}
