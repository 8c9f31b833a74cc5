//! A file that is written again and again.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Memory that looks like a folder.
const IN_MEMORY: &str = "/dev/shm";

/// A file in a folder of its own, in memory where there is such a thing.
pub(crate) struct Scratch {
    path: PathBuf,
    _folder: TempDir,
}

impl Scratch {
    /// A file named `name`.
    pub(crate) fn new(name: &str) -> Self {
        let folder = tempfile::tempdir_in(IN_MEMORY).or_else(|_| tempfile::tempdir()).expect("a folder can be made");
        Self { path: folder.path().join(name), _folder: folder }
    }

    /// The file's path, once it holds `bytes`.
    pub(crate) fn holding(&mut self, bytes: &[u8]) -> &Path {
        fs_err::write(&self.path, bytes).expect("the file can be written");
        &self.path
    }
}
