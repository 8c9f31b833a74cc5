//! Artefacts in JSON: read with an error that names the file, written indented with a final newline.

use bytes::Bytes;
use headwater_store::Created;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result, RunFolder};

impl RunFolder {
    /// Reads the artefact in JSON at `path`, relative to the run; `None` if it is not there.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it cannot be understood; what the store says.
    pub fn read_json<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        self.place().read_if_exists(path)?.map(|json| decode(path, &json)).transpose()
    }

    /// Writes an artefact as indented JSON to `path`, relative to the run.
    ///
    /// # Errors
    /// [`Error::Json`] if it has no JSON form; what the store says.
    pub fn write_json(&self, path: &str, artefact: &impl Serialize) -> Result<()> {
        Ok(self.place().write(path, encode(path, artefact)?)?)
    }

    /// The same unless there is a file of that name.
    pub(crate) fn create_json(&self, path: &str, artefact: &impl Serialize) -> Result<Created> {
        Ok(self.place().create(path, &encode(path, artefact)?)?)
    }
}

/// Understands the artefact at `path`.
pub(crate) fn decode<T: DeserializeOwned>(path: &str, json: &[u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| Error::Damaged { path: path.to_owned(), reason: error.to_string() })
}

/// Encodes the artefact at `path`.
pub(crate) fn encode(path: &str, artefact: &impl Serialize) -> Result<Bytes> {
    let json = headwater_record::json::encode(artefact);
    Ok(json.map_err(|source| Error::Json { path: path.to_owned(), source })?.into())
}
