//! The online softmax of one block of keys, and the division at the end.

use super::{AttentionSpan, KEY_BLOCK};
use crate::dispatch::Task;
use crate::matmul::Operand;
use crate::simd::Simd;
use crate::tile::{PANEL, padded_depth};

/// Turns a block of logits into weights relative to the greatest logit so far, and rescales what came before.
pub(super) struct SoftmaxBlock<'a, E> {
    /// `(query, KEY_BLOCK)`.
    pub(super) logits: &'a mut [f32],
    /// `(query, KEY_BLOCK)`; zero where a query does not see a key.
    pub(super) weights: &'a mut [E],
    /// `(query, head_dim in whole panels)`.
    pub(super) sums: &'a mut [f32],
    /// `(query,)`.
    pub(super) greatest: &'a mut [f32],
    /// `(query,)`.
    pub(super) totals: &'a mut [f32],
    /// Keys of the block that the first query sees, below 1 if none; each later query sees one more.
    pub(super) first_visible: isize,
    /// Keys in the block.
    pub(super) keys: usize,
    pub(super) span: AttentionSpan,
}

impl<E: Operand> Task for SoftmaxBlock<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.sums.len() / self.totals.len();
        let depth = padded_depth(self.keys);
        let rows = (self.first_visible..).zip(self.sums.chunks_exact_mut(width)).enumerate();
        for (row, (visible, sums)) in rows {
            let passed = self.span.window.map_or(0, |window| visible.saturating_sub_unsigned(window.get()).max(0));
            let visible = usize::try_from(visible).unwrap_or(0).min(self.keys);
            let passed = usize::try_from(passed).unwrap_or(0).min(visible);
            let weights = &mut self.weights[row * KEY_BLOCK..][..depth];
            weights[..passed].fill(E::default());
            weights[visible..].fill(E::default());
            if visible == passed {
                continue;
            }
            let logits = &mut self.logits[row * KEY_BLOCK..][passed..visible];
            if let Some(cap) = self.span.cap {
                cap.apply_to(simd, logits);
            }
            let before = self.greatest[row];
            let greatest = greatest(simd, logits, before);
            let total = weigh(simd, logits, greatest, &mut weights[passed..visible]);
            if greatest != before {
                let mut scale = [0.0; 1];
                simd.store(simd.exp(simd.splat(before - greatest)), &mut scale);
                self.totals[row] *= scale[0];
                let scale = simd.splat(scale[0]);
                for sums in sums.chunks_mut(S::LANES) {
                    simd.store(simd.mul(simd.load(sums), scale), sums);
                }
            }
            self.greatest[row] = greatest;
            self.totals[row] += total;
        }
    }
}

/// The greatest of `logits` and `before`.
#[inline(always)]
fn greatest<S: Simd>(simd: S, logits: &[f32], before: f32) -> f32 {
    let mut best = simd.splat(before);
    let mut whole = logits.chunks_exact(S::LANES);
    for logits in &mut whole {
        best = simd.max(best, simd.load(logits));
    }
    let mut best = simd.greatest(best);
    for logit in whole.remainder() {
        best = if best > *logit { best } else { *logit };
    }
    best
}

/// Writes exp(logit − greatest) to `weights` and returns their sum.
#[inline(always)]
fn weigh<S: Simd, E: Operand>(simd: S, logits: &[f32], greatest: f32, weights: &mut [E]) -> f32 {
    let subtrahend = simd.splat(greatest);
    let mut total = simd.splat(0.0);
    let split = logits.len() - logits.len() % S::LANES;
    for (logits, weights) in logits[..split].chunks_exact(S::LANES).zip(weights.chunks_exact_mut(S::LANES)) {
        let weight = simd.exp(simd.sub(simd.load(logits), subtrahend));
        E::store(simd, weight, weights);
        total = simd.add(total, weight);
    }
    let mut total = simd.sum(total);
    if split < logits.len() {
        let weight = simd.exp(simd.sub(simd.load(&logits[split..]), subtrahend));
        E::store(simd, weight, &mut weights[split..]);
        let mut kept = [0.0; PANEL];
        simd.store(weight, &mut kept[..logits.len() - split]);
        for weight in kept {
            total += weight;
        }
    }
    total
}

/// Divides the weighted sums by the sums of weights.
pub(super) struct Normalise<'a, E> {
    /// `(query, head_dim in whole panels)`.
    pub(super) sums: &'a [f32],
    /// `(query,)`.
    pub(super) totals: &'a [f32],
    pub(super) head_dim: usize,
    /// Rows of `head_dim` numbers, `stride` apart.
    pub(super) out: &'a mut [E],
    pub(super) stride: usize,
}

impl<E: Operand> Task for Normalise<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.sums.len() / self.totals.len();
        for (row, total) in self.totals.iter().enumerate() {
            let by = simd.splat(total.recip());
            let sums = &self.sums[row * width..][..self.head_dim];
            let out = &mut self.out[row * self.stride..][..self.head_dim];
            for (sums, out) in sums.chunks(S::LANES).zip(out.chunks_mut(S::LANES)) {
                E::store(simd, simd.mul(simd.load(sums), by), out);
            }
        }
    }
}
