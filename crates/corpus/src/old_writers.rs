//! Footers as old writers left them, read as Arrow's C++ reader reads them (`parquet/file_reader.cc` there).

use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

/// Bytes by which parquet-mr before 1.2.9 understates a column chunk: it forgets the header of the dictionary page (PARQUET-816).
const FORGOTTEN_BYTES: u64 = 100;

/// The metadata with what old writers got wrong put right.
pub(crate) fn corrected(metadata: ParquetMetaData, file_bytes: u64) -> Result<ParquetMetaData, ParquetError> {
    let understates = metadata.file_metadata().created_by().is_some_and(understates_chunks);
    let is_wrong = |column: &ColumnChunkMetaData| {
        let dictionary = column.dictionary_page_offset();
        understates || dictionary.is_some_and(|offset| offset <= 0 || offset >= column.data_page_offset())
    };
    if !metadata.row_groups().iter().flat_map(|group| group.columns()).any(is_wrong) {
        return Ok(metadata);
    }
    let mut builder = metadata.into_builder();
    let mut groups = Vec::new();
    for group in builder.take_row_groups() {
        let mut group = group.into_builder();
        let columns = group.take_columns().into_iter().map(|column| correct(column, understates, file_bytes));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        groups.push(group.set_column_metadata(columns).build()?);
    }
    Ok(builder.set_row_groups(groups).build())
}

fn correct(
    column: ColumnChunkMetaData,
    understates: bool,
    file_bytes: u64,
) -> Result<ColumnChunkMetaData, ParquetError> {
    let data = column.data_page_offset();
    let dictionary = column.dictionary_page_offset().filter(|offset| (1..data).contains(offset));
    let start = u64::try_from(dictionary.unwrap_or(data)).unwrap_or(file_bytes);
    let bytes = u64::try_from(column.compressed_size()).unwrap_or(0);
    let room = file_bytes.saturating_sub(start.saturating_add(bytes));
    let missing = if understates { room.min(FORGOTTEN_BYTES) } else { 0 };
    let bytes = i64::try_from(bytes.saturating_add(missing))?;
    let builder = column.into_builder().set_dictionary_page_offset(dictionary);
    if understates { builder.set_total_compressed_size(bytes).build() } else { builder.build() }
}

/// Whether a writer of that name and version understates the size of column chunks.
fn understates_chunks(created_by: &str) -> bool {
    let Some(rest) = created_by.strip_prefix("parquet-mr") else { return false };
    let version = rest.trim_start().strip_prefix("version ").map_or("", str::trim_start);
    let numbers = version.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>().unwrap_or(0));
    let mut numbers = numbers.chain([0; 3]);
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next()) < (1, 2, 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_of_parquet_mr_are_known() {
        for old in [
            "parquet-mr",
            "parquet-mr version 1.2.8 (build abc)",
            "parquet-mr version 1.1.0",
            "parquet-mr version 1.0.0-t2",
        ] {
            assert!(understates_chunks(old), "{old}");
        }
        for sound in
            ["parquet-mr version 1.2.9", "parquet-mr version 1.10.0 (build x)", "parquet-cpp-arrow version 1.0.0", ""]
        {
            assert!(!understates_chunks(sound), "{sound}");
        }
    }
}
