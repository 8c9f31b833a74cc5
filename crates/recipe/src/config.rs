//! The `[recipe]` table of a pipeline.

use serde::{Deserialize, Serialize};

/// A trainer that a recipe can be written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trainer {
    /// huggingface/nanotron: one YAML file.
    Nanotron,
    /// Hugging Face `Trainer`: `TrainingArguments` as JSON.
    Hf,
}

impl Trainer {
    /// The trainer's name in configurations and paths.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nanotron => "nanotron",
            Self::Hf => "hf",
        }
    }
}

/// The `[recipe]` table.
///
/// # Source
/// Defaults: AttentionInfluence (arXiv 2505.07293) §4, the 7B model trained on 1T tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecipeConfig {
    /// Trainers to write a recipe for; none leaves `schedule.csv` alone.
    pub trainers: Vec<Trainer>,
    /// Name of a preset in `configs/presets`, or the path of a preset file that ends in `.toml`.
    pub preset: String,
    /// Training tokens of the run; a whole number that may be written as a float.
    pub tokens: f64,
    /// Learning rate between warm-up and decay.
    pub peak_lr: f64,
    /// Tokens a sequence.
    pub sequence_tokens: u64,
    /// Sequences a step, over all devices.
    pub batch_sequences: u64,
}

impl Default for RecipeConfig {
    fn default() -> Self {
        Self {
            trainers: vec![Trainer::Nanotron, Trainer::Hf],
            preset: "llama-7b".to_owned(),
            tokens: 1.0e12,
            peak_lr: 4.0e-4,
            sequence_tokens: 8192,
            batch_sequences: 1024,
        }
    }
}
