//! What training adds to inference: products of which both operands change, and the gradient of the cross-entropy.
//!
//! Weights change at every step, so packing them once does not pay: [`general_product`] takes both operands as they lie in
//! memory. Its arithmetic is that of the crate `gemm`; see `product` for what this means for bits.
//! [`cross_entropy_gradient`] puts the softmax between two such products.
//!
//! Not here: anything that knows of layers, steps or optimisers.

mod cross_entropy;
mod product;
mod view;

pub use cross_entropy::{CrossEntropyGradient, Predictions, cross_entropy_gradient};
pub use product::{ProductScale, Threads, general_product};
pub use view::{MatrixView, MatrixViewMut};

#[cfg(test)]
mod tests;
