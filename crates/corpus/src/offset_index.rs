//! Offset indexes, which say where the pages of a column chunk lie and which rows they begin with.
//!
//! Writers are known to have written wrong ones, for instance with pages that begin inside a row. So an index is used for columns without
//! repetition alone, must place the pages side by side, and must agree with the headers of the first page, of the last and of each one that
//! it is to lead to. An index that does not is passed over.

use std::sync::Arc;

use parquet::column::page::PageReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::page_index::index_reader::decode_offset_index;
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::{ChunkReader, SerializedPageReader};

use crate::chunks::Chunks;
use crate::footer::guarded;

/// The pages of a column chunk; `None` if it has no offset index or one that cannot be used to find the rows at `wanted`, counted from the
/// start of the row group.
pub(crate) fn checked<S: Chunks>(
    (shard, chunk): (&S, &Arc<S::Chunk>),
    metadata: &ParquetMetaData,
    (row_group, leaf): (usize, usize),
    wanted: &[u64],
) -> Result<Option<Vec<PageLocation>>, ParquetError> {
    let group = metadata.row_group(row_group);
    let column = group.column(leaf);
    let range = column.offset_index_offset().zip(column.offset_index_length());
    let range = range.and_then(|(start, length)| Some((u64::try_from(start).ok()?, usize::try_from(length).ok()?)));
    let Some((start, length)) = range.filter(|_| column.column_descr().max_rep_level() == 0) else { return Ok(None) };
    if start.saturating_add(length as u64) > shard.file_bytes() {
        return Ok(None);
    }
    let encoded = shard.bytes(start, length)?;
    let Ok(index) = guarded(|| decode_offset_index(&encoded)) else { return Ok(None) };
    let locations = index.page_locations();
    Ok(agrees(locations, (chunk, column), group.num_rows(), wanted).then(|| locations.clone()))
}

/// Whether `locations` may lead to the rows at `wanted` of a column chunk of `rows` rows.
pub(crate) fn agrees<C: ChunkReader + 'static>(
    locations: &[PageLocation],
    (chunk, column): (&Arc<C>, &ColumnChunkMetaData),
    rows: i64,
    wanted: &[u64],
) -> bool {
    if !lie_side_by_side(locations, column) || !rise(locations, rows) {
        return false;
    }
    let holding = |row: &u64| {
        let beyond = |page: &PageLocation| u64::try_from(page.first_row_index).is_ok_and(|first| first <= *row);
        locations.partition_point(beyond).saturating_sub(1)
    };
    let last = locations.len() - 1;
    let mut pages: Vec<usize> = wanted.iter().map(holding).chain([0, last]).collect();
    pages.sort_unstable();
    pages.dedup();
    pages.into_iter().all(|at| {
        let end = locations.get(at + 1).map_or(rows, |next| next.first_row_index);
        let promised = usize::try_from(end - locations[at].first_row_index).ok();
        // a header that cannot be read is told of by the reader that walks
        promised == guarded(|| values(chunk, column, &locations[at])).ok().flatten()
    })
}

/// Whether the pages fill the column chunk behind its dictionary.
fn lie_side_by_side(locations: &[PageLocation], column: &ColumnChunkMetaData) -> bool {
    let (start, bytes) = column.byte_range();
    let mut next = locations.first().and_then(|page| u64::try_from(page.offset).ok()).filter(|first| *first >= start);
    for page in locations {
        let is_next = u64::try_from(page.offset).ok() == next;
        let length = u64::try_from(page.compressed_page_size).ok().filter(|length| is_next && *length > 0);
        next = length.and_then(|length| next?.checked_add(length));
    }
    next.is_some() && next == start.checked_add(bytes)
}

/// Whether the first rows of the pages rise from 0 and stay below `rows`.
fn rise(locations: &[PageLocation], rows: i64) -> bool {
    let first_rows = || locations.iter().map(|page| page.first_row_index);
    first_rows().next() == Some(0) && first_rows().is_sorted_by(|a, b| a < b) && first_rows().all(|row| row < rows)
}

/// How many values the header of a page announces.
fn values<C: ChunkReader + 'static>(
    chunk: &Arc<C>,
    column: &ColumnChunkMetaData,
    page: &PageLocation,
) -> Result<Option<usize>, ParquetError> {
    let alone = column
        .clone()
        .into_builder()
        .set_dictionary_page_offset(None)
        .set_data_page_offset(page.offset)
        .set_total_compressed_size(page.compressed_page_size.into())
        .build()?;
    let mut pages = SerializedPageReader::new(Arc::clone(chunk), &alone, 0, None)?;
    Ok(pages.peek_next_page()?.filter(|page| !page.is_dict).and_then(|page| page.num_levels))
}
