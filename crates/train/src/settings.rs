//! How a model is trained.

use headwater_kernels::{Arithmetic, Instructions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Shape};

/// Most tokens of a batch.
const MOST_TOKENS: usize = 1 << 26;

/// What a run is made of, beside its schedule and its tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The model.
    pub shape: Shape,
    /// Sequences of a batch.
    pub sequences: usize,
    /// Tokens that are predicted in a sequence, which has one more.
    pub length: usize,
    /// The optimiser.
    pub optimiser: AdamW,
    /// The norm that gradients of a greater one are scaled to; `None` to leave them.
    pub clip: Option<f64>,
    /// Seed of the parameters at the start.
    pub seed: u64,
    /// What products of training are computed in.
    #[serde(default, skip_serializing_if = "Precision::is_f32")]
    pub precision: Precision,
}

/// What products of training are computed in. Parameters, their moments, sums and all that is no product are float32.
///
/// # Source
/// Kalamkar et al. (2019), A Study of BFLOAT16 for Deep Learning Training (arXiv 1905.12322), §3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Float32.
    #[default]
    F32,
    /// Numbers are rounded to bfloat16 and their products summed in float32: faster on processors that multiply it, slower on others.
    Bf16,
}

impl Precision {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    const fn is_f32(&self) -> bool {
        matches!(self, Self::F32)
    }

    /// Returns whether this processor multiplies such numbers as they are.
    #[must_use]
    pub fn is_native(self) -> bool {
        self.is_f32() || Instructions::of_family().multiplies_bf16()
    }

    /// How `instructions` compute it.
    pub(crate) const fn arithmetic(self, instructions: Instructions) -> Arithmetic {
        match self {
            Self::F32 => Arithmetic::Float32,
            Self::Bf16 => Arithmetic::Bfloat16(instructions),
        }
    }
}

/// AdamW.
///
/// # Source
/// Loshchilov and Hutter (2019), Decoupled Weight Decay Regularization (arXiv 1711.05101), with the decay multiplied by the rate, as in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamW {
    /// What is kept of the running mean of gradients.
    pub beta1: f64,
    /// What is kept of the running mean of their squares.
    pub beta2: f64,
    /// Added to the root of that mean.
    pub eps: f64,
    /// What matrices lose at a rate of one, as a share; norms lose nothing.
    pub weight_decay: f64,
}

impl Default for AdamW {
    /// As LLaMA was trained: β 0.9 and 0.95, decay 0.1 (arXiv 2302.13971, §2.3), and ε 10⁻⁸.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 }
    }
}

impl Settings {
    /// Checks every value.
    ///
    /// # Errors
    /// [`Error::Setting`] that names the first value that cannot be used.
    pub fn check(&self) -> Result<(), Error> {
        self.shape.check()?;
        for (name, value) in [("sequences", self.sequences), ("length", self.length)] {
            Error::unless((1..=MOST_TOKENS).contains(&value), name, value, "at least 1 and at most 2²⁶")?;
        }
        let tokens = self.sequences * (self.length + 1);
        Error::unless(tokens <= MOST_TOKENS, "tokens of a batch", tokens, "at most 2²⁶")?;
        let AdamW { beta1, beta2, eps, weight_decay } = self.optimiser;
        for (name, beta) in [("beta1", beta1), ("beta2", beta2)] {
            Error::unless((0.0..1.0).contains(&beta), name, beta, "at least 0 and below 1")?;
        }
        let positive = |x: f64| x.is_finite() && x > 0.0;
        Error::unless(positive(eps), "eps", eps, "must be above 0")?;
        let decays = weight_decay.is_finite() && weight_decay >= 0.0;
        Error::unless(decays, "weight_decay", weight_decay, "must be at least 0")?;
        let clip = self.clip.unwrap_or(1.0);
        Error::unless(positive(clip), "clip", clip, "must be above 0")
    }

    /// Tokens of a batch as they are given: one more a sequence than are predicted.
    #[must_use]
    pub const fn batch_tokens(&self) -> usize {
        self.sequences * (self.length + 1)
    }
}
