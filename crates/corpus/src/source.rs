//! The `[[corpus]]` table and what planning needs from `[run]`.

use std::collections::BTreeSet;

use headwater_record::ByteCount;
use headwater_store::Place;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

pub(crate) const DEFAULT_ID: &str = "id";
pub(crate) const DEFAULT_DOMAIN: &str = "domain";

/// One `[[corpus]]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Name; becomes a folder of the artefacts.
    pub name: String,
    /// Files of any name, folders (all `*.parquet`, `*.parq` and `*.pq` below, or else all JSON Lines, `*.jsonl`, `*.ndjson`, packed with
    /// gzip or zstd or not) and patterns (`*`, `**`, `?`, `[]`, `{}`), on disk or as
    /// URLs. What is hidden, as a part of its path begins with `_` or `.`, is left out.
    pub paths: Vec<String>,
    /// The column that holds the text.
    #[serde(default = "default_text")]
    pub text: String,
    /// The column that holds ids, used if it exists; another name than `id` must exist. Empty for none.
    #[serde(default = "default_id")]
    pub id: String,
    /// The column that holds domains, used if it exists; another name than `domain` must exist. Empty for none.
    #[serde(default = "default_domain")]
    pub domain: String,
    /// One domain for the whole source, in place of a column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_value: Option<String>,
    /// Expected share of the source's units to plan, in (0, 1]. See [`crate::plan()`].
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnBadShard {
    /// Stop with an error.
    #[default]
    Fail,
    /// Go on without it and list it.
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
