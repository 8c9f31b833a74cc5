//! The `[recipe]` table of a pipeline.

use headwater_schedule::Batch;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Most tokens of a step, so that tokens and steps stay exact in a 64-bit float.
const MOST_STEP_TOKENS: u64 = 1 << 53;

/// A trainer that a recipe can be written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trainer {
    /// huggingface/nanotron: one YAML file.
    Nanotron,
    /// Hugging Face `Trainer`: `TrainingArguments` as JSON and a script.
    Hf,
    /// Megatron-LM: arguments and a data blend.
    Megatron,
    /// torchtitan 0.2: TOML.
    Torchtitan,
    /// allenai/OLMo-core: YAML.
    OlmoCore,
    /// LLM Foundry: YAML.
    LlmFoundry,
    /// Levanter: YAML.
    Levanter,
}

impl Trainer {
    /// Every trainer.
    pub const ALL: [Self; 7] =
        [Self::Nanotron, Self::Hf, Self::Megatron, Self::Torchtitan, Self::OlmoCore, Self::LlmFoundry, Self::Levanter];

    /// Returns the trainer's name in configurations and paths.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nanotron => "nanotron",
            Self::Hf => "hf",
            Self::Megatron => "megatron",
            Self::Torchtitan => "torchtitan",
            Self::OlmoCore => "olmo-core",
            Self::LlmFoundry => "llm-foundry",
            Self::Levanter => "levanter",
        }
    }

    /// Finds the trainer called `name` in configurations.
    ///
    /// # Errors
    /// [`Error::UnknownTrainer`] names those there are.
    pub fn named(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|trainer| trainer.name() == name).ok_or_else(|| Error::UnknownTrainer {
            name: name.to_owned(),
            present: Self::ALL.map(Self::name).join(", "),
        })
    }

    /// The trainer's name for people.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Nanotron => "nanotron",
            Self::Hf => "the Hugging Face Trainer",
            Self::Megatron => "Megatron-LM",
            Self::Torchtitan => "torchtitan",
            Self::OlmoCore => "OLMo-core",
            Self::LlmFoundry => "LLM Foundry",
            Self::Levanter => "Levanter",
        }
    }
}

/// The `[recipe]` table.
///
/// # Source
/// Defaults: AttentionInfluence (arXiv 2505.07293) §4, the 7B model trained on 1T tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecipeConfig {
    /// Trainers that configs are written for. `[]` writes the schedule alone.
    pub trainers: Vec<Trainer>,
    /// Model and machines: a preset (`llama-7b`, `llama-1.3b`, `llama-360m`, `llama-135m`, `llama-2m`), or the path of a preset file that
    /// ends in `.toml`. Without it, the largest preset whose 20 tokens a parameter the run has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Length of the run, in tokens.
    pub tokens: f64,
    /// Highest learning rate.
    pub peak_lr: f64,
    /// Tokens of a training sequence.
    pub sequence_tokens: u64,
    /// Sequences in one optimiser step, over all devices. Without it, 1,024, or as many as make a hundredth of the data or of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_sequences: Option<u64>,
    /// Smaller batches at the beginning of the run, for trainers that have them; none if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_ramp: Option<BatchRamp>,
}

/// Batches that grow from a few sequences to `recipe.batch_sequences`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchRamp {
    /// Sequences of the first step.
    pub start_sequences: u64,
    /// Sequences that each growth adds; those of the first step if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_sequences: Option<u64>,
    /// Tokens after which the batch is whole.
    pub tokens: f64,
}

/// Sequences a step, unless the data is small.
pub(crate) const BATCH_SEQUENCES: u64 = 1024;

impl RecipeConfig {
    /// Returns what one step trains on; 1,024 sequences if the table does not say.
    ///
    /// # Errors
    /// [`Error::StepTokens`] unless that is between 1 and 2^53 tokens.
    pub fn batch(&self) -> Result<Batch> {
        self.batch_of(self.batch_sequences.unwrap_or(BATCH_SEQUENCES))
    }

    /// A step of so many sequences.
    pub(crate) fn batch_of(&self, batch_sequences: u64) -> Result<Batch> {
        let sequence_tokens = self.sequence_tokens;
        let tokens = sequence_tokens.checked_mul(batch_sequences);
        if tokens.is_some_and(|tokens| (1..=MOST_STEP_TOKENS).contains(&tokens)) {
            Ok(Batch { sequences: batch_sequences, sequence_tokens })
        } else {
            Err(Error::StepTokens { sequence_tokens, batch_sequences })
        }
    }
}

impl Default for RecipeConfig {
    fn default() -> Self {
        Self {
            trainers: vec![Trainer::Nanotron, Trainer::Hf],
            preset: None,
            tokens: 1.0e12,
            peak_lr: 4.0e-4,
            sequence_tokens: 8192,
            batch_sequences: None,
            batch_ramp: None,
        }
    }
}
