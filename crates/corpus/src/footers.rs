//! Footers kept in memory, up to a bound: those of ten thousand shards with hundreds of row groups each take more than a machine has.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headwater_record::ShardId;
use parquet::file::metadata::ParquetMetaData;

/// Decoded footers kept by one plan, in bytes as parquet estimates them.
const MOST_BYTES: usize = 256 << 20;

/// Footers of a plan's shards. While planning, those that come first stay; later, those that were asked for last.
pub(crate) struct Footers {
    most_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    footers: BTreeMap<ShardId, Footer>,
    bytes: usize,
    /// Counts uses.
    clock: u64,
}

struct Footer {
    metadata: Arc<ParquetMetaData>,
    bytes: usize,
    used: u64,
}

impl Default for Footers {
    fn default() -> Self {
        Self::with_most_bytes(MOST_BYTES)
    }
}

impl Footers {
    /// How many are kept.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.lock().footers.len()
    }

    pub(crate) fn with_most_bytes(most_bytes: usize) -> Self {
        Self { most_bytes, kept: Mutex::default() }
    }

    /// The footer of a shard, if it is kept.
    pub(crate) fn get(&self, shard: &ShardId) -> Option<Arc<ParquetMetaData>> {
        let mut kept = self.lock();
        kept.clock += 1;
        let clock = kept.clock;
        let footer = kept.footers.get_mut(shard)?;
        footer.used = clock;
        Some(Arc::clone(&footer.metadata))
    }

    /// Keeps a footer if there is room.
    pub(crate) fn offer(&self, shard: &ShardId, metadata: &Arc<ParquetMetaData>) {
        let bytes = metadata.memory_size();
        let mut kept = self.lock();
        if kept.bytes.saturating_add(bytes) <= self.most_bytes {
            kept.insert(shard, metadata, bytes);
        }
    }

    /// Keeps a footer, and makes room by letting those go that were not used for longest. The last one is kept however large it is.
    pub(crate) fn keep(&self, shard: &ShardId, metadata: &Arc<ParquetMetaData>) {
        let bytes = metadata.memory_size();
        let mut kept = self.lock();
        while kept.bytes.saturating_add(bytes) > self.most_bytes {
            let oldest = kept.footers.iter().min_by_key(|(_, footer)| footer.used).map(|(shard, _)| shard.clone());
            let Some(gone) = oldest.and_then(|oldest| kept.footers.remove(&oldest)) else { break };
            kept.bytes -= gone.bytes;
        }
        kept.insert(shard, metadata, bytes);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn insert(&mut self, shard: &ShardId, metadata: &Arc<ParquetMetaData>, bytes: usize) {
        self.clock += 1;
        let footer = Footer { metadata: Arc::clone(metadata), bytes, used: self.clock };
        self.bytes += bytes;
        if let Some(before) = self.footers.insert(shard.clone(), footer) {
            self.bytes -= before.bytes;
        }
    }
}

impl fmt::Debug for Footers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.lock();
        f.debug_struct("Footers").field("kept", &kept.footers.len()).field("bytes", &kept.bytes).finish_non_exhaustive()
    }
}
