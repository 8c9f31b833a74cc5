//! What the places of a handle have read and sent: what a run costs.
//!
//! *Read* counts what readers asked for, from disks and stores alike; the rest is counted on the wire, where repeated requests
//! show that `object_store` does not tell of.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Totals since a [`Stores`](crate::Stores) was made.
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
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters behind a [`Traffic`], shared by all clients and readers of a handle.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) throttled: Counter,
    pub(crate) server_errors: Counter,
    pub(crate) lost: Counter,
    pub(crate) cut: Counter,
    pub(crate) left_out: LeftOutKeys,
    read_bytes: Counter,
    waited_nanos: Counter,
}

/// Keys that were left out of listings, as no path can name them.
#[derive(Debug, Default)]
pub(crate) struct LeftOutKeys(Mutex<Vec<String>>);

impl LeftOutKeys {
    /// Notes keys; those that end in `/` stand for folders and are no loss.
    pub(crate) fn note(&self, keys: Vec<String>) {
        let objects = keys.into_iter().filter(|key| !key.ends_with('/'));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(objects);
    }

    /// The keys since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Counters {
    /// Notes that a range is about to be read.
    pub(crate) fn note_read(&self, range: &Range<u64>) {
        self.read_bytes.add(range.end - range.start);
    }

    /// Notes that a caller waited for a range.
    pub(crate) fn note_waited(&self, time: Duration) {
        self.waited_nanos.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The totals so far.
    pub(crate) fn totals(&self) -> Traffic {
        Traffic {
            read_bytes: self.read_bytes.get(),
            waited: Duration::from_nanos(self.waited_nanos.get()),
            requests: self.requests.get(),
            received_bytes: self.received_bytes.get(),
            sent_bytes: self.sent_bytes.get(),
            throttled: self.throttled.get(),
            server_errors: self.server_errors.get(),
            lost: self.lost.get(),
            cut: self.cut.get(),
        }
    }
}
