//! A pipeline file: the tables of the stages, read with overrides and explained when they are wrong.

use std::path::Path;

use headwater_corpus::{OnBadShard, PlanOptions, SourceConfig};
use headwater_heads::HeadsConfig;
use headwater_model::{EngineChoice, Level, LevelError, Precision};
use headwater_recipe::RecipeConfig;
use headwater_record::ByteCount;
use headwater_schedule::ScheduleConfig;
use headwater_schedule::inline::toml_value;
use headwater_score::ScoreConfig;
use headwater_select::{MixtureConfig, SelectConfig};
use headwater_tokens::TokensConfig;
use serde::{Deserialize, Serialize};

use crate::explain::with_suggestion;
use crate::extends::{EXTENDS, Extended};
use crate::{Error, Result};

/// A pipeline: what its TOML file says, with the defaults of what it leaves out.
///
/// `run`, `corpus` and `model` are required. Reading refuses unknown keys.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineConfig {
    /// The output, and what holds for every stage.
    pub run: RunConfig,
    /// The sources of documents.
    pub corpus: Vec<SourceConfig>,
    /// The model that scores.
    pub model: ModelConfig,
    /// How the head set is found.
    #[serde(default)]
    pub heads: HeadsConfig,
    /// How documents are scored.
    #[serde(default)]
    pub score: ScoreConfig,
    /// What is kept.
    #[serde(default)]
    pub select: SelectConfig,
    /// How much of the training data is selected.
    #[serde(default)]
    pub mixture: MixtureConfig,
    /// The learning rate.
    #[serde(default)]
    pub schedule: ScheduleConfig,
    /// The training run.
    #[serde(default)]
    pub recipe: RecipeConfig,
    /// The token files.
    #[serde(default)]
    pub tokens: TokensConfig,
}

/// The `[run]` table.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Where every artefact goes: a path or an object-store URL.
    pub output: String,
    /// Seed of probes, samples and random ranks.
    #[serde(default)]
    pub seed: u64,
    /// What to do about unreadable shards.
    #[serde(default)]
    pub on_bad_shard: OnBadShard,
    /// Text that a unit should hold, instead of a 128th of its shard's, at least 32 KiB and at most 16 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_bytes: Option<ByteCount>,
}

/// The `[model]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// A bundled name, a path, `hf:owner/name[@revision]` or `pip:package==version`.
    pub name: String,
    /// Which engine runs it.
    #[serde(default)]
    pub engine: EngineChoice,
    /// The instructions that the native engine uses: `auto` or the name of a level.
    #[serde(default)]
    pub instructions: InstructionsChoice,
    /// `cpu`, `cuda:N` or `metal`.
    #[serde(default = "default_device")]
    pub device: String,
    /// The numbers to compute with.
    #[serde(default)]
    pub precision: Precision,
}

/// `auto`, or a level that a fleet of different processors has in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstructionsChoice(pub Option<Level>);

impl TryFrom<String> for InstructionsChoice {
    type Error = LevelError;

    fn try_from(name: String) -> std::result::Result<Self, LevelError> {
        if name == AUTO { Ok(Self(None)) } else { name.parse().map(|level| Self(Some(level))) }
    }
}

impl From<InstructionsChoice> for String {
    fn from(choice: InstructionsChoice) -> Self {
        choice.0.map_or_else(|| AUTO.to_owned(), |level| level.to_string())
    }
}

const AUTO: &str = "auto";

fn default_device() -> String {
    "cpu".to_owned()
}

impl PipelineConfig {
    /// Reads the pipeline at `path` with what it extends, and applies `overrides`, each `key=value`.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::ReadExtended`] and [`Error::ExtendsItself`] for the files; [`Error::Config`] with file, line and the
    /// nearest known key for what they say; [`Error::Override`] for an override.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self> {
        let files = Extended::read(path, "pipeline")?;
        let as_written = files.to::<Self>();
        if overrides.is_empty() {
            return as_written.map_err(|error| files.explain(&error));
        }
        let mut table: toml::Table = files.to().map_err(|error| files.explain(&error))?;
        overrides.iter().try_for_each(|assignment| assign(&mut table, assignment))?;
        serde_path_to_error::deserialize(toml::Value::Table(table)).map_err(|error| match as_written {
            Err(in_file) if in_file.message() == error.inner().message() => files.explain(&in_file),
            _ => wrong(format!("--set: `{}`: {}", error.path(), with_suggestion(error.inner().message()))),
        })
    }

    /// Checks the values of every table, as far as that needs no file.
    ///
    /// # Errors
    /// What the stages say of their tables.
    pub fn validate(&self) -> Result<()> {
        self.heads.validate()?;
        self.score.validate()?;
        self.select.validate()?;
        self.mixture.validate()?;
        Ok(self.tokens.validate()?)
    }

    /// Whether some source is scored in part only.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.corpus.iter().any(|source| source.sample < 1.0)
    }

    /// How to plan.
    #[must_use]
    pub fn plan_options(&self) -> PlanOptions {
        PlanOptions {
            unit_bytes: self.run.unit_bytes,
            on_bad_shard: self.run.on_bad_shard,
            seed: self.run.seed,
            added_column: self.select.influence_column.name().map(str::to_owned),
            ..PlanOptions::default()
        }
    }
}

/// The error of an override.
fn wrong(problem: String) -> Error {
    Error::Override { problem }
}

/// Sets the dotted key of `assignment` in `table`.
fn assign(table: &mut toml::Table, assignment: &str) -> Result<()> {
    let (key, value) = assignment
        .split_once('=')
        .ok_or_else(|| wrong(format!("--set takes KEY=VALUE, such as select.fraction=0.1, not `{assignment}`")))?;
    if key.trim() == EXTENDS {
        return Err(wrong(format!("--set cannot set `{EXTENDS}`; write it at the top of a pipeline")));
    }
    let value = toml_value(value.trim());
    let mut parts: Vec<&str> = key.trim().split('.').collect();
    let Some(last) = parts.pop().filter(|last| !last.is_empty()) else {
        return Err(wrong(format!("--set `{assignment}` names no key")));
    };
    let mut place = table;
    for part in parts {
        let no_table = || wrong(format!("--set `{key}`: `{part}` is not a table"));
        let next = place.entry(part.to_owned()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        place = match next {
            toml::Value::Table(table) => table,
            toml::Value::Array(tables) if tables.len() == 1 => tables[0].as_table_mut().ok_or_else(no_table)?,
            toml::Value::Array(_) => {
                let problem = format!("--set `{key}`: the pipeline has several [[{part}]]; change the file instead");
                return Err(wrong(problem));
            }
            _ => return Err(no_table()),
        };
    }
    place.insert(last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"
[run]
output = "runs/x"
[[corpus]]
name = "a"
paths = ["data/*.parquet"]
[model]
name = "m"
"#;

    fn load(text: &str, overrides: &[&str]) -> Result<PipelineConfig> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("p.toml");
        fs_err::write(&path, text).expect("a file");
        PipelineConfig::load(&path, &overrides.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_three_required_tables_are_enough() -> Result<()> {
        let pipeline = load(MINIMAL, &[])?;
        assert_eq!(pipeline.run.unit_bytes, None);
        assert_eq!(pipeline.select.fraction, 0.2);
        assert_eq!(pipeline.model.precision, Precision::Bf16);
        Ok(())
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_near_one() {
        let error = load(&format!("{MINIMAL}[select]\nfracton = 0.1\n"), &[]).expect_err("the key is unknown");
        let text = error.to_string();
        assert!(text.contains("p.toml:10:") && text.contains("did you mean `fraction`?"), "{text}");
    }

    #[test]
    fn an_unknown_value_is_answered_with_the_near_one() {
        let error = load(&format!("{MINIMAL}[score]\nlong_documents = \"frist\"\n"), &[]).expect_err("unknown value");
        assert!(error.to_string().contains("did you mean `first`?"), "{error}");
    }

    #[test]
    fn overrides_are_toml_values_else_strings() -> Result<()> {
        let set = ["select.fraction=0.5", "run.output=s3://bucket/x", "corpus.sample=0.25", "score.window_tokens = 64"];
        let pipeline = load(MINIMAL, &set)?;
        assert_eq!(pipeline.select.fraction, 0.5);
        assert_eq!(pipeline.run.output, "s3://bucket/x");
        assert_eq!(pipeline.corpus[0].sample, 0.25);
        assert_eq!(pipeline.score.window_tokens, 64);
        Ok(())
    }

    #[test]
    fn a_wrong_override_is_named() {
        let error = load(MINIMAL, &["select.fracton=0.5"]).expect_err("the key is unknown");
        assert!(error.to_string().contains("did you mean `fraction`?"), "{error}");
        assert!(load(MINIMAL, &["select"]).is_err());
    }
}
