//! The root-mean-square norm.

use crate::Instructions;
use crate::dispatch::Task;
use crate::operand::{Operand, padded_depth};
use crate::simd::Simd;

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
pub fn rms_norm<E: Operand>(instructions: Instructions, x: &[f32], weight: &[f32], eps: f32, out: &mut [E]) {
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
            let scale = simd.splat(scale(simd, x, self.eps));
            let out = &mut self.out[row * stride..][..width];
            for (vector, out) in out.chunks_mut(S::LANES).enumerate() {
                let at = vector * S::LANES;
                let normed = simd.mul(simd.mul(simd.load(&x[at..]), scale), simd.load(&self.weight[at..]));
                E::store(simd, normed, out);
            }
        }
    }
}

/// 1 / √(mean(x²) + ε).
#[inline(always)]
#[expect(clippy::cast_precision_loss, reason = "widths are small")]
pub(crate) fn scale<S: Simd>(simd: S, x: &[f32], eps: f32) -> f32 {
    let mut squares = simd.splat(0.0);
    for part in x.chunks(S::LANES) {
        let part = simd.load(part);
        squares = simd.mul_add(part, part, squares);
    }
    (simd.sum(squares) / x.len() as f32 + eps).sqrt().recip()
}
