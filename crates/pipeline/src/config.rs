//! A pipeline file: the tables of the stages, read with overrides and explained when they are wrong.

use std::borrow::Cow;
use std::path::Path;

use headwater_corpus::{OnBadShard, PlanOptions, SourceConfig};
use headwater_distill::DistillConfig;
use headwater_heads::HeadsConfig;
use headwater_model::{BATCH_MEMORY, EngineChoice, Level, LevelError, Precision};
use headwater_recipe::RecipeConfig;
use headwater_record::ByteCount;
use headwater_schedule::ScheduleConfig;
use headwater_score::ScoreConfig;
use headwater_select::{MixtureConfig, SelectConfig};
use headwater_tokens::TokensConfig;
use headwater_trial::TrialConfig;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::extends::{EXTENDS, Extended};
use crate::inline::{at_key, toml_value};
use crate::written::Written;
use crate::{Error, Result};

/// A pipeline: what its TOML file says, with the defaults of what it leaves out.
///
/// `run`, `corpus` and `model` are required. Reading refuses unknown keys.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineConfig {
    /// Where the results go, and what holds for every stage.
    pub run: RunConfig,
    /// The documents: one `[[corpus]]` table for each source.
    pub corpus: Vec<SourceConfig>,
    /// The language model that scores. A change gives other scores.
    pub model: ModelConfig,
    /// How the retrieval heads are found. A change gives other scores.
    #[serde(default)]
    pub heads: HeadsConfig,
    /// How documents are scored. A change gives other scores.
    #[serde(default)]
    pub score: ScoreConfig,
    /// How a student of the scores is made, for `score.by = "student"`.
    #[serde(default)]
    pub distill: DistillConfig,
    /// Which of the scored documents are kept.
    #[serde(default)]
    pub select: SelectConfig,
    /// How much of the training data is selected documents, and how much the whole corpus.
    #[serde(default)]
    pub mixture: MixtureConfig,
    /// The learning-rate schedule of the training run. See schedules.md for kinds and shapes.
    #[serde(default)]
    pub schedule: ScheduleConfig,
    /// The training run that configs are written for.
    #[serde(default)]
    pub recipe: RecipeConfig,
    /// Token files of the corpus and the subset, for trainers that do not read text.
    #[serde(default)]
    pub tokens: TokensConfig,
    /// Small training runs that test the selection: `headwater trial`.
    #[serde(default)]
    pub trial: TrialConfig,
}

/// The `[run]` table.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Where all results go: a folder, or `s3://`, `gs://` or `az://` with a bucket and a prefix. A run is continued if it is there
    /// already.
    pub output: String,
    /// Seed of everything that is drawn at random: probes, samples, random ranks. Another seed gives other heads and scores.
    #[serde(default)]
    pub seed: u64,
    /// What happens when a file of the corpus cannot be read.
    #[serde(default)]
    pub on_bad_shard: OnBadShard,
    /// Text of a unit, which is scored and saved as one piece and has one file of scores. Without it, a 128th of the text of the file that it is
    /// part of, at least 32 KiB and at most 16 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_bytes: Option<ByteCount>,
}

/// The `[model]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// A bundled model, a path, `hf:owner/name[@revision][/file]` or `pip:package==version`.
    pub name: String,
    /// The implementation that runs the model.
    #[serde(default)]
    pub engine: EngineChoice,
    /// Instruction set of the native engine: `auto` for the fastest of this processor's family, or one that all machines of a run have.
    #[serde(default)]
    pub instructions: InstructionsChoice,
    /// `cpu`, `cuda:N` or `metal`; the torch engine has PyTorch's other devices, too, and several by commas. The candle engine needs a build with
    /// the feature `cuda` or `metal` for a GPU.
    #[serde(default = "default_device")]
    pub device: String,
    /// Number format of the forward pass.
    #[serde(default)]
    pub precision: Precision,
    /// Memory of a GPU that a batch of windows is computed in, in bytes, beside the weights. Part of what decides the last bits of a score on a
    /// GPU; without effect on a CPU.
    #[serde(default = "default_batch_memory")]
    pub batch_memory: ByteCount,
}

/// `auto`, or a level that a fleet of different processors has in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstructionsChoice(pub Option<Level>);

impl JsonSchema for InstructionsChoice {
    fn schema_name() -> Cow<'static, str> {
        "InstructionsChoice".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let levels = Level::ALL.iter().rev().map(|level| level.as_str());
        let names: Vec<&str> = std::iter::once(AUTO).chain(levels).collect();
        json_schema!({ "type": "string", "enum": names })
    }
}

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

const fn default_batch_memory() -> ByteCount {
    BATCH_MEMORY
}

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
        serde_path_to_error::deserialize(Written(toml::Value::Table(table))).map_err(|error| match as_written {
            Err(in_file) if in_file.message() == error.inner().message() => files.explain(&in_file),
            _ => wrong(format!("--set: {}", at_key(&error))),
        })
    }

    /// Checks the values of every table, as far as that needs no file.
    ///
    /// # Errors
    /// What the stages say of their tables.
    pub fn validate(&self) -> Result<()> {
        self.heads.validate()?;
        self.score.validate()?;
        self.distill.validate()?;
        self.select.validate()?;
        self.mixture.validate()?;
        self.trial.validate()?;
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
    use headwater_schedule::Length;

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
        assert_eq!(pipeline.model.precision, Precision::Auto);
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
    fn numbers_are_read_as_people_write_them() -> Result<()> {
        let text = format!(
            "{MINIMAL}[recipe]\ntokens = \"1T\"\n[heads]\nprobes = 1e2\n[schedule]\ndecay = {{ steps = \"20k\" }}\n"
        );
        let set =
            ["score.window_tokens=2k", "select.tokens=73.1B", "select.by=token-budget", "schedule.warmup={steps=1k}"];
        let pipeline = load(&text, &set)?;
        assert_eq!((pipeline.recipe.tokens, pipeline.heads.probes, pipeline.score.window_tokens), (1e12, 100, 2000));
        assert_eq!(pipeline.select.tokens, Some(73.1e9));
        let (warmup, decay) = (pipeline.schedule.warmup, pipeline.schedule.decay);
        assert_eq!((warmup, decay), (Some(Length::Steps(1000)), Some(Length::Steps(20_000))));
        assert_eq!(load(MINIMAL, &["run.unit_bytes=1e6", "run.seed=1_0"])?.run.unit_bytes, Some(ByteCount(1_000_000)));
        Ok(())
    }

    #[test]
    fn errors_say_what_to_write() {
        for (from, to, said) in [
            (
                "[[corpus]]",
                "[corpus]",
                ":4: there may be several tables of this name: write [[corpus]], in double brackets",
            ),
            ("[run]", "[[run]]", ":2: there is one table of this name: write [run], in single brackets"),
            (
                "paths = [\"data/*.parquet\"]",
                "paths = \"data\"",
                ":6: write a list in brackets, such as [\"a\", \"b\"], not the text \"data\"",
            ),
            ("output = \"runs/x\"", "output = 3", ":3: write a text in quotes, not the number 3"),
            ("output = \"runs/x\"", "seed = 3", ":2: the key `output` is missing: write output = "),
            (
                "[model]",
                "[score]\nwindow_tokens = 1.5\n[model]",
                ":8: write a whole number, such as 1000, 20k or 1e6, not the number 1.5",
            ),
            (
                "[model]",
                "[score]\nwindow_tokens = \"many\"\n[model]",
                ":8: `many` is not a whole number: write it as 1000",
            ),
            ("[model]", "[score]\nmask = true\n[model]", ":8: write one of its names, in quotes"),
            ("[model]", "[recipe]\ntrainers = \"hf\"\n[model]", ":8: write a list in brackets"),
            ("[model]", "[recipe]\ntrainers = [\"hff\"]\n[model]", ":8: unknown value `hff`; did you mean `hf`?"),
            (
                "[model]",
                "[schedule]\ndecay = { stepps = 1 }\n[model]",
                ":8: unknown key `stepps`; did you mean `steps`?",
            ),
            (
                "[model]",
                "[schedule]\ndecay = [1]\n[model]",
                ":8: write a fraction such as 0.25, { steps = 2000 } or { tokens = 1e10 }, not a list",
            ),
            ("[model]", "[schedule]\npoints = [[0, 1, 2]]\n[model]", ":8: write a list of 2 values in brackets, not "),
            ("[model]", "[select]\nguards = 3\n[model]", ":8: write a table, such as { key = 1 }, not the number 3"),
            ("[model]\nname = \"m\"\n", "", "the table [model] is missing: write [model]"),
        ] {
            let text = MINIMAL.replacen(from, to, 1);
            assert_ne!(text, MINIMAL, "{from}");
            let error = load(&text, &[]).expect_err(to).to_string();
            assert!(error.contains(said), "{to}: {error}");
        }
        let error = load(MINIMAL, &["recipe.trainers=hf"]).expect_err("no list").to_string();
        assert!(error.contains("`recipe.trainers`: write a list in brackets"), "{error}");
    }

    #[test]
    fn a_wrong_override_is_named() {
        let error = load(MINIMAL, &["select.fracton=0.5"]).expect_err("the key is unknown");
        assert!(error.to_string().contains("did you mean `fraction`?"), "{error}");
        assert!(load(MINIMAL, &["select"]).is_err());
    }
}
