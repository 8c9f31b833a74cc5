//! A Parquet file of which some ranges are at hand.

use std::ops::Range;
use std::sync::Arc;

use bytes::buf::Reader;
use bytes::{Buf, Bytes};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// A range of a file.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) start: u64,
    pub(super) bytes: Bytes,
}

impl Part {
    /// Whether `range` lies in the part.
    pub(super) fn holds(&self, range: &Range<u64>) -> bool {
        self.start <= range.start && range.end <= self.start + self.bytes.len() as u64
    }

    /// The bytes of the part from `start` on; `None` if it does not hold them.
    fn from(&self, start: u64) -> Option<Bytes> {
        let skipped = usize::try_from(start.checked_sub(self.start)?).ok()?;
        (skipped < self.bytes.len()).then(|| self.bytes.slice(skipped..))
    }
}

/// A file whose parts are handed to a Parquet reader, which may ask for nothing else.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) file_bytes: u64,
    pub(super) parts: Arc<[Part]>,
}

impl Parts {
    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let found = self.parts.iter().find_map(|part| part.from(start));
        found.ok_or_else(|| ParquetError::EOF(format!("the bytes from {start} on belong to no column that is read")))
    }
}

impl Length for Parts {
    fn len(&self) -> u64 {
        self.file_bytes
    }
}

impl ChunkReader for Parts {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.from(start)?;
        if length <= bytes.len() {
            return Ok(bytes.slice(..length));
        }
        Err(ParquetError::EOF(format!("{length} bytes from {start} on reach beyond a column")))
    }
}

/// Merges rising ranges across the smallest gaps, as long as these hold no more than `spare` bytes together.
pub(super) fn merged(ranges: &[Range<u64>], spare: u64) -> Vec<Range<u64>> {
    let gap = |pair: &[Range<u64>]| pair[1].start.saturating_sub(pair[0].end);
    let mut gaps: Vec<u64> = ranges.windows(2).map(gap).collect();
    gaps.sort_unstable();
    let mut spent: u64 = 0;
    let closed = gaps.iter().take_while(|gap| {
        spent = spent.saturating_add(**gap);
        spent <= spare
    });
    let widest = closed.last().copied().unwrap_or_default();
    let mut left = spare;
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        let gap = merged.last().map(|last| range.start.saturating_sub(last.end));
        match merged.last_mut().zip(gap) {
            Some((last, gap)) if gap <= widest && gap <= left => {
                left -= gap;
                last.end = last.end.max(range.end);
            }
            _ => merged.push(range.clone()),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_gaps_are_read_over() {
        let ranges = [0..10, 12..20, 25..30, 30..40];
        assert_eq!(merged(&ranges, 0), [0..10, 12..20, 25..40]);
        assert_eq!(merged(&ranges, 2), [0..20, 25..40]);
        assert_eq!(merged(&ranges, 6), [0..20, 25..40]);
        assert_eq!(merged(&ranges, 7), vec![0_u64..40]);
        assert!(merged(&[], 7).is_empty());
    }

    #[test]
    fn only_what_was_fetched_can_be_read() {
        let part = |start, bytes: &'static [u8]| Part { start, bytes: Bytes::from_static(bytes) };
        let file = Parts { file_bytes: 20, parts: [part(4, b"abc"), part(10, b"def")].into() };
        assert_eq!(file.get_bytes(5, 2).unwrap(), "bc");
        assert_eq!(file.get_bytes(10, 3).unwrap(), "def");
        assert!(file.get_bytes(5, 3).is_err() && file.get_bytes(0, 1).is_err() && file.get_read(13).is_err());
    }
}
