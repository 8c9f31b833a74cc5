//! What a plan keeps of each row group when it lets its footer go: where its rows begin and how much it holds.

use std::ops::Range;
use std::sync::Arc;

use headwater_record::UnitKey;
use parquet::file::metadata::ParquetMetaData;

/// The row groups of one shard.
#[derive(Clone, Debug)]
pub(crate) struct Groups(Arc<[Group]>);

#[derive(Clone, Copy, Debug)]
struct Group {
    /// First row, counted from the start of the shard.
    start: u64,
    rows: u64,
    /// Uncompressed bytes of the text column, as the footer gives them.
    text_bytes: u64,
    /// Bytes of the text, id and domain columns, as they are stored.
    stored_bytes: u64,
}

/// Where a unit lies in a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Index of the row group that its first row is in.
    pub(crate) row_group: usize,
    /// Rows of that row group before the unit.
    pub(crate) before: usize,
    /// End of that row group in the shard.
    pub(crate) group_end: u64,
}

impl Groups {
    /// Takes what is needed from a footer; `text` and `labels` are the indices of leaves.
    pub(crate) fn of(metadata: &ParquetMetaData, text: usize, labels: &[usize]) -> Self {
        let mut start = 0;
        let groups = metadata.row_groups().iter().map(|group| {
            let rows = u64::try_from(group.num_rows()).unwrap_or(0);
            let first_row = start;
            start += rows;
            let stored = std::iter::once(&text).chain(labels).map(|leaf| group.column(*leaf).byte_range().1);
            Group {
                start: first_row,
                rows,
                text_bytes: u64::try_from(group.column(text).uncompressed_size()).unwrap_or(0),
                stored_bytes: stored.fold(0, u64::saturating_add),
            }
        });
        Self(groups.collect())
    }

    /// Row groups of so many rows and bytes of text each.
    #[cfg(test)]
    pub(crate) fn of_sizes(sizes: &[(u64, u64)]) -> Self {
        let mut start = 0;
        let groups = sizes.iter().map(|&(rows, text_bytes)| {
            let first_row = start;
            start += rows;
            Group { start: first_row, rows, text_bytes, stored_bytes: text_bytes }
        });
        Self(groups.collect())
    }

    /// First row, rows and bytes of text of every row group.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        self.0.iter().map(|group| (group.start, group.rows, group.text_bytes))
    }

    /// Where `unit` lies; `None` if its first row is not in its row group or it ends beyond the shard.
    pub(crate) fn span(&self, unit: &UnitKey) -> Option<Span> {
        let row_group = usize::try_from(unit.row_group).ok()?;
        let group = self.0.get(row_group)?;
        let before = unit.first_row.checked_sub(group.start).filter(|before| *before < group.rows)?;
        let last = self.0.last()?;
        unit.first_row.checked_add(unit.rows).filter(|end| *end <= last.start + last.rows)?;
        Some(Span { row_group, before: usize::try_from(before).ok()?, group_end: group.start + group.rows })
    }

    /// The row group that holds `row`, and its rows; `None` if there is no such row.
    pub(crate) fn holding(&self, row: u64) -> Option<(usize, Range<u64>)> {
        let row_group = self.0.partition_point(|group| group.start + group.rows <= row);
        let group = self.0.get(row_group)?;
        Some((row_group, group.start..group.start + group.rows))
    }

    /// Bytes of text in a unit: those of its row groups, by rows.
    pub(crate) fn text_bytes(&self, unit: &UnitKey) -> u64 {
        self.by_rows(unit, |group| group.text_bytes)
    }

    /// Bytes of the three columns in a unit, as they are stored: those of its row groups, by rows.
    pub(crate) fn stored_bytes(&self, unit: &UnitKey) -> u64 {
        self.by_rows(unit, |group| group.stored_bytes)
    }

    fn by_rows(&self, unit: &UnitKey, bytes: impl Fn(&Group) -> u64) -> u64 {
        let end = unit.first_row.saturating_add(unit.rows);
        let groups = usize::try_from(unit.row_group).ok().and_then(|first| self.0.get(first..)).unwrap_or_default();
        let met = groups.iter().take_while(|group| group.start < end);
        let shares = met.map(|group| {
            let rows = end.min(group.start + group.rows).saturating_sub(unit.first_row.max(group.start));
            let share = u128::from(bytes(group)) * u128::from(rows) / u128::from(group.rows.max(1));
            u64::try_from(share).unwrap_or(u64::MAX)
        });
        shares.fold(0, u64::saturating_add)
    }
}
