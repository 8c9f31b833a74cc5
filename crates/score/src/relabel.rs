//! Other id or domain columns for sidecars that are already there.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use bytes::Bytes;
use headwater_corpus::{Columns, PlannedShard, UnitDocuments, UnitStart, Wanted, guarded};
use headwater_record::sidecar::{column, footer, schema};
use headwater_store::Place;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::sidecar::{encode, words};
use crate::unit::domain_of;
use crate::{Error, SidecarFooter};

/// What [`relabel_units`] did to a sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relabelled {
    /// The sidecar was rewritten.
    Rewritten,
    /// It had those columns already.
    Unchanged,
}

/// Rewrites the id and domain columns of sidecars of one shard, in the order of its rows, reading those columns of the shard but
/// neither texts nor the model. Each sidecar is given by what it is to say of itself and its path; `on_unit` is told what became
/// of it.
///
/// # Errors
/// [`Error::Damaged`] if a sidecar cannot be read or does not match the shard's rows.
pub fn relabel_units(
    source: (&PlannedShard, &Columns),
    sidecars: &[(SidecarFooter, String)],
    run: &Place,
    on_unit: &dyn Fn(Relabelled),
) -> Result<(), Error> {
    let mut read: Option<UnitDocuments> = None;
    for (sidecar, path) in sidecars {
        on_unit(relabel_unit(source, (sidecar, path), run, &mut read)?);
    }
    Ok(())
}

/// Rewrites one sidecar; `read` is the unit that was read last, from which the next one may go on.
fn relabel_unit(
    source: (&PlannedShard, &Columns),
    (sidecar, path): (&SidecarFooter, &str),
    run: &Place,
    read: &mut Option<UnitDocuments>,
) -> Result<Relabelled, Error> {
    let damaged = |reason: String| Error::Damaged { path: path.to_owned(), reason };
    let bytes = run.read(path)?;
    let reader =
        guarded(|| ParquetRecordBatchReaderBuilder::try_new(bytes)).map_err(|error| damaged(error.to_string()))?;
    let there = reader.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    let wanted = sidecar.key_values();
    if wanted.iter().all(|pair| there.contains(pair)) {
        return Ok(Relabelled::Unchanged);
    }
    let batches = guarded(|| Ok(reader.build()?.collect::<Result<Vec<RecordBatch>, _>>()?));
    let batches = batches.map_err(|error| damaged(error.to_string()))?;
    let batch = concat_batches(&schema(), &batches).map_err(|error| damaged(error.to_string()))?;
    let (shard, columns) = source;
    let (mut ids, mut domains) = (Vec::new(), Vec::new());
    let gone_on = read.take().and_then(|mut before| before.advance_to(&sidecar.unit).then_some(before));
    let anew = || UnitStart::new(shard, columns, &sidecar.unit).with_wanted(Wanted::Labels).open();
    let mut documents = gone_on.map_or_else(anew, Ok)?;
    for document in documents.by_ref() {
        let document = document?;
        ids.push(document.id);
        domains.push(domain_of(columns, document.domain));
    }
    *read = Some(documents);
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
