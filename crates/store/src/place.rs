//! Folders to read from and write to, on disk or in a store.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::disk::{self, Draft};
use crate::entry::{Created, Entry};
use crate::range::{Origin, RangeReader};
use crate::remote::{Client, FIRST_PAUSE, Version};
use crate::traffic::Counters;
use crate::writer::PlaceWriter;
use crate::{Error, Result};

/// The longest pause between two tries of an update; with those before it, about a minute.
const LAST_UPDATE_PAUSE: Duration = Duration::from_secs(10);

/// A folder on disk, a prefix in an object store, or a web server's folder; [`Stores::open`](crate::Stores::open) gives it.
///
/// Paths given to its methods are relative, with `/` between their parts; `..` is refused. Cloning is cheap. All methods block
/// the calling thread and none needs an async runtime.
#[derive(Clone, Debug)]
pub struct Place {
    shown: String,
    root: Root,
}

#[derive(Clone, Debug)]
pub(crate) enum Root {
    Disk { path: PathBuf, counters: Arc<Counters> },
    Remote { client: Client, prefix: String },
}

impl Place {
    pub(crate) const fn new(shown: String, root: Root) -> Self {
        Self { shown, root }
    }

    /// The whole of what `client` serves.
    #[cfg(test)]
    pub(crate) fn of_client(client: Client) -> Self {
        Self { shown: client.url(""), root: Root::Remote { client, prefix: String::new() } }
    }

    /// The folder `relative` inside this one.
    #[must_use]
    pub fn child(&self, relative: &str) -> Self {
        let relative = relative.trim_matches('/');
        let root = match &self.root {
            Root::Disk { path, counters } => Root::Disk { path: path.join(relative), counters: Arc::clone(counters) },
            Root::Remote { client, prefix } => Root::Remote { client: client.clone(), prefix: join(prefix, relative) },
        };
        Self { shown: self.describe(relative), root }
    }

    /// The path or URL of `relative`, for messages.
    #[must_use]
    pub fn describe(&self, relative: &str) -> String {
        match (relative, self.shown.as_str()) {
            ("", shown) => shown.to_owned(),
            (relative, "/") => format!("/{relative}"),
            (relative, shown) => format!("{shown}/{relative}"),
        }
    }

    /// The folder on disk, or `None` for a store.
    #[must_use]
    pub fn local_path(&self) -> Option<&std::path::Path> {
        match &self.root {
            Root::Disk { path, .. } => Some(path),
            Root::Remote { .. } => None,
        }
    }

    /// Whether what lies here can be listed; a web server's files cannot.
    #[must_use]
    pub fn can_list(&self) -> bool {
        match &self.root {
            Root::Disk { .. } => true,
            Root::Remote { client, .. } => client.can_list(),
        }
    }

    /// The one name of the place, by which it is compared with others: on disk an absolute path without links, as far as it exists.
    #[must_use]
    pub fn canonical(&self) -> String {
        match &self.root {
            Root::Disk { path, .. } => disk::canonical(path).display().to_string(),
            Root::Remote { .. } => self.shown.clone(),
        }
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it does not exist; any failure of the disk or store.
    pub fn read(&self, relative: &str) -> Result<Bytes> {
        match &self.root {
            Root::Disk { path: folder, .. } => disk::read(&folder.join(self.checked(relative)?)),
            Root::Remote { client, prefix } => client.read(&join(prefix, self.checked(relative)?)),
        }
    }

    /// Reads a whole file, or `None` if it does not exist.
    ///
    /// # Errors
    /// Any failure of the disk or store.
    pub fn read_if_exists(&self, relative: &str) -> Result<Option<Bytes>> {
        match self.read(relative) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a whole file, replacing what was there: readers see the old file or the new one, never a part.
    ///
    /// # Errors
    /// [`Error::NotWritable`], [`Error::DiskFull`], or any failure of the disk or store.
    pub fn write(&self, relative: &str, bytes: Bytes) -> Result<()> {
        match &self.root {
            Root::Disk { path: folder, .. } => drafted(&folder.join(self.checked(relative)?), &bytes)?.publish(),
            Root::Remote { client, prefix } => client.write(&join(prefix, self.checked(relative)?), bytes),
        }
    }

    /// Writes a whole file unless one of that name exists; of several writers at once, exactly one finds it new.
    ///
    /// A store may answer [`Created::AlreadyThere`] to the writer whose own first try went through but whose answer was lost,
    /// so whoever is told so reads and compares.
    ///
    /// # Errors
    /// As [`Place::write`].
    pub fn create(&self, relative: &str, bytes: &Bytes) -> Result<Created> {
        match &self.root {
            Root::Disk { path: folder, .. } => drafted(&folder.join(self.checked(relative)?), bytes)?.publish_new(),
            Root::Remote { client, prefix } => client.create(&join(prefix, self.checked(relative)?), bytes),
        }
    }

    /// Replaces a file by what `change` makes of it; nothing is written if that is `None`.
    ///
    /// Of several callers at once each sees what the others wrote: on a store by conditional writes, on disk by a lock file
    /// beside it. So `change` may be called more than once.
    ///
    /// # Errors
    /// Those of `change`; [`Error::NotFound`] if there is no file; as [`Place::write`].
    pub fn update<E: From<Error>>(
        &self,
        relative: &str,
        mut change: impl FnMut(Bytes) -> Result<Option<Bytes>, E>,
    ) -> Result<(), E> {
        let relative = self.checked(relative)?;
        match &self.root {
            Root::Disk { path: folder, .. } => {
                let path = folder.join(relative);
                if change(disk::read(&path)?)?.is_none() {
                    return Ok(());
                }
                let _lock = disk::lock(&path)?;
                match change(disk::read(&path)?)? {
                    Some(bytes) => Ok(drafted(&path, &bytes)?.publish()?),
                    None => Ok(()),
                }
            }
            Root::Remote { client, prefix } => {
                let key = join(prefix, relative);
                let mut pause = FIRST_PAUSE;
                loop {
                    let (bytes, version) = client.read_version(&key)?;
                    let Some(bytes) = change(bytes)? else { return Ok(()) };
                    match client.replace(&key, bytes, version) {
                        // somebody was faster: their version is read and changed
                        Err(Error::Changed { .. }) if pause <= LAST_UPDATE_PAUSE => std::thread::sleep(pause),
                        Err(Error::Changed { path }) => {
                            let source = "others changed it again and again, or the store does not keep ETags".into();
                            return Err(Error::Unavailable { path, source }.into());
                        }
                        outcome => return Ok(outcome?),
                    }
                    // two that wait equally long would meet again
                    pause = pause.mul_f64(1.2) + Duration::from_millis(u64::from(std::process::id() % 50));
                }
            }
        }
    }

    /// Lists the files in the folder `relative_prefix` (empty for all) and below, sorted by path; empty if there are none.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] for web servers; any failure of the disk or store.
    pub fn list(&self, relative_prefix: &str) -> Result<Vec<Entry>> {
        let relative = match relative_prefix.trim_end_matches('/') {
            "" => "",
            relative => self.checked(relative)?,
        };
        match &self.root {
            Root::Disk { path: folder, .. } => disk::list(&folder.join(relative), relative),
            Root::Remote { client, prefix } => client.list(prefix, &join(prefix, relative)),
        }
    }

    /// Describes one file.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it does not exist or is a folder.
    pub fn entry(&self, relative: &str) -> Result<Entry> {
        match &self.root {
            Root::Disk { path: folder, .. } => disk::entry(&folder.join(self.checked(relative)?), relative),
            Root::Remote { client, prefix } => client.entry(&join(prefix, self.checked(relative)?), relative),
        }
    }

    /// Removes a file, which need not exist; on disk also the folders that it leaves empty.
    ///
    /// # Errors
    /// As [`Place::write`].
    pub fn remove(&self, relative: &str) -> Result<()> {
        let relative = self.checked(relative)?;
        match &self.root {
            Root::Disk { path: folder, .. } => disk::remove(folder, relative),
            Root::Remote { client, prefix } => client.remove(&join(prefix, relative)),
        }
    }

    /// Begins a file that appears whole with [`PlaceWriter::finish`].
    ///
    /// # Errors
    /// As [`Place::write`].
    pub fn writer(&self, relative: &str) -> Result<PlaceWriter> {
        match &self.root {
            Root::Disk { path: folder, .. } => {
                Ok(PlaceWriter::to_disk(Draft::begin(&folder.join(self.checked(relative)?))?))
            }
            Root::Remote { client, prefix } => PlaceWriter::to_store(client, &join(prefix, self.checked(relative)?)),
        }
    }

    /// Checks, before long work, that its results can be written here: on disk by beginning a file and dropping it, in a store by
    /// a listing, which tells of a missing bucket and of wrong credentials.
    ///
    /// # Errors
    /// As [`Place::write`] and [`Place::list`]. That a store's credentials do not allow writing shows only when something is written.
    pub fn ensure_writable(&self) -> Result<()> {
        const ANY_FILE: &str = "run.json";
        match &self.root {
            Root::Disk { .. } => self.writer(ANY_FILE).map(drop),
            // there is nothing below a file, so the answer is short
            Root::Remote { .. } => self.list(ANY_FILE).map(drop),
        }
    }

    /// Reads ranges of a listed file, as long as it is the version that was listed.
    ///
    /// # Errors
    /// [`Error::InvalidLocation`] if the entry's path leaves the place.
    pub fn reader(&self, entry: &Entry) -> Result<RangeReader> {
        let path = self.checked(&entry.path)?;
        let version = Version { bytes: entry.bytes, etag: entry.etag.clone() };
        let origin = match &self.root {
            Root::Disk { path: folder, counters } => {
                Origin::Disk { path: folder.join(path), version, counters: Arc::clone(counters) }
            }
            Root::Remote { client, prefix } => {
                Origin::Remote { client: client.clone(), key: join(prefix, path), version }
            }
        };
        Ok(RangeReader::new(origin, &self.describe(path)))
    }

    /// Refuses paths that would leave the place or name nothing.
    fn checked<'a>(&self, relative: &'a str) -> Result<&'a str> {
        let reason = if relative.is_empty() {
            "it names no file"
        } else if relative.split('/').any(|part| matches!(part, "" | "." | "..")) {
            "a path inside a place has no empty, `.` or `..` parts"
        } else {
            return Ok(relative);
        };
        Err(Error::InvalidLocation { location: self.describe(relative), reason: reason.to_owned() })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Joins two keys, either of which may be empty.
fn join(prefix: &str, relative: &str) -> String {
    match (prefix, relative) {
        ("", only) | (only, "") => only.to_owned(),
        (prefix, relative) => format!("{prefix}/{relative}"),
    }
}

/// A draft that holds `bytes`.
fn drafted(path: &std::path::Path, bytes: &[u8]) -> Result<Draft> {
    let mut draft = Draft::begin(path)?;
    match io::Write::write_all(&mut draft, bytes) {
        Ok(()) => Ok(draft),
        Err(error) => Err(draft.failed(error)),
    }
}

#[cfg(test)]
mod tests;
