//! The footer of a sidecar, read from its end.

use headwater_store::RangeReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    FooterTail, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy,
};

use super::parts::Part;
use crate::parquet_guard::guarded;

/// Bytes of a Parquet file after its footer: the footer's length and the magic.
pub(crate) const TAIL_BYTES: usize = 8;

/// A footer and the end of the file that came with it.
#[derive(Debug)]
pub(crate) struct Footer {
    pub(crate) metadata: ParquetMetaData,
    /// Length of the footer and what follows it.
    pub(crate) bytes: u64,
    /// The end of the file, as far as it was fetched.
    pub(super) end: Part,
    /// What was fetched.
    pub(super) fetched: Fetched,
}

/// Requests and the bytes they brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fetched {
    pub(super) requests: u64,
    pub(super) bytes: u64,
}

/// Why a footer cannot be read.
#[derive(Debug)]
pub(crate) enum Problem {
    Store(headwater_store::Error),
    Parquet(ParquetError),
}

impl From<headwater_store::Error> for Problem {
    fn from(error: headwater_store::Error) -> Self {
        Self::Store(error)
    }
}

/// Reads the footer of `file`, fetching `guess` bytes of its end at first.
pub(crate) fn read(file: &RangeReader, guess: u64) -> Result<Footer, Problem> {
    let no_parquet = || Problem::Parquet(ParquetError::General("it does not end like a Parquet file".to_owned()));
    let mut fetched = Fetched::default();
    let mut fetch = |start: u64| -> Result<Part, Problem> {
        fetched.requests += 1;
        fetched.bytes += file.len() - start;
        Ok(Part { start, bytes: file.read_range(start..file.len())? })
    };
    let mut end = fetch(file.len().saturating_sub(guess.max(TAIL_BYTES as u64)))?;
    let tail = end.bytes.len().checked_sub(TAIL_BYTES).ok_or_else(no_parquet)?;
    let length = FooterTail::try_from(&end.bytes[tail..]).map_err(|_| no_parquet())?.metadata_length();
    let bytes = length as u64 + TAIL_BYTES as u64;
    if length > tail {
        end = fetch(file.len().checked_sub(bytes).ok_or_else(no_parquet)?)?;
    }
    let tail = end.bytes.len() - TAIL_BYTES;
    let encoded = end.bytes.slice(tail - length..tail);
    let options = ParquetMetaDataOptions::new()
        .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll);
    let metadata = guarded(|| ParquetMetaDataReader::decode_metadata_with_options(&encoded, Some(&options)));
    Ok(Footer { metadata: metadata.map_err(Problem::Parquet)?, bytes, end, fetched })
}
