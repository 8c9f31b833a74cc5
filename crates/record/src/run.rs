//! `run.json` and the fingerprint of everything that changes scores.

use std::fmt;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ContentHash, Error, HeadSet, ShardId, UnitKey};

/// Version of the scoring semantics; raised when the same inputs would give other scores.
pub const SEMANTICS: u32 = 1;

/// The numerics class: what decides the last bits of a loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numerics {
    /// `candle` or `native`.
    pub engine: String,
    /// `cpu`, `cuda` or `metal`.
    pub device: String,
    /// `f32`, `bf16` or `int8`.
    pub precision: String,
    /// Instruction level, such as `x86-64 avx2 fma`; empty off the CPU.
    pub instructions: String,
}

/// Everything that changes scores, apart from the text column, which belongs to the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoringInputs {
    /// SHA-256 of the weights.
    pub weights: ContentHash,
    /// SHA-256 of `config.json`, for weights that do not hold their configuration themselves.
    pub model_config: Option<ContentHash>,
    /// SHA-256 of the tokenizer.
    pub tokenizer: ContentHash,
    /// The masked heads.
    pub heads: HeadSet,
    /// `causal-uniform` or `zero`.
    pub mask: String,
    /// Window length in tokens.
    pub window_tokens: usize,
    /// `all` or `first`.
    pub long_documents: String,
    /// Documents with fewer tokens are `short`.
    pub min_tokens: usize,
    /// The numerics class.
    pub numerics: Numerics,
    /// [`SEMANTICS`] of the version that began the run.
    pub semantics: u32,
    /// SHA-256 of `student.json`, where a student predicts what all of the above would score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub student: Option<ContentHash>,
    /// What chose the documents that the teacher scores where the student leaves open on which side of the cut they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cascade: Option<ContentHash>,
}

impl ScoringInputs {
    /// Computes the fingerprint of a source whose text is in `text_column`.
    ///
    /// # Errors
    /// [`Error::Fingerprint`] if the inputs cannot be written as JSON, which is what is hashed.
    pub fn fingerprint(&self, text_column: &str) -> Result<Fingerprint, Error> {
        let json = serde_json::to_string(self).map_err(Error::Fingerprint)?;
        Ok(Fingerprint(ContentHash::of_fields([json.as_bytes(), text_column.as_bytes()]).short(16)))
    }

    /// Names every input in which `other` differs, as `name: this → other`.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let differ = self.described().into_iter().zip(other.described()).filter(|(ours, theirs)| ours != theirs);
        differ.map(|((name, ours), (_, theirs))| format!("{name}: {ours} → {theirs}")).collect()
    }

    /// Returns every input by name.
    fn described(&self) -> [(&'static str, String); 15] {
        let Self {
            weights,
            model_config,
            tokenizer,
            heads,
            mask,
            window_tokens,
            long_documents,
            min_tokens,
            numerics: Numerics { engine, device, precision, instructions },
            semantics,
            student,
            cascade,
        } = self;
        let or_none = |hash: &Option<ContentHash>| hash.map_or_else(|| "none".to_owned(), |hash| hash.to_string());
        let heads: Vec<_> = heads.as_slice().iter().map(|id| [id.layer, id.head]).collect();
        [
            ("cascade", or_none(cascade)),
            ("numerics.device", format!("{device:?}")),
            ("numerics.engine", format!("{engine:?}")),
            ("heads", format!("{heads:?}")),
            ("numerics.instructions", format!("{instructions:?}")),
            ("long_documents", format!("{long_documents:?}")),
            ("mask", format!("{mask:?}")),
            ("min_tokens", min_tokens.to_string()),
            ("model_config", or_none(model_config)),
            ("numerics.precision", format!("{precision:?}")),
            ("semantics", semantics.to_string()),
            ("student", or_none(student)),
            ("tokenizer", tokenizer.to_string()),
            ("weights", weights.to_string()),
            ("window_tokens", window_tokens.to_string()),
        ]
    }
}

/// A short hash of [`ScoringInputs`] and a text column; names a folder of sidecars.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `run.json`: what a run is made of. Created by the first worker that scores; all others compare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFile {
    /// Version of Headwater that began the run.
    pub headwater: String,
    /// When the run began, RFC 3339.
    pub began: String,
    /// The resolved pipeline.
    pub config: serde_json::Value,
    /// What the fingerprints hash.
    pub scoring: ScoringInputs,
    /// The commits that the revisions of datasets of the hub were when the run began, by the name of each as URLs write it
    /// (`datasets/OWNER/NAME@REVISION`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub revisions: BTreeMap<String, String>,
    /// The plan.
    pub sources: Vec<RunSource>,
}

/// One source of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSource {
    /// Name of the source.
    pub name: String,
    /// Its text column.
    pub text: String,
    /// Where its ids and domains come from.
    pub labels: Labels,
    /// The fingerprint of its sidecars.
    pub fingerprint: Fingerprint,
    /// Its shards, ordered by path.
    pub shards: Vec<RunShard>,
    /// Shards that were skipped because they cannot be read, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedShard>,
}

/// Where the ids and domains of a source come from. They change no score, so they are no part of the fingerprint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// The id column, if there is one.
    pub id_column: Option<String>,
    /// The domain column; `None` if the source has one domain.
    pub domain_column: Option<String>,
    /// The one domain of the source; `None` if a column is used.
    pub domain_value: Option<String>,
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
        write!(f, "id {}, domain {}", or_none(&self.id_column), or_none(&self.domain_column))?;
        self.domain_value.iter().try_for_each(|value| write!(f, " (all `{value}`)"))
    }
}

/// One shard of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunShard {
    /// Path relative to the fixed prefix of its `paths` entry.
    pub path: String,
    /// Identity.
    pub id: ShardId,
    /// Size of the file.
    pub bytes: u64,
    /// What the store called this version of the file, to guard reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The units, in row order.
    pub units: Vec<UnitKey>,
}

/// A shard left out of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedShard {
    /// Path relative to the fixed prefix of its `paths` entry.
    pub path: String,
    /// Why it could not be read.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HeadId;

    fn inputs() -> ScoringInputs {
        ScoringInputs {
            weights: ContentHash::of(b"weights"),
            model_config: None,
            tokenizer: ContentHash::of(b"tokenizer"),
            heads: HeadSet::default(),
            mask: "causal-uniform".into(),
            window_tokens: 4096,
            long_documents: "all".into(),
            min_tokens: 32,
            numerics: Numerics {
                engine: "candle".into(),
                device: "cpu".into(),
                precision: "bf16".into(),
                instructions: "x86-64".into(),
            },
            semantics: SEMANTICS,
            student: None,
            cascade: None,
        }
    }

    #[test]
    fn the_text_column_is_part_of_the_fingerprint() -> Result<(), Error> {
        assert_ne!(inputs().fingerprint("text")?, inputs().fingerprint("body")?);
        Ok(())
    }

    #[test]
    fn differences_name_the_input() -> Result<(), Error> {
        let other = ScoringInputs { window_tokens: 1024, ..inputs() };
        assert_eq!(inputs().differences(&other), ["window_tokens: 4096 → 1024"]);
        assert_ne!(inputs().fingerprint("text")?, other.fingerprint("text")?);
        let mut other = inputs();
        other.numerics.precision = "f32".into();
        other.heads = HeadSet::new(vec![HeadId { layer: 2, head: 7 }])?;
        assert_eq!(inputs().differences(&other), ["heads: [] → [[2, 7]]", "numerics.precision: \"bf16\" → \"f32\""]);
        Ok(())
    }
}
