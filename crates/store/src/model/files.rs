//! Weights, tokenizer and config on disk; copies that are hashed on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;
use headwater_record::ContentHash;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{ModelFiles, OnProgress};
use crate::disk::{self, Draft};
use crate::{Error, Result};

/// Name of the file that lists the shards of a model.
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// Name of the single weight file of a model.
pub(super) const SINGLE: &str = "model.safetensors";

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Where a fetched file goes.
pub(super) struct Wanted<'a> {
    /// Its final path.
    pub(super) target: &'a Path,
    /// SHA-256 that it must have, if known.
    pub(super) expected: Option<ContentHash>,
    /// Called with bytes newly fetched.
    pub(super) on_progress: OnProgress<'a>,
}

/// The files of a model before hashing.
#[derive(Debug)]
pub(super) struct Located {
    weights: Vec<PathBuf>,
    tokenizer: Option<PathBuf>,
    config: Option<PathBuf>,
}

/// The part of a shard index that is read.
#[derive(Deserialize)]
struct Index {
    /// Tensor → file name.
    weight_map: BTreeMap<String, String>,
}

/// Finds the files of the model at `path`, a weight file or a folder.
pub(super) fn locate(path: &Path) -> Result<Located> {
    let failed = |error| Error::reading(path.display().to_string(), error);
    if fs::metadata(path).map_err(failed)?.is_file() {
        if path.file_name().is_some_and(|name| is_pickled(&name.to_string_lossy())) {
            return Err(Error::PickledModel { path: path.display().to_string() });
        }
        if !is_weights(path) {
            let found = vec![path.display().to_string()];
            return Err(Error::NoSingleModel { path: path.display().to_string(), found });
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        return Ok(Located::beside(folder, vec![path.to_owned()]));
    }
    let index = path.join(INDEX);
    if index.is_file() {
        let bytes = disk::read(&index)?;
        let weights: Vec<PathBuf> =
            shard_names(&bytes, &index.display().to_string())?.iter().map(|name| path.join(name)).collect();
        if let Some(missing) = weights.iter().find(|shard| !shard.is_file()) {
            let needed_by = index.display().to_string();
            return Err(Error::MissingShard { path: missing.display().to_string(), needed_by });
        }
        return Ok(Located::beside(path, weights));
    }
    let mut names = Vec::new();
    for item in fs::read_dir(path).map_err(failed)? {
        names.extend(item.map_err(failed)?.file_name().into_string());
    }
    names.sort_unstable();
    let name = single_weights(&names, &path.display().to_string())?;
    Ok(Located::beside(path, vec![path.join(name)]))
}

impl Located {
    /// Weights together with the tokenizer and config of their folder; a GGUF file brings its own config, and a tokenizer for want of a better one.
    fn beside(folder: &Path, weights: Vec<PathBuf>) -> Self {
        let is_gguf = weights.iter().any(|path| path.extension().is_some_and(|extension| extension == "gguf"));
        let beside = |name| Some(folder.join(name)).filter(|path| path.is_file());
        Self { tokenizer: beside("tokenizer.json"), config: beside("config.json").filter(|_| !is_gguf), weights }
    }

    /// Whether nothing is missing beside the weights.
    pub(super) fn is_whole(&self) -> bool {
        let is_gguf = self.weights.iter().any(|path| path.extension().is_some_and(|extension| extension == "gguf"));
        is_gguf || (self.tokenizer.is_some() && self.config.is_some())
    }

    /// Hashes the weights.
    pub(super) fn hashed(self, name: &str) -> Result<ModelFiles> {
        let mut hasher = Sha256::new();
        for path in &self.weights {
            let failed = |error| Error::reading(path.display().to_string(), error);
            let mut file = fs::File::open(path).map_err(failed)?;
            copy(&mut file, |chunk| {
                hasher.update(chunk);
                Ok(())
            })
            .map_err(failed)?;
        }
        let weights_hash = ContentHash::from_digest(hasher.finalize().into());
        let Self { weights, tokenizer, config } = self;
        Ok(ModelFiles { name: name.to_owned(), weights, tokenizer, config, weights_hash })
    }
}

/// Whether `path` is named like weights.
pub(super) fn is_weights(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gguf" || extension == "safetensors")
}

/// Those of `names` that are named like weights.
pub(super) fn weights_among(names: &[String]) -> Vec<String> {
    names.iter().filter(|name| is_weights(Path::new(name))).cloned().collect()
}

/// Whether a file is named like weights that `torch.save` wrote.
fn is_pickled(name: &str) -> bool {
    let stem = name.strip_suffix(".bin").or_else(|| name.strip_suffix(".bin.index.json"));
    stem.is_some_and(|stem| stem.starts_with("pytorch_model")) || name.ends_with(".pth") || name.ends_with(".pt")
}

/// Picks the weights among `names`: `model.safetensors`, else the only file named like weights.
pub(super) fn single_weights<'a>(names: &'a [String], path: &str) -> Result<&'a str> {
    let found: Vec<&str> = names.iter().map(String::as_str).filter(|name| is_weights(Path::new(name))).collect();
    match found.as_slice() {
        [only] => Ok(only),
        several if several.contains(&SINGLE) => Ok(SINGLE),
        [] if names.iter().any(|name| is_pickled(name)) => Err(Error::PickledModel { path: path.to_owned() }),
        _ => {
            let found = found.iter().map(|name| (*name).to_owned()).collect();
            Err(Error::NoSingleModel { path: path.to_owned(), found })
        }
    }
}

/// The shards that an index names, sorted.
pub(super) fn shard_names(index: &[u8], shown: &str) -> Result<Vec<String>> {
    let wrong = |source| Error::Manifest { path: shown.to_owned(), source };
    let index: Index = serde_json::from_slice(index).map_err(|error| wrong(error.into()))?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    match names.iter().find(|name| name.contains(['/', '\\']) || !is_weights(Path::new(name))) {
        Some(odd) => Err(wrong(format!("`{odd}` is not the name of a weight file").into())),
        None if names.is_empty() => Err(wrong("it names no file".into())),
        None => Ok(names.into_iter().collect()),
    }
}

/// Copies `reader` to the wanted path, which appears whole and only with the expected hash. `source` names the reader.
pub(super) fn store(reader: &mut dyn Read, source: &str, wanted: &Wanted<'_>) -> Result<()> {
    let mut draft = Draft::begin(wanted.target)?;
    let mut hasher = Sha256::new();
    let mut write_failure = None;
    let copied = copy(reader, |chunk| {
        hasher.update(chunk);
        (wanted.on_progress)(chunk.len() as u64);
        draft.write_all(chunk).map_err(|error| {
            let kind = error.kind();
            write_failure = Some(error);
            kind.into()
        })
    });
    if let Some(error) = write_failure {
        return Err(draft.failed(error));
    }
    copied.map_err(|error| {
        error.downcast().unwrap_or_else(|error| Error::Io { path: source.to_owned(), source: error })
    })?;
    let got = ContentHash::from_digest(hasher.finalize().into());
    match wanted.expected {
        Some(expected) if expected != got => Err(Error::WrongHash { path: source.to_owned(), expected, got }),
        _ => draft.publish(),
    }
}

/// Feeds all of `reader` to `sink`.
fn copy(reader: &mut dyn Read, mut sink: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(length) => sink(&chunk[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Makes a folder in `parent` that vanishes unless it is adopted.
pub(super) fn temporary_folder(parent: &Path) -> Result<TempDir> {
    let failed = |error| Error::writing(parent.display().to_string(), parent.display().to_string(), error);
    fs::create_dir_all(parent).map_err(failed)?;
    tempfile::Builder::new().prefix(".fetch.tmp-").tempdir_in(parent).map_err(failed)
}

/// Gives a filled temporary folder its final name; a folder that another process put there first is kept.
pub(super) fn adopt_folder(partial: TempDir, target: &Path) -> Result<()> {
    match fs::rename(partial.path(), target) {
        Ok(()) => {
            // Renamed away: nothing is left to remove.
            drop(partial.keep());
            Ok(())
        }
        Err(_) if target.is_dir() => Ok(()),
        Err(error) => Err(Error::writing(target.display().to_string(), target.display().to_string(), error)),
    }
}
