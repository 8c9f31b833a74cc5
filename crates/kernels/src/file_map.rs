//! A read-only memory map of a file, so that weights are paged in as they are converted, not copied first.

use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// A file that could not be mapped.
#[derive(Debug, thiserror::Error)]
#[error("cannot map {path} into memory")]
pub struct MapError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// The bytes of a file, mapped read-only.
///
/// Derefs to `[u8]`. Weight files live in a cache that is only ever added to: nothing in Headwater writes to a file
/// once it is there under its final name.
#[derive(Debug)]
pub struct FileMap(memmap2::Mmap);

impl FileMap {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// [`MapError`] if the file cannot be opened or mapped.
    pub fn open(path: &Path) -> Result<Self, MapError> {
        let wrong = |source| MapError { path: path.to_owned(), source };
        let file = fs_err::File::open(path).map_err(wrong)?;
        // SAFETY: the map is private and read-only, and outlives every slice of it. The one way
        // to break it is another process truncating or rewriting the file in place while it is mapped; that would change
        // weights under any reader, and the documentation of the model cache forbids it.
        let map = unsafe { memmap2::Mmap::map(file.file()) }.map_err(wrong)?;
        Ok(Self(map))
    }
}

impl Deref for FileMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_holds_the_file() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("weights");
        fs_err::write(&path, b"abc")?;
        assert_eq!(&*FileMap::open(&path)?, b"abc");
        Ok(())
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = FileMap::open(Path::new("/nonexistent/weights")).expect_err("there is no such file");
        assert!(error.to_string().contains("/nonexistent/weights"));
    }
}
