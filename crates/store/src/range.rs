//! Reads of byte ranges, with a small cache of blocks and one block of read-ahead.
//!
//! Parquet is read in many small steps that mostly follow each other; a request to a store costs tens of milliseconds whatever
//! its size. So reads are served from blocks, and once two neighbours have been asked for, the next one is fetched in the
//! background.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

use crate::disk;
use crate::remote::{Client, Version};
use crate::runtime::{spawn, wait};
use crate::{Error, Result};

/// Size of a block of a file in a store.
const STORE_BLOCK_BYTES: u64 = 8 << 20;

/// Size of a block of a local file, where a request is cheap.
const DISK_BLOCK_BYTES: u64 = 1 << 20;

/// Blocks kept by one reader: two for each of text, id and domain, whose pages are read in turn.
const BLOCKS: usize = 6;

/// Reads ranges of one version of one file, from any number of threads.
///
/// Clones share the cache, which holds at most 48 MiB. A read of more than one block bypasses it.
#[derive(Clone)]
pub struct RangeReader(Arc<Shared>);

struct Shared {
    origin: Origin,
    shown: String,
    block_bytes: u64,
    /// Most recently used last.
    blocks: Mutex<VecDeque<Numbered>>,
}

/// Where the bytes come from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    Disk { path: PathBuf, version: Version },
    Remote { client: Client, key: String, version: Version },
}

impl Origin {
    const fn version(&self) -> &Version {
        match self {
            Self::Disk { version, .. } | Self::Remote { version, .. } => version,
        }
    }

    /// Fetches a range, on the I/O threads.
    async fn fetch(self, range: Range<u64>) -> Result<Bytes> {
        match self {
            Self::Remote { client, key, version } => client.read_range(&key, range, &version).await,
            Self::Disk { path, version } => {
                let read = move || disk::read_range(&path, range, version.etag.as_deref());
                match tokio::task::spawn_blocking(read).await {
                    Ok(outcome) => outcome,
                    Err(error) => Err(Error::Runtime { source: error.into() }),
                }
            }
        }
    }

    /// Fetches a range and waits for it on the calling thread.
    fn fetch_now(&self, range: Range<u64>) -> Result<Bytes> {
        match self {
            Self::Disk { path, version } => disk::read_range(path, range, version.etag.as_deref()),
            Self::Remote { .. } => wait(self.clone().fetch(range))?,
        }
    }
}

/// A block and its index in the file.
type Numbered = (u64, Arc<Block>);

/// One block on its way or arrived.
#[derive(Default)]
struct Block {
    state: Mutex<State>,
    settled: Condvar,
}

#[derive(Clone, Default)]
enum State {
    #[default]
    Pending,
    Ready(Bytes),
    /// Whoever needs it fetches it again and gets the error first hand.
    Failed,
}

impl Block {
    fn settle(&self, state: State) {
        let mut current = lock(&self.state);
        if matches!(*current, State::Pending) {
            *current = state;
            self.settled.notify_all();
        }
    }

    /// Waits until the block arrived; `None` if it failed.
    fn wait(&self) -> Option<Bytes> {
        let mut state = lock(&self.state);
        loop {
            match &*state {
                State::Ready(bytes) => return Some(bytes.clone()),
                State::Failed => return None,
                State::Pending => state = self.settled.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn has_failed(&self) -> bool {
        matches!(*lock(&self.state), State::Failed)
    }
}

/// Marks a block as failed if its fetch ends in any way but success.
struct SettleOnDrop(Arc<Block>);

impl Drop for SettleOnDrop {
    fn drop(&mut self) {
        self.0.settle(State::Failed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RangeReader {
    pub(crate) fn new(origin: Origin, shown: String) -> Self {
        let block_bytes = match origin {
            Origin::Disk { .. } => DISK_BLOCK_BYTES,
            Origin::Remote { .. } => STORE_BLOCK_BYTES,
        };
        Self::with_block_bytes(origin, shown, block_bytes)
    }

    fn with_block_bytes(origin: Origin, shown: String, block_bytes: u64) -> Self {
        Self(Arc::new(Shared { origin, shown, block_bytes, blocks: Mutex::default() }))
    }

    /// Size of the file, as it was when listed.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.origin.version().bytes
    }

    /// Whether the file is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The path or URL, for messages.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.shown
    }

    /// Reads the bytes of `range`, without copying if they lie in one block.
    ///
    /// # Errors
    /// [`Error::Changed`] if the file is no longer the version that was listed, [`Error::OutOfRange`], or any failure of the
    /// disk or store.
    pub fn read_range(&self, range: Range<u64>) -> Result<Bytes> {
        if range.start > range.end || range.end > self.len() {
            let path = self.0.shown.clone();
            return Err(Error::OutOfRange { path, start: range.start, end: range.end, bytes: self.len() });
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        if range.end - range.start > self.0.block_bytes {
            return self.0.origin.fetch_now(range);
        }
        let first = range.start / self.0.block_bytes;
        let last = (range.end - 1) / self.0.block_bytes;
        let head = slice(&self.block(first)?, first * self.0.block_bytes, &range);
        if first == last {
            return Ok(head);
        }
        let tail = slice(&self.block(last)?, last * self.0.block_bytes, &range);
        let mut joined = BytesMut::with_capacity(head.len() + tail.len());
        joined.extend_from_slice(&head);
        joined.extend_from_slice(&tail);
        Ok(joined.freeze())
    }

    /// The bytes of block `index`; starts the next one if reads run forward.
    fn block(&self, index: u64) -> Result<Bytes> {
        let (block, is_ours, ahead) = self.claim(index);
        if let Some((next, block)) = ahead {
            self.fetch_ahead(next, block)?;
        }
        if is_ours {
            let guard = SettleOnDrop(block);
            let bytes = self.0.origin.fetch_now(self.block_range(index))?;
            guard.0.settle(State::Ready(bytes.clone()));
            return Ok(bytes);
        }
        match block.wait() {
            Some(bytes) => Ok(bytes),
            None => self.0.origin.fetch_now(self.block_range(index)),
        }
    }

    /// Finds or enters block `index`; tells whether the caller is to fetch it, and which block is to be fetched ahead.
    fn claim(&self, index: u64) -> (Arc<Block>, bool, Option<Numbered>) {
        let mut blocks = lock(&self.0.blocks);
        blocks.retain(|(_, block)| !block.has_failed());
        let holds = |blocks: &VecDeque<Numbered>, index| blocks.iter().position(|(at, _)| *at == index);
        let runs_forward = index > 0 && holds(&blocks, index - 1).is_some();
        let next = index + 1;
        let wants_next = runs_forward && next * self.0.block_bytes < self.len() && holds(&blocks, next).is_none();
        let (block, is_ours) = match holds(&blocks, index).and_then(|at| blocks.remove(at)) {
            Some((_, block)) => (block, false),
            None => (Arc::default(), true),
        };
        let ahead = wants_next.then(|| (next, Arc::<Block>::default()));
        blocks.extend(ahead.clone());
        blocks.push_back((index, Arc::clone(&block)));
        while blocks.len() > BLOCKS {
            blocks.pop_front();
        }
        (block, is_ours, ahead)
    }

    fn fetch_ahead(&self, index: u64, block: Arc<Block>) -> Result<()> {
        let (origin, range) = (self.0.origin.clone(), self.block_range(index));
        let guard = SettleOnDrop(block);
        spawn(async move {
            if let Ok(bytes) = origin.fetch(range).await {
                guard.0.settle(State::Ready(bytes));
            }
        })
    }

    fn block_range(&self, index: u64) -> Range<u64> {
        let start = index * self.0.block_bytes;
        start..(start + self.0.block_bytes).min(self.len())
    }
}

impl fmt::Debug for RangeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeReader").field("path", &self.0.shown).field("bytes", &self.len()).finish_non_exhaustive()
    }
}

/// The part of `range` that lies in the block that begins at `start`.
fn slice(block: &Bytes, start: u64, range: &Range<u64>) -> Bytes {
    let clamp = |at: u64| usize::try_from(at.saturating_sub(start)).map_or(block.len(), |at| at.min(block.len()));
    block.slice(clamp(range.start)..clamp(range.end))
}

#[cfg(test)]
mod tests;
