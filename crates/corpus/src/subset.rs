//! Some rows of a shard → a new Parquet file of the same schema.
//!
//! Rows are copied column by column as levels and values (see [`crate::copy`]), so that nested columns, nulls and types arrive
//! unchanged and no Arrow schema stands between. Output row groups are gathered in memory, encoded, up to
//! [`SubsetOptions::row_group_bytes`].

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use headwater_record::ByteCount;
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::{ColumnCloseResult, ColumnWriter, get_column_writer};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite};

use crate::chunks::{Chunks, PIECE_BYTES};
use crate::columns::{self, has_root};
use crate::copy::{Copier, CopyError, Run, runs};
use crate::leaf::{Seek, chunk, pages};
use crate::subset_footer::{entries_with_column, with_column};
use crate::{Error, PlannedShard, Result, TextCheck};

/// zstd level of subsets: smaller than level 1 by about a tenth, still faster than the disk.
const ZSTD_LEVEL: i32 = 3;

/// Byte-array columns whose values are longer than this on average (bytes) get neither dictionary nor statistics.
const LONG_VALUE_BYTES: i64 = 128;

/// Source bytes, uncompressed, of the rows copied before the size of the output row group is looked at.
const SLICE_BYTES: u64 = 32 << 20;

/// Fetched bytes of all columns of a row group, two pieces of each.
const AHEAD_BYTES: u64 = 32 << 20;

/// The smallest piece of a column chunk, however many columns there are.
const LEAST_PIECE_BYTES: u64 = 64 << 10;

/// The most rows of such a slice.
const SLICE_ROWS: usize = 16_384;

/// The rows of one shard to keep.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeptRows {
    rows: Vec<u64>,
    texts: Option<CheckedTexts>,
    added: Option<AddedColumn>,
}

/// What the texts of the kept rows are to be.
#[derive(Clone, Debug, PartialEq)]
struct CheckedTexts {
    column: String,
    /// Of each kept row.
    checks: Vec<TextCheck>,
}

/// A column of numbers that a subset has besides those of its shard.
#[derive(Clone, Debug, PartialEq)]
struct AddedColumn {
    name: String,
    /// Of each kept row.
    values: Vec<f32>,
}

impl KeptRows {
    /// Takes rows, counted from the start of the shard, in rising order.
    ///
    /// # Errors
    /// [`Error::RowOrder`] naming the first row that does not rise.
    pub fn new(rows: Vec<u64>) -> Result<Self> {
        match rows.windows(2).find(|pair| pair[0] >= pair[1]) {
            Some(pair) => Err(Error::RowOrder { row: pair[1], before: pair[0] }),
            None => Ok(Self { rows, texts: None, added: None }),
        }
    }

    /// Checks that the text of each row, in the column named `column`, is the one that is meant.
    ///
    /// # Errors
    /// [`Error::ColumnLength`] if there are not as many checks as rows.
    pub fn with_texts(self, column: &str, checks: Vec<TextCheck>) -> Result<Self> {
        if checks.len() != self.rows.len() {
            return Err(Error::ColumnLength { rows: self.rows.len(), values: checks.len() });
        }
        Ok(Self { texts: Some(CheckedTexts { column: column.to_owned(), checks }), ..self })
    }

    /// Adds a number to each row, such as its influence, to be written as a trailing column; a NaN becomes null.
    ///
    /// # Errors
    /// [`Error::ColumnLength`] if there are not as many values as rows.
    pub fn with_column(self, name: &str, values: Vec<f32>) -> Result<Self> {
        if values.len() != self.rows.len() {
            return Err(Error::ColumnLength { rows: self.rows.len(), values: values.len() });
        }
        Ok(Self { added: Some(AddedColumn { name: name.to_owned(), values }), ..self })
    }

    /// The rows, rising.
    #[must_use]
    pub fn rows(&self) -> &[u64] {
        &self.rows
    }
}

/// How to write a subset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubsetOptions {
    /// Encoded bytes after which a row group ends.
    pub row_group_bytes: ByteCount,
}

impl Default for SubsetOptions {
    fn default() -> Self {
        Self { row_group_bytes: ByteCount(64 << 20) }
    }
}

/// What became of a subset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subset {
    /// No row was to be kept; nothing was written.
    Empty,
    /// A whole Parquet file was written.
    Written {
        /// Its rows.
        rows: u64,
        /// Its row groups.
        row_groups: usize,
    },
}

/// Writes the kept rows of `shard` to `writer` as a Parquet file with the shard's schema and footer entries.
///
/// The added column, if there is one, comes last, and the footer entries of Arrow, pandas and Hugging Face then
/// list it too.
///
/// # Errors
/// [`Error::RowOutOfRange`], [`Error::ColumnTaken`], [`Error::OtherText`], [`Error::Corrupt`], [`Error::Write`], [`Error::Encode`], or a failure
/// of the disk or store that holds the shard. What was written by then is no Parquet file.
///
/// # Determinism
/// The same shard, rows and options give the same bytes.
pub fn write_subset<W: Write + Send>(
    shard: &PlannedShard,
    kept: &KeptRows,
    options: &SubsetOptions,
    writer: W,
) -> Result<Subset> {
    let Some(last) = kept.rows.last() else { return Ok(Subset::Empty) };
    if *last >= shard.rows {
        return Err(Error::RowOutOfRange { shard: shard.location(), row: *last, rows: shard.rows });
    }
    let stored = shard.open()?;
    let footer = shard.footer(&stored)?;
    let failure = Arc::new(Mutex::new(None));
    let written = copy_rows(
        &Source { chunks: stored.clone(), metadata: &footer, location: shard.location() },
        kept,
        options,
        Watched { writer, failure: Arc::clone(&failure) },
    );
    let failure = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (written, failure, stored.take_failure()) {
        (Err(_), Some(source), _) => Err(Error::Write { shard: shard.location(), source }),
        (Err(_), None, Some(failure)) => Err(failure.into()),
        (written, _, _) => written,
    }
}

/// Remembers the first error of a writer, which the encoder would flatten into text.
struct Watched<W> {
    writer: W,
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl<W> Watched<W> {
    fn note<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.map_err(|error| {
            let kind = error.kind();
            // `write_all` repeats an interrupted write, so that is no failure.
            if kind != io::ErrorKind::Interrupted {
                self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
            kind.into()
        })
    }
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(bytes);
        self.note(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.writer.flush();
        self.note(flushed)
    }
}

/// Where rows come from.
struct Source<'a, S> {
    chunks: S,
    metadata: &'a ParquetMetaData,
    location: String,
}

impl<S> Source<'_, S> {
    fn encoding(&self, source: ParquetError) -> Error {
        Error::Encode { shard: self.location.clone(), source }
    }
}

fn copy_rows<S: Chunks, W: Write + Send>(
    source: &Source<'_, S>,
    kept: &KeptRows,
    options: &SubsetOptions,
    writer: W,
) -> Result<Subset> {
    let encoding = |error| source.encoding(error);
    let file = source.metadata.file_metadata();
    let (schema, entries) = (file.schema_descr(), file.key_value_metadata().cloned());
    let (root, entries) = if let Some(AddedColumn { name, .. }) = &kept.added {
        if has_root(schema, name) {
            return Err(Error::ColumnTaken { shard: source.location.clone(), column: name.clone() });
        }
        let entries = entries.map(|entries| entries_with_column(schema, &entries, name)).transpose();
        (with_column(schema, name).map_err(encoding)?, entries.map_err(encoding)?)
    } else {
        (schema.root_schema_ptr(), entries)
    };
    let properties = properties(source.metadata).map_err(encoding)?.set_key_value_metadata(entries).build();
    let mut output = SerializedFileWriter::new(writer, root, Arc::new(properties)).map_err(encoding)?;
    let mut cursor = Cursor::new(source, kept);
    while cursor.has_next() {
        write_row_group(&mut output, &mut cursor, options.row_group_bytes.0)?;
    }
    let row_groups = output.flushed_row_groups().len();
    output.close().map_err(encoding)?;
    Ok(Subset::Written { rows: kept.rows.len() as u64, row_groups })
}

/// How columns are encoded: dictionaries and statistics for short values alone.
fn properties(metadata: &ParquetMetaData) -> Result<parquet::file::properties::WriterPropertiesBuilder, ParquetError> {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_statistics_enabled(EnabledStatistics::Chunk);
    for (leaf, column) in metadata.file_metadata().schema_descr().columns().iter().enumerate() {
        let chunks = || metadata.row_groups().iter().map(|group| group.column(leaf));
        let bytes = chunks().map(|chunk| chunk.uncompressed_size()).fold(0, i64::saturating_add);
        let values = chunks().map(|chunk| chunk.num_values()).fold(0, i64::saturating_add);
        if bytes / values.max(1) > LONG_VALUE_BYTES {
            builder = builder
                .set_column_dictionary_enabled(column.path().clone(), false)
                .set_column_statistics_enabled(column.path().clone(), EnabledStatistics::None);
        }
    }
    Ok(builder)
}

/// Walks through the kept rows, slice by slice, with the columns of one source row group open.
struct Cursor<'a, S> {
    source: &'a Source<'a, S>,
    kept: &'a KeptRows,
    /// Kept rows already copied.
    done: usize,
    row_group: usize,
    /// First row of `row_group` in the shard.
    start: u64,
    /// Rows of `row_group` that the open columns have passed.
    position: u64,
    columns: Vec<Copier>,
}

/// Rows that are copied together: those `kept.rows[first..end]`, by the runs that lead to them.
struct Slice {
    first: usize,
    end: usize,
    runs: Vec<Run>,
}

impl<'a, S: Chunks> Cursor<'a, S> {
    const fn new(source: &'a Source<'a, S>, kept: &'a KeptRows) -> Self {
        Self { source, kept, done: 0, row_group: 0, start: 0, position: 0, columns: Vec::new() }
    }

    const fn has_next(&self) -> bool {
        self.done < self.kept.rows.len()
    }

    /// Rows of the current row group.
    fn rows(&self) -> u64 {
        u64::try_from(self.source.metadata.row_group(self.row_group).num_rows()).unwrap_or(0)
    }

    /// The next rows to copy, all of one source row group, whose columns are then open.
    fn next_slice(&mut self) -> Result<Option<Slice>> {
        let Some(row) = self.kept.rows.get(self.done) else { return Ok(None) };
        while *row >= self.start + self.rows() {
            self.start += self.rows();
            self.row_group += 1;
            self.columns.clear();
        }
        if self.columns.is_empty() {
            self.position = 0;
            self.open_columns()?;
        }
        let group = self.source.metadata.row_group(self.row_group);
        let bytes = u64::try_from(group.total_byte_size()).unwrap_or(0);
        let row_bytes = (bytes / self.rows().max(1)).max(1);
        let most = usize::try_from(SLICE_BYTES / row_bytes).unwrap_or(SLICE_ROWS).clamp(1, SLICE_ROWS);
        let (first, group_end) = (self.done, self.start + self.rows());
        let rest = &self.kept.rows[first..];
        let rows = &rest[..rest.partition_point(|row| *row < group_end).min(most)];
        let local: Vec<u64> = rows.iter().map(|row| row - self.start).collect();
        let runs = runs(&local, self.position);
        self.done += rows.len();
        self.position = local.last().map_or(self.position, |row| row + 1);
        Ok(Some(Slice { first, end: self.done, runs }))
    }

    fn open_columns(&mut self) -> Result<()> {
        let Source { chunks, metadata, location } = self.source;
        let schema = metadata.file_metadata().schema_descr();
        let columns = schema.num_columns();
        let piece_bytes = (AHEAD_BYTES / (2 * columns.max(1) as u64)).clamp(LEAST_PIECE_BYTES, PIECE_BYTES);
        for leaf in 0..columns {
            let place = (self.row_group, leaf);
            let opened = chunk(chunks, metadata, place, piece_bytes)
                .and_then(|chunk| pages((chunks, chunk), metadata, place, Seek::Walk));
            let pages = opened.map_err(|source| Error::Corrupt {
                shard: location.clone(),
                row_group: self.row_group,
                first_row: self.start,
                last_row: (self.start + self.rows()).saturating_sub(1),
                column: schema.column(leaf).path().string(),
                source,
            })?;
            self.columns.push(Copier::new(schema.column(leaf), pages));
        }
        Ok(())
    }

    /// Copies a slice to the writers, one for each column.
    fn copy(&mut self, slice: &Slice, writers: &mut [ColumnWriter<'_>]) -> Result<()> {
        let schema = self.source.metadata.file_metadata().schema_descr();
        let checked =
            self.kept.texts.as_ref().and_then(|texts| Some((columns::leaf(schema, &texts.column)?, &texts.checks)));
        for (leaf, (column, writer)) in self.columns.iter_mut().zip(&mut *writers).enumerate() {
            let checks = checked.filter(|(text, _)| *text == leaf).map(|(_, checks)| &checks[slice.first..slice.end]);
            column.copy(&slice.runs, checks, writer).map_err(|error| match error {
                CopyError::Write(error) => self.source.encoding(error),
                CopyError::OtherText(at) => {
                    Error::OtherText { shard: self.source.location.clone(), row: self.kept.rows[slice.first + at] }
                }
                CopyError::Read(source) => Error::Corrupt {
                    shard: self.source.location.clone(),
                    row_group: self.row_group,
                    first_row: self.kept.rows[slice.first],
                    last_row: self.kept.rows[slice.end - 1],
                    column: schema.column(leaf).path().string(),
                    source,
                },
            })?;
        }
        if let (Some(added), Some(ColumnWriter::FloatColumnWriter(writer))) = (&self.kept.added, writers.last_mut()) {
            let numbers = &added.values[slice.first..slice.end];
            let levels: Vec<i16> = numbers.iter().map(|value| i16::from(!value.is_nan())).collect();
            let values: Vec<f32> = numbers.iter().copied().filter(|value| !value.is_nan()).collect();
            writer.write_batch(&values, Some(&levels), None).map_err(|error| self.source.encoding(error))?;
        }
        Ok(())
    }
}

/// Fills one output row group and appends it to the file.
fn write_row_group<S: Chunks, W: Write + Send>(
    output: &mut SerializedFileWriter<W>,
    cursor: &mut Cursor<'_, S>,
    row_group_bytes: u64,
) -> Result<()> {
    let source = cursor.source;
    let columns = output.schema_descr().columns().to_vec();
    let properties = WriterPropertiesPtr::clone(output.properties());
    let mut sinks: Vec<_> = columns.iter().map(|_| TrackedWrite::new(Vec::new())).collect();
    let mut writers: Vec<_> = columns
        .into_iter()
        .zip(&mut sinks)
        .map(|(column, sink)| {
            get_column_writer(column, Arc::clone(&properties), Box::new(SerializedPageWriter::new(sink)))
        })
        .collect();
    while let Some(slice) = cursor.next_slice()? {
        cursor.copy(&slice, &mut writers)?;
        if writers.iter().map(bytes_written).sum::<u64>() >= row_group_bytes {
            break;
        }
    }
    let closed: Result<Vec<ColumnCloseResult>, _> = writers.into_iter().map(ColumnWriter::close).collect();
    append(output, sinks, closed).map_err(|error| source.encoding(error))
}

fn append<W: Write + Send>(
    output: &mut SerializedFileWriter<W>,
    sinks: Vec<TrackedWrite<Vec<u8>>>,
    closed: Result<Vec<ColumnCloseResult>, ParquetError>,
) -> Result<(), ParquetError> {
    let mut group = output.next_row_group()?;
    for (sink, column) in sinks.into_iter().zip(closed?) {
        group.append_column(&Bytes::from(sink.into_inner()?), column)?;
    }
    group.close()?;
    Ok(())
}

/// Encoded bytes of the pages that a column has finished.
fn bytes_written(writer: &ColumnWriter<'_>) -> u64 {
    match writer {
        ColumnWriter::BoolColumnWriter(writer) => writer.get_total_bytes_written(),
        ColumnWriter::Int32ColumnWriter(writer) => writer.get_total_bytes_written(),
        ColumnWriter::Int64ColumnWriter(writer) => writer.get_total_bytes_written(),
        ColumnWriter::Int96ColumnWriter(writer) => writer.get_total_bytes_written(),
        ColumnWriter::FloatColumnWriter(writer) => writer.get_total_bytes_written(),
        ColumnWriter::DoubleColumnWriter(writer) => writer.get_total_bytes_written(),
        ColumnWriter::ByteArrayColumnWriter(writer) => writer.get_total_bytes_written(),
        ColumnWriter::FixedLenByteArrayColumnWriter(writer) => writer.get_total_bytes_written(),
    }
}
