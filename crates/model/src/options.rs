//! Settings of how a model runs.

use std::path::PathBuf;

use headwater_kernels::Level;
use headwater_record::ByteCount;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The device of the native engine.
pub(crate) const CPU: &str = "cpu";

/// The numbers that the forward pass computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// `int8` on the native engine with vector instructions, which is the fastest there; `bf16` elsewhere.
    #[default]
    Auto,
    /// float32 throughout.
    F32,
    /// Weights and inputs of matrix products in bfloat16, sums in float32.
    Bf16,
    /// All maps and the embedding in int8, with a scale for each output and token, in bases that leave no outliers; attention in bfloat16,
    /// or float32 where that is faster. Native engine only.
    Int8,
}

impl Precision {
    /// Returns the precision as configuration writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// Returns the precisions of the engine that calls itself `engine`.
    #[must_use]
    pub fn of_engine(engine: &str) -> &'static [Self] {
        if engine == "native" { &[Self::Int8, Self::Bf16, Self::F32] } else { &[Self::Bf16, Self::F32] }
    }

    /// Returns the precision as the numerics class writes it, which keeps results of other roundings apart.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::Int8 => "int8-hadamard",
            other => other.as_str(),
        }
    }
}

/// Which engine runs a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineChoice {
    /// The fastest one: `native` on the CPU, elsewhere `torch` if Python has it, else `candle`.
    #[default]
    Auto,
    /// The fast one; CPU only.
    Native,
    /// The portable one that needs no Python; any device that the binary was built for.
    Candle,
    /// PyTorch, in processes of Python: any device that torch has, any causal model that transformers loads.
    Torch,
}

/// How to run a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Which engine.
    pub engine: EngineChoice,
    /// The instructions that the native engine uses; `None` for those of its family.
    pub instructions: Option<Level>,
    /// `cpu`, `cuda:N` or `metal`; for torch also its other devices, and several by commas.
    pub device: String,
    /// The numbers to compute with.
    pub precision: Precision,
    /// Memory of the device for what a batch of windows is computed in, beside the weights.
    pub batch_memory: ByteCount,
    /// The interpreter of the torch engine.
    pub python: PathBuf,
}

/// The interpreter unless another is given.
pub const PYTHON: &str = "python3";

/// Memory for a batch unless another is given: less than any GPU has beside a small model.
pub const BATCH_MEMORY: ByteCount = ByteCount(4 << 30);

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            engine: EngineChoice::default(),
            instructions: None,
            device: CPU.to_owned(),
            precision: Precision::default(),
            batch_memory: BATCH_MEMORY,
            python: PathBuf::from(PYTHON),
        }
    }
}
