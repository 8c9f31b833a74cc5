//! The files of a model.

use std::path::{Path, PathBuf};

use headwater_kernels::FileMap;
use headwater_record::ContentHash;

use crate::Error;

/// Where a model's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelPaths {
    /// One GGUF file, or the safetensors files in the order of their index.
    pub weights: Vec<PathBuf>,
    /// `config.json`; needed for safetensors.
    pub config: Option<PathBuf>,
    /// `tokenizer.json`; needed for safetensors, overrides the one inside a GGUF.
    pub tokenizer: Option<PathBuf>,
    /// SHA-256 of the weights.
    pub weights_hash: ContentHash,
}

impl ModelPaths {
    /// Returns the first weight file, if it is a GGUF.
    pub(crate) fn gguf(&self) -> Option<&Path> {
        let first = self.weights.first()?;
        first.extension().is_some_and(|extension| extension == "gguf").then_some(first)
    }

    /// Makes the error for weights that need a file named `name` beside them.
    pub(crate) fn lacks(&self, name: &str) -> Error {
        let path = self.weights.first().cloned().unwrap_or_default();
        Error::MissingKey { path, key: format!("{name} beside it") }
    }
}

/// What a Git LFS pointer begins with.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Maps a file.
///
/// # Errors
/// [`Error::Map`] if it cannot be mapped, [`Error::Pointer`] if it is a Git LFS pointer.
pub(crate) fn open(path: &Path) -> Result<FileMap, Error> {
    let map = FileMap::open(path)?;
    if map.starts_with(POINTER) { Err(Error::Pointer { path: path.to_owned() }) } else { Ok(map) }
}

/// Reads a whole file.
///
/// # Errors
/// As [`open`].
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    Ok(open(path)?.to_vec())
}
