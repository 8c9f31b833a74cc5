//! Other ids and domains for a sidecar that is already there.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{FieldRef, Schema};
use arrow::error::ArrowError;
use bytes::Bytes;
use headwater_record::sidecar::{column, footer, schema};
use headwater_store::Place;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;

use super::encode::{SidecarFooter, dictionary, encode_batch};
use crate::parquet_guard::guarded;
use crate::{Error, Result};

/// A sidecar whose ids and domains are to be replaced.
#[derive(Debug)]
pub struct Relabelling<'a> {
    place: &'a Place,
    path: &'a str,
    unit: String,
    rows: RecordBatch,
    footer: Vec<KeyValue>,
}

impl<'a> Relabelling<'a> {
    /// Reads the sidecar at `path` of `place`, which is to say `wanted` of itself; `None` if it does already.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it cannot be read; what the store says.
    pub fn open(place: &'a Place, path: &'a str, wanted: &SidecarFooter) -> Result<Option<Self>> {
        let damaged = |reason: String| Error::Damaged { path: path.to_owned(), reason };
        let bytes = place.read(path)?;
        let reader =
            guarded(|| ParquetRecordBatchReaderBuilder::try_new(bytes)).map_err(|error| damaged(error.to_string()))?;
        let there = reader.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
        let pairs = wanted.key_values();
        if pairs.iter().all(|pair| there.contains(pair)) {
            return Ok(None);
        }
        // a sidecar of an earlier version lacks columns
        let there_is = |field: &&FieldRef| reader.schema().field_with_name(field.name()).is_ok();
        let schema = schema();
        let fields: Vec<FieldRef> = schema.fields().iter().filter(there_is).cloned().collect();
        let schema = Arc::new(Schema::new(fields));
        let batches = guarded(|| Ok(reader.build()?.collect::<std::result::Result<Vec<_>, ArrowError>>()?));
        let batches = batches.map_err(|error| damaged(error.to_string()))?;
        let rows = concat_batches(&schema, &batches).map_err(|error| damaged(error.to_string()))?;
        let counts = there.into_iter().filter(|pair| pair.key == footer::STATUSES);
        let footer = pairs.into_iter().chain(counts).collect();
        Ok(Some(Self { place, path, unit: wanted.unit.to_string(), rows, footer }))
    }

    /// Writes the sidecar with these ids and domains, one of each for every row.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the sidecar has another number of rows; [`Error::Columns`], [`Error::Encode`]; what the store says.
    pub fn write(self, ids: &[Option<String>], domains: &[String]) -> Result<()> {
        if ids.len() != self.rows.num_rows() {
            let reason = format!("it has {} rows where its unit has {}", self.rows.num_rows(), ids.len());
            return Err(Error::Damaged { path: self.path.to_owned(), reason });
        }
        let unit = self.unit;
        let rows = replace(&self.rows, ids, domains).map_err(|source| Error::Columns { unit: unit.clone(), source })?;
        let bytes = encode_batch(&rows, self.footer).map_err(|source| Error::Encode { path: unit, source })?;
        Ok(self.place.write(self.path, Bytes::from(bytes))?)
    }
}

fn replace(
    rows: &RecordBatch,
    ids: &[Option<String>],
    domains: &[String],
) -> std::result::Result<RecordBatch, ArrowError> {
    let ids: ArrayRef = Arc::new(StringArray::from_iter(ids));
    let domains = dictionary(domains.iter().map(String::as_str))?;
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns()).map(|(field, values)| match field.name().as_str() {
        column::ID => ids.clone(),
        column::DOMAIN => domains.clone(),
        _ => values.clone(),
    });
    RecordBatch::try_new(rows.schema(), columns.collect())
}
