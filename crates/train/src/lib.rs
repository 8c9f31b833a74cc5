//! Pretrains small Llama models on a CPU, in float32 or with products in bfloat16.
//!
//! A [`Trainer`] holds [`Parameters`] of a [`Shape`] and the moments of AdamW. [`Trainer::step`] trains on one batch of tokens at the rate
//! of a [`Schedule`], [`Trainer::losses`] judges tokens, and [`pretrain()`] goes through a whole run with checkpoints, from where a
//! killed one stopped. [`Trainer::export`] leaves what transformers loads.
//!
//! ```
//! use headwater_schedule::{Curve, Schedule, WsdSteps};
//! use headwater_train::{AdamW, Precision, Settings, Shape, Trainer};
//!
//! let shape = Shape { vocabulary: 16, width: 8, layers: 1, heads: 2, kv_heads: 1, head_width: 4, hidden: 12, ..Shape::default() };
//! let settings = Settings { shape, sequences: 4, length: 6, optimiser: AdamW::default(), clip: Some(1.0), seed: 1, precision: Precision::F32 };
//! let phases = WsdSteps { steps: 60, warmup_steps: 5, decay_steps: 20 };
//! let mut trainer = Trainer::new(settings, Schedule::wsd(phases, Curve::OneMinusSqrt, 0.01, 0.0)?)?;
//!
//! // token t + 1 follows token t
//! let tokens: Vec<u32> = (0..4).flat_map(|first| first..first + 7).collect();
//! let before = trainer.step(&tokens)?.loss;
//! for _ in 1..60 {
//!     trainer.step(&tokens)?;
//! }
//! let after = trainer.losses(&tokens)?;
//! assert!(before > 2.5 && after.iter().sum::<f32>() / after.len() as f32 <= 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Every sequence is computed by one thread, and gradients of sequences are added pairwise in a fixed tree: the same settings and batches
//! give the same bytes with any number of threads, on processors of which the products take the same instructions, in bfloat16 the same level (see
//! [`general_product`]). Memory follows from the model, the batch and the threads, never from how much is trained on.
//!
//! Not here: corpora, tokenizers, selections. Whoever trains gives the tokens of each step.
//!
//! [`Schedule`]: headwater_schedule::Schedule
//! [`general_product`]: headwater_kernels::general_product

mod checkpoint;
mod error;
mod export;
mod files;
mod gradient;
mod layout;
mod network;
mod parameters;
mod pretrain;
mod settings;
mod shape;
mod trainer;
#[cfg(test)]
mod twin;

pub use error::Error;
pub use export::sequences_file;
pub use layout::{Layout, Role, Tensor};
pub use parameters::Parameters;
pub use pretrain::{Progress, RunFolder, pretrain};
pub use settings::{AdamW, Precision, Settings};
pub use shape::Shape;
pub use trainer::{StepLog, Trainer};
