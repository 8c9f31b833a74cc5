//! One file of a recipe, as bytes.

use headwater_record::json;
use serde::Serialize;

use crate::comment::commented;
use crate::{Error, Result};

/// One file of a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipeFile {
    /// Path relative to the run's output, such as `recipe/hf/mixture.json`.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl RecipeFile {
    pub(crate) fn new(path: impl Into<String>, text: String) -> Self {
        Self { path: path.into(), bytes: text.into_bytes() }
    }

    /// A file of indented JSON.
    pub(crate) fn json(path: &'static str, value: &impl Serialize) -> Result<Self> {
        let bytes = json::encode(value).map_err(|source| Error::Json { path, source })?;
        Ok(Self { path: path.to_owned(), bytes })
    }

    /// A file of TOML under lines of comment.
    pub(crate) fn toml(path: &'static str, comment: &[String], value: &impl Serialize) -> Result<Self> {
        Ok(Self::new(path, commented(comment) + "\n" + &toml(path, value)?))
    }

    /// A file of YAML under lines of comment.
    pub(crate) fn yaml(path: &'static str, comment: &[String], value: &impl Serialize) -> Result<Self> {
        Ok(Self::new(path, commented(comment) + &yaml(path, value)?))
    }
}

/// YAML that a reader of YAML 1.1 reads alike; `path` is for messages.
pub(crate) fn yaml(path: &'static str, value: &impl Serialize) -> Result<String> {
    serde_saphyr::to_string(value).map_err(|source| Error::Yaml { path, source })
}

/// TOML; `path` is for messages.
pub(crate) fn toml(path: &'static str, value: &impl Serialize) -> Result<String> {
    toml::to_string(value).map_err(|source| Error::Toml { path, source })
}
