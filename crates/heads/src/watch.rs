//! Following a search, stopping it, and going on with one that was stopped.

use headwater_record::ContentHash;

/// Follows the measuring of probes, from any thread.
///
/// A measurement is named by a hash of all it depends on beside the weights: probe, rule or masks, and what the engine computes with. So one that
/// was kept never serves another search.
pub trait Watch: Sync {
    /// Notes that `passes` more forward passes are done.
    fn advance(&self, _passes: u64) {}

    /// Notes that `passes` of the most forward passes need not be done.
    fn spare(&self, _passes: u64) {}

    /// Returns what was kept under `name`, if anything.
    fn find(&self, _name: &ContentHash) -> Option<Vec<f64>> {
        None
    }

    /// Keeps what was measured.
    fn keep(&self, _name: ContentHash, _measured: &[f64]) {}

    /// Whether the search is to stop, which it does with [`Error::Stopped`](crate::Error::Stopped) before the next probe.
    fn is_over(&self) -> bool {
        false
    }
}

/// Follows nothing.
impl Watch for () {}
