//! Small language models whose heads can be masked: weights, tokenizer, forward pass, losses.
//!
//! [`Model::load`] reads a decoder, which a [`DecoderSpec`] describes, from safetensors or GGUF and returns its [`Tokenizer`] beside an
//! [`Engine`]. An engine answers the three questions that Headwater asks of a model:
//!
//! - [`Engine::losses`]: the loss of every target of a window, intact and with a head set masked;
//! - [`Engine::attention_argmax`]: the position that every head attends to most, for some query positions;
//! - [`Engine::predictions`]: the most likely next tokens under several masks.
//!
//! There are three, which agree with each other: the native one runs on a CPU with the kernels of `headwater-kernels`, one window a
//! thread; the portable one runs on `candle` (CPU, CUDA, Metal); that of PyTorch runs what transformers loads, in processes of Python.
//! `candle` does not appear in this crate's interface.
//!
//! Source: AttentionInfluence, arXiv 2505.07293, §3.

mod architectures;
mod beside;
mod candle;
mod cost;
mod engine;
mod eos;
mod error;
mod flops;
mod gguf;
mod key_types;
mod keys;
mod load;
mod native;
mod options;
mod particulars;
mod paths;
mod pretokenizer;
mod rope;
mod safetensors;
mod shape;
mod spec;
mod tensors;
mod tokenizer;
mod tokenizer_settings;
mod torch;

pub use cost::{FasterLevel, faster_level};
pub use engine::{AttentionArgmax, Concurrency, Continuation, Engine, HeadMask, MaskKind, WindowLosses};
pub use error::Error;
pub use flops::saturate;
pub use headwater_kernels::{Activation, Level, LevelError};
pub use load::Model;
pub use options::{BATCH_MEMORY, EngineChoice, EngineOptions, PYTHON, Precision};
pub use paths::ModelPaths;
pub use rope::{Rope, RopeScaling};
pub use shape::ModelShape;
pub use spec::{Biases, DecoderSpec, HeadNorms, LayerSpec, NormKind, NormPlaces, Tying};
pub use tokenizer::{TokenSpan, Tokenizer};
pub use tokenizer_settings::TokenizerSettings;
