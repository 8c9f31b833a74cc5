//! A store that fails on purpose, by a script: for tests of everything above it.
//!
//! What `object_store` does about failing requests lies below this wrapper and is tested on the wire (`tests/e2e/stores`).

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http::{HeaderMap, Method, StatusCode, Uri};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::Place;
use crate::location::{Bucket, Scheme};
use crate::remote::Client;
use crate::wire::Sent;

/// What becomes of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The store has no answer, also after retries.
    Unavailable,
    /// The caller may not.
    Denied,
    /// The body ends early.
    CutBody,
    /// The answer takes longer.
    Delay(Duration),
}

/// What is to go wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    /// Faults of ranged reads, by number.
    pub(crate) faults: Vec<(Fault, u64)>,
    /// Faults of writes, by number; every part of an upload, and its end, is one.
    pub(crate) write_faults: Vec<(Fault, u64)>,
    /// Every write from this one on fails: the store, or the way to it, is gone.
    pub(crate) dies_at_write: Option<u64>,
    /// Every read fails with a chance of one in so many, drawn from the seed.
    pub(crate) one_in: Option<(u64, u64)>,
}

/// The script, and how far it is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    script: Script,
    reads: AtomicU64,
    writes: AtomicU64,
    aborted: AtomicU64,
    ranges: Mutex<Vec<Range<u64>>>,
}

impl Progress {
    /// The ranges read so far.
    pub(crate) fn ranges(&self) -> Vec<Range<u64>> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Uploads that were aborted.
    pub(crate) fn aborted(&self) -> u64 {
        self.aborted.load(Ordering::SeqCst)
    }

    fn next_read(&self) -> Option<Fault> {
        let number = self.reads.fetch_add(1, Ordering::SeqCst);
        let drawn = self.script.one_in.filter(|(seed, one_in)| mix(seed ^ number).is_multiple_of(*one_in));
        let scripted = self.script.faults.iter().find(|(_, at)| *at == number).map(|(fault, _)| *fault);
        scripted.or(drawn.map(|_| Fault::Unavailable))
    }

    fn next_write(&self) -> Option<Fault> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        let died = self.script.dies_at_write.filter(|at| number >= *at).map(|_| Fault::Unavailable);
        let scripted = self.script.write_faults.iter().find(|(_, at)| *at == number).map(|(fault, _)| *fault);
        died.or(scripted)
    }
}

/// Scrambles a number (the finaliser of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// An empty place in memory whose store follows `script`.
pub(crate) fn faulty(name: &str, script: Script) -> crate::Result<(Place, Arc<Progress>)> {
    let progress = Arc::new(Progress { script, ..Progress::default() });
    let store = Faulty { inner: InMemory::new(), progress: Arc::clone(&progress) };
    let bucket = Bucket::new(Scheme::Memory, name);
    Ok((Place::of_client(Client::new(Arc::new(store), &bucket, Arc::default())), progress))
}

#[derive(Debug)]
struct Faulty {
    inner: InMemory,
    progress: Arc<Progress>,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

/// What the connection makes of an answer that says to slow down.
fn busy() -> HttpError {
    let sent = Sent::new(&Method::GET, &Uri::from_static("http://faulty"));
    sent.refused(StatusCode::SERVICE_UNAVAILABLE, &HeaderMap::new(), b"<Error><Code>SlowDown</Code></Error>")
}

/// Waits or fails as `fault` says.
async fn suffer(fault: Option<Fault>, path: &Path) -> Result<()> {
    match fault {
        Some(Fault::Unavailable) => Err(Error::Generic { store: "faulty", source: busy().into() }),
        Some(Fault::Denied) => Err(Error::PermissionDenied { path: path.to_string(), source: "ExpiredToken".into() }),
        Some(Fault::Delay(time)) => {
            tokio::time::sleep(time).await;
            Ok(())
        }
        Some(Fault::CutBody) | None => Ok(()),
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        suffer(self.progress.next_write(), location).await?;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(FaultyUpload { inner, path: location.clone(), progress: Arc::clone(&self.progress) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let Some(GetRange::Bounded(range)) = options.range.clone() else {
            return self.inner.get_opts(location, options).await;
        };
        self.progress.ranges.lock().unwrap_or_else(PoisonError::into_inner).push(range);
        let fault = self.progress.next_read();
        suffer(fault, location).await?;
        let mut answer = self.inner.get_opts(location, options).await?;
        if fault == Some(Fault::CutBody) {
            let cut = || {
                let sent = Sent::new(&Method::GET, &Uri::from_static("http://faulty"));
                let error = HttpError::new(HttpErrorKind::Interrupted, std::io::Error::other("the body ended early"));
                Error::Generic { store: "faulty", source: sent.cut(error).into() }
            };
            let body = futures::stream::iter([Ok(Bytes::from_static(b"x")), Err(cut())]);
            answer.payload = GetResultPayload::Stream(body.boxed());
        }
        Ok(answer)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    path: Path,
    progress: Arc<Progress>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        let (fault, path, sent) = (self.progress.next_write(), self.path.clone(), self.inner.put_part(part));
        Box::pin(async move {
            suffer(fault, &path).await?;
            sent.await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        suffer(self.progress.next_write(), &self.path).await?;
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.progress.aborted.fetch_add(1, Ordering::SeqCst);
        self.inner.abort().await
    }
}
