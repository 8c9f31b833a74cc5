//! What training adds to inference: products of which both operands change, the gradients of what lies between them, and the update of AdamW.
//!
//! Weights change at every step, so packing them once does not pay: [`general_product`] takes both operands as they lie in
//! memory. See `product` for what computes it, and what this means for bits.
//! [`cross_entropy_gradient`] puts the softmax between two such products. Norms, gates, rotations and the softmax of attention are computed
//! row by row. Everything runs on the calling thread.
//!
//! Not here: anything that knows of layers or steps.

mod adamw;
mod causal_softmax;
mod cross_entropy;
mod gate;
mod norm;
mod product;
mod rotary;
mod rounded;
mod view;

pub use adamw::{AdamWFactors, AdamWState, absolute_and_square_sums, adamw_update};
pub use causal_softmax::{CausalRows, causal_softmax, causal_softmax_gradient};
pub use cross_entropy::{CrossEntropyGradient, Predictions, cross_entropy_gradient, cross_entropy_losses};
pub use gate::{gate_rows, gate_rows_gradient};
pub use norm::{NormInputs, norm_rows, norm_rows_gradient};
pub use product::{Arithmetic, general_product};
pub use rotary::{HeadRows, Turn, rotate_rows};
pub use view::{MatrixView, MatrixViewMut, Update};

#[cfg(test)]
mod tests;
