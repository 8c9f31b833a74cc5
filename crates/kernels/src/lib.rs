//! Everything that needs `unsafe`: the numeric kernels of a decoder on a CPU, and a safe read-only map of weight files.
//!
//! Every other crate forbids unsafe code; the functions here are safe to call. A kernel takes [`Instructions`], the proof that
//! the processor has a [`Level`], and computes alone on the calling thread, in an order of additions that depends on the level
//! and nothing else: not on other rows, other threads or the alignment of memory.
//!
//! - Products: a [`Matrix`] of weights is packed once, as [`Weights`] of float32 or bfloat16 or as [`Int8Weights`];
//!   [`Matrix::norm`] makes the rows that it multiplies; [`project`], [`project_add`], [`gated`], [`activated`] and [`cross_entropy`] differ in
//!   what becomes of the sums.
//! - Training: [`general_product`] of matrices that both change, and [`cross_entropy_gradient`]. They may use the threads of a pool and
//!   give the same bits with any number of them. [`norm_rows`], [`gate_rows`], [`rotate_rows`] and [`causal_softmax`] with their gradients,
//!   and [`adamw_update`].
//! - Attention: [`split_heads`], [`attend`], [`RunningMean`].
//! - [`Hadamard`] transforms what is rounded to int8.
//! - [`saturate_f32`], [`saturate_bf16`] and [`saturate_int8`] find what the processor could do at most.
//!
//! Each kernel is written once, for any length of vector, and tested on every level that the machine has against a float64
//! twin under an error bound; see `matmul` for the shape of products.

mod activation;
#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod amx_emulator;
mod attention;
mod buffer;
mod dispatch;
mod family;
mod file_map;
mod hadamard;
mod level;
mod matmul;
mod peak;
#[cfg(test)]
mod reference;
mod rotary;
mod simd;
mod tile;
mod training;

pub use activation::{Activation, SoftCap};
pub use attention::{
    AttentionScratch, AttentionSpan, HeadLayout, HeadRotation, KvCache, Projections, QueryBlock, RunningMean,
    StridedRows, attend, attention_logits, split_heads,
};
pub use buffer::Buffer;
pub use file_map::{FileMap, MapError};
pub use hadamard::Hadamard;
pub use level::{Instructions, Level, LevelError};
pub use matmul::{
    Inner, InputRows, Int8Rows, Int8Weights, Matrix, Norm, Operand, PaddedRows, Takes, Vocabulary, Weights, activated,
    cross_entropy, gated, gated_bias, project, project_add,
};
pub use peak::{saturate_bf16, saturate_f32, saturate_int8};
pub use rotary::{HeadNorm, RotaryTable};
pub use tile::{ROW_STEP, padded_depth};
pub use training::{
    AdamWFactors, AdamWState, Arithmetic, CausalRows, CrossEntropyGradient, HeadRows, MatrixView, MatrixViewMut,
    NormInputs, Predictions, Turn, Update, absolute_and_square_sums, adamw_update, causal_softmax,
    causal_softmax_gradient, cross_entropy_gradient, cross_entropy_losses, gate_rows, gate_rows_gradient,
    general_product, norm_rows, norm_rows_gradient, rotate_rows,
};
