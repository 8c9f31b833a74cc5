//! The softmax of causal attention, stored, and its gradient.

use crate::Instructions;
use crate::dispatch::Task;
use crate::simd::Simd;

/// Rows of scores, one a query: row r sees `first` + r + 1 keys, and what comes after is zero once it is a probability.
#[derive(Clone, Copy, Debug)]
pub struct CausalRows {
    /// Number of rows.
    pub rows: usize,
    /// Keys that lie in memory for each row, at least as many as the last row sees.
    pub keys: usize,
    /// Numbers from one row to the next.
    pub stride: usize,
    /// Position of the first row.
    pub first: usize,
    /// What scores are multiplied by.
    pub scale: f32,
}

impl CausalRows {
    /// Panics unless the rows fit into `len` numbers.
    fn check(&self, len: usize) {
        let Self { rows, keys, stride, first, .. } = *self;
        assert!(stride >= keys && keys >= first + rows, "rows have room for the keys that they see");
        assert!(rows == 0 || (rows - 1) * stride + keys <= len, "the rows fit into memory");
    }
}

/// Turns scores into probabilities in their place: softmax(`scale` · scores) over the keys that a row sees, zero elsewhere.
///
/// # Source
/// Vaswani et al. (2017), Attention Is All You Need, eq. 1.
///
/// # Panics
/// If the rows do not fit into `scores`.
pub fn causal_softmax(instructions: Instructions, scores: &mut [f32], rows: CausalRows) {
    rows.check(scores.len());
    instructions.run(Softmax { scores, rows });
}

struct Softmax<'a> {
    scores: &'a mut [f32],
    rows: CausalRows,
}

impl Task for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let CausalRows { rows, keys, stride, first, scale } = self.rows;
        let scale = simd.splat(scale);
        for row in 0..rows {
            let (seen, unseen) = self.scores[row * stride..][..keys].split_at_mut(first + row + 1);
            unseen.fill(0.0);
            let whole = seen.len() - seen.len() % S::LANES;
            let (vectors, rest) = seen.split_at_mut(whole);
            let mut greatest = simd.splat(f32::NEG_INFINITY);
            for scores in vectors.chunks_exact(S::LANES) {
                greatest = simd.max(simd.load(scores), greatest);
            }
            let mut highest = simd.greatest(greatest);
            for score in &*rest {
                highest = highest.max(*score);
            }
            let offset = simd.splat(highest);
            let mut sum = simd.splat(0.0);
            for scores in vectors.chunks_exact_mut(S::LANES) {
                let exponential = simd.exp(simd.mul(simd.sub(simd.load(scores), offset), scale));
                simd.store(exponential, scores);
                sum = simd.add(sum, exponential);
            }
            let exponential = simd.exp(simd.mul(simd.sub(simd.load(rest), offset), scale));
            simd.store(exponential, rest);
            let mut sum = simd.sum(sum);
            for exponential in &*rest {
                sum += exponential;
            }
            let factor = simd.splat(sum.recip());
            for exponentials in seen.chunks_mut(S::LANES) {
                simd.store(simd.mul(simd.load(exponentials), factor), exponentials);
            }
        }
    }
}

/// Turns the gradient by probabilities into that by scores, in its place: `scale` · p · (g − Σ p · g) over the keys that a row sees, zero
/// elsewhere.
///
/// # Shapes
/// Both as `rows` says.
///
/// # Panics
/// If the rows do not fit.
pub fn causal_softmax_gradient(
    instructions: Instructions,
    probabilities: &[f32],
    gradient: &mut [f32],
    rows: CausalRows,
) {
    rows.check(probabilities.len());
    rows.check(gradient.len());
    instructions.run(SoftmaxGradient { probabilities, gradient, rows });
}

struct SoftmaxGradient<'a> {
    probabilities: &'a [f32],
    gradient: &'a mut [f32],
    rows: CausalRows,
}

impl Task for SoftmaxGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let CausalRows { rows, keys, stride, first, scale } = self.rows;
        let scale = simd.splat(scale);
        for row in 0..rows {
            let (seen, unseen) = self.gradient[row * stride..][..keys].split_at_mut(first + row + 1);
            unseen.fill(0.0);
            let probabilities = &self.probabilities[row * stride..][..seen.len()];
            let mut sum = simd.splat(0.0);
            for (p, g) in probabilities.chunks(S::LANES).zip(seen.chunks(S::LANES)) {
                sum = simd.mul_add(simd.load(p), simd.load(g), sum);
            }
            let mean = simd.splat(simd.sum(sum));
            for (p, g) in probabilities.chunks(S::LANES).zip(seen.chunks_mut(S::LANES)) {
                let p = simd.mul(simd.load(p), scale);
                simd.store(simd.mul(p, simd.sub(simd.load(g), mean)), g);
            }
        }
    }
}
