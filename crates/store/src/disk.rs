//! Files on local disks: whole or absent, whatever happens to the process.
//!
//! A file is written under a hidden temporary name in its own folder, flushed to the device, renamed, and the folder flushed.

use std::ffi::OsStr;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fs_err as fs;
use tempfile::NamedTempFile;

use crate::entry::{Created, Entry};
use crate::{Error, Result};

/// Every temporary file's name holds this after a leading dot.
const TEMPORARY: &str = ".tmp-";

/// What the disk calls this version of a file.
fn etag(metadata: &std::fs::Metadata) -> String {
    format!("{:x}-{:x}.{:09}-{:x}", metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len())
}

/// The entry of a file at the relative `path`.
fn described(metadata: &std::fs::Metadata, path: String) -> Entry {
    Entry { path, bytes: metadata.len(), etag: Some(etag(metadata)), modified: metadata.modified().ok() }
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Bytes> {
    fs::read(path).map(Bytes::from).map_err(|error| Error::reading(path.display().to_string(), error))
}

/// Reads a range of the file that `etag` was taken from.
///
/// # Errors
/// [`Error::Changed`] if it is another file, or another version, by now.
pub(crate) fn read_range(path: &Path, range: Range<u64>, expected: Option<&str>) -> Result<Bytes> {
    let shown = || path.display().to_string();
    let unchanged = |file: &fs::File| match file.metadata() {
        Ok(metadata) if expected.is_none_or(|expected| expected == etag(&metadata)) => Ok(()),
        Ok(_) => Err(Error::Changed { path: shown() }),
        Err(error) => Err(Error::reading(shown(), error)),
    };
    let mut file = fs::File::open(path).map_err(|error| Error::reading(shown(), error))?;
    unchanged(&file)?;
    let length = usize::try_from(range.end - range.start)
        .map_err(|error| Error::reading(shown(), io::Error::new(io::ErrorKind::OutOfMemory, error)))?;
    let mut bytes = vec![0; length];
    let outcome = file.seek(SeekFrom::Start(range.start)).and_then(|_| file.read_exact(&mut bytes));
    // A file that was cut short under us is a changed file before it is a failed read.
    unchanged(&file)?;
    outcome.map_err(|error| Error::reading(shown(), error))?;
    Ok(Bytes::from(bytes))
}

/// Removes the file `relative` of `folder`, which need not exist, and the folders inside `folder` that it leaves empty.
pub(crate) fn remove(folder: &Path, relative: &str) -> Result<()> {
    let path = folder.join(relative);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::writing(folder.display().to_string(), path.display().to_string(), error));
        }
        _ => {}
    }
    // the first that is not empty ends it
    let above = path.ancestors().skip(1).take_while(|above| *above != folder);
    let _ = above.map(fs::remove_dir).find(std::result::Result::is_err);
    Ok(())
}

/// The absolute path without links, as far as it exists.
pub(crate) fn canonical(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let resolved = absolute.ancestors().find_map(|above| Some((above, fs::canonicalize(above).ok()?)));
    match resolved {
        // joined with nothing, a path would end in a slash
        Some((above, resolved)) if above == absolute => resolved,
        Some((above, resolved)) => absolute.strip_prefix(above).map_or(absolute.clone(), |rest| resolved.join(rest)),
        None => absolute,
    }
}

/// Describes one file.
pub(crate) fn entry(path: &Path, relative: &str) -> Result<Entry> {
    let metadata = fs::metadata(path).map_err(|error| Error::reading(path.display().to_string(), error))?;
    if metadata.is_dir() {
        let source = io::Error::new(io::ErrorKind::IsADirectory, "it is a folder");
        return Err(Error::NotFound { path: path.display().to_string(), source: source.into() });
    }
    Ok(described(&metadata, relative.to_owned()))
}

/// Lists the files below `folder`, whose path relative to the place is `relative`; links are followed.
pub(crate) fn list(folder: &Path, relative: &str) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => walk(folder, relative, &mut Vec::new(), &mut found)?,
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::reading(folder.display().to_string(), error)),
    }
    found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Collects the files below `folder`; `above` holds the identities of the folders on the way down, so that a link to one of
/// them ends the descent.
fn walk(folder: &Path, relative: &str, above: &mut Vec<(u64, u64)>, found: &mut Vec<Entry>) -> Result<()> {
    let failed = |error| Error::reading(folder.display().to_string(), error);
    let metadata = fs::metadata(folder).map_err(failed)?;
    let identity = (metadata.dev(), metadata.ino());
    if above.contains(&identity) {
        return Ok(());
    }
    above.push(identity);
    for item in fs::read_dir(folder).map_err(failed)? {
        let item = item.map_err(failed)?;
        let name = item.file_name();
        let Some(name) = name.to_str() else {
            tracing::warn!(path = %item.path().display(), "file name is not UTF-8, left out");
            continue;
        };
        let path = if relative.is_empty() { name.to_owned() } else { format!("{relative}/{name}") };
        match fs::metadata(item.path()) {
            Ok(metadata) if metadata.is_dir() => walk(&item.path(), &path, above, found)?,
            Ok(_) if name.starts_with('.') && name.contains(TEMPORARY) => {}
            Ok(metadata) => found.push(described(&metadata, path)),
            // A file that was removed while we looked, or a dangling link.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::reading(item.path().display().to_string(), error)),
        }
    }
    above.pop();
    Ok(())
}

/// A file in the making, invisible until [`Draft::publish`] or [`Draft::publish_new`]; dropped, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Draft {
    file: NamedTempFile,
    folder: PathBuf,
    path: PathBuf,
}

impl Draft {
    /// Begins the file `path`, making its folder if needed.
    pub(crate) fn begin(path: &Path) -> Result<Self> {
        let folder = match path.parent() {
            Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
            Some(folder) => folder,
            None => {
                let reason = "it names no file".to_owned();
                return Err(Error::InvalidLocation { location: path.display().to_string(), reason });
            }
        };
        let failed = |error| Error::writing(folder.display().to_string(), path.display().to_string(), error);
        make_folder(folder).map_err(failed)?;
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let file = tempfile::Builder::new()
            .prefix(&format!(".{name}{TEMPORARY}"))
            .permissions(std::fs::Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(failed)?;
        Ok(Self { file, folder: folder.to_owned(), path: path.to_owned() })
    }

    /// Makes the file appear under its name, replacing what was there.
    pub(crate) fn publish(self) -> Result<()> {
        let Self { file, folder, path } = self;
        let failed = |error| Error::writing(folder.display().to_string(), path.display().to_string(), error);
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        flush_folder(&folder).map_err(failed)
    }

    /// Makes the file appear under its name unless a file of that name exists.
    pub(crate) fn publish_new(self) -> Result<Created> {
        let Self { file, folder, path } = self;
        let failed = |error| Error::writing(folder.display().to_string(), path.display().to_string(), error);
        file.as_file().sync_all().map_err(failed)?;
        match file.persist_noclobber(&path) {
            Ok(_) => flush_folder(&folder).map_err(failed).map(|()| Created::New),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(Created::AlreadyThere),
            Err(error) => Err(failed(error.error)),
        }
    }

    /// Turns a failed write into an error of this crate.
    pub(crate) fn failed(&self, error: io::Error) -> Error {
        Error::writing(self.folder.display().to_string(), self.path.display().to_string(), error)
    }
}

impl Write for Draft {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Waits until no other process holds the lock of `path`, and takes it; it is freed when the value is dropped, or its process
/// ends. The lock is a hidden file, which stays.
pub(crate) fn lock(path: &Path) -> Result<fs::File> {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let lock = path.with_file_name(format!(".{name}{TEMPORARY}lock"));
    let folder = path.parent().unwrap_or(Path::new("."));
    let failed = |error| Error::writing(folder.display().to_string(), lock.display().to_string(), error);
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&lock).map_err(failed)?;
    match file.file().lock() {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            tracing::warn!(path = %path.display(), "this file system has no locks; start workers that change a run one after another");
            Ok(file)
        }
        outcome => outcome.map(|()| file).map_err(failed),
    }
}

/// Makes `folder` and the folders above it that are missing, and flushes each one's entry.
fn make_folder(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.is_dir()).collect();
    fs::create_dir_all(folder)?;
    for made in missing {
        if let Some(above) = made.parent() {
            flush_folder(if above.as_os_str().is_empty() { Path::new(".") } else { above })?;
        }
    }
    Ok(())
}

/// Flushes the names in `folder` to the device; file systems that cannot are taken at their word.
fn flush_folder(folder: &Path) -> io::Result<()> {
    match fs::File::open(folder)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        outcome => outcome,
    }
}
