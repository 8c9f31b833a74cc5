//! One unit → its documents.

use std::fmt;
use std::sync::Arc;

use headwater_record::UnitKey;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::ChunkReader;

use crate::chunks::StoredShard;
use crate::columns::{self, Columns, Domain};
use crate::leaf::{LeafReader, Value};
use crate::{Error, PlannedShard, Result};

/// One row of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Row, counted from the start of the shard.
    pub row: u64,
    /// The id that the source gives it; integers are printed, bytes that are not UTF-8 replaced.
    pub id: Option<String>,
    /// The domain; `None` for null.
    pub domain: Option<String>,
    /// The text.
    pub text: DocumentText,
}

/// A document's text, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentText {
    /// The row is null.
    Null,
    /// The row's bytes are not UTF-8, whatever the column's type says.
    NotUtf8 {
        /// How many bytes there are.
        bytes: u64,
    },
    /// The text.
    Text(String),
}

/// The documents of one unit, decoded as they are asked for.
///
/// In memory are one decoded page of each column and the document at hand. After an error the iteration ends.
pub struct UnitDocuments {
    leaves: Leaves,
    failure: Option<StoredShard>,
    shard: String,
    columns: Columns,
    row_group: usize,
    row: u64,
    end: u64,
}

struct Leaves {
    text: LeafReader,
    id: Option<LeafReader>,
    domain: Option<LeafReader>,
}

/// Reads the documents of `unit`, of the text, id and domain columns alone.
///
/// # Errors
/// [`Error::ForeignUnit`] if the unit is not the shard's; [`Error::Corrupt`] naming the column that cannot be decoded; a
/// failure of the disk or store.
pub fn read_unit(shard: &PlannedShard, columns: &Columns, unit: &UnitKey) -> Result<UnitDocuments> {
    if unit.shard != shard.id {
        return Err(Error::ForeignUnit { shard: shard.location(), unit: unit.to_string() });
    }
    let stored = shard.open()?;
    let opened = open(&Arc::new(stored.clone()), &shard.metadata, columns, unit, shard.location());
    match (opened, stored.take_failure()) {
        (Ok(documents), _) => Ok(UnitDocuments { failure: Some(stored), ..documents }),
        (Err(_), Some(failure)) => Err(failure.into()),
        (Err(error), None) => Err(error),
    }
}

/// Opens the columns of a unit and passes over the rows before it.
pub(crate) fn open<R: ChunkReader + 'static>(
    chunks: &Arc<R>,
    metadata: &ParquetMetaData,
    columns: &Columns,
    unit: &UnitKey,
    shard: String,
) -> Result<UnitDocuments> {
    let foreign = || Error::ForeignUnit { shard: shard.clone(), unit: unit.to_string() };
    let row_group = usize::try_from(unit.row_group).map_err(|_| foreign())?;
    let skipped = rows_before(metadata, unit).ok_or_else(foreign)?;
    let end = unit.first_row + unit.rows;
    let schema = metadata.file_metadata().schema_descr();
    let leaf = |column: &str| {
        let index = columns::leaf(schema, column)?;
        let opened = LeafReader::open(chunks, metadata, (row_group, index), skipped);
        Some(opened.map_err(|source| Error::Corrupt {
            shard: shard.clone(),
            row_group,
            first_row: unit.first_row,
            last_row: end.saturating_sub(1),
            column: column.to_owned(),
            source,
        }))
    };
    let text = leaf(&columns.text).ok_or_else(foreign)??;
    let id = columns.id.as_deref().and_then(leaf).transpose()?;
    let domain = match &columns.domain {
        Domain::Column(column) => leaf(column).transpose()?,
        Domain::Constant(_) => None,
    };
    let leaves = Leaves { text, id, domain };
    let (columns, row) = (columns.clone(), unit.first_row);
    Ok(UnitDocuments { leaves, failure: None, shard, columns, row_group, row, end })
}

/// Rows of the unit's row group that lie before the unit; `None` if the unit is not inside its row group.
fn rows_before(metadata: &ParquetMetaData, unit: &UnitKey) -> Option<usize> {
    let row_group = usize::try_from(unit.row_group).ok()?;
    let rows = |index: usize| u64::try_from(metadata.row_group(index).num_rows()).unwrap_or(0);
    if row_group >= metadata.num_row_groups() {
        return None;
    }
    let start: u64 = (0..row_group).map(rows).sum();
    let before = unit.first_row.checked_sub(start)?;
    let is_inside = before.checked_add(unit.rows)? <= rows(row_group);
    usize::try_from(before).ok().filter(|_| is_inside)
}

impl UnitDocuments {
    fn read(&mut self) -> Result<Document, (String, ParquetError)> {
        let text_column = || self.columns.text.clone();
        let text = match self.leaves.text.next_value().map_err(|error| (text_column(), error))? {
            None => DocumentText::Null,
            Some(Value::Number(text)) => DocumentText::Text(text),
            Some(Value::Bytes(bytes)) => match std::str::from_utf8(bytes.data()) {
                Ok(text) => DocumentText::Text(text.to_owned()),
                Err(_) => DocumentText::NotUtf8 { bytes: bytes.len() as u64 },
            },
        };
        let id =
            label(self.leaves.id.as_mut()).map_err(|error| (self.columns.id.clone().unwrap_or_default(), error))?;
        let domain = match &self.columns.domain {
            Domain::Constant(domain) => Some(domain.clone()),
            Domain::Column(column) => label(self.leaves.domain.as_mut()).map_err(|error| (column.clone(), error))?,
        };
        Ok(Document { row: self.row, id, domain, text })
    }
}

/// The next id or domain; `None` for null, or if the shard lacks the column.
fn label(leaf: Option<&mut LeafReader>) -> Result<Option<String>, ParquetError> {
    let Some(leaf) = leaf else { return Ok(None) };
    Ok(leaf.next_value()?.map(|value| match value {
        Value::Number(text) => text,
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).into_owned(),
    }))
}

impl Iterator for UnitDocuments {
    type Item = Result<Document>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.row >= self.end {
            return None;
        }
        let read = self.read();
        let (first_row, last_row) = (self.row, self.end - 1);
        self.row += 1;
        Some(read.map_err(|(column, source)| {
            self.row = self.end;
            match self.failure.as_ref().and_then(StoredShard::take_failure) {
                Some(failure) => failure.into(),
                None => Error::Corrupt {
                    shard: self.shard.clone(),
                    row_group: self.row_group,
                    first_row,
                    last_row,
                    column,
                    source,
                },
            }
        }))
    }
}

impl fmt::Debug for UnitDocuments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shard, row, end) = (&self.shard, self.row, self.end);
        f.debug_struct("UnitDocuments")
            .field("shard", shard)
            .field("row", &row)
            .field("end", &end)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
