//! The `[[corpus]]` table and what planning needs from `[run]`.

use std::collections::BTreeSet;

use headwater_record::ByteCount;
use headwater_store::Place;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

pub(crate) const DEFAULT_ID: &str = "id";
pub(crate) const DEFAULT_DOMAIN: &str = "domain";

/// One `[[corpus]]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Name of the source, a folder name in the results: letters, digits, `_`, `-` and `.`.
    pub name: String,
    /// Files, folders, patterns (`*`, `**`, `?`, `[]`, `{}`) and URLs. Of a folder all Parquet files are read, at any depth, or else all
    /// JSON Lines. What begins with `_` or `.` is left out.
    pub paths: Vec<String>,
    /// Column with the text. Dots reach into structs, as in `content.text`.
    #[serde(default = "default_text")]
    pub text: String,
    /// Column with the id of a document, shown in reports. The default is used only if it exists; `""` for none.
    #[serde(default = "default_id")]
    pub id: String,
    /// Column with the domain: documents are ranked inside each of its values. The default is used only if it exists; `""` for none.
    #[serde(default = "default_domain")]
    pub domain: String,
    /// One domain for the whole source, instead of a column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_value: Option<String>,
    /// Share of the source that is scored, above 0 and at most 1; whole units are drawn at random.
    #[serde(default = "default_sample")]
    pub sample: f64,
}

/// A source whose shards are all `*.parquet` below a folder that is open, whatever characters its name is made of.
#[derive(Clone, Debug)]
pub struct SourceFolder {
    /// Its settings; it has no `paths`.
    pub config: SourceConfig,
    /// The folder.
    pub place: Place,
}

fn default_text() -> String {
    "text".to_owned()
}

fn default_id() -> String {
    DEFAULT_ID.to_owned()
}

fn default_domain() -> String {
    DEFAULT_DOMAIN.to_owned()
}

const fn default_sample() -> f64 {
    1.0
}

/// What to do about a file that is no readable Parquet shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnBadShard {
    /// Stop with an error.
    #[default]
    Fail,
    /// Continue without it, list it in `run.json`, and end with exit code 2.
    Skip,
}

/// How to plan.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// Text that a unit should hold. If it is not given, a 128th of its shard's, at least 32 KiB and at most 16 MiB: so a run that is killed
    /// loses little of a small corpus, and a large one has few sidecars.
    pub unit_bytes: Option<ByteCount>,
    /// What to do about unreadable shards.
    pub on_bad_shard: OnBadShard,
    /// Seed of the choice of units where a source is sampled.
    pub seed: u64,
    /// A column that subsets will have besides; no shard may have it already.
    pub added_column: Option<String>,
    /// Folders and files that are no part of the corpus wherever they lie, such as what the run itself writes.
    pub excluded: Vec<Place>,
    /// Where copies of JSON Lines files are kept, which are then read as Parquet; without it such files are refused.
    pub copies: Option<Place>,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            unit_bytes: None,
            on_bad_shard: OnBadShard::Fail,
            seed: 0,
            added_column: None,
            excluded: Vec::new(),
            copies: None,
        }
    }
}

/// Checks everything about the sources that needs no look at their files.
pub(crate) fn check<'a>(sources: impl Iterator<Item = &'a SourceConfig>, options: &PlanOptions) -> Result<()> {
    if options.unit_bytes == Some(ByteCount(0)) {
        return Err(Error::UnitBytes);
    }
    let mut names = BTreeSet::new();
    for SourceConfig { name, sample, domain_value, .. } in sources {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(is_safe) {
            return Err(Error::SourceName { name: name.clone() });
        }
        if domain_value.as_deref() == Some("") {
            return Err(Error::EmptyDomain { name: name.clone() });
        }
        if !names.insert(name) {
            return Err(Error::DuplicateSource { name: name.clone() });
        }
        if !(*sample > 0.0 && *sample <= 1.0) {
            return Err(Error::Sample { name: name.clone(), sample: *sample });
        }
    }
    Ok(())
}
