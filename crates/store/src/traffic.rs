//! What this process has read and sent, for whoever wants to know what a run costs.
//!
//! *Read* counts what readers asked for, from disks and stores alike; the rest is counted on the wire, where repeated requests
//! show that `object_store` does not tell of.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Totals since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of listed files that were asked for: footers and columns. What failed while it was fetched ahead counts twice.
    pub read_bytes: u64,
    /// Time that callers waited for ranges that were not there yet.
    pub waited: Duration,
    /// Requests sent to stores and web servers, repeated ones included.
    pub requests: u64,
    /// Bodies received from them, in bytes.
    pub received_bytes: u64,
    /// Bodies sent to them, in bytes.
    pub sent_bytes: u64,
    /// Answers that told us to slow down: 429 and 503.
    pub throttled: u64,
    /// Answers of servers in trouble: other 5xx, and 408.
    pub server_errors: u64,
    /// Requests that got no answer: no connection, a reset, a time limit.
    pub lost: u64,
    /// Bodies that ended early.
    pub cut: u64,
}

impl Traffic {
    /// Requests that failed in a way that passes. Each is repeated, unless it was the last try, or a conditional put whose answer was lost.
    #[must_use]
    pub const fn retries(&self) -> u64 {
        self.throttled + self.server_errors + self.lost + self.cut
    }
}

/// One counter.
#[derive(Debug)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) static REQUESTS: Counter = Counter::new();
pub(crate) static RECEIVED_BYTES: Counter = Counter::new();
pub(crate) static SENT_BYTES: Counter = Counter::new();
pub(crate) static THROTTLED: Counter = Counter::new();
pub(crate) static SERVER_ERRORS: Counter = Counter::new();
pub(crate) static LOST: Counter = Counter::new();
pub(crate) static CUT: Counter = Counter::new();
static READ_BYTES: Counter = Counter::new();
static WAITED_NANOS: Counter = Counter::new();

/// Notes that a range is about to be read.
pub(crate) fn note_read(range: &Range<u64>) {
    READ_BYTES.add(range.end - range.start);
}

/// Notes that a caller waited for a range.
pub(crate) fn note_waited(time: Duration) {
    WAITED_NANOS.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}

/// The totals so far.
#[must_use]
pub fn traffic() -> Traffic {
    Traffic {
        read_bytes: READ_BYTES.get(),
        waited: Duration::from_nanos(WAITED_NANOS.get()),
        requests: REQUESTS.get(),
        received_bytes: RECEIVED_BYTES.get(),
        sent_bytes: SENT_BYTES.get(),
        throttled: THROTTLED.get(),
        server_errors: SERVER_ERRORS.get(),
        lost: LOST.get(),
        cut: CUT.get(),
    }
}
