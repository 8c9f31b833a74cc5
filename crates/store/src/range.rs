//! Reads of byte ranges of one version of a file.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::remote::{Client, Version};
use crate::runtime::wait;
use crate::traffic::Counters;
use crate::{Error, Result, disk};

/// Reads ranges of one version of one file, from any number of threads. Every read is one request; [`crate::ForwardReader`]
/// is for many small steps.
#[derive(Clone)]
pub struct RangeReader {
    origin: Arc<Origin>,
    shown: Arc<str>,
}

/// Where the bytes come from.
#[derive(Debug)]
pub(crate) enum Origin {
    Disk { path: PathBuf, version: Version, counters: Arc<Counters> },
    Remote { client: Client, key: String, version: Version },
}

impl Origin {
    const fn version(&self) -> &Version {
        match self {
            Self::Disk { version, .. } | Self::Remote { version, .. } => version,
        }
    }

    const fn counters(&self) -> &Arc<Counters> {
        match self {
            Self::Disk { counters, .. } => counters,
            Self::Remote { client, .. } => client.counters(),
        }
    }
}

impl RangeReader {
    pub(crate) fn new(origin: Origin, shown: &str) -> Self {
        Self { origin: Arc::new(origin), shown: shown.into() }
    }

    /// Size of the file, as it was when listed.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.origin.version().bytes
    }

    /// Whether the file is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The path or URL, for messages.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.shown
    }

    /// Counts what is read.
    pub(crate) fn counters(&self) -> &Counters {
        self.origin.counters()
    }

    /// Reads the bytes of `range`.
    ///
    /// # Errors
    /// [`Error::Changed`] if the file is no longer the version that was listed, [`Error::OutOfRange`], or any failure of the
    /// disk or store.
    pub fn read_range(&self, range: Range<u64>) -> Result<Bytes> {
        self.check(&range)?;
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let began = Instant::now();
        let bytes = match self.origin.as_ref() {
            Origin::Disk { path, version, counters } => {
                counters.note_read(&range);
                disk::read_range(path, range, version.etag.as_deref())
            }
            Origin::Remote { .. } => wait(self.clone().fetch(range))?,
        };
        self.counters().note_waited(began.elapsed());
        bytes
    }

    /// Fetches a range inside the file, on the I/O threads.
    pub(crate) async fn fetch(self, range: Range<u64>) -> Result<Bytes> {
        self.counters().note_read(&range);
        match self.origin.as_ref() {
            Origin::Remote { client, key, version } => client.read_range(key, range, version).await,
            Origin::Disk { path, version, .. } => {
                let (path, etag) = (path.clone(), version.etag.clone());
                let read = move || disk::read_range(&path, range, etag.as_deref());
                match tokio::task::spawn_blocking(read).await {
                    Ok(outcome) => outcome,
                    Err(error) => Err(Error::Runtime { source: error.into() }),
                }
            }
        }
    }

    /// Refuses a range that is not inside the file.
    pub(crate) fn check(&self, range: &Range<u64>) -> Result<()> {
        if range.start <= range.end && range.end <= self.len() {
            return Ok(());
        }
        let path = self.shown.to_string();
        Err(Error::OutOfRange { path, start: range.start, end: range.end, bytes: self.len() })
    }
}

impl fmt::Debug for RangeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeReader").field("path", &self.shown).field("bytes", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
