//! Reads a flat column one value at a time.

use std::sync::Arc;

use parquet::basic::Type as Physical;
use parquet::column::page::PageReader;
use parquet::column::reader::{ColumnReaderImpl, get_column_reader, get_typed_column_reader};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::index_reader::decode_offset_index;
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::SerializedPageReader;

use crate::chunks::Chunks;
use crate::columns::{Kind, kind};
use crate::footer::guarded;

/// Finds a column chunk; nothing is read yet.
pub(crate) fn chunk<S: Chunks>(
    shard: &S,
    metadata: &ParquetMetaData,
    (row_group, leaf): (usize, usize),
    piece_bytes: u64,
) -> Result<S::Chunk, ParquetError> {
    let (start, length) = metadata.row_group(row_group).column(leaf).byte_range();
    let end = start.checked_add(length).ok_or_else(|| ParquetError::General("a column chunk has no end".to_owned()))?;
    shard.chunk(start..end, piece_bytes)
}

/// Reads the pages of one column chunk, one page in memory at a time.
///
/// With `Skips::Expected` the chunk's offset index is used if there is one, so that skipped pages are not touched at all;
/// without it, they are passed over.
pub(crate) fn pages<S: Chunks>(
    (shard, chunk): (&S, S::Chunk),
    metadata: &ParquetMetaData,
    (row_group, leaf): (usize, usize),
    skips: Skips,
) -> Result<Box<dyn PageReader>, ParquetError> {
    let group = metadata.row_group(row_group);
    let rows = usize::try_from(group.num_rows())?;
    let locations = match skips {
        Skips::Expected => page_locations(shard, metadata, (row_group, leaf))?,
        Skips::None => None,
    };
    Ok(Box::new(SerializedPageReader::new(Arc::new(chunk), group.column(leaf), rows, locations)?))
}

/// Whether rows will be skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skips {
    Expected,
    None,
}

impl Skips {
    /// Whether some rows will be skipped, where `skipped` come before the first wanted.
    pub(crate) const fn before(skipped: usize) -> Self {
        if skipped > 0 { Self::Expected } else { Self::None }
    }
}

/// The offset index of a column chunk; `None` if there is none or it contradicts the footer.
fn page_locations<S: Chunks>(
    shard: &S,
    metadata: &ParquetMetaData,
    (row_group, leaf): (usize, usize),
) -> Result<Option<Vec<PageLocation>>, ParquetError> {
    let group = metadata.row_group(row_group);
    let chunk = group.column(leaf);
    let Some((start, length)) = chunk.offset_index_offset().zip(chunk.offset_index_length()) else { return Ok(None) };
    let Some((start, length)) = u64::try_from(start).ok().zip(usize::try_from(length).ok()) else { return Ok(None) };
    if start.saturating_add(length as u64) > shard.file_bytes() {
        return Ok(None);
    }
    let encoded = shard.bytes(start, length)?;
    let Ok(index) = guarded(|| decode_offset_index(&encoded)) else { return Ok(None) };
    let (chunk_start, chunk_bytes) = chunk.byte_range();
    let is_inside = |page: &PageLocation| {
        let end = page.offset.checked_add(i64::from(page.compressed_page_size));
        let end = end.and_then(|end| u64::try_from(end).ok());
        page.compressed_page_size > 0
            && u64::try_from(page.offset).is_ok_and(|offset| offset >= chunk_start)
            && end.is_some_and(|end| end <= chunk_start + chunk_bytes)
    };
    let locations = index.page_locations();
    let is_sound = locations.first().is_some_and(|page| page.first_row_index == 0)
        && locations.last().is_some_and(|page| page.first_row_index <= group.num_rows())
        && locations.is_sorted_by_key(|page| (page.first_row_index, page.offset))
        && locations.iter().all(is_inside);
    Ok(is_sound.then(|| locations.clone()))
}

/// One value of a flat column.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Bytes(ByteArray),
    Number(String),
}

/// Reads the values of one flat column chunk in row order.
pub(crate) struct LeafReader {
    typed: Typed,
    kind: Kind,
    levels: Vec<i16>,
}

enum Typed {
    Bytes(ColumnReaderImpl<ByteArrayType>),
    Int32(ColumnReaderImpl<Int32Type>),
    Int64(ColumnReaderImpl<Int64Type>),
    Bool(ColumnReaderImpl<BoolType>),
}

impl LeafReader {
    /// Opens a column chunk at its first row.
    pub(crate) fn open<S: Chunks>(
        source: (&S, S::Chunk),
        metadata: &ParquetMetaData,
        place: (usize, usize),
        skips: Skips,
    ) -> Result<Self, ParquetError> {
        let column = metadata.file_metadata().schema_descr().column(place.1);
        let kind = kind(&column).ok_or_else(|| ParquetError::General("the column's type cannot be read".to_owned()))?;
        let physical = column.physical_type();
        let reader = get_column_reader(column, pages(source, metadata, place, skips)?);
        let typed = match physical {
            Physical::INT32 => Typed::Int32(get_typed_column_reader(reader)),
            Physical::INT64 => Typed::Int64(get_typed_column_reader(reader)),
            Physical::BOOLEAN => Typed::Bool(get_typed_column_reader(reader)),
            _ => Typed::Bytes(get_typed_column_reader(reader)),
        };
        Ok(Self { typed, kind, levels: Vec::new() })
    }

    /// Passes over `rows` rows.
    pub(crate) fn skip(&mut self, rows: usize) -> Result<(), ParquetError> {
        let passed = guarded(|| match &mut self.typed {
            Typed::Bytes(reader) => reader.skip_records(rows),
            Typed::Int32(reader) => reader.skip_records(rows),
            Typed::Int64(reader) => reader.skip_records(rows),
            Typed::Bool(reader) => reader.skip_records(rows),
        })?;
        if passed < rows { Err(too_few_rows()) } else { Ok(()) }
    }

    /// Reads the next row's value; `None` for null.
    pub(crate) fn next_value(&mut self) -> Result<Option<Value>, ParquetError> {
        let Self { typed, kind, levels } = self;
        let is_unsigned = *kind == Kind::Unsigned;
        guarded(|| {
            Ok(match typed {
                Typed::Bytes(reader) => next(reader, levels)?.map(Value::Bytes),
                Typed::Bool(reader) => next(reader, levels)?.map(|value| Value::Number(value.to_string())),
                Typed::Int32(reader) => next(reader, levels)?
                    .map(|value| if is_unsigned { value.cast_unsigned().to_string() } else { value.to_string() })
                    .map(Value::Number),
                Typed::Int64(reader) => next(reader, levels)?
                    .map(|value| if is_unsigned { value.cast_unsigned().to_string() } else { value.to_string() })
                    .map(Value::Number),
            })
        })
    }
}

fn next<T: DataType>(reader: &mut ColumnReaderImpl<T>, levels: &mut Vec<i16>) -> Result<Option<T::T>, ParquetError> {
    levels.clear();
    let mut values = Vec::with_capacity(1);
    let (rows, _, _) = reader.read_records(1, Some(levels), None, &mut values)?;
    if rows == 1 { Ok(values.pop()) } else { Err(too_few_rows()) }
}

pub(crate) fn too_few_rows() -> ParquetError {
    ParquetError::General("the column has fewer rows than its row group".to_owned())
}
