//! Rows of a sidecar and their Parquet encoding.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float32Array, Int32Array, ListArray, RecordBatch, StringArray, StringDictionaryBuilder,
    StructArray, UInt32Array, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{Field, Int32Type};
use arrow::error::ArrowError;
use headwater_record::run::Labels;
use headwater_record::sidecar::{self, WindowScore, footer, window};
use headwater_record::{Fingerprint, ScoreOf, Status, UnitKey};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::statuses::{Statuses, encode as encode_statuses};
use crate::{Error, Result, Unit};

/// One row of a sidecar, apart from what is the same for the whole unit.
#[derive(Clone, Debug, PartialEq)]
pub struct SidecarRow {
    /// Row inside the shard.
    pub row: u64,
    /// The document's id.
    pub id: Option<String>,
    /// Its domain.
    pub domain: String,
    /// Why it has or lacks a score.
    pub status: Status,
    /// Bytes of text.
    pub bytes: u64,
    /// The hash of the text, see [`column::TEXT_HASH`](headwater_record::sidecar::column::TEXT_HASH).
    pub text_hash: Option<u64>,
    /// Text bytes / zstd-3 bytes.
    pub compression: f32,
    /// Tokens.
    pub tokens: u32,
    /// Targets that were scored.
    pub scored_tokens: u32,
    /// Nats per target, intact.
    pub loss_base: Option<f32>,
    /// Nats per target, masked.
    pub loss_masked: Option<f32>,
    /// (masked − base) / base.
    pub influence: Option<f32>,
    /// Its standard error.
    pub influence_stderr: Option<f32>,
    /// Share of the targets that a match of two tokens predicts, see [`column::COPIED`](headwater_record::sidecar::column::COPIED).
    pub copied: Option<f32>,
    /// Whose score it is.
    pub by: ScoreOf,
    /// The windows that were scored, in order; none where all that was scored is one window.
    pub windows: Vec<WindowScore>,
}

impl SidecarRow {
    /// A row of a document of `domain` of which nothing is known yet.
    #[must_use]
    pub const fn new(row: u64, domain: String, by: ScoreOf) -> Self {
        Self {
            row,
            id: None,
            domain,
            status: Status::Scored,
            bytes: 0,
            text_hash: None,
            compression: 0.0,
            tokens: 0,
            scored_tokens: 0,
            loss_base: None,
            loss_masked: None,
            influence: None,
            influence_stderr: None,
            copied: None,
            by,
            windows: Vec::new(),
        }
    }
}

/// What is the same for the whole unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarFooter {
    /// The unit.
    pub unit: UnitKey,
    /// Name of the source.
    pub source: String,
    /// The shard's relative path.
    pub shard: String,
    /// What the scores were made under.
    pub fingerprint: Fingerprint,
    /// Where ids and domains come from.
    pub labels: Labels,
}

impl SidecarFooter {
    /// That of the sidecar of `unit`.
    #[must_use]
    pub fn of(unit: &Unit) -> Self {
        Self {
            unit: unit.key.clone(),
            source: unit.source.to_string(),
            shard: unit.path.to_string(),
            fingerprint: unit.fingerprint.clone(),
            labels: (*unit.labels).clone(),
        }
    }

    /// The pairs that the Parquet footer holds beside the count of statuses; an absent column or value is empty.
    pub(crate) fn key_values(&self) -> Vec<KeyValue> {
        let Labels { id_column, domain_column, domain_value } = self.labels.clone();
        let pairs = [
            (footer::UNIT, self.unit.to_string()),
            (footer::FINGERPRINT, self.fingerprint.to_string()),
            (footer::ID_COLUMN, id_column.unwrap_or_default()),
            (footer::DOMAIN_COLUMN, domain_column.unwrap_or_default()),
            (footer::DOMAIN_VALUE, domain_value.unwrap_or_default()),
            (footer::VERSION, env!("CARGO_PKG_VERSION").to_owned()),
        ];
        pairs.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect()
    }
}

/// Encodes a unit's rows as the bytes of its sidecar.
///
/// # Errors
/// [`Error::Columns`] or [`Error::Encode`] if the encoder fails.
///
/// # Determinism
/// The same rows give the same bytes.
pub fn encode(footer: &SidecarFooter, rows: &[SidecarRow]) -> Result<Vec<u8>> {
    let (unit, batch) = (footer.unit.to_string(), batch(footer, rows)?);
    let mut pairs = footer.key_values();
    let mut statuses = Statuses::new();
    rows.iter().for_each(|row| *statuses.entry(row.status).or_default() += 1);
    pairs.push(encode_statuses(&statuses));
    encode_batch(&batch, pairs).map_err(|source| Error::Encode { path: unit, source })
}

/// A unit's rows as a sidecar's columns.
///
/// # Errors
/// [`Error::Columns`] if they make no batch.
pub fn batch(footer: &SidecarFooter, rows: &[SidecarRow]) -> Result<RecordBatch> {
    let batch = columns(footer, rows).and_then(|columns| RecordBatch::try_new(sidecar::schema(), columns));
    batch.map_err(|source| Error::Columns { unit: footer.unit.to_string(), source })
}

/// Encodes one batch with a footer.
pub(crate) fn encode_batch(batch: &RecordBatch, footer: Vec<KeyValue>) -> std::result::Result<Vec<u8>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_key_value_metadata(Some(footer))
        .set_created_by(concat!("headwater ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.close()?;
    Ok(bytes)
}

fn columns(footer: &SidecarFooter, rows: &[SidecarRow]) -> std::result::Result<Vec<ArrayRef>, ArrowError> {
    let f32s = |value: fn(&SidecarRow) -> Option<f32>| Arc::new(Float32Array::from_iter(rows.iter().map(value))) as _;
    Ok(vec![
        constant(&footer.source, rows.len())?,
        constant(&footer.shard, rows.len())?,
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.row))),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.id.as_deref()))),
        dictionary(rows.iter().map(|row| row.domain.as_str()))?,
        dictionary(rows.iter().map(|row| row.status.as_str()))?,
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.bytes))),
        Arc::new(UInt64Array::from_iter(rows.iter().map(|row| row.text_hash))),
        Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row.compression))),
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.tokens))),
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.scored_tokens))),
        f32s(|row| row.loss_base),
        f32s(|row| row.loss_masked),
        f32s(|row| row.influence),
        f32s(|row| row.influence_stderr),
        f32s(|row| row.copied),
        dictionary(rows.iter().map(|row| row.by.as_str()))?,
        windows(rows)?,
    ])
}

/// A list column of the windows of each row.
fn windows(rows: &[SidecarRow]) -> std::result::Result<ArrayRef, ArrowError> {
    let all = || rows.iter().flat_map(|row| &row.windows);
    let u32s = |value: fn(&WindowScore) -> u32| Arc::new(UInt32Array::from_iter_values(all().map(value))) as ArrayRef;
    let f32s = |value: fn(&WindowScore) -> f32| Arc::new(Float32Array::from_iter_values(all().map(value))) as ArrayRef;
    let columns = vec![
        u32s(|window| window.first_token),
        u32s(|window| window.targets),
        f32s(|window| window.loss_base),
        f32s(|window| window.loss_masked),
    ];
    let values = StructArray::try_new(window::fields(), columns, None)?;
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), false));
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.windows.len()));
    let is_valid = NullBuffer::from_iter(rows.iter().map(|row| !row.windows.is_empty()));
    Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(values), Some(is_valid))?))
}

fn constant(word: &str, rows: usize) -> std::result::Result<ArrayRef, ArrowError> {
    let keys = Int32Array::from_value(0, rows);
    let values = Arc::new(StringArray::from(vec![word]));
    Ok(Arc::new(arrow::array::DictionaryArray::<Int32Type>::try_new(keys, values)?))
}

/// A dictionary column of `words`, numbered by first appearance.
pub(crate) fn dictionary<'a>(words: impl Iterator<Item = &'a str>) -> std::result::Result<ArrayRef, ArrowError> {
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    for word in words {
        builder.append(word)?;
    }
    Ok(Arc::new(builder.finish()))
}
