//! The root-mean-square norm.

use super::operand::Operand;
use crate::Instructions;
use crate::dispatch::Task;
use crate::hadamard::Hadamard;
use crate::simd::Simd;
use crate::tile::padded_depth;

/// A root-mean-square norm: x · weight / √(mean(x²) + ε).
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// Numbers of a row.
    pub width: usize,
    /// `(width,)`; `None` if all are one.
    pub weight: Option<&'a [f32]>,
    /// ε.
    pub eps: f32,
    /// The basis that rows are given in and returned in; the weight multiplies what they were before. `None` for that of the weight.
    pub basis: Option<&'a Hadamard>,
}

/// Computes `norm` for each row of `x`, as the left-hand side of a product.
///
/// # Shapes
/// - `x`: `(rows, width)`
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
pub(super) fn rms_norm<E: Operand>(instructions: Instructions, x: &[f32], norm: Norm<'_>, out: &mut [E]) {
    instructions.run(RmsNorm { x, norm, out });
}

struct RmsNorm<'a, 'o, E> {
    x: &'a [f32],
    norm: Norm<'a>,
    out: &'o mut [E],
}

impl<E: Operand> Task for RmsNorm<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Norm { width, weight, eps, .. } = self.norm;
        let stride = padded_depth(width);
        assert!(weight.is_none_or(|weight| weight.len() == width), "a norm has a weight for each number");
        for (row, x) in self.x.chunks_exact(width).enumerate() {
            let scale = simd.splat(inverse_rms(simd, x, eps));
            let (out, padding) = self.out[row * stride..][..stride].split_at_mut(width);
            padding.fill(E::default());
            for (vector, out) in out.chunks_mut(S::LANES).enumerate() {
                let at = vector * S::LANES;
                let mut normed = simd.mul(simd.load(&x[at..]), scale);
                if let Some(weight) = weight {
                    normed = simd.mul(normed, simd.load(&weight[at..]));
                }
                E::store(simd, normed, out);
            }
        }
    }
}

/// Rounds each row of `x`, `(rows, width)`, to the left-hand side of a product; `out` as for [`rms_norm`].
pub(super) fn take_rows<E: Operand>(instructions: Instructions, x: &[f32], width: usize, out: &mut [E]) {
    instructions.run(TakeRows { x, width, out });
}

struct TakeRows<'a, 'o, E> {
    x: &'a [f32],
    width: usize,
    out: &'o mut [E],
}

impl<E: Operand> Task for TakeRows<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let rows = self.x.chunks_exact(self.width).zip(self.out.chunks_exact_mut(padded_depth(self.width)));
        for (x, out) in rows {
            let (out, padding) = out.split_at_mut(self.width);
            padding.fill(E::default());
            for (x, out) in x.chunks(S::LANES).zip(out.chunks_mut(S::LANES)) {
                E::store(simd, simd.load(x), out);
            }
        }
    }
}

/// Computes 1 / √(mean(x²) + ε).
#[inline(always)]
pub(crate) fn inverse_rms<S: Simd>(simd: S, x: &[f32], eps: f32) -> f32 {
    let mut squares = simd.splat(0.0);
    for part in x.chunks(S::LANES) {
        let part = simd.load(part);
        squares = simd.mul_add(part, part, squares);
    }
    inverse_root_of_mean(simd.sum(squares), x.len(), eps)
}

/// Computes 1 / √(squares / width + ε).
#[expect(clippy::cast_precision_loss, reason = "widths are small")]
pub(crate) fn inverse_root_of_mean(squares: f32, width: usize, eps: f32) -> f32 {
    (squares / width as f32 + eps).sqrt().recip()
}
