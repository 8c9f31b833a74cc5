//! `rejects.parquet`: what could not be scored, and why.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int32Type, Schema, SchemaRef};
use headwater_record::sidecar::{column, schema};
use headwater_record::{RunFile, Status};
use headwater_store::Place;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::rows::UnitRows;
use crate::sidecars::{Scores, Unit, word_indices, words, wrong};
use crate::stored::StoredSidecars;
use crate::{Error, Result};

/// Where a run lists its rejects.
pub const REJECTS_PATH: &str = "rejects.parquet";

/// Columns of the artefact, in order.
const COLUMNS: [&str; 6] = [column::SOURCE, column::SHARD, column::ROW, column::ID, column::DOMAIN, column::STATUS];

/// Rows after which a row group ends; bounds memory.
const ROW_GROUP_ROWS: usize = 65_536;

/// Writes `rejects.parquet`, every row of the run's sidecars whose status is not `scored`, in address order; returns how many.
///
/// `on_progress` gets the number of sidecars newly read.
///
/// # Errors
/// A sidecar that is missing or cannot be read; [`Error::Encode`]; [`Error::Store`].
pub fn write_rejects(place: &Place, run: &RunFile, on_progress: &(dyn Fn(u64) + Sync)) -> Result<u64> {
    let sidecars = StoredSidecars::open(place, run)?;
    let encode = |source: ParquetError| Error::encoding(place.describe(REJECTS_PATH), source);
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    let schema = rejects_schema()?;
    let mut output = place.writer(REJECTS_PATH)?;
    let mut writer = ArrowWriter::try_new(&mut output, schema.clone(), Some(properties)).map_err(encode)?;
    let mut rejects = 0;
    let digest = |rows: &UnitRows<'_>| -> Result<Vec<RecordBatch>> {
        rows.batches.iter().map(|batch| rejected_rows(rows.unit, batch, &schema)).collect()
    };
    let scores = Scores { sidecars: &sidecars, on_progress };
    scores.scan_all(COLUMNS[2..].iter().copied(), digest, |_, rejected| {
        for batch in rejected {
            rejects += batch.num_rows() as u64;
            writer.write(&batch).map_err(encode)?;
        }
        Ok(())
    })?;
    writer.close().map_err(encode)?;
    output.finish()?;
    Ok(rejects)
}

fn rejects_schema() -> Result<SchemaRef> {
    let sidecar = schema();
    let fields = COLUMNS.map(|name| sidecar.field_with_name(name).cloned());
    let fields: std::result::Result<Vec<_>, _> = fields.into_iter().collect();
    let fields = fields.map_err(|source| Error::Encode { path: REJECTS_PATH.to_owned(), source: source.into() })?;
    Ok(Arc::new(Schema::new(fields)))
}

fn rejected_rows(unit: &Unit, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let (rows, names) = words(unit, batch, column::STATUS)?;
    let is_reject = |word: usize| names.value(word) != Status::Scored.as_str();
    let mask: BooleanArray = word_indices(rows).map(|word| Some(is_reject(word))).collect();
    let constant = |word: &str| -> ArrayRef {
        let keys = Int32Array::from(vec![0; batch.num_rows()]);
        let word = Arc::new(StringArray::from(vec![word]));
        // Key 0 exists, so this cannot fail.
        Arc::new(DictionaryArray::<Int32Type>::new(keys, word))
    };
    let mut columns = vec![constant(&unit.source), constant(&unit.path)];
    for name in &COLUMNS[2..] {
        let column = batch.column_by_name(name).ok_or_else(|| wrong(unit, name, &"a column", &"missing"))?;
        columns.push(column.clone());
    }
    RecordBatch::try_new(schema.clone(), columns)
        .and_then(|whole| filter_record_batch(&whole, &mask))
        .map_err(|error| wrong(unit, "columns", &"those of a sidecar", &error))
}
