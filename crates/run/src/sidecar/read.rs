//! Some columns of a unit's sidecar, fetched by ranges.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use headwater_record::metrics::SidecarMetrics;
use headwater_record::run::Labels;
use headwater_record::sidecar::column::LATER;
use headwater_record::sidecar::footer as keys;
use headwater_store::{Entry, Place, RangeReader};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use super::footer::{self, Footer, Problem};
use super::parts::{Part, Parts, merged};
use crate::parquet_guard::guarded;
use crate::{Error, Result, Unit};

/// Rows of a batch read from a sidecar.
const BATCH_ROWS: usize = 65_536;

/// Sidecars up to this size are fetched whole: another request would take longer than the bytes.
const WHOLE_BYTES: u64 = 64 << 10;

/// End of a sidecar that is fetched at first, before the length of any footer is known.
const FIRST_FOOTER_BYTES: u64 = 16 << 10;

/// Share of the bytes of wanted columns that may be fetched besides, to save requests: one part in this many.
const SPARE_PART: u64 = 8;

/// Reads columns of sidecars, of any number at the same time, and counts what that takes.
///
/// A large sidecar takes a request for its footer and one or a few for the columns, a small one a single request.
#[derive(Debug)]
pub struct SidecarReader {
    place: Place,
    /// The longest footer so far; those of a run are nearly equal.
    footer_bytes: AtomicU64,
    reads: AtomicU64,
    requests: AtomicU64,
    read_bytes: AtomicU64,
    projected_bytes: AtomicU64,
}

impl SidecarReader {
    /// Reads sidecars of the run in `place`.
    #[must_use]
    pub const fn new(place: Place) -> Self {
        Self {
            place,
            footer_bytes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            read_bytes: AtomicU64::new(0),
            projected_bytes: AtomicU64::new(0),
        }
    }

    /// What was read so far.
    #[must_use]
    pub fn metrics(&self) -> SidecarMetrics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SidecarMetrics {
            passes: 0.0,
            reads: get(&self.reads),
            requests: get(&self.requests),
            read_bytes: get(&self.read_bytes),
            projected_bytes: get(&self.projected_bytes),
        }
    }

    /// Reads the named columns of the sidecar of `unit`, which the listing found as `file`, one row per source row. A sidecar of an earlier
    /// version may lack those of [`LATER`], which are then left out.
    ///
    /// # Errors
    /// [`Error::Unreadable`], [`Error::Sidecar`] or [`Error::Labels`] if it is not the sidecar of the unit; what the store says.
    pub fn read(&self, unit: &Unit, file: &Entry, columns: &[&str]) -> Result<Vec<RecordBatch>> {
        let unreadable = |source: ParquetError| Error::Unreadable { path: self.place.describe(&file.path), source };
        let reader = self.place.reader(file)?;
        let footer = self.footer(&reader).map_err(|problem| match problem {
            Problem::Store(error) => Error::Store(error),
            Problem::Parquet(source) => unreadable(source),
        })?;
        check_footer(unit, &footer.metadata)?;
        let metadata =
            guarded(|| ArrowReaderMetadata::try_new(Arc::new(footer.metadata.clone()), ArrowReaderOptions::default()));
        let metadata = metadata.map_err(unreadable)?;
        let is_new = |name: &str| LATER.contains(&name) && metadata.schema().field_with_name(name).is_err();
        let columns: Vec<&str> = columns.iter().copied().filter(|name| !is_new(name)).collect();
        for name in &columns {
            let found = metadata.schema().field_with_name(name);
            found.map_err(|_| Error::sidecar(unit, name, &"a column", &"missing"))?;
        }
        let mask = ProjectionMask::columns(metadata.parquet_schema(), columns.iter().copied());
        let wanted = guarded(|| ranges(&footer.metadata, &mask, reader.len())).map_err(unreadable)?;
        let parts = self.fetch(&reader, footer, &wanted)?;
        let batches = || {
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(parts, metadata);
            builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()?.map(|batch| Ok(batch?)).collect()
        };
        guarded(batches).map_err(unreadable)
    }

    fn footer(&self, file: &RangeReader) -> std::result::Result<Footer, Problem> {
        let guess = match self.footer_bytes.load(Ordering::Relaxed) {
            _ if file.len() <= WHOLE_BYTES => file.len(),
            0 => FIRST_FOOTER_BYTES,
            longest => longest,
        };
        let footer = footer::read(file, guess)?;
        self.footer_bytes.fetch_max(footer.bytes, Ordering::Relaxed);
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(footer.fetched.requests, Ordering::Relaxed);
        self.read_bytes.fetch_add(footer.fetched.bytes, Ordering::Relaxed);
        Ok(footer)
    }

    /// The parts of the file that hold the wanted ranges, which rise.
    fn fetch(&self, file: &RangeReader, footer: Footer, wanted: &[Range<u64>]) -> Result<Parts> {
        let length = |range: &Range<u64>| range.end - range.start;
        let projected: u64 = wanted.iter().map(length).sum();
        self.projected_bytes.fetch_add(projected, Ordering::Relaxed);
        let missing: Vec<Range<u64>> = wanted.iter().filter(|range| !footer.end.holds(range)).cloned().collect();
        let mut parts = Vec::new();
        for range in merged(&missing, projected / SPARE_PART) {
            self.requests.fetch_add(1, Ordering::Relaxed);
            self.read_bytes.fetch_add(length(&range), Ordering::Relaxed);
            parts.push(Part { start: range.start, bytes: file.read_range(range)? });
        }
        parts.push(footer.end);
        Ok(Parts { file_bytes: file.len(), parts: parts.into() })
    }
}

/// Where the columns of a mask lie, rising.
fn ranges(
    metadata: &ParquetMetaData,
    mask: &ProjectionMask,
    file_bytes: u64,
) -> std::result::Result<Vec<Range<u64>>, ParquetError> {
    let mut ranges = Vec::new();
    for group in metadata.row_groups() {
        for (_, column) in group.columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf)) {
            let (start, length) = column.byte_range();
            let end = start.checked_add(length).filter(|end| *end <= file_bytes);
            let outside = || ParquetError::General(format!("column `{}` lies outside the file", column.column_path()));
            ranges.push(start..end.ok_or_else(outside)?);
        }
    }
    ranges.sort_unstable_by_key(|range| range.start);
    Ok(ranges)
}

/// Checks that a sidecar's footer names its unit and fingerprint, and the columns that the run takes labels from.
fn check_footer(unit: &Unit, metadata: &ParquetMetaData) -> Result<()> {
    let entries = metadata.file_metadata().key_value_metadata();
    let value = |key: &str| {
        let entry = entries.and_then(|entries| entries.iter().find(|entry| entry.key == key));
        entry.and_then(|entry| entry.value.clone())
    };
    let expected = [(keys::UNIT, unit.key.to_string()), (keys::FINGERPRINT, unit.fingerprint.to_string())];
    for (key, expected) in expected {
        let got = value(key);
        if got.as_ref() != Some(&expected) {
            return Err(Error::sidecar(unit, key, &expected, &got.as_deref().unwrap_or("missing")));
        }
    }
    let named = |key: &str| value(key).filter(|name| !name.is_empty());
    let got = Labels {
        id_column: named(keys::ID_COLUMN),
        domain_column: named(keys::DOMAIN_COLUMN),
        domain_value: named(keys::DOMAIN_VALUE),
    };
    if got == *unit.labels {
        return Ok(());
    }
    let (expected, got) = (unit.labels.to_string(), got.to_string());
    Err(Error::Labels { path: unit.sidecar_path(), expected, got })
}
