//! Files written piece by piece that appear whole or not at all.

use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use object_store::buffered::BufWriter;
use tokio::io::AsyncWriteExt;

use crate::disk::Draft;
use crate::remote::Client;
use crate::runtime::wait;
use crate::wire::WireFailure;
use crate::{Error, Result};

/// Bytes gathered before they are handed to a store; also the size of a part of a multipart upload.
const PART_BYTES: usize = 8 << 20;

/// Parts on their way to a store at the same time; bounds memory to this many times [`PART_BYTES`].
const PARTS_IN_FLIGHT: usize = 4;

/// How long an upload's end without result is waited for.
const ABORT_PATIENCE: Duration = Duration::from_secs(5);

/// A file in the making. It appears with [`PlaceWriter::finish`]; dropped before, it leaves nothing.
#[derive(Debug)]
pub struct PlaceWriter(Target);

#[derive(Debug)]
enum Target {
    Disk(Draft),
    Store(Box<Upload>),
}

/// An upload to a store: one put if all fits one part, else a multipart upload.
#[derive(Debug)]
struct Upload {
    client: Client,
    key: String,
    url: String,
    part: Vec<u8>,
    /// Bytes handed over so far.
    sent: u64,
    /// `None` once it failed or finished.
    writer: Option<BufWriter>,
}

impl PlaceWriter {
    pub(crate) const fn to_disk(draft: Draft) -> Self {
        Self(Target::Disk(draft))
    }

    pub(crate) fn to_store(client: &Client, key: &str) -> Result<Self> {
        client.check_full_store(key, "writing")?;
        let path = client.path(key)?;
        let writer = BufWriter::with_capacity(client.store(), path, PART_BYTES).with_max_concurrency(PARTS_IN_FLIGHT);
        Ok(Self(Target::Store(Box::new(Upload {
            client: client.clone(),
            key: key.to_owned(),
            url: client.url(key),
            part: Vec::new(),
            sent: 0,
            writer: Some(writer),
        }))))
    }

    /// Makes the file appear under its name, whole, replacing what was there.
    ///
    /// # Errors
    /// [`Error::NotWritable`], [`Error::DiskFull`], or any failure of the disk or store; then nothing appears.
    pub fn finish(self) -> Result<()> {
        match self.0 {
            Target::Disk(draft) => draft.publish(),
            Target::Store(mut upload) => upload.finish(),
        }
    }
}

impl Write for PlaceWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            // Writers above us wrap what they get, so the sorted error must travel inside.
            Target::Disk(draft) => draft.write(buffer).map_err(|error| io::Error::other(draft.failed(error))),
            Target::Store(upload) => upload.write(buffer).map_err(io::Error::other),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        let taken = buffer.len().min(PART_BYTES - self.part.len());
        self.part.extend_from_slice(&buffer[..taken]);
        if self.part.len() == PART_BYTES {
            self.send_part()?;
        }
        Ok(taken)
    }

    /// Hands the gathered part over; waits while too many are on their way.
    fn send_part(&mut self) -> Result<()> {
        let part = Bytes::from(std::mem::take(&mut self.part));
        self.sent += part.len() as u64;
        let mut writer = self.take()?;
        let (writer, outcome) = wait(async move {
            let outcome = writer.put(part).await;
            (writer, outcome)
        })?;
        self.writer = Some(writer);
        outcome.map_err(|error| Error::store(self.url.as_str(), error))
    }

    fn finish(&mut self) -> Result<()> {
        if !self.part.is_empty() {
            self.send_part()?;
        }
        let mut writer = self.take()?;
        let outcome = wait(async move { writer.shutdown().await })?;
        let outcome = outcome.map_err(|error| match error.downcast::<object_store::Error>() {
            Ok(error) => Error::store(self.url.as_str(), error),
            Err(source) => Error::Io { path: self.url.clone(), source },
        });
        match outcome {
            // an abort that failed hides why there was one; whether the upload had ended is not known, so it is made again
            Err(Error::PermissionDenied { path, source } | Error::Refused { path, source })
                if WireFailure::of(source.as_ref()).is_some_and(WireFailure::is_of_delete) =>
            {
                Err(Error::Unavailable { path, source })
            }
            // the end of the upload was told twice, as the first answer was lost: the upload is gone because it is done
            Err(Error::NotFound { path, source }) => match self.client.entry(&self.key, &self.key) {
                Ok(entry) if entry.bytes == self.sent => Ok(()),
                Ok(_) => Err(Error::Unavailable { path, source }),
                Err(error) if error.is_not_found() => Err(Error::Unavailable { path, source }),
                Err(error) => Err(error),
            },
            outcome => outcome,
        }
    }

    fn take(&mut self) -> Result<BufWriter> {
        self.writer.take().ok_or_else(|| Error::Io {
            path: self.url.clone(),
            source: io::Error::new(io::ErrorKind::BrokenPipe, "an earlier write failed"),
        })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(mut writer) = self.writer.take() else { return };
        let url = self.url.as_str();
        // the process may be about to end; a store that does not answer must not hold it
        let aborted = wait(async move { tokio::time::timeout(ABORT_PATIENCE, writer.abort()).await });
        if !matches!(aborted, Ok(Ok(Ok(())))) {
            tracing::warn!(%url, "could not abort an upload; the bucket's lifecycle rule must remove it");
        }
    }
}
