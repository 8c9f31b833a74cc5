//! The `[trial]` table of a pipeline.

use headwater_select::RankBy;
use headwater_train::{Precision, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, TriedArm};

/// The `[trial]` table of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrialConfig {
    /// What is tried: ranks, each with the rest of `[select]`; `all`, every scored document; or files of other pipelines, whose `[select]` is applied to
    /// the same scores. A random selection, the control, and a second one, the floor, are always there.
    pub arms: Vec<TriedArm>,
    /// Courses of the learning rate that are tried beside that of `[schedule]`, each an arm that trains on the texts of the control.
    pub schedules: Vec<TriedSchedule>,
    /// Runs of each arm, at least 2. They differ in initialisation and in the order of texts; the control and the floor also in what they draw.
    pub seeds: u64,
    /// What trains the models.
    pub trainer: TrialTrainer,
    /// What products of training are computed in by the built-in trainer; runs are judged in float32. The program of `hf` takes `--precision`.
    pub precision: Precision,
    /// The model that is trained.
    pub model: ModelSize,
    /// Tokens that each run trains on.
    pub tokens: f64,
    /// Highest learning rate; its course is that of `[schedule]`, but for the warm-up.
    pub peak_lr: f64,
    /// Share of a run, from 0 to 1, in which the rate rises, instead of that of `[schedule]`: so short a run needs a larger share. Without it, what differs
    /// between two runs is mostly their first steps. Kinds without a warm-up, and a refined schedule, have none.
    pub warmup: f64,
    /// Tokens that the model sees together.
    pub sequence_tokens: usize,
    /// Sequences of one step.
    pub batch_sequences: usize,
    /// Entries of the tokenizer, which is made for the trial from the corpus.
    pub vocabulary: usize,
    /// Share of the scored documents, 0 to 0.5, that no arm trains on.
    pub held_out: f64,
    /// Tokens of theirs that every run is judged by, at most, about; a token counts as four bytes.
    pub held_out_tokens: f64,
}

impl Default for TrialConfig {
    fn default() -> Self {
        Self {
            arms: [RankBy::Influence, RankBy::Corrected, RankBy::Loss, RankBy::Compression]
                .map(TriedArm::from)
                .to_vec(),
            schedules: Vec::new(),
            seeds: 8,
            trainer: TrialTrainer::BuiltIn,
            precision: Precision::F32,
            model: ModelSize::M1,
            tokens: 4e6,
            peak_lr: 1e-3,
            warmup: 0.05,
            sequence_tokens: 256,
            batch_sequences: 8,
            vocabulary: 4096,
            held_out: 0.05,
            held_out_tokens: 2e5,
        }
    }
}

/// What trains the models of a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TrialTrainer {
    /// Headwater itself: on the CPU.
    #[default]
    BuiltIn,
    /// The Trainer of transformers, on what devices PyTorch has: the trial leaves a program with its data, `--collect` reads back the models.
    Hf,
}

impl TrialTrainer {
    /// Returns the name as pipelines write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::Hf => "hf",
        }
    }
}

/// A course of the learning rate that a trial tries, with the defaults of its kind and the peak of the trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TriedSchedule {
    /// Warm-up, constant, decay.
    Wsd,
    /// Falls linearly to zero.
    Linear,
    /// Falls to zero along half a cosine.
    Cosine,
    /// The peak to the end.
    Constant,
    /// Refined from the gradient norms, l1, of the control's run under the first seed (arXiv 2310.07831).
    Refined,
}

impl TriedSchedule {
    /// Returns the name as pipelines write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wsd => "wsd",
            Self::Linear => "linear",
            Self::Cosine => "cosine",
            Self::Constant => "constant",
            Self::Refined => "refined",
        }
    }

    /// Returns the name of the arm that trains by it.
    #[must_use]
    pub fn arm(self) -> String {
        format!("schedule:{}", self.as_str())
    }
}

/// A model for trials: Llama, float32. Sizes are without the embedding, which is tied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ModelSize {
    /// 0.09 million parameters: 2 layers, width 64, for a look at how it works.
    #[serde(rename = "tiny")]
    Tiny,
    /// 0.75 million parameters: 4 layers, width 128; 1.3 million with an embedding of 4,096 entries.
    #[default]
    #[serde(rename = "1m")]
    M1,
    /// 2.5 million parameters: 6 layers, width 192.
    #[serde(rename = "3m")]
    M3,
    /// 6.0 million parameters: 8 layers, width 256.
    #[serde(rename = "8m")]
    M8,
    /// 17 million parameters: 10 layers, width 384. From here on for GPUs, by the trainer `hf`.
    #[serde(rename = "20m")]
    M20,
    /// 57 million parameters: 12 layers, width 640.
    #[serde(rename = "60m")]
    M60,
    /// 148 million parameters: 16 layers, width 896.
    #[serde(rename = "150m")]
    M150,
}

impl ModelSize {
    /// The name as pipelines write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::M1 => "1m",
            Self::M3 => "3m",
            Self::M8 => "8m",
            Self::M20 => "20m",
            Self::M60 => "60m",
            Self::M150 => "150m",
        }
    }

    /// Its shape with `vocabulary` tokens.
    #[must_use]
    pub fn shape(self, vocabulary: usize) -> Shape {
        let of = |layers: usize, heads: usize, head_width: usize| {
            let width = head_width * heads;
            Shape {
                vocabulary,
                width,
                layers,
                heads,
                kv_heads: heads,
                head_width,
                // as in the default shape, about 8/3 of the width (LLaMA, arXiv 2302.13971, §2.2) in whole vectors
                hidden: width * 5 / 2,
                ..Shape::default()
            }
        };
        match self {
            Self::Tiny => of(2, 2, 32),
            Self::M1 => of(4, 4, 32),
            Self::M3 => of(6, 6, 32),
            Self::M8 => of(8, 8, 32),
            Self::M20 => of(10, 6, 64),
            Self::M60 => of(12, 10, 64),
            Self::M150 => of(16, 14, 64),
        }
    }
}

/// Bytes of text that a token counts as before there is a tokenizer.
pub const TOKEN_BYTES: f64 = 4.0;

/// Entries of the largest tokenizer: tokens are kept in 16 bits.
const MOST_ENTRIES: usize = 1 << 16;

/// Entries of the smallest: every byte and the end of a document.
const FEWEST_ENTRIES: usize = 257;

impl TrialConfig {
    /// Validates what needs no corpus.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the first key whose value cannot be used.
    pub fn validate(&self) -> Result<(), Error> {
        let unless = |holds: bool, key, value: String, rule| match holds {
            true => Ok(()),
            false => Err(Error::Setting { name: key, value, rule }),
        };
        let number = |key, value: f64, least: f64| {
            unless(
                value.is_finite() && value >= least,
                key,
                value.to_string(),
                "it is a number of tokens, at least a batch",
            )
        };
        let has_arms = !self.arms.is_empty() || !self.schedules.is_empty();
        unless(
            has_arms,
            "trial.arms",
            "[]".to_owned(),
            "there is nothing to try: name a rank, or a schedule in `trial.schedules`",
        )?;
        let is_random = |arm: &&TriedArm| **arm == TriedArm::Rank(RankBy::Random);
        let random = self.arms.iter().find(is_random).map(ToString::to_string).unwrap_or_default();
        unless(random.is_empty(), "trial.arms", random, "a random selection is always there; leave it out")?;
        let mut sorted = self.arms.clone();
        sorted.sort();
        let twice = sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_string());
        unless(twice.is_none(), "trial.arms", twice.unwrap_or_default(), "an arm is tried once")?;
        let mut tried = self.schedules.clone();
        tried.sort();
        let twice = tried.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].as_str().to_owned());
        unless(twice.is_none(), "trial.schedules", twice.unwrap_or_default(), "a schedule is tried once")?;
        unless(
            self.seeds >= 2,
            "trial.seeds",
            self.seeds.to_string(),
            "differences need at least 2 seeds to have a spread",
        )?;
        unless(
            self.trainer == TrialTrainer::BuiltIn || self.precision == Precision::F32,
            "trial.precision",
            "bf16".to_owned(),
            "the program of trainer `hf` is told by `--precision` when it is started; leave it out",
        )?;
        let batch = (self.sequence_tokens * self.batch_sequences) as f64;
        number("trial.tokens", self.tokens, batch.max(1.0))?;
        number("trial.held_out_tokens", self.held_out_tokens, 1.0)?;
        let is_rate = self.peak_lr.is_finite() && self.peak_lr > 0.0;
        unless(is_rate, "trial.peak_lr", self.peak_lr.to_string(), "it is a rate, above 0")?;
        let is_part = (0.0..1.0).contains(&self.warmup);
        unless(is_part, "trial.warmup", self.warmup.to_string(), "it is a share of the run, from 0 to below 1")?;
        let (key, is_some) = ("trial.sequence_tokens", self.sequence_tokens >= 2);
        unless(is_some, key, self.sequence_tokens.to_string(), "at least 2")?;
        unless(self.batch_sequences >= 1, "trial.batch_sequences", self.batch_sequences.to_string(), "at least 1")?;
        let has_entries = (FEWEST_ENTRIES..=MOST_ENTRIES).contains(&self.vocabulary);
        unless(has_entries, "trial.vocabulary", self.vocabulary.to_string(), "from 257 to 65,536 entries")?;
        let is_share = self.held_out > 0.0 && self.held_out <= 0.5;
        unless(is_share, "trial.held_out", self.held_out.to_string(), "it is a share, above 0 and at most 0.5")
    }

    /// Steps of a run.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "validated: positive and finite")]
    pub fn steps(&self) -> u64 {
        let batch = (self.sequence_tokens * self.batch_sequences).max(1) as f64;
        (self.tokens / batch).round().max(1.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_can_be_used_and_what_cannot_is_named() {
        let config = TrialConfig::default;
        config().validate().expect("the default is sound");
        assert_eq!(config().steps(), 1_953);
        let wrong = [
            (TrialConfig { seeds: 1, ..config() }, "trial.seeds = 1"),
            (TrialConfig { arms: Vec::new(), ..config() }, "trial.arms = []"),
            (TrialConfig { arms: vec![RankBy::Random.into()], ..config() }, "trial.arms = random"),
            (
                TrialConfig {
                    arms: [RankBy::Loss, RankBy::Copied, RankBy::Loss].map(TriedArm::from).to_vec(),
                    ..config()
                },
                "trial.arms = loss",
            ),
            (TrialConfig { schedules: vec![TriedSchedule::Refined; 2], ..config() }, "trial.schedules = refined"),
            (
                TrialConfig { trainer: TrialTrainer::Hf, precision: Precision::Bf16, ..config() },
                "trial.precision = bf16",
            ),
            (TrialConfig { tokens: 100.0, ..config() }, "trial.tokens = 100"),
            (TrialConfig { peak_lr: f64::NAN, ..config() }, "trial.peak_lr = NaN"),
            (TrialConfig { warmup: 1.0, ..config() }, "trial.warmup = 1"),
            (TrialConfig { vocabulary: 256, ..config() }, "trial.vocabulary = 256"),
            (TrialConfig { held_out: 0.0, ..config() }, "trial.held_out = 0"),
            (TrialConfig { sequence_tokens: 1, ..config() }, "trial.sequence_tokens = 1"),
        ];
        for (config, said) in wrong {
            let error = config.validate().expect_err("it cannot be used").to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn every_size_can_be_trained_and_is_larger_than_the_one_before() {
        use ModelSize::{M1, M3, M8, M20, M60, M150, Tiny};
        let sizes = [Tiny, M1, M3, M8, M20, M60, M150];
        let parameters = sizes.map(|size| {
            let shape = size.shape(4096);
            shape.check().expect("a sound shape");
            shape.parameters() - 4096 * shape.width as u64
        });
        assert!(parameters.windows(2).all(|pair| pair[0] < pair[1]), "{parameters:?}");
        let millions = parameters.map(|count| count as f64 / 1e6);
        let said = [0.095, 0.75, 2.5, 6.0, 17.0, 57.0, 148.0];
        for (of, said) in millions.iter().zip(said) {
            assert!((of / said - 1.0).abs() < 0.03, "{of} {said}");
        }
        assert_eq!(M1.shape(4096), Shape::default());
    }
}
