//! Object stores and web servers, through one client per bucket.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion};

use crate::entry::{Created, Entry};
use crate::location::Bucket;
use crate::runtime::wait;
use crate::traffic::Counters;
use crate::wire::WireFailure;
use crate::{Error, Result};

/// Pauses between tries of what `object_store` does not repeat: the first, doubled each time, and the last.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(100);
pub(crate) const LAST_PAUSE: Duration = Duration::from_secs(5);

/// The client of one bucket.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    store: Arc<dyn ObjectStore>,
    bucket: Arc<Bucket>,
    counters: Arc<Counters>,
}

impl Client {
    /// The client of a store that is connected already.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, bucket: &Bucket, counters: Arc<Counters>) -> Self {
        Self { store, bucket: Arc::new(bucket.clone()), counters }
    }

    /// Counts what is read through this client.
    pub(crate) const fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// The store itself, for writers.
    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    /// The URL of `key`.
    pub(crate) fn url(&self, key: &str) -> String {
        if key.is_empty() { self.bucket.to_string() } else { format!("{}/{key}", self.bucket) }
    }

    /// Whether keys can be listed.
    pub(crate) fn can_list(&self) -> bool {
        !self.bucket.scheme.is_web()
    }

    /// Refuses what a web server cannot do.
    pub(crate) fn check_full_store(&self, key: &str, operation: &'static str) -> Result<()> {
        if self.bucket.scheme.is_read_only() {
            return Err(Error::ReadOnly { path: self.url(key), operation });
        }
        Ok(())
    }

    /// `key` as the store's client wants it.
    pub(crate) fn path(&self, key: &str) -> Result<Path> {
        Path::parse(key).map_err(|error| Error::InvalidLocation { location: self.url(key), reason: error.to_string() })
    }

    /// Reads a whole object.
    pub(crate) fn read(&self, key: &str) -> Result<Bytes> {
        let (store, path) = (self.store(), self.path(key)?);
        let outcome = wait(async move { store.get(&path).await?.bytes().await })?;
        outcome.map_err(|error| Error::store(self.url(key), error))
    }

    /// Reads a whole object, and what names this version of it.
    pub(crate) fn read_version(&self, key: &str) -> Result<(Bytes, UpdateVersion)> {
        let (store, path) = (self.store(), self.path(key)?);
        let read = async move {
            let answer = store.get(&path).await?;
            let version = UpdateVersion { e_tag: answer.meta.e_tag.clone(), version: answer.meta.version.clone() };
            Ok((answer.bytes().await?, version))
        };
        wait(read)?.map_err(|error| Error::store(self.url(key), error))
    }

    /// Replaces the version of an object that was read.
    ///
    /// # Errors
    /// [`Error::Changed`] if the object is another version by now.
    pub(crate) fn replace(&self, key: &str, bytes: Bytes, version: UpdateVersion) -> Result<()> {
        self.check_full_store(key, "writing")?;
        let (store, path) = (self.store(), self.path(key)?);
        let mode = PutMode::Update(version);
        let outcome = wait(async move { store.put_opts(&path, bytes.into(), mode.into()).await })?;
        outcome.map(drop).map_err(|error| Error::store(self.url(key), error))
    }

    /// Writes a whole object, replacing what was there.
    pub(crate) fn write(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.check_full_store(key, "writing")?;
        let (store, path) = (self.store(), self.path(key)?);
        let outcome = wait(async move { store.put(&path, bytes.into()).await })?;
        outcome.map(drop).map_err(|error| Error::store(self.url(key), error))
    }

    /// Removes an object, which need not exist.
    pub(crate) fn remove(&self, key: &str) -> Result<()> {
        self.check_full_store(key, "deleting")?;
        let (store, path) = (self.store(), self.path(key)?);
        match wait(async move { store.delete(&path).await })? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Error::store(self.url(key), error)),
        }
    }

    /// Writes a whole object unless there is one.
    pub(crate) fn create(&self, key: &str, bytes: &Bytes) -> Result<Created> {
        self.check_full_store(key, "writing")?;
        let mut pause = FIRST_PAUSE;
        loop {
            let (store, path, bytes) = (self.store(), self.path(key)?, bytes.clone());
            match wait(async move { store.put_opts(&path, bytes.into(), PutMode::Create.into()).await })? {
                Ok(_) => return Ok(Created::New),
                // also what a store says while somebody else's put of the object is still under way
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {}
                Err(error) => return Err(Error::store(self.url(key), error)),
            }
            match self.entry(key, key) {
                Err(error) if error.is_not_found() && pause <= LAST_PAUSE => std::thread::sleep(pause),
                outcome => return outcome.map(|_| Created::AlreadyThere),
            }
            pause *= 2;
        }
    }

    /// Describes one object; `relative` is its path relative to the place.
    pub(crate) fn entry(&self, key: &str, relative: &str) -> Result<Entry> {
        let (store, path) = (self.store(), self.path(key)?);
        let meta = wait(async move { store.head(&path).await })?.map_err(|error| Error::store(self.url(key), error))?;
        Ok(described(meta, relative.to_owned()))
    }

    /// Lists the objects below `key`, with paths relative to `root`.
    pub(crate) fn list(&self, root: &str, key: &str) -> Result<Vec<Entry>> {
        if !self.can_list() {
            return Err(Error::ReadOnly { path: self.url(key), operation: "listing" });
        }
        let listed = self.list_whole(key)?;
        let relative = |path: &str| {
            let below = path.strip_prefix(root)?;
            if root.is_empty() { Some(below.to_owned()) } else { below.strip_prefix('/').map(str::to_owned) }
        };
        let mut entries: Vec<Entry> = listed
            .into_iter()
            .filter_map(|meta| {
                let path = relative(meta.location.as_ref())?;
                Some(described(meta, path))
            })
            .collect();
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// Lists everything below `key`. `object_store` repeats requests that fail, but not a listing whose answer was cut; that is done
    /// here.
    fn list_whole(&self, key: &str) -> Result<Vec<ObjectMeta>> {
        let path = self.path(key)?;
        let mut pause = FIRST_PAUSE;
        loop {
            let (store, path) = (self.store(), path.clone());
            let listed = wait(async move { store.list(Some(&path)).try_collect::<Vec<_>>().await })?;
            match listed {
                Err(error) if WireFailure::of(&error).is_some_and(WireFailure::is_cut) && pause <= LAST_PAUSE => {}
                outcome => return outcome.map_err(|error| Error::store(self.url(key), error)),
            }
            std::thread::sleep(pause);
            pause *= 2;
        }
    }

    /// Reads a range of the object version that `expected` describes.
    ///
    /// # Errors
    /// [`Error::Changed`] if the object is another version by now.
    pub(crate) async fn read_range(&self, key: &str, range: Range<u64>, expected: &Version) -> Result<Bytes> {
        let failed = |error| Error::store(self.url(key), error);
        let path = self.path(key)?;
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            // a weak tag never matches in an If-Match; it is compared with the answer's below
            if_match: expected.etag.as_deref().filter(|etag| !etag.starts_with("W/")).map(quoted),
            ..GetOptions::default()
        };
        let answer = self.store.get_opts(&path, options).await.map_err(failed)?;
        let tags = expected.etag.as_deref().zip(answer.meta.e_tag.as_deref());
        let other_tag = tags.is_some_and(|(expected, got)| quoted(expected) != quoted(got));
        if other_tag || answer.meta.size != expected.bytes || answer.range != range {
            return Err(Error::Changed { path: self.url(key) });
        }
        let bytes = answer.bytes().await.map_err(failed)?;
        if bytes.len() as u64 == range.end - range.start {
            return Ok(bytes);
        }
        let source = format!("{} bytes came where {} were announced", bytes.len(), range.end - range.start).into();
        Err(Error::Unavailable { path: self.url(key), source })
    }
}

/// An entity tag as headers write it: Azure's listings leave the quotes out.
fn quoted(etag: &str) -> String {
    if etag.ends_with('"') { etag.to_owned() } else { format!("\"{etag}\"") }
}

/// The entry of an object at the relative `path`.
fn described(meta: ObjectMeta, path: String) -> Entry {
    Entry { path, bytes: meta.size, etag: meta.e_tag, modified: Some(meta.last_modified.into()) }
}

/// What a listing said about an object, to recognise it by.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// Size of the object.
    pub(crate) bytes: u64,
    /// The store's name for the version.
    pub(crate) etag: Option<String>,
}
