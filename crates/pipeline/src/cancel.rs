//! Stopping from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Asks the stages of a pipeline to stop. Clones share one state, so that another thread can ask.
///
/// The search for heads stops between two probes and keeps what it measured; scoring stops between two windows and keeps every finished unit; tokenising stops between two batches and keeps every finished
/// file; a measurement of speed or of int8 stops between two windows and leaves nothing. All end with
/// [`Error::Cancelled`](crate::Error::Cancelled). Other stages do not look at the token: see [`CancelToken::is_watched`].
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_cancelled: AtomicBool,
    watchers: AtomicUsize,
}

impl CancelToken {
    /// Asks to stop. It cannot be taken back.
    pub fn cancel(&self) {
        self.0.is_cancelled.store(true, Ordering::SeqCst);
    }

    /// Whether [`CancelToken::cancel`] was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled.load(Ordering::SeqCst)
    }

    /// Whether the stage that runs now stops soon when asked to. A caller that cannot wait for a stage that does not may end the
    /// process: no stage loses what earlier ones wrote.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.0.watchers.load(Ordering::SeqCst) > 0
    }

    /// Says that the token is looked at until the returned value is dropped.
    pub(crate) fn watch(&self) -> Watched {
        self.0.watchers.fetch_add(1, Ordering::SeqCst);
        Watched(self.clone())
    }
}

/// While this lives, somebody looks at the token.
#[derive(Debug)]
pub(crate) struct Watched(CancelToken);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.0.watchers.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_their_state() {
        let (token, other) = (CancelToken::default(), CancelToken::default());
        let clone = token.clone();
        let watched = token.watch();
        clone.cancel();
        assert!(token.is_cancelled() && clone.is_watched());
        drop(watched);
        assert!(!clone.is_watched() && !other.is_cancelled());
    }
}
