//! Reads a flat column one value at a time.

use std::sync::Arc;

use parquet::basic::Type as Physical;
use parquet::column::page::PageReader;
use parquet::column::reader::{ColumnReaderImpl, get_column_reader, get_typed_column_reader};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::SerializedPageReader;

use crate::chunks::Chunks;
use crate::columns::{Kind, kind};
use crate::footer::guarded;
use crate::offset_index;

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
pub(crate) fn pages<S: Chunks>(
    (shard, chunk): (&S, S::Chunk),
    metadata: &ParquetMetaData,
    place: (usize, usize),
    seek: Seek<'_>,
) -> Result<Box<dyn PageReader>, ParquetError> {
    let group = metadata.row_group(place.0);
    let (rows, chunk) = (usize::try_from(group.num_rows())?, Arc::new(chunk));
    let locations = match seek {
        Seek::Walk => None,
        Seek::Lookup(wanted) => offset_index::checked((shard, &chunk), metadata, place, wanted)?,
    };
    Ok(Box::new(SerializedPageReader::new(chunk, group.column(place.1), rows, locations)?))
}

/// How the pages before a wanted row are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seek<'a> {
    /// By their headers, which say how many values they hold: a row is its own whatever else the file claims.
    Walk,
    /// By the chunk's offset index if it has a sound one, so that they are not touched: for a few rows from all over a shard. These rows,
    /// counted from the start of the row group, are looked up.
    Lookup(&'a [u64]),
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
        seek: Seek<'_>,
    ) -> Result<Self, ParquetError> {
        let column = metadata.file_metadata().schema_descr().column(place.1);
        let kind = kind(&column).ok_or_else(|| ParquetError::General("the column's type cannot be read".to_owned()))?;
        let physical = column.physical_type();
        let reader = get_column_reader(column, pages(source, metadata, place, seek)?);
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
        if self.kind == Kind::Null {
            return self.skip(1).map(|()| None);
        }
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
