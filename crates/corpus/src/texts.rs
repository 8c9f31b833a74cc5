//! The beginnings of a few documents' texts, to be looked at.
//!
//! Only row groups that hold one of them are touched, and where the shard has a sound offset index, little more than their pages.

use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::chunks::Chunks;
use crate::groups::Groups;
use crate::leaf::{self, LeafReader, Seek, Value};
use crate::{Error, PlannedShard, Result, columns};

/// Largest piece of a column chunk that is fetched at once: about a page, as rows lie far apart.
const PIECE_BYTES: u64 = 1 << 20;

/// The beginning of a document's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeginningText {
    /// Its first characters; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// Whether it goes on.
    pub is_cut_off: bool,
}

/// Reads the first `most_chars` characters of the texts of `rows`, which rise and count from the start of the shard; `None` for
/// null.
///
/// # Errors
/// [`Error::RowOrder`], [`Error::RowOutOfRange`]; [`Error::MissingColumn`] or [`Error::ColumnType`] if `text_column` is not there or
/// holds no text; [`Error::Corrupt`]; a failure of the disk or store.
pub fn read_texts(
    shard: &PlannedShard,
    text_column: &str,
    rows: &[u64],
    most_chars: usize,
) -> Result<Vec<Option<BeginningText>>> {
    if let Some(pair) = rows.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(Error::RowOrder { row: pair[1], before: pair[0] });
    }
    if let Some(row) = rows.last().filter(|row| **row >= shard.rows) {
        return Err(Error::RowOutOfRange { shard: shard.location(), row: *row, rows: shard.rows });
    }
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    shard.read(|stored, footer| {
        let location = shard.location();
        let leaf = columns::text_leaf(&location, footer.file_metadata().schema_descr(), text_column)?;
        let texts = beginnings((stored, footer), leaf, (&shard.groups, rows), most_chars);
        texts.map_err(|failure| failure.of(location, text_column))
    })
}

/// Rows that could not be read.
struct Failure {
    row_group: usize,
    first_row: u64,
    last_row: u64,
    source: ParquetError,
}

impl Failure {
    fn of(self, shard: String, column: &str) -> Error {
        let Self { row_group, first_row, last_row, source } = self;
        Error::Corrupt { shard, row_group, first_row, last_row, column: column.to_owned(), source }
    }
}

/// The beginnings of the texts of `rows`, which the row groups have.
fn beginnings<S: Chunks>(
    (chunks, metadata): (&S, &ParquetMetaData),
    leaf: usize,
    (groups, rows): (&Groups, &[u64]),
    most_chars: usize,
) -> Result<Vec<Option<BeginningText>>, Failure> {
    let mut texts = Vec::with_capacity(rows.len());
    while let Some((row_group, within)) = rows.get(texts.len()).and_then(|row| groups.holding(*row)) {
        let rest = &rows[texts.len()..];
        let inside = &rest[..rest.partition_point(|row| *row < within.end)];
        let mut read = || {
            let chunk = leaf::chunk(chunks, metadata, (row_group, leaf), PIECE_BYTES)?;
            let wanted: Vec<u64> = inside.iter().map(|row| row - within.start).collect();
            let seek = Seek::Lookup(&wanted);
            let mut reader = LeafReader::open((chunks, chunk), metadata, (row_group, leaf), seek)?;
            let mut next = within.start;
            for row in inside {
                reader.skip(usize::try_from(row - next)?)?;
                texts.push(reader.next_value()?.map(|value| beginning(&value, most_chars)));
                next = row + 1;
            }
            Ok(())
        };
        let (first_row, last_row) = (inside[0], inside[inside.len() - 1]);
        read().map_err(|source| Failure { row_group, first_row, last_row, source })?;
    }
    Ok(texts)
}

fn beginning(value: &Value, most_chars: usize) -> BeginningText {
    let whole = match value {
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes.data()),
        Value::Number(text) => text.into(),
    };
    let end = whole.char_indices().nth(most_chars).map(|(end, _)| end);
    BeginningText { text: whole[..end.unwrap_or(whole.len())].to_owned(), is_cut_off: end.is_some() }
}

#[cfg(test)]
mod tests;
