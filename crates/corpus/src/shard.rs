//! One shard of a plan.

use std::ops::Range;
use std::sync::Arc;

use headwater_record::{ByteCount, ShardId, UnitKey};
use headwater_store::{Entry, Place};
use parquet::file::metadata::ParquetMetaData;

use crate::chunks::StoredShard;
use crate::footers::Footers;
use crate::groups::Groups;
use crate::partitions::Partitions;
use crate::{Error, Result, footer};

/// One shard of a plan, with what reading it needs.
#[derive(Clone, Debug)]
pub struct PlannedShard {
    /// Path relative to the fixed prefix of its `paths` entry.
    pub path: String,
    /// Identity.
    pub id: ShardId,
    /// Size in bytes of the file, or of its copy if it is read from one.
    pub bytes: u64,
    /// What the store called this version of the file.
    pub etag: Option<String>,
    /// Rows of the shard.
    pub rows: u64,
    /// The planned units, in row order.
    pub units: Vec<UnitKey>,
    pub(crate) place: Place,
    /// Where it is read from, if that is a copy: its folder and path there.
    pub(crate) copy: Option<(Place, String)>,
    pub(crate) partitions: Partitions,
    pub(crate) groups: Groups,
    pub(crate) footers: Arc<Footers>,
}

impl PlannedShard {
    /// The shard's path or URL, for messages.
    #[must_use]
    pub fn location(&self) -> String {
        self.place.describe(&self.path)
    }

    /// The name of `rows` as a unit, whatever the planned units are; `None` if the shard has no such rows or there are none.
    #[must_use]
    pub fn unit_of(&self, rows: Range<u64>) -> Option<UnitKey> {
        let (row_group, _) = self.groups.holding(rows.start)?;
        let is_inside = rows.start < rows.end && rows.end <= self.rows;
        is_inside.then_some(UnitKey {
            shard: self.id.clone(),
            row_group: u32::try_from(row_group).ok()?,
            first_row: rows.start,
            rows: rows.end - rows.start,
        })
    }

    /// Plans units of `rows` rows each, the last of what is left, in place of those that [`plan()`](crate::plan()) made.
    pub fn cut_by_rows(&mut self, rows: u64) {
        let starts = (0..self.rows).step_by(usize::try_from(rows.max(1)).unwrap_or(usize::MAX));
        self.units = starts.filter_map(|start| self.unit_of(start..self.rows.min(start + rows))).collect();
    }

    /// Text in `unit`, a unit of this shard or a part of one, as the footer lets estimate it.
    ///
    /// # Units
    /// Uncompressed bytes of the text column, as Parquet encodes it: four bytes a row more than the text, and less where texts repeat.
    #[must_use]
    pub fn text_bytes(&self, unit: &UnitKey) -> ByteCount {
        ByteCount(self.groups.text_bytes(unit))
    }

    /// Bytes of the text, id and domain columns of `unit`, a unit of this shard or a part of one, as they are stored and so
    /// fetched; shares of its row groups', by rows.
    #[must_use]
    pub fn stored_bytes(&self, unit: &UnitKey) -> ByteCount {
        ByteCount(self.groups.stored_bytes(unit))
    }

    /// Opens the version of the file that was planned; nothing is read.
    pub(crate) fn open(&self) -> Result<StoredShard> {
        let (place, path) = self.copy.as_ref().map_or((&self.place, &self.path), |(place, path)| (place, path));
        let entry = Entry { path: path.clone(), bytes: self.bytes, etag: self.etag.clone(), modified: None };
        StoredShard::open(place, &entry)
    }

    /// Reads something of the planned version, of which the footer is fetched only if it is not in memory. Where the store failed,
    /// that is the error, whatever the decoder made of it.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&StoredShard, &ParquetMetaData) -> Result<T>) -> Result<T> {
        let stored = self.open()?;
        let footer = self.footer(&stored)?;
        match (read(&stored, &footer), stored.take_failure()) {
            (Err(_), Some(failure)) => Err(failure.into()),
            (read, _) => read,
        }
    }

    /// The footer, if it is in memory.
    pub(crate) fn kept_footer(&self) -> Option<Arc<ParquetMetaData>> {
        self.footers.get(&self.id)
    }

    /// The footer, read again if the plan had no room for it.
    pub(crate) fn footer(&self, stored: &StoredShard) -> Result<Arc<ParquetMetaData>> {
        if let Some(kept) = self.kept_footer() {
            return Ok(kept);
        }
        let read = footer::read(&self.path, stored);
        if let Some(failure) = stored.take_failure() {
            return Err(failure.into());
        }
        let read = read.map_err(|reason| Error::BadShard { shard: self.location(), reason })?;
        if read.id != self.id {
            return Err(headwater_store::Error::Changed { path: self.location() }.into());
        }
        self.footers.keep(&self.id, &read.metadata);
        Ok(read.metadata)
    }
}
