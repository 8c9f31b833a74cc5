//! A shard in a store as the Parquet decoder wants to see it.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use headwater_store::{Entry, Place, RangeReader};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::Result;

/// Bytes read at once while a page header of unknown length is parsed.
const HEADER_BYTES: u64 = 4096;

/// Reads ranges of a shard; remembers the store's error, which the decoder would flatten into text.
#[derive(Clone, Debug)]
pub(crate) struct StoredShard {
    reader: RangeReader,
    failure: Arc<Mutex<Option<headwater_store::Error>>>,
}

impl StoredShard {
    pub(crate) fn open(place: &Place, entry: &Entry) -> Result<Self> {
        Ok(Self { reader: place.reader(entry)?, failure: Arc::default() })
    }

    /// The store's error behind a decoder's error, if there is one.
    pub(crate) fn take_failure(&self) -> Option<headwater_store::Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn read_range(&self, start: u64, bytes: u64) -> io::Result<Bytes> {
        let end = start.checked_add(bytes).filter(|end| *end <= self.reader.len());
        let end = end.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "a page ends beyond the file"))?;
        self.reader.read_range(start..end).map_err(|error| {
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            io::Error::other("the store failed")
        })
    }
}

impl Length for StoredShard {
    fn len(&self) -> u64 {
        self.reader.len()
    }
}

impl ChunkReader for StoredShard {
    type T = HeaderRead;

    fn get_read(&self, start: u64) -> Result<HeaderRead, ParquetError> {
        Ok(HeaderRead { shard: self.clone(), position: start, buffer: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        Ok(self.read_range(start, length as u64)?)
    }
}

/// Reads forward from a position in small steps.
#[derive(Debug)]
pub(crate) struct HeaderRead {
    shard: StoredShard,
    position: u64,
    buffer: Bytes,
}

impl Read for HeaderRead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.buffer.is_empty() {
            let left = self.shard.reader.len().saturating_sub(self.position);
            self.buffer = self.shard.read_range(self.position, left.min(HEADER_BYTES))?;
            self.position += self.buffer.len() as u64;
        }
        let taken = self.buffer.split_to(out.len().min(self.buffer.len()));
        out[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}
