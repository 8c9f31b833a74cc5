//! For tests: a shard that tells which of its bytes are read.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::chunks::Chunks;

/// A shard in memory that notes what is asked of it.
#[derive(Clone)]
pub(crate) struct Traced {
    file: Bytes,
    asked: Arc<Mutex<Vec<Range<u64>>>>,
}

impl Traced {
    pub(crate) fn new(file: Bytes) -> Self {
        Self { file, asked: Arc::default() }
    }

    /// What was asked for since the last time.
    pub(crate) fn take_asked(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.asked.lock().expect("no reader panics"))
    }
}

impl Length for Traced {
    fn len(&self) -> u64 {
        self.file.len() as u64
    }
}

impl ChunkReader for Traced {
    type T = <Bytes as ChunkReader>::T;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        // Headers: at most this much is looked at.
        self.asked.lock().expect("no reader panics").push(start..start + 64);
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.asked.lock().expect("no reader panics").push(start..start + length as u64);
        self.file.get_bytes(start, length)
    }
}

impl Chunks for Traced {
    type Chunk = Self;

    fn chunk(&self, _range: Range<u64>, _piece_bytes: u64) -> Result<Self, ParquetError> {
        Ok(self.clone())
    }

    fn bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.get_bytes(start, length)
    }

    fn file_bytes(&self) -> u64 {
        self.len()
    }
}
