//! The folder of one part in one format: what decides its bytes, which stretches are done, and the manifest.

use std::collections::BTreeSet;

use bytes::Bytes;
use headwater_record::TokensFile;
use headwater_record::tokens::{TokenSettings, TokenTally, UNREADABLE};
use headwater_store::{Created, Place};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::formats::mds_index;
use crate::stretch::Stretch;
use crate::{Error, Result, TokenFormat};

/// The manifest of a part in one format, relative to its folder.
pub const MANIFEST_FILE: &str = "tokens.json";

/// What decides the bytes, relative to the folder.
const SETTINGS: &str = "settings.json";

/// One record for each stretch that is done, relative to the folder.
const DONE: &str = "done";

/// The index that readers of mosaic shards begin with.
const MDS_INDEX: &str = "index.json";

/// The folder of one part in one format.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) format: TokenFormat,
    pub(crate) place: Place,
    pub(crate) settings: TokenSettings,
    /// Names of the stretches that were done when the folder was opened.
    done: BTreeSet<String>,
}

impl Folder {
    /// Begins the folder, or compares with what began it.
    pub(crate) fn open(place: Place, format: TokenFormat, settings: TokenSettings) -> Result<Self> {
        if place.create(SETTINGS, &encode(&place, SETTINGS, &settings)?)? == Created::AlreadyThere {
            let there: TokenSettings = decode(&place, SETTINGS)?;
            let differences = there.differences(&settings);
            if !differences.is_empty() {
                return Err(Error::OtherSettings { folder: place.to_string(), differences });
            }
        }
        let done = done(&place)?;
        Ok(Self { format, place, settings, done })
    }

    /// Whether the files of a stretch were there when the folder was opened.
    pub(crate) fn has(&self, stretch: &Stretch<'_>) -> bool {
        self.done.contains(&stretch.name)
    }

    /// Notes that the files of a stretch are there.
    pub(crate) fn note(&self, stretch: &Stretch<'_>, tally: &TokenTally) -> Result<()> {
        write(&self.place, &record(&stretch.name), tally)
    }

    /// Writes the manifest if all `stretches` are done, by this or other machines.
    pub(crate) fn complete(&self, part: &str, stretches: &[Stretch<'_>]) -> Result<Completion> {
        let done = done(&self.place)?;
        let missing = stretches.iter().filter(|stretch| !done.contains(&stretch.name)).count();
        if missing > 0 {
            return Ok(Completion::Lacks { stretches: missing });
        }
        let mut tally = TokenTally::default();
        for stretch in stretches {
            tally.add(decode(&self.place, &record(&stretch.name))?);
        }
        if self.format == TokenFormat::Mds {
            write(&self.place, MDS_INDEX, &mds_index(&tally.files))?;
        }
        let unreadable = tally.skipped.get(UNREADABLE).copied().unwrap_or_default();
        let format = self.format.name().to_owned();
        let manifest = TokensFile { format, part: part.to_owned(), settings: self.settings.clone(), tally };
        write(&self.place, MANIFEST_FILE, &manifest)?;
        let documents_with_eos = manifest.tally.documents_with_eos;
        Ok(Completion::Done { documents_with_eos, unreadable })
    }
}

/// Whether a folder has all its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completion {
    /// It has, and its manifest is written.
    Done {
        /// Documents whose text spells the token that ends documents.
        documents_with_eos: u64,
        /// Rows that could not be read.
        unreadable: u64,
    },
    /// Other machines are still to write some.
    Lacks {
        /// How many.
        stretches: usize,
    },
}

/// The record of a stretch, relative to the folder.
fn record(stretch: &str) -> String {
    format!("{DONE}/{stretch}.json")
}

/// Names of the stretches with a record.
fn done(place: &Place) -> Result<BTreeSet<String>> {
    let entries = place.list(DONE)?;
    let name = |path: &str| Some(path.strip_prefix(DONE)?.strip_prefix('/')?.strip_suffix(".json")?.to_owned());
    Ok(entries.iter().filter_map(|entry| name(&entry.path)).collect())
}

fn decode<T: DeserializeOwned>(place: &Place, path: &str) -> Result<T> {
    let json = place.read(path)?;
    serde_json::from_slice(&json)
        .map_err(|error| Error::Damaged { path: place.describe(path), reason: error.to_string() })
}

/// Writes `value` for the file at `path` as JSON.
fn encode(place: &Place, path: &str, value: &impl Serialize) -> Result<Bytes> {
    let json = headwater_record::json::encode(value);
    Ok(json.map_err(|source| Error::Encode { path: place.describe(path), source })?.into())
}

/// Writes `value` as JSON to the file at `path`.
fn write(place: &Place, path: &str, value: &impl Serialize) -> Result<()> {
    Ok(place.write(path, encode(place, path, value)?)?)
}
