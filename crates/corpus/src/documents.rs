//! One unit → its documents.

use std::fmt;

use headwater_record::{ShardId, UnitKey};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::chunks::{Chunks, PIECE_BYTES, StoredChunk, StoredShard};
use crate::columns::{self, Columns, Domain};
use crate::groups::Span;
use crate::leaf::{self, LeafReader, Seek, Value};
use crate::{Error, PlannedShard, Result, Text};

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
    Text(Text),
}

/// The documents of one unit, decoded as they are asked for.
///
/// In memory are one decoded page of each column, two fetched pieces of each, and the document at hand. After an error the
/// iteration ends.
pub struct UnitDocuments {
    leaves: Leaves,
    partition_labels: PartitionLabels,
    failure: Option<StoredShard>,
    shard: String,
    shard_id: ShardId,
    columns: Columns,
    row_group: usize,
    row: u64,
    end: u64,
    /// End of the row group.
    group_end: u64,
    is_sound: bool,
}

struct Leaves {
    text: Option<LeafReader>,
    id: Option<LeafReader>,
    domain: Option<LeafReader>,
}

/// Labels that the shard's partition keys give where it has no column.
#[derive(Default)]
struct PartitionLabels {
    id: Option<String>,
    domain: Option<String>,
}

/// Reads the documents of `unit`, of the text, id and domain columns alone.
///
/// # Errors
/// As [`UnitStart::open`].
pub fn read_unit(shard: &PlannedShard, columns: &Columns, unit: &UnitKey) -> Result<UnitDocuments> {
    UnitStart::new(shard, columns, unit).open()
}

/// What is read of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Text, id and domain.
    Documents,
    /// The same of a few documents from anywhere in a shard: pages before them are looked up, not walked through, where the shard has an
    /// offset index that agrees with its pages.
    Sample,
    /// Id and domain alone; the text of every document is then [`DocumentText::Null`].
    Labels,
}

/// A unit whose documents will be read soon.
#[derive(Debug)]
pub struct UnitStart<'a> {
    shard: &'a PlannedShard,
    columns: &'a Columns,
    unit: &'a UnitKey,
    wanted: Wanted,
    /// The shard and the unit's column chunks, once they are begun.
    begun: Option<(StoredShard, UnitChunks<StoredChunk>)>,
}

impl<'a> UnitStart<'a> {
    /// Looks forward to `unit`; nothing is fetched yet.
    #[must_use]
    pub const fn new(shard: &'a PlannedShard, columns: &'a Columns, unit: &'a UnitKey) -> Self {
        Self { shard, columns, unit, wanted: Wanted::Documents, begun: None }
    }

    /// Reads no more than is `wanted`.
    #[must_use]
    pub fn with_wanted(self, wanted: Wanted) -> Self {
        Self { wanted, ..self }
    }

    /// Starts to fetch the unit's columns without waiting for them, if its footer is in memory and it is at the beginning of its row
    /// group: elsewhere reading goes on where the unit before it ends. Returns how many bytes are on their way. What fails here fails
    /// again in [`UnitStart::open`].
    pub fn begin(&mut self) -> u64 {
        let span =
            self.shard.groups.span(self.unit).filter(|span| span.before == 0 && self.unit.shard == self.shard.id);
        let (None, Some(span), Some(footer)) = (&self.begun, span, self.shard.kept_footer()) else { return 0 };
        let Ok(stored) = self.shard.open() else { return 0 };
        let Ok(chunks) = UnitChunks::find(&stored, &footer, (self.columns, self.wanted), span.row_group) else {
            return 0;
        };
        let Ok(bytes) = chunks.each().map(|(_, chunk)| chunk.begin()).sum() else { return 0 };
        self.begun = Some((stored, chunks));
        bytes
    }

    /// Reads on to the first document.
    ///
    /// # Errors
    /// [`Error::ForeignUnit`] if the unit is not the shard's; [`Error::Corrupt`] naming the column that cannot be decoded; a
    /// failure of the disk or store.
    pub fn open(self) -> Result<UnitDocuments> {
        let Self { shard, columns, unit, wanted, begun } = self;
        if unit.shard != shard.id {
            return Err(Error::ForeignUnit { shard: shard.location(), unit: unit.to_string() });
        }
        let (stored, chunks) = match begun {
            Some((stored, chunks)) => (stored, Some(chunks)),
            None => (shard.open()?, None),
        };
        let location = shard.location();
        let span = shard.groups.span(unit);
        let span = span.ok_or_else(|| Error::ForeignUnit { shard: location.clone(), unit: unit.to_string() })?;
        let footer = shard.footer(&stored)?;
        let opened = open(&stored, chunks, &footer, (columns, wanted), (unit, span, &location));
        match (opened, stored.take_failure()) {
            (Ok(documents), _) => {
                let of = |name: &str| shard.partitions.get(name).map(str::to_owned);
                let id = columns.id.as_deref().and_then(of);
                let domain = if let Domain::Column(name) = &columns.domain { of(name) } else { None };
                let partition_labels = PartitionLabels { id, domain };
                Ok(UnitDocuments { failure: Some(stored), partition_labels, ..documents })
            }
            (Err(_), Some(failure)) => Err(failure.into()),
            (Err(error), None) => Err(error),
        }
    }
}

/// The column chunks of a row group that documents are read from, each with its leaf.
#[derive(Debug)]
pub(crate) struct UnitChunks<C> {
    text: Option<(usize, C)>,
    id: Option<(usize, C)>,
    domain: Option<(usize, C)>,
}

impl<C> UnitChunks<C> {
    fn find<S: Chunks<Chunk = C>>(
        shard: &S,
        metadata: &ParquetMetaData,
        (columns, wanted): (&Columns, Wanted),
        row_group: usize,
    ) -> Result<Self, (String, ParquetError)> {
        let schema = metadata.file_metadata().schema_descr();
        let chunk = |column: &str| -> Result<Option<(usize, C)>, (String, ParquetError)> {
            // a column of default name may be of a type that cannot serve
            let leaf = columns::leaf(schema, column).filter(|leaf| columns::kind(&schema.column(*leaf)).is_some());
            let Some(leaf) = leaf else { return Ok(None) };
            let chunk = leaf::chunk(shard, metadata, (row_group, leaf), PIECE_BYTES);
            chunk.map(|chunk| Some((leaf, chunk))).map_err(|error| (column.to_owned(), error))
        };
        let missing = || (columns.text.clone(), ParquetError::General("there is no such column".to_owned()));
        Ok(Self {
            text: match wanted {
                Wanted::Documents | Wanted::Sample => Some(chunk(&columns.text)?.ok_or_else(missing)?),
                Wanted::Labels => None,
            },
            id: columns.id.as_deref().map(chunk).transpose()?.flatten(),
            domain: match &columns.domain {
                Domain::Column(column) => chunk(column)?,
                Domain::Constant(_) => None,
            },
        })
    }

    fn each(&self) -> impl Iterator<Item = &(usize, C)> {
        [self.text.as_ref(), self.id.as_ref(), self.domain.as_ref()].into_iter().flatten()
    }
}

/// Opens the columns of a unit and passes over the rows before it.
pub(crate) fn open<S: Chunks>(
    chunks: &S,
    begun: Option<UnitChunks<S::Chunk>>,
    metadata: &ParquetMetaData,
    (columns, wanted): (&Columns, Wanted),
    (unit, span, shard): (&UnitKey, Span, &str),
) -> Result<UnitDocuments> {
    let Span { row_group, before: skipped, group_end } = span;
    let end = unit.first_row + unit.rows;
    let corrupt = |(column, source)| Error::Corrupt {
        shard: shard.to_owned(),
        row_group,
        first_row: unit.first_row,
        last_row: end.saturating_sub(1),
        column,
        source,
    };
    let found = match begun {
        Some(begun) => begun,
        None => UnitChunks::find(chunks, metadata, (columns, wanted), row_group).map_err(corrupt)?,
    };
    let first = [skipped as u64];
    let seek = if wanted == Wanted::Sample && skipped > 0 { Seek::Lookup(&first) } else { Seek::Walk };
    let opened = |(leaf, chunk): (usize, S::Chunk)| {
        let reader = LeafReader::open((chunks, chunk), metadata, (row_group, leaf), seek);
        let reader = reader.and_then(|mut reader| reader.skip(skipped).map(|()| reader));
        let name = || metadata.file_metadata().schema_descr().column(leaf).path().string();
        reader.map_err(|source| corrupt((name(), source)))
    };
    let leaves = Leaves {
        text: found.text.map(opened).transpose()?,
        id: found.id.map(opened).transpose()?,
        domain: found.domain.map(opened).transpose()?,
    };
    Ok(UnitDocuments {
        leaves,
        partition_labels: PartitionLabels::default(),
        failure: None,
        shard: shard.to_owned(),
        shard_id: unit.shard.clone(),
        columns: columns.clone(),
        row_group,
        row: unit.first_row,
        end,
        group_end,
        is_sound: true,
    })
}

impl UnitDocuments {
    /// Moves on to `unit`, so that no page that two units share is fetched or decoded twice. Returns false, and leaves everything as
    /// it is, unless all documents of this unit were read and `unit` lies further on in the same row group.
    pub fn advance_to(&mut self, unit: &UnitKey) -> bool {
        let end = unit.first_row.checked_add(unit.rows).filter(|end| *end <= self.group_end);
        let skipped = unit.first_row.checked_sub(self.row).and_then(|rows| usize::try_from(rows).ok());
        let is_same =
            self.shard_id == unit.shard && usize::try_from(unit.row_group).is_ok_and(|at| at == self.row_group);
        let (Some(end), Some(skipped)) = (end, skipped) else { return false };
        if !is_same || !self.is_sound || self.row != self.end {
            return false;
        }
        let Leaves { text, id, domain } = &mut self.leaves;
        let leaves = [text.as_mut(), id.as_mut(), domain.as_mut()].into_iter().flatten();
        // a reader that cannot pass on is of no more use; the unit is then opened anew and says why
        self.is_sound = leaves.into_iter().all(|leaf| leaf.skip(skipped).is_ok());
        if self.is_sound {
            (self.row, self.end) = (unit.first_row, end);
        }
        self.is_sound
    }

    fn read(&mut self) -> Result<Document, (String, ParquetError)> {
        let text_column = || self.columns.text.clone();
        let value = self.leaves.text.as_mut().map(LeafReader::next_value).transpose();
        let text = match value.map_err(|error| (text_column(), error))?.flatten() {
            None => DocumentText::Null,
            Some(Value::Number(text)) => DocumentText::Text(text.into()),
            Some(Value::Bytes(bytes)) => {
                let length = bytes.len() as u64;
                Text::new(bytes).map_or(DocumentText::NotUtf8 { bytes: length }, DocumentText::Text)
            }
        };
        let id = match self.leaves.id.as_mut() {
            Some(leaf) => label(leaf).map_err(|error| (self.columns.id.clone().unwrap_or_default(), error))?,
            // one value for all rows becomes a prefix, so that ids differ
            None => self.partition_labels.id.as_ref().map(|prefix| format!("{prefix}/{}", self.row)),
        };
        let domain = match (&self.columns.domain, self.leaves.domain.as_mut()) {
            (Domain::Constant(domain), _) => Some(domain.clone()),
            (Domain::Column(column), Some(leaf)) => label(leaf).map_err(|error| (column.clone(), error))?,
            (Domain::Column(_), None) => self.partition_labels.domain.clone(),
        };
        Ok(Document { row: self.row, id, domain, text })
    }
}

/// The next id or domain; `None` for null.
fn label(leaf: &mut LeafReader) -> Result<Option<String>, ParquetError> {
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
            self.is_sound = false;
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
