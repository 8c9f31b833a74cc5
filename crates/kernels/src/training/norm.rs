//! The root-mean-square norm of rows and its gradient.

use crate::Instructions;
use crate::dispatch::Task;
use crate::matmul::inverse_rms;
use crate::simd::Simd;

/// Rows before their norm, and what the gradient needs besides.
#[derive(Clone, Copy, Debug)]
pub struct NormInputs<'a> {
    /// `(rows, width)`.
    pub x: &'a [f32],
    /// `(width,)`.
    pub weight: &'a [f32],
    /// 1 / √(mean(x²) + ε) as [`norm_rows`] returned it, `(rows,)`.
    pub inverse_rms: &'a [f32],
}

/// Writes x · weight / √(mean(x²) + `eps`) of each row to `out`, and 1 / √(mean(x²) + `eps`) to `inverse`.
///
/// # Shapes
/// - `x` and `out`: `(rows, width)`; `weight`: `(width,)`; `inverse`: `(rows,)`
///
/// # Source
/// Zhang and Sennrich (2019), Root Mean Square Layer Normalization, eq. 4.
///
/// # Panics
/// If the shapes do not fit.
pub fn norm_rows(
    instructions: Instructions,
    x: &[f32],
    (weight, eps): (&[f32], f32),
    out: &mut [f32],
    inverse: &mut [f32],
) {
    assert!(x.len() == out.len() && x.len() == inverse.len() * weight.len(), "rows of the weight's width");
    instructions.run(NormRows { x, weight, eps, out, inverse });
}

struct NormRows<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
    inverse: &'a mut [f32],
}

impl Task for NormRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.weight.len();
        let rows = self.x.chunks_exact(width).zip(self.out.chunks_exact_mut(width));
        for ((x, out), inverse) in rows.zip(self.inverse) {
            *inverse = inverse_rms(simd, x, self.eps);
            let scale = simd.splat(*inverse);
            let parts = x.chunks(S::LANES).zip(self.weight.chunks(S::LANES));
            for ((x, weight), out) in parts.zip(out.chunks_mut(S::LANES)) {
                simd.store(simd.mul(simd.mul(simd.load(x), scale), simd.load(weight)), out);
            }
        }
    }
}

/// Adds the gradients of a norm by its inputs and by its weight to `by_x` and `by_weight`.
///
/// With r = 1 / √(mean(x²) + ε) and y = x · weight · r they are, for the gradient g by y, r · weight · g − x · r³ · mean(x · weight · g) and
/// Σ g · x · r over the rows, which are added from the first to the last.
///
/// # Shapes
/// - `by_y` and `by_x`: `(rows, width)`; `by_weight`: `(width,)`
///
/// # Panics
/// If the shapes do not fit.
pub fn norm_rows_gradient(
    instructions: Instructions,
    inputs: NormInputs<'_>,
    by_y: &[f32],
    by_x: &mut [f32],
    by_weight: &mut [f32],
) {
    let NormInputs { x, weight, inverse_rms } = inputs;
    assert!(x.len() == by_y.len() && x.len() == by_x.len(), "a gradient for each input");
    assert!(
        weight.len() == by_weight.len() && x.len() == inverse_rms.len() * weight.len(),
        "rows of the weight's width"
    );
    instructions.run(NormGradient { inputs, by_y, by_x, by_weight });
}

struct NormGradient<'a> {
    inputs: NormInputs<'a>,
    by_y: &'a [f32],
    by_x: &'a mut [f32],
    by_weight: &'a mut [f32],
}

impl Task for NormGradient<'_> {
    type Output = ();

    #[inline(always)]
    #[expect(clippy::cast_precision_loss, reason = "widths are small")]
    fn run<S: Simd>(self, simd: S) {
        let NormInputs { x, weight, inverse_rms } = self.inputs;
        let width = weight.len();
        let rows = x.chunks_exact(width).zip(self.by_y.chunks_exact(width)).zip(self.by_x.chunks_exact_mut(width));
        for (((x, by_y), by_x), inverse) in rows.zip(inverse_rms) {
            let mut sum = simd.splat(0.0);
            for ((x, by_y), weight) in x.chunks(S::LANES).zip(by_y.chunks(S::LANES)).zip(weight.chunks(S::LANES)) {
                sum = simd.mul_add(simd.mul(simd.load(by_y), simd.load(weight)), simd.load(x), sum);
            }
            let along = -inverse * inverse * inverse * (simd.sum(sum) / width as f32);
            let (along, inverse) = (simd.splat(along), simd.splat(*inverse));
            let inputs = x.chunks(S::LANES).zip(by_y.chunks(S::LANES)).zip(weight.chunks(S::LANES));
            let outputs = by_x.chunks_mut(S::LANES).zip(self.by_weight.chunks_mut(S::LANES));
            for (((x, by_y), weight), (by_x, by_weight)) in inputs.zip(outputs) {
                let (x, scaled) = (simd.load(x), simd.mul(simd.load(by_y), inverse));
                let across = simd.mul_add(scaled, simd.load(weight), simd.load(by_x));
                simd.store(simd.mul_add(along, x, across), by_x);
                simd.store(simd.mul_add(scaled, x, simd.load(by_weight)), by_weight);
            }
        }
    }
}
