//! Some columns of a unit's sidecar.

use arrow::array::RecordBatch;
use headwater_record::run::Labels;
use headwater_record::sidecar::footer;
use headwater_store::Place;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::parquet_guard::guarded;
use crate::{Error, Result, Unit};

/// Rows of a batch read from a sidecar.
const BATCH_ROWS: usize = 65_536;

/// Reads the named columns of a unit's sidecar, one row per source row.
///
/// # Errors
/// [`Error::Unreadable`], [`Error::Sidecar`] or [`Error::Labels`] if it is not the sidecar of the unit; what the store says.
pub fn read(place: &Place, unit: &Unit, columns: &[&str]) -> Result<Vec<RecordBatch>> {
    let path = unit.sidecar_path();
    let unreadable = |source: ParquetError| Error::Unreadable { path: place.describe(&path), source };
    let bytes = place.read(&path)?;
    let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(bytes)).map_err(unreadable)?;
    check_footer(unit, builder.metadata())?;
    for name in columns {
        let found = builder.schema().field_with_name(name);
        found.map_err(|_| Error::sidecar(unit, name, &"a column", &"missing"))?;
    }
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let batches = || {
        let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()?;
        reader.map(|batch| Ok(batch?)).collect()
    };
    guarded(batches).map_err(unreadable)
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
            return Err(Error::sidecar(unit, key, &expected, &got.as_deref().unwrap_or("missing")));
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
