//! A column of numbers, such as another classifier's scores.

use std::ops::Range;

use half::f16;
use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{AsBytes, DataType};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use crate::chunks::{Chunks, PIECE_BYTES};
use crate::columns::{self, Kind, kind};
use crate::footer::guarded;
use crate::leaf::{self, Seek, too_few_rows};
use crate::{Error, PlannedShard, Result};

/// Column chunks up to this size are fetched whole; of larger ones the pages are found by the offset index.
const WHOLE_BYTES: u64 = 1 << 20;

/// Smallest piece that is fetched at once.
const LEAST_PIECE_BYTES: u64 = 64 << 10;

/// Reads the numbers of `rows`, counted from the start of the shard, of one column; NaN for null.
///
/// Integers, floats of 16 to 64 bits, decimals, and booleans as 0 and 1. A column inside structs is named with dots, unless a column of
/// the shard has that very name. Nothing but that column is fetched, and the footer only if it is not in memory.
///
/// # Units
/// The column's own, to the nearest 32-bit float; infinite beyond its range.
///
/// # Errors
/// [`Error::NoNumbers`] if there is no such column, [`Error::NotNumbers`] if it holds something else, [`Error::RowOutOfRange`],
/// [`Error::Corrupt`], or a failure of the disk or store.
pub fn read_numbers(shard: &PlannedShard, column: &str, rows: Range<u64>) -> Result<Vec<f32>> {
    if rows.end > shard.rows {
        return Err(Error::RowOutOfRange { shard: shard.location(), row: rows.end - 1, rows: shard.rows });
    }
    shard.read(|stored, footer| {
        let (leaf, conversion) = find(&shard.location(), footer.file_metadata().schema_descr(), column)?;
        let mut numbers = Vec::new();
        let mut first_row = rows.start;
        while let Some((row_group, within)) = shard.groups.holding(first_row).filter(|_| first_row < rows.end) {
            let end = rows.end.min(within.end);
            let wanted = first_row - within.start..end - within.start;
            let take = |number: Option<f64>| numbers.push(number.map_or(f32::NAN, nearest));
            let read = guarded(|| each((stored, footer), (row_group, leaf, conversion), wanted, take));
            read.map_err(|source| Error::Corrupt {
                shard: shard.location(),
                row_group,
                first_row,
                last_row: end - 1,
                column: column.to_owned(),
                source,
            })?;
            first_row = end;
        }
        Ok(numbers)
    })
}

/// How the values of a leaf become numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Conversion {
    Bool,
    Signed,
    Unsigned,
    Float,
    Half,
    /// A whole number of this fraction, big-endian if it is bytes.
    Decimal {
        ones: f64,
    },
}

pub(crate) fn find(shard: &str, schema: &SchemaDescriptor, name: &str) -> Result<(usize, Conversion)> {
    let paths: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
    let named = columns::leaf(schema, name).or_else(|| paths.iter().position(|path| path == name));
    if let Some((leaf, conversion)) = named.and_then(|leaf| Some((leaf, conversion(&schema.column(leaf))?))) {
        return Ok((leaf, conversion));
    }
    let (shard, column) = (shard.to_owned(), name.to_owned());
    if named.is_some() || columns::has_root(schema, name) {
        let flat = named.map(|leaf| schema.column(leaf)).filter(|column| column.max_rep_level() == 0);
        return Err(Error::NotNumbers { shard, column, found: columns::describe(flat.as_deref()) });
    }
    let numbers = number_columns(schema);
    let near = columns::nearest(numbers.iter().map(String::as_str), name);
    Err(Error::NoNumbers { shard, column, present: numbers.join(", "), near })
}

/// The names of the columns that hold numbers, one a row; those inside structs with dots.
pub(crate) fn number_columns(schema: &SchemaDescriptor) -> Vec<String> {
    let numbers = schema.columns().iter().filter(|column| conversion(column).is_some());
    numbers.map(|column| column.path().string()).collect()
}

/// How the values of a leaf become numbers; `None` if they are none, or if a row may have several.
fn conversion(column: &ColumnDescriptor) -> Option<Conversion> {
    if column.max_rep_level() > 0 {
        return None;
    }
    let decimal = match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Decimal(decimal)), _) => Some(decimal.scale),
        (None, ConvertedType::DECIMAL) => Some(column.type_scale()),
        _ => None,
    };
    if let Some(scale) = decimal {
        return Some(Conversion::Decimal { ones: 10_f64.powi(scale) });
    }
    match (column.physical_type(), column.logical_type_ref()) {
        (Physical::FLOAT | Physical::DOUBLE, None) => Some(Conversion::Float),
        (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Float16)) => Some(Conversion::Half),
        _ => match kind(column)? {
            Kind::Bool => Some(Conversion::Bool),
            Kind::Signed => Some(Conversion::Signed),
            Kind::Unsigned => Some(Conversion::Unsigned),
            Kind::Bytes | Kind::Null => None,
        },
    }
}

/// Hands the numbers of some rows of one column chunk to `take`, `None` for null.
pub(crate) fn each<S: Chunks>(
    (chunks, metadata): (&S, &ParquetMetaData),
    (row_group, leaf, conversion): (usize, usize, Conversion),
    rows: Range<u64>,
    take: impl FnMut(Option<f64>),
) -> Result<(), ParquetError> {
    let place = (row_group, leaf);
    let skipped = usize::try_from(rows.start)?;
    let first = [rows.start];
    let (piece_bytes, seek) = fetching(metadata, place, &rows, &first);
    let chunk = leaf::chunk(chunks, metadata, place, piece_bytes)?;
    let pages = leaf::pages((chunks, chunk), metadata, place, seek)?;
    let column = metadata.file_metadata().schema_descr().column(leaf);
    let most_level = column.max_def_level();
    let mut rest = Rest { take, most_level, skipped, rows: usize::try_from(rows.end - rows.start)? };
    let ones = if let Conversion::Decimal { ones } = conversion { ones } else { 1.0 };
    let is_unsigned = conversion == Conversion::Unsigned;
    match get_column_reader(column, pages) {
        ColumnReader::BoolColumnReader(reader) => rest.read(reader, |value| f64::from(u8::from(*value))),
        ColumnReader::Int32ColumnReader(reader) if is_unsigned => {
            rest.read(reader, |value| value.cast_unsigned().into())
        }
        ColumnReader::Int32ColumnReader(reader) => rest.read(reader, |value| f64::from(*value) / ones),
        ColumnReader::Int64ColumnReader(reader) if is_unsigned => {
            rest.read(reader, |value| value.cast_unsigned() as f64)
        }
        ColumnReader::Int64ColumnReader(reader) => rest.read(reader, |value| *value as f64 / ones),
        ColumnReader::FloatColumnReader(reader) => rest.read(reader, |value| f64::from(*value)),
        ColumnReader::DoubleColumnReader(reader) => rest.read(reader, |value| *value),
        ColumnReader::FixedLenByteArrayColumnReader(reader) if conversion == Conversion::Half => {
            rest.read(reader, |value| half(value.as_bytes()))
        }
        ColumnReader::FixedLenByteArrayColumnReader(reader) => {
            rest.read(reader, |value| whole(value.as_bytes()) / ones)
        }
        ColumnReader::ByteArrayColumnReader(reader) => rest.read(reader, |value| whole(value.as_bytes()) / ones),
        ColumnReader::Int96ColumnReader(_) => Err(ParquetError::General("it holds no numbers".to_owned())),
    }
}

/// In pieces of how many bytes a column chunk is fetched, and whether pages are looked up.
fn fetching<'a>(
    metadata: &ParquetMetaData,
    (row_group, leaf): (usize, usize),
    rows: &Range<u64>,
    first: &'a [u64],
) -> (u64, Seek<'a>) {
    let group = metadata.row_group(row_group);
    let (_, bytes) = group.column(leaf).byte_range();
    if bytes <= WHOLE_BYTES || group.column(leaf).offset_index_offset().is_none() {
        return (PIECE_BYTES, Seek::Walk);
    }
    let group_rows = u64::try_from(group.num_rows()).unwrap_or(0).max(1);
    let share = u128::from(bytes) * u128::from(rows.end - rows.start) / u128::from(group_rows);
    let share = u64::try_from(share).unwrap_or(u64::MAX);
    (share.clamp(LEAST_PIECE_BYTES, PIECE_BYTES), Seek::Lookup(first))
}

/// Rows still to be read.
struct Rest<F> {
    take: F,
    /// The level of a value that is not null.
    most_level: i16,
    skipped: usize,
    rows: usize,
}

impl<F: FnMut(Option<f64>)> Rest<F> {
    fn read<T: DataType>(
        &mut self,
        mut reader: ColumnReaderImpl<T>,
        number: impl Fn(&T::T) -> f64,
    ) -> Result<(), ParquetError> {
        if reader.skip_records(self.skipped)? < self.skipped {
            return Err(too_few_rows());
        }
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        while self.rows > 0 {
            levels.clear();
            values.clear();
            let (rows, _, _) = reader.read_records(self.rows, Some(&mut levels), None, &mut values)?;
            if rows == 0 {
                return Err(too_few_rows());
            }
            self.rows = self.rows.saturating_sub(rows);
            let mut values = values.iter().map(&number);
            if self.most_level == 0 {
                values.for_each(|number| (self.take)(Some(number)));
            } else {
                let of = |level: &i16| if *level == self.most_level { values.next() } else { None };
                levels.iter().map(of).for_each(&mut self.take);
            }
        }
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest 32-bit float")]
const fn nearest(number: f64) -> f32 {
    number as f32
}

/// A 16-bit float, little-endian.
fn half(bytes: &[u8]) -> f64 {
    <[u8; 2]>::try_from(bytes).map_or(f64::NAN, |bytes| f16::from_le_bytes(bytes).into())
}

/// A whole number in two's complement, big-endian, of any length.
fn whole(bytes: &[u8]) -> f64 {
    let Some((first, rest)) = bytes.split_first() else { return 0.0 };
    rest.iter().fold(f64::from(first.cast_signed()), |number, byte| number * 256.0 + f64::from(*byte))
}

#[cfg(test)]
mod tests;
