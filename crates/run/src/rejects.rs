//! `rejects.parquet`: what could not be scored, and why.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, DictionaryArray, Int32Array, RecordBatch, StringArray, UInt64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int32Type, Schema, SchemaRef};
use headwater_record::Status;
use headwater_record::sidecar::{column, schema};
use headwater_store::PlaceWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::sidecar::{word_indices, words};
use crate::{Error, Result, RunFolder, Unit};

/// Columns of the artefact, in order.
const COLUMNS: [&str; 6] = [column::SOURCE, column::SHARD, column::ROW, column::ID, column::DOMAIN, column::STATUS];

/// Rows after which a row group ends; bounds memory.
const ROW_GROUP_ROWS: usize = 65_536;

/// Rows of sidecars that were not scored, as they stand in `rejects.parquet`.
#[derive(Clone, Debug)]
pub struct Rejects {
    schema: SchemaRef,
}

impl Rejects {
    /// The sidecar columns that rejects are made of.
    pub const COLUMNS: [&'static str; 3] = [COLUMNS[3], COLUMNS[4], COLUMNS[5]];

    /// Prepares to take rejects out of sidecars.
    ///
    /// # Errors
    /// [`Error::Encode`] if the schema of sidecars lacks a column.
    pub fn new() -> Result<Self> {
        let sidecar = schema();
        let fields = COLUMNS.map(|name| sidecar.field_with_name(name).cloned());
        let fields: std::result::Result<Vec<_>, _> = fields.into_iter().collect();
        let encode = |source: arrow::error::ArrowError| Error::encoding(RunFolder::REJECTS.to_owned(), source.into());
        Ok(Self { schema: Arc::new(Schema::new(fields.map_err(encode)?)) })
    }

    /// Takes the rows whose status is not `scored` out of all rows of a unit's sidecar.
    ///
    /// # Errors
    /// [`Error::Sidecar`] if one of [`Rejects::COLUMNS`] is missing.
    pub fn of(&self, unit: &Unit, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
        let mut first_row = unit.key.first_row;
        let of_batch = |rows: &RecordBatch| {
            let rejected = self.of_batch(unit, first_row, rows);
            first_row += rows.num_rows() as u64;
            rejected
        };
        let rejected: Result<Vec<RecordBatch>> = batches.iter().map(of_batch).collect();
        Ok(rejected?.into_iter().filter(|rows| rows.num_rows() > 0).collect())
    }

    /// The same of rows that begin at `first_row` of the shard.
    fn of_batch(&self, unit: &Unit, first_row: u64, rows: &RecordBatch) -> Result<RecordBatch> {
        let (indices, names) = words(unit, rows, column::STATUS)?;
        let is_reject = |word: usize| names.value(word) != Status::Scored.as_str();
        let mask: BooleanArray = word_indices(indices).map(|word| Some(is_reject(word))).collect();
        let constant = |word: &str| -> ArrayRef {
            let keys = Int32Array::from(vec![0; rows.num_rows()]);
            let word = Arc::new(StringArray::from(vec![word]));
            // Key 0 exists, so this cannot fail.
            Arc::new(DictionaryArray::<Int32Type>::new(keys, word))
        };
        let numbers = UInt64Array::from_iter_values((first_row..).take(rows.num_rows()));
        let mut columns = vec![constant(&unit.source), constant(&unit.path), Arc::new(numbers) as ArrayRef];
        for name in Self::COLUMNS {
            let column = rows.column_by_name(name);
            columns.push(column.ok_or_else(|| Error::sidecar(unit, name, &"a column", &"missing"))?.clone());
        }
        RecordBatch::try_new(self.schema.clone(), columns)
            .and_then(|whole| filter_record_batch(&whole, &mask))
            .map_err(|error| Error::sidecar(unit, "columns", &"those of a sidecar", &error))
    }
}

/// Writes `rejects.parquet`, which appears whole with [`RejectsWriter::finish`].
#[derive(Debug)]
pub struct RejectsWriter {
    writer: ArrowWriter<PlaceWriter>,
    shown: String,
    rows: u64,
}

impl RejectsWriter {
    /// Begins the file.
    ///
    /// # Errors
    /// [`Error::Encode`]; what the store says.
    pub fn new(run: &RunFolder) -> Result<Self> {
        let shown = run.place().describe(RunFolder::REJECTS);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let output = run.place().writer(RunFolder::REJECTS)?;
        let writer = ArrowWriter::try_new(output, Rejects::new()?.schema, Some(properties));
        let writer = writer.map_err(|source| Error::encoding(shown.clone(), source))?;
        Ok(Self { writer, shown, rows: 0 })
    }

    /// Appends the rejects of a unit; units must come in the order of their addresses.
    ///
    /// # Errors
    /// [`Error::Encode`]; what the store says.
    pub fn write(&mut self, rejects: &RecordBatch) -> Result<()> {
        self.rows += rejects.num_rows() as u64;
        self.writer.write(rejects).map_err(|source| Error::encoding(self.shown.clone(), source))
    }

    /// Completes the file; returns its number of rows.
    ///
    /// # Errors
    /// [`Error::Encode`]; what the store says.
    pub fn finish(self) -> Result<u64> {
        let encoding = |source: ParquetError| Error::encoding(self.shown.clone(), source);
        self.writer.into_inner().map_err(encoding)?.finish()?;
        Ok(self.rows)
    }
}
