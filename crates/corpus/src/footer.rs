//! A shard's footer: read once, checked, hashed into the shard's identity.

use std::sync::Arc;

use headwater_record::ShardId;
use parquet::basic::{Compression, LogicalType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    FooterTail, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy,
};
use parquet::schema::types::ColumnDescPtr;

use crate::chunks::Chunks;
use crate::foreign::{self, HEAD_BYTES};
use crate::{columns, old_writers};

/// Bytes after the metadata: its length and the magic.
const TAIL_BYTES: usize = 8;

/// Magic at the start of the file.
const MAGIC_BYTES: u64 = 4;

/// Bytes read at first, in the hope that they hold the whole footer.
const FIRST_READ_BYTES: u64 = 64 << 10;

/// The most rows of a row group. Readers count them in 32 bits here and there, and a footer may claim any number.
const ROW_GROUP_ROWS: i64 = 1 << 31;

/// What is kept of a footer.
pub(crate) struct Footer {
    pub(crate) id: ShardId,
    pub(crate) metadata: Arc<ParquetMetaData>,
}

/// Reads the footer of the shard at the relative `path`.
///
/// # Errors
/// Why the file is no readable Parquet shard; or the store's failure, which the caller finds in the store's reader.
pub(crate) fn read(path: &str, shard: &impl Chunks) -> Result<Footer, String> {
    let bytes = shard.file_bytes();
    if bytes == 0 {
        return Err("it has 0 bytes and is too short to be a Parquet file: writing or copying it has failed".to_owned());
    }
    let foreign = || {
        let length = usize::try_from(bytes).map_or(HEAD_BYTES, |bytes| bytes.min(HEAD_BYTES));
        shard.bytes(0, length).ok().and_then(|head| foreign::describe(&head)).map(str::to_owned)
    };
    if bytes < TAIL_BYTES as u64 + MAGIC_BYTES {
        let short = || format!("it has {bytes} bytes and is too short to be a Parquet file");
        return Err(foreign().unwrap_or_else(short));
    }
    let first = bytes.min(FIRST_READ_BYTES);
    let length = usize::try_from(first).map_err(|error| error.to_string())?;
    let end = shard.bytes(bytes - first, length).map_err(|error| plainly(&error))?;
    let cut = || "it does not end like a Parquet file: cut short while it was written or copied?".to_owned();
    let tail = FooterTail::try_from(&end[length - TAIL_BYTES..]).map_err(|_| foreign().unwrap_or_else(cut))?;
    if tail.is_encrypted_footer() {
        return Err("its footer is encrypted".to_owned());
    }
    let footer = tail.metadata_length();
    let whole = footer as u64 + TAIL_BYTES as u64;
    if whole + MAGIC_BYTES > bytes {
        return Err(format!("its footer claims {footer} bytes, but the file has {bytes}"));
    }
    let encoded = if whole <= first {
        end.slice(length - TAIL_BYTES - footer..length - TAIL_BYTES)
    } else {
        shard.bytes(bytes - whole, footer).map_err(|error| plainly(&error))?
    };
    let options = ParquetMetaDataOptions::new()
        .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll);
    let decode = || ParquetMetaDataReader::decode_metadata_with_options(&encoded, Some(&options));
    let metadata = guarded(decode).map_err(|error| format!("its footer cannot be decoded ({})", plainly(&error)))?;
    let metadata = old_writers::corrected(metadata, bytes);
    let metadata = metadata.map_err(|error| format!("its footer cannot be corrected ({})", plainly(&error)))?;
    check(&metadata, bytes)?;
    Ok(Footer { id: ShardId::new(path, bytes, &encoded), metadata: Arc::new(metadata) })
}

/// Checks the numbers that reading relies on, and that every column can be copied.
fn check(metadata: &ParquetMetaData, bytes: u64) -> Result<(), String> {
    let schema = metadata.file_metadata().schema_descr();
    if let Some(name) = columns::repeated(schema) {
        return Err(format!("two of its columns are named `{name}`; rename one"));
    }
    let unknown = |column: &&ColumnDescPtr| matches!(column.logical_type_ref(), Some(LogicalType::_Unknown { .. }));
    if let Some(column) = schema.columns().iter().find(unknown) {
        return Err(format!("column `{}` has a logical type that is newer than this version", column.path().string()));
    }
    let mut rows: i64 = 0;
    for (index, group) in metadata.row_groups().iter().enumerate() {
        let is_possible = (0..=ROW_GROUP_ROWS).contains(&group.num_rows());
        let total = is_possible.then(|| rows.checked_add(group.num_rows())).flatten();
        rows = total.ok_or_else(|| format!("its row group {index} claims {} rows", group.num_rows()))?;
        let (columns, leaves) = (group.num_columns(), metadata.file_metadata().schema_descr().num_columns());
        if columns != leaves {
            return Err(format!("its row group {index} has {columns} columns where the schema has {leaves}"));
        }
        for column in group.columns() {
            let name = || column.column_path().string();
            if column.crypto_metadata().is_some() {
                return Err(format!("column `{}` is encrypted; decrypt it or write the file without it", name()));
            }
            if column.compression() == Compression::LZO {
                return Err(format!("column `{}` is compressed with LZO; write it with zstd", name()));
            }
            let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
            let end = u64::try_from(start).ok().zip(u64::try_from(column.compressed_size()).ok());
            let end = end.and_then(|(start, length)| start.checked_add(length));
            if end.is_none_or(|end| end > bytes) || column.uncompressed_size() < 0 || column.num_values() < 0 {
                return Err(format!("its row group {index} places column `{}` outside the file", name()));
            }
        }
    }
    let claimed = metadata.file_metadata().num_rows();
    if claimed == rows { Ok(()) } else { Err(format!("it claims {claimed} rows, but its row groups have {rows}")) }
}

/// Runs a Parquet decoder; where malformed bytes make it panic, that is an error like any other.
///
/// The decoder must not be used again after an error.
///
/// # Errors
/// Those of `decode`, and [`ParquetError::General`] for a panic.
pub fn guarded<T>(decode: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    headwater_store::guarded(decode, ParquetError::General)
}

/// The error without the decoder's prefix.
pub(crate) fn plainly(error: &ParquetError) -> String {
    match error {
        ParquetError::General(text) | ParquetError::EOF(text) | ParquetError::NYI(text) => text.clone(),
        other => other.to_string(),
    }
}
