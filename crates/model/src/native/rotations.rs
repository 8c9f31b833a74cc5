//! The rotations between a decoder's maps that let int8 round inputs without outliers.
//!
//! A network computes the same whatever orthogonal basis its residual stream and its heads' values lie in, as long as what writes them
//! and what reads them agree. Most of that is done to the weights while they are packed; the inputs of the down projection alone
//! are rotated in each pass.
//!
//! Source: Ashkboos et al. (2024), QuaRot, §4, for the places.

use headwater_kernels::Hadamard;
use rayon::prelude::*;

use crate::ModelShape;

/// The bases of a decoder's vectors.
#[derive(Debug)]
pub(super) struct Rotations {
    /// Of the residual stream.
    pub(super) hidden: Hadamard,
    /// Of every head's values.
    value: Hadamard,
    /// Of the inputs of the down projection.
    pub(super) inner: Hadamard,
    head_dim: usize,
    intermediate: usize,
    width: usize,
}

impl Rotations {
    pub(super) fn new(shape: &ModelShape) -> Self {
        Self {
            hidden: Hadamard::randomized(shape.hidden),
            value: Hadamard::randomized(shape.head_dim),
            inner: Hadamard::across(shape.intermediate),
            head_dim: shape.head_dim,
            intermediate: shape.intermediate,
            width: shape.hidden,
        }
    }

    /// Lets `weight`, `(out, hidden)`, read the residual stream, after a norm of weight `norm` if there is one.
    pub(super) fn read_stream(&self, weight: &mut [f32], norm: Option<&[f32]>) {
        weight.par_chunks_exact_mut(self.width).for_each(|row| {
            if let Some(norm) = norm {
                row.iter_mut().zip(norm).for_each(|(x, norm)| *x *= norm);
            }
            self.hidden.apply(row);
        });
    }

    /// Lets `weight`, `(hidden, in)`, or a bias, `(hidden,)`, write to the residual stream.
    pub(super) fn write_stream(&self, weight: &mut [f32]) {
        self.hidden.apply_to_columns(weight);
    }

    /// Lets `weight`, `(kv_heads · head_dim, inputs)`, or a bias, whose `inputs` are 1, give values in their basis.
    pub(super) fn give_values(&self, weight: &mut [f32], inputs: usize) {
        for head in weight.chunks_exact_mut(self.head_dim * inputs) {
            self.value.apply_to_columns(head);
        }
    }

    /// Lets `weight`, `(hidden, heads · head_dim)`, read what heads made of values.
    pub(super) fn read_values(&self, weight: &mut [f32]) {
        weight.par_chunks_exact_mut(self.head_dim).for_each(|head| self.value.apply(head));
    }

    /// Lets `weight`, `(hidden, intermediate)`, read rotated inner rows.
    pub(super) fn read_inner(&self, weight: &mut [f32]) {
        weight.par_chunks_exact_mut(self.intermediate).for_each(|row| self.inner.apply(row));
    }
}
