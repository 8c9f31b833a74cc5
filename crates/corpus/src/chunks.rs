//! A shard in a store as the Parquet decoder wants to see it: one column chunk at a time, read forward.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use headwater_store::{Entry, ForwardReader, Place, RangeReader};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::Result;

/// Largest piece of a column chunk that is fetched at once: a store's request takes about as long for much less, and a slow line
/// carries it within any time limit.
pub(crate) const PIECE_BYTES: u64 = 8 << 20;

/// Bytes handed to the decoder at once while it looks for the end of a page header; small, so that reading ahead begins in time.
const STEP_BYTES: usize = 64 << 10;

/// Where column chunks come from.
pub(crate) trait Chunks {
    /// Reads one column chunk.
    type Chunk: ChunkReader + 'static;

    /// The column chunk in `range`, in pieces of at most `piece_bytes`; nothing is read yet.
    fn chunk(&self, range: Range<u64>, piece_bytes: u64) -> Result<Self::Chunk, ParquetError>;

    /// Starts to fetch a column chunk without waiting for it, where that is of use; returns how many bytes are on their way.
    fn begin(&self, _chunk: &Self::Chunk) -> Result<u64, ParquetError> {
        Ok(0)
    }

    /// Bytes beside the column chunks: the footer, an index.
    fn bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError>;

    /// Size of the file.
    fn file_bytes(&self) -> u64;
}

/// The store's first error, which the decoder would flatten into text.
#[derive(Clone, Debug, Default)]
struct Failure(Arc<Mutex<Option<headwater_store::Error>>>);

impl Failure {
    fn note(&self, error: headwater_store::Error) -> ParquetError {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        ParquetError::General("the store failed".to_owned())
    }
}

/// Reads ranges of a shard.
#[derive(Clone, Debug)]
pub(crate) struct StoredShard {
    reader: RangeReader,
    failure: Failure,
}

impl StoredShard {
    pub(crate) fn open(place: &Place, entry: &Entry) -> Result<Self> {
        Ok(Self { reader: place.reader(entry)?, failure: Failure::default() })
    }

    /// The store's error behind a decoder's error, if there is one.
    pub(crate) fn take_failure(&self) -> Option<headwater_store::Error> {
        self.failure.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Chunks for StoredShard {
    type Chunk = StoredChunk;

    fn chunk(&self, range: Range<u64>, piece_bytes: u64) -> Result<StoredChunk, ParquetError> {
        let end = range.end;
        let reader = ForwardReader::new(self.reader.clone(), range, piece_bytes);
        let reader = reader.map_err(|error| self.failure.note(error))?;
        Ok(StoredChunk { reader: Arc::new(reader), end, failure: self.failure.clone() })
    }

    fn begin(&self, chunk: &StoredChunk) -> Result<u64, ParquetError> {
        chunk.reader.begin().map_err(|error| self.failure.note(error))
    }

    fn bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end = start.checked_add(length as u64).ok_or_else(too_short)?;
        self.reader.read_range(start..end).map_err(|error| self.failure.note(error))
    }

    fn file_bytes(&self) -> u64 {
        self.reader.len()
    }
}

/// One column chunk of a shard in a store.
#[derive(Clone, Debug)]
pub(crate) struct StoredChunk {
    reader: Arc<ForwardReader>,
    end: u64,
    failure: Failure,
}

impl Length for StoredChunk {
    fn len(&self) -> u64 {
        self.reader.file_bytes()
    }
}

impl ChunkReader for StoredChunk {
    type T = ChunkRead;

    fn get_read(&self, start: u64) -> Result<ChunkRead, ParquetError> {
        Ok(ChunkRead { chunk: self.clone(), position: start, buffer: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.end).ok_or_else(too_short)?;
        self.reader.all(start..end).map_err(|error| self.failure.note(error))
    }
}

fn too_short() -> ParquetError {
    ParquetError::EOF("a page ends beyond its column chunk".to_owned())
}

/// Reads forward from a position in small steps.
#[derive(Debug)]
pub(crate) struct ChunkRead {
    chunk: StoredChunk,
    position: u64,
    buffer: Bytes,
}

impl Read for ChunkRead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.buffer.is_empty() && self.position < self.chunk.end {
            let some = self.chunk.reader.some(self.position, STEP_BYTES);
            self.buffer = some.map_err(|error| io::Error::other(self.chunk.failure.note(error)))?;
            self.position += self.buffer.len() as u64;
        }
        if self.buffer.is_empty() && !out.is_empty() {
            // where the decoder passes over bytes, it takes an empty read for progress and never ends
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let taken = self.buffer.split_to(out.len().min(self.buffer.len()));
        out[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}
