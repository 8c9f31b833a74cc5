//! Other id or domain columns for sidecars that are already there.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use bytes::Bytes;
use headwater_corpus::{Columns, PlannedShard, read_unit};
use headwater_record::sidecar::{column, footer, schema};
use headwater_store::Place;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::sidecar::{encode, words};
use crate::unit::domain_of;
use crate::{Error, SidecarFooter};

/// What [`relabel_unit`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relabelled {
    /// The sidecar was rewritten.
    Rewritten,
    /// It had those columns already.
    Unchanged,
}

/// Rewrites the id and domain columns of the sidecar at `path`, reading the shard but not the model.
///
/// # Errors
/// [`Error::Damaged`] if the sidecar cannot be read or does not match the shard's rows.
pub fn relabel_unit(
    source: (&PlannedShard, &Columns),
    sidecar: &SidecarFooter,
    target: (&Place, &str),
) -> Result<Relabelled, Error> {
    let (run, path) = target;
    let damaged = |reason: String| Error::Damaged { path: path.to_owned(), reason };
    let bytes = run.read(path)?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| damaged(error.to_string()))?;
    let there = reader.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    let wanted = sidecar.key_values();
    if wanted.iter().all(|pair| there.contains(pair)) {
        return Ok(Relabelled::Unchanged);
    }
    let batches = reader.build().and_then(|batches| Ok(batches.collect::<Result<Vec<RecordBatch>, _>>()?));
    let batches = batches.map_err(|error| damaged(error.to_string()))?;
    let batch = concat_batches(&schema(), &batches).map_err(|error| damaged(error.to_string()))?;
    let (shard, columns) = source;
    let (mut ids, mut domains) = (Vec::new(), Vec::new());
    for document in read_unit(shard, columns, &sidecar.unit)? {
        let document = document?;
        ids.push(document.id);
        domains.push(domain_of(columns, document.domain));
    }
    if ids.len() != batch.num_rows() {
        return Err(damaged(format!("it has {} rows where its unit has {}", batch.num_rows(), ids.len())));
    }
    let unit = sidecar.unit.to_string();
    let replaced = replace(&batch, &ids, &domains).map_err(|source| Error::Columns { unit: unit.clone(), source })?;
    let counts = there.into_iter().filter(|pair| pair.key == footer::STATUSES);
    let pairs = wanted.into_iter().chain(counts).collect();
    let bytes = encode(&replaced, pairs).map_err(|source| Error::Sidecar { unit, source })?;
    run.write(path, Bytes::from(bytes))?;
    Ok(Relabelled::Rewritten)
}

fn replace(
    batch: &RecordBatch,
    ids: &[Option<String>],
    domains: &[String],
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let ids: ArrayRef = Arc::new(StringArray::from_iter(ids));
    let domains = words(domains.iter().map(String::as_str))?;
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, values)| match field.name().as_str() {
        column::ID => ids.clone(),
        column::DOMAIN => domains.clone(),
        _ => values.clone(),
    });
    RecordBatch::try_new(batch.schema(), columns.collect())
}
