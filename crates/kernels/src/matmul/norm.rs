//! The root-mean-square norm.

use super::int8::{Int8Rows, LARGEST, ZERO};
use super::operand::Operand;
use crate::Instructions;
use crate::dispatch::Task;
use crate::simd::Simd;
use crate::tile::padded_depth;

/// Computes x · weight / √(mean(x²) + ε) for each row of `x`, as the left-hand side of a product.
///
/// # Shapes
/// - `x`: `(rows, width)`; `weight`: `(width,)`
/// - `out`: rows of `width` numbers, [`padded_depth`] apart
///
/// # Error
/// The mean of squares is summed in 8 or 16 lanes: relative error below (width / 8 + 4) · 2⁻²⁴.
///
/// # Source
/// Zhang and Sennrich (2019), Root Mean Square Layer Normalization, eq. 4.
///
/// # Panics
/// If `out` is too short.
pub(super) fn rms_norm<E: Operand>(instructions: Instructions, x: &[f32], weight: &[f32], eps: f32, out: &mut [E]) {
    instructions.run(RmsNorm { x, weight, eps, out });
}

struct RmsNorm<'a, 'o, E> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    out: &'o mut [E],
}

impl<E: Operand> Task for RmsNorm<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.weight.len();
        let stride = padded_depth(width);
        for (row, x) in self.x.chunks_exact(width).enumerate() {
            let scale = simd.splat(inverse_rms(simd, x, self.eps));
            let (out, padding) = self.out[row * stride..][..stride].split_at_mut(width);
            padding.fill(E::default());
            for (vector, out) in out.chunks_mut(S::LANES).enumerate() {
                let at = vector * S::LANES;
                let normed = simd.mul(simd.mul(simd.load(&x[at..]), scale), simd.load(&self.weight[at..]));
                E::store(simd, normed, out);
            }
        }
    }
}

/// Computes what [`rms_norm`] does and rounds each row to bytes: the largest magnitude of a row becomes 127 steps.
pub(super) fn rms_norm_int8(instructions: Instructions, x: &[f32], weight: &[f32], eps: f32, out: &mut Int8Rows) {
    let stride = out.resize(x.len() / weight.len(), weight.len());
    instructions.run(RmsNormInt8 { x, weight, eps, out, stride });
}

struct RmsNormInt8<'a, 'o> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    out: &'o mut Int8Rows,
    stride: usize,
}

impl Task for RmsNormInt8<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, weight, eps, out, stride } = self;
        for (row, x) in x.chunks_exact(weight.len()).enumerate() {
            let scale = inverse_rms(simd, x, eps);
            let mut largest = simd.splat(0.0);
            // zero times a number; what is none stays none, which a maximum could pass over
            let mut zero = simd.splat(0.0);
            for (x, weight) in x.chunks(S::LANES).zip(weight.chunks(S::LANES)) {
                let product = simd.mul(simd.load(x), simd.load(weight));
                largest = simd.max(largest, simd.max(product, simd.sub(simd.splat(0.0), product)));
                zero = simd.mul_add(product, simd.splat(0.0), zero);
            }
            let largest = simd.greatest(largest) + simd.sum(zero);
            // the norm's scale moves the largest magnitude and its step alike
            let per_step = simd.splat(if largest > 0.0 { LARGEST / largest } else { 0.0 });
            out.steps[row] = largest * scale / LARGEST;
            let to = &mut out.values[row * stride..][..weight.len()];
            for (vector, to) in to.chunks_mut(S::LANES).enumerate() {
                let at = vector * S::LANES;
                let product = simd.mul(simd.load(&x[at..]), simd.load(&weight[at..]));
                simd.store_bytes(simd.mul_add(product, per_step, simd.splat(ZERO)), to);
            }
        }
    }
}

/// Computes 1 / √(mean(x²) + ε).
#[inline(always)]
#[expect(clippy::cast_precision_loss, reason = "widths are small")]
pub(crate) fn inverse_rms<S: Simd>(simd: S, x: &[f32], eps: f32) -> f32 {
    let mut squares = simd.splat(0.0);
    for part in x.chunks(S::LANES) {
        let part = simd.load(part);
        squares = simd.mul_add(part, part, squares);
    }
    (simd.sum(squares) / x.len() as f32 + eps).sqrt().recip()
}
