//! Following the writing of token files from outside.

use headwater_corpus::PlannedShard;

/// Observes the work and says when to stop.
pub trait Watch: Sync {
    /// Called when documents have reached the writers.
    fn advance(&self, documents: u64, tokens: u64);

    /// Returns whether to stop; unfinished stretches are then dropped.
    fn is_over(&self) -> bool;

    /// Returns whether to go on without the rest of `shard`, which cannot be read for the reason in `error`. Its rows are then counted as
    /// `unreadable` in the manifest.
    fn may_skip(&self, _shard: &PlannedShard, _error: &headwater_corpus::Error) -> bool {
        false
    }
}
