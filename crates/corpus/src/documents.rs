//! One unit → its documents.

use std::fmt;

use headwater_record::{ShardId, UnitKey};
use parquet::errors::ParquetError;

use crate::chunks::{Chunks, StoredChunk, StoredShard};
use crate::columns::{Columns, Domain};
use crate::groups::Groups;
use crate::leaf::{LeafReader, Value};
use crate::{Error, PlannedShard, Result, Text};
use row_groups::{ColumnChunks, Leaves, OpenRowGroup, RowGroups};

mod row_groups;

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
/// In memory are one decoded page of each column, two fetched pieces of each, and the document at hand; where a unit spans row groups,
/// the first pieces of the next one, too. After an error the iteration ends.
pub struct UnitDocuments {
    leaves: Leaves,
    row_groups: Box<dyn OpenRowGroup>,
    groups: Groups,
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
    begun: Option<(StoredShard, ColumnChunks<StoredChunk>)>,
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
        let Ok(chunks) = ColumnChunks::find(&stored, &footer, (self.columns, self.wanted), span.row_group) else {
            return 0;
        };
        let Ok(bytes) = chunks.begin(&stored) else { return 0 };
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
        let (stored, begun) = match begun {
            Some((stored, chunks)) => (stored, Some(chunks)),
            None => (shard.open()?, None),
        };
        let footer = shard.footer(&stored)?;
        let row_groups = RowGroups::new(stored.clone(), footer, columns.clone(), wanted);
        let opened = open(row_groups, begun, &shard.groups, (unit, &shard.location()));
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

/// Opens the columns of a unit, of which those of its first row group may be `begun`, and passes over the rows before it.
pub(crate) fn open<S: Chunks + Clone + Send + 'static>(
    row_groups: RowGroups<S>,
    begun: Option<ColumnChunks<S::Chunk>>,
    groups: &Groups,
    (unit, shard): (&UnitKey, &str),
) -> Result<UnitDocuments> {
    let span = groups.span(unit);
    let span = span.ok_or_else(|| Error::ForeignUnit { shard: shard.to_owned(), unit: unit.to_string() })?;
    let columns = row_groups.columns().clone();
    let mut row_groups = Box::new(row_groups.with_begun(span.row_group, begun));
    let leaves = row_groups.open(span.row_group, span.before).map_err(|(column, source)| Error::Corrupt {
        shard: shard.to_owned(),
        row_group: span.row_group,
        first_row: unit.first_row,
        last_row: (unit.first_row + unit.rows).min(span.group_end).saturating_sub(1),
        column,
        source,
    })?;
    let mut documents = UnitDocuments {
        leaves,
        row_groups,
        groups: groups.clone(),
        partition_labels: PartitionLabels::default(),
        failure: None,
        shard: shard.to_owned(),
        shard_id: unit.shard.clone(),
        columns,
        row_group: span.row_group,
        row: unit.first_row,
        end: unit.first_row + unit.rows,
        group_end: span.group_end,
        is_sound: true,
    };
    documents.look_ahead();
    Ok(documents)
}

impl UnitDocuments {
    /// Moves on to `unit`, so that no page that two units share is fetched or decoded twice. Returns false, and leaves everything as
    /// it is, unless all documents of this unit were read and `unit` begins further on in the row group where this one ended.
    pub fn advance_to(&mut self, unit: &UnitKey) -> bool {
        let is_same =
            self.shard_id == unit.shard && usize::try_from(unit.row_group).is_ok_and(|at| at == self.row_group);
        let is_inside = self.groups.span(unit).is_some();
        let skipped = unit.first_row.checked_sub(self.row).and_then(|rows| usize::try_from(rows).ok());
        let Some(skipped) = skipped.filter(|_| is_same && is_inside && self.is_sound && self.row == self.end) else {
            return false;
        };
        // a reader that cannot pass on is of no more use; the unit is then opened anew and says why
        self.is_sound = self.leaves.skip(skipped).is_ok();
        if self.is_sound {
            (self.row, self.end) = (unit.first_row, unit.first_row + unit.rows);
            self.look_ahead();
        }
        self.is_sound
    }

    /// Starts to fetch the next row group, if the unit goes on there.
    fn look_ahead(&mut self) {
        if self.end > self.group_end
            && let Some((row_group, _)) = self.groups.holding(self.group_end)
        {
            self.row_groups.look_ahead(row_group);
        }
    }

    /// Goes on to the row group that holds the next row, if that is another one.
    fn enter_row_group(&mut self) -> Result<(), (String, ParquetError)> {
        if self.row < self.group_end {
            return Ok(());
        }
        if let Some((row_group, rows)) = self.groups.holding(self.row) {
            (self.row_group, self.group_end) = (row_group, rows.end);
            self.leaves = self.row_groups.open(row_group, 0)?;
            self.look_ahead();
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Document, (String, ParquetError)> {
        self.enter_row_group()?;
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
        let first_row = self.row;
        self.row += 1;
        Some(read.map_err(|(column, source)| {
            let last_row = self.end.min(self.group_end) - 1;
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
