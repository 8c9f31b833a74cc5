//! Rotary position embeddings, and the optional norm of every head before them.

use crate::matmul::inverse_rms;
use crate::simd::Simd;

/// Cosines and sines of the angles of positions 0.., `(position, half)` each.
#[derive(Clone, Debug, Default)]
pub struct RotaryTable {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

impl RotaryTable {
    /// Returns the angles of `positions` positions; `frequencies` in radians per position, `(half,)`. Computed in
    /// float64.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "angles are computed in float64 and used in float32")]
    #[expect(clippy::cast_precision_loss, reason = "positions are far below 2⁵³")]
    pub fn new(frequencies: &[f64], positions: usize) -> Self {
        let half = frequencies.len();
        let mut table = Self { cos: Vec::new(), sin: Vec::new(), half };
        table.cos.reserve_exact(positions * half);
        table.sin.reserve_exact(positions * half);
        for position in 0..positions {
            for frequency in frequencies {
                let (sin, cos) = (position as f64 * frequency).sin_cos();
                table.cos.push(cos as f32);
                table.sin.push(sin as f32);
            }
        }
        table
    }

    /// Returns the number of positions.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.cos.len() / self.half.max(1)
    }

    pub(crate) fn at(&self, position: usize) -> (&[f32], &[f32]) {
        let angles = position * self.half..(position + 1) * self.half;
        (&self.cos[angles.clone()], &self.sin[angles])
    }
}

/// A norm of every head: its weight, `(head_dim,)`, and ε.
#[derive(Clone, Copy, Debug)]
pub struct HeadNorm<'a> {
    /// `(head_dim,)`.
    pub weight: &'a [f32],
    /// Added to the mean of squares.
    pub eps: f32,
}

/// Norms, rotates and scales one head at one position, in place.
///
/// # Source
/// Su et al. (2021), RoFormer, §3.4.2, with the pairs (i, i + half) of transformers.
#[inline(always)]
pub(crate) fn rotate<S: Simd>(
    simd: S,
    head: &mut [f32],
    angles: (&[f32], &[f32]),
    norm: Option<HeadNorm<'_>>,
    by: f32,
) {
    if let Some(norm) = norm {
        let scale = simd.splat(inverse_rms(simd, head, norm.eps));
        for (x, weight) in head.chunks_mut(S::LANES).zip(norm.weight.chunks(S::LANES)) {
            simd.store(simd.mul(simd.mul(simd.load(x), scale), simd.load(weight)), x);
        }
    }
    let (cos, sin) = angles;
    let by = simd.splat(by);
    let (first, second) = head.split_at_mut(cos.len());
    for vector in 0..cos.len().div_ceil(S::LANES) {
        let at = vector * S::LANES;
        let (a, b) = (simd.load(&first[at..]), simd.load(&second[at..]));
        let (cos, sin) = (simd.load(&cos[at..]), simd.load(&sin[at..]));
        let rotated = simd.sub(simd.mul(a, cos), simd.mul(b, sin));
        simd.store(simd.mul(rotated, by), &mut first[at..]);
        let rotated = simd.mul_add(b, cos, simd.mul(a, sin));
        simd.store(simd.mul(rotated, by), &mut second[at..]);
    }
}
