//! Rows of bytes, the left-hand side of an int8 product.

use crate::Instructions;
use crate::buffer::Buffer;
use crate::dispatch::Task;
use crate::hadamard::Hadamard;
use crate::matmul::{Norm, Operand, inverse_rms, inverse_root_of_mean};
use crate::simd::Simd;
use crate::tile::{ROW_STEP, padded_depth};

/// The length of a sum is stored as a multiple of this: what one AMX tile takes.
pub(super) const DEPTH_STEP: usize = 64;

/// The largest magnitude of a stored weight or of a row around its zero.
pub(crate) const LARGEST: f32 = 127.0;

/// The byte of zero in a row.
pub(crate) const ZERO: f32 = 128.0;

/// Rows as bytes, with the value of one step for each.
#[derive(Clone, Debug, Default)]
pub struct Int8Rows {
    pub(crate) values: Buffer<u8>,
    /// `(row,)`.
    pub(crate) steps: Vec<f32>,
    /// One row in float32.
    row: Vec<f32>,
}

impl Int8Rows {
    /// Makes room for `rows` rows of `depth` numbers and returns the distance between them.
    pub(crate) fn resize(&mut self, rows: usize, depth: usize) -> usize {
        let stride = depth.next_multiple_of(DEPTH_STEP);
        self.values.grow(rows.next_multiple_of(ROW_STEP) * stride);
        self.steps.resize(rows, 0.0);
        stride
    }

    /// Rounds `from`, rows of `width` numbers, [`padded_depth`] apart, each under `mix` if there is one.
    pub(super) fn round<E: Operand>(
        &mut self,
        instructions: Instructions,
        from: &[E],
        width: usize,
        mix: Option<&Hadamard>,
    ) {
        let stride = self.resize(from.len() / padded_depth(width), width);
        instructions.run(Round { from, width, mix, to: self, stride });
    }

    /// Rounds `x`, `(rows, width)`.
    pub(super) fn round_rows(&mut self, instructions: Instructions, x: &[f32], width: usize) {
        let stride = self.resize(x.len() / width, width);
        instructions.run(RoundRows { x, width, to: self, stride });
    }

    /// Rounds the norm of `x`, `(rows, width)`.
    pub(super) fn round_norm(&mut self, instructions: Instructions, x: &[f32], norm: Norm<'_>) {
        let stride = self.resize(x.len() / norm.width, norm.width);
        instructions.run(RoundNorm { x, norm, to: self, stride });
    }
}

struct RoundRows<'a> {
    x: &'a [f32],
    width: usize,
    to: &'a mut Int8Rows,
    stride: usize,
}

impl Task for RoundRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, width, to: Int8Rows { values, steps, .. }, stride } = self;
        for ((x, to), step) in x.chunks_exact(width).zip(values.chunks_exact_mut(stride)).zip(steps) {
            *step = round(simd, x, to);
        }
    }
}

struct RoundNorm<'a> {
    x: &'a [f32],
    norm: Norm<'a>,
    to: &'a mut Int8Rows,
    stride: usize,
}

impl Task for RoundNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, norm: Norm { width, weight, eps, basis }, to: Int8Rows { values, steps, row }, stride } = self;
        row.resize(width, 0.0);
        assert!(weight.is_none_or(|weight| weight.len() == width), "a norm has a weight for each number");
        let rows = x.chunks_exact(width).zip(values.chunks_exact_mut(stride)).zip(steps);
        for ((x, to), step) in rows {
            let Some(weight) = weight else {
                // without a weight the norm is the same in every basis
                *step = round_unit_norm(simd, x, eps, to);
                continue;
            };
            let scale = inverse_rms(simd, x, eps);
            row.copy_from_slice(x);
            if let Some(basis) = basis {
                basis.undo(row);
            }
            multiply(simd, weight, row);
            if let Some(basis) = basis {
                basis.apply(row);
            }
            // the norm's scale moves the largest magnitude and its step alike
            *step = round(simd, row, to) * scale;
        }
    }
}

/// Rounds the norm of `x` without a weight, and returns the step.
#[inline(always)]
fn round_unit_norm<S: Simd>(simd: S, x: &[f32], eps: f32, to: &mut [u8]) -> f32 {
    let (mut squares, mut largest) = (simd.splat(0.0), simd.splat(0.0));
    for part in x.chunks(S::LANES) {
        let part = simd.load(part);
        squares = simd.mul_add(part, part, squares);
        largest = simd.max(largest, simd.abs(part));
    }
    let largest = simd.greatest(largest);
    store_steps(simd, x, largest, to);
    // the squares of what is no number make the step none
    largest / LARGEST * inverse_root_of_mean(simd.sum(squares), x.len(), eps)
}

/// Multiplies `row` with `weight`, number by number.
#[inline(always)]
fn multiply<S: Simd>(simd: S, weight: &[f32], row: &mut [f32]) {
    for (x, weight) in row.chunks_mut(S::LANES).zip(weight.chunks(S::LANES)) {
        simd.store(simd.mul(simd.load(x), simd.load(weight)), x);
    }
}

struct Round<'a, E> {
    from: &'a [E],
    width: usize,
    mix: Option<&'a Hadamard>,
    to: &'a mut Int8Rows,
    stride: usize,
}

impl<E: Operand> Task for Round<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { from, width, mix, to: Int8Rows { values, steps, row }, stride } = self;
        row.resize(width, 0.0);
        let rows = from.chunks_exact(padded_depth(width)).zip(values.chunks_exact_mut(stride)).zip(steps);
        for ((from, to), step) in rows {
            for (from, to) in from[..width].chunks(S::LANES).zip(row.chunks_mut(S::LANES)) {
                simd.store(E::load(simd, from), to);
            }
            if let Some(mix) = mix {
                mix.apply_with(simd, row);
            }
            *step = round(simd, row, to);
        }
    }
}

/// Rounds `row` to bytes, its largest magnitude to 127 steps, and returns the step.
#[inline(always)]
fn round<S: Simd>(simd: S, row: &[f32], to: &mut [u8]) -> f32 {
    let largest = largest(simd, row);
    store_steps(simd, row, largest, to);
    largest / LARGEST
}

/// Stores `row` as bytes, `largest` as 127 steps.
#[inline(always)]
fn store_steps<S: Simd>(simd: S, row: &[f32], largest: f32, to: &mut [u8]) {
    let per_step = simd.splat(if largest > 0.0 { LARGEST / largest } else { 0.0 });
    for (from, to) in row.chunks(S::LANES).zip(to[..row.len()].chunks_mut(S::LANES)) {
        simd.store_bytes(simd.mul_add(simd.load(from), per_step, simd.splat(ZERO)), to);
    }
}

/// The largest magnitude in `row`; NaN if one is no number.
#[inline(always)]
fn largest<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let mut largest = simd.splat(0.0);
    // zero times a number; what is none stays none, which a maximum could pass over
    let mut zero = simd.splat(0.0);
    for x in row.chunks(S::LANES) {
        let x = simd.load(x);
        largest = simd.max(largest, simd.abs(x));
        zero = simd.mul_add(x, simd.splat(0.0), zero);
    }
    simd.greatest(largest) + simd.sum(zero)
}
