//! What a uniformly attending head gives: the running mean of its values.

use super::StridedRows;
use super::cache::{HeadLayout, round};
use crate::Instructions;
use crate::dispatch::Task;
use crate::matmul::Operand;
use crate::simd::Simd;

/// The mean of the values over positions 0..=t, for every key/value head, block by block.
///
/// # Error
/// Sums are float32 in the order of positions: relative error below t · 2⁻²⁴ of the mean of magnitudes.
///
/// # Source
/// AttentionInfluence §3, with the mean over visible positions only.
#[derive(Clone, Debug, Default)]
pub struct RunningMean {
    /// Sums over all positions so far, `(kv_heads, head_dim)`.
    sums: Vec<f32>,
    /// Means at the positions of the last block, `(row, kv_heads, head_dim)`.
    means: Vec<f32>,
}

impl RunningMean {
    /// Forgets all positions.
    pub fn reset(&mut self, layout: HeadLayout) {
        self.sums.clear();
        self.sums.resize(layout.kv_width(), 0.0);
    }

    /// Takes the values of a block from its `projections`, laid out as for [`split_heads`](super::split_heads), from position
    /// `first` on.
    pub fn advance(&mut self, instructions: Instructions, layout: HeadLayout, projections: &[f32], first: usize) {
        self.means.resize(projections.len() / layout.width() * layout.kv_width(), 0.0);
        instructions.run(Advance { mean: self, layout, projections, first });
    }

    /// Writes the means of the last block for query head `head` to `out`, rows of `head_dim` numbers.
    ///
    /// # Panics
    /// If `out` is too short.
    pub fn write<E: Operand>(
        &self,
        instructions: Instructions,
        layout: HeadLayout,
        head: usize,
        out: StridedRows<'_, E>,
    ) {
        let kv_head = head / layout.group();
        instructions.run(Write { means: &self.means, layout, kv_head, out: out.values, stride: out.stride });
    }
}

struct Advance<'a> {
    mean: &'a mut RunningMean,
    layout: HeadLayout,
    projections: &'a [f32],
    first: usize,
}

impl Task for Advance<'_> {
    type Output = ();

    #[inline(always)]
    #[expect(clippy::cast_precision_loss, reason = "a window has fewer positions than float32 has integers")]
    fn run<S: Simd>(self, simd: S) {
        let Self { mean: RunningMean { sums, means }, layout, projections, first } = self;
        let (width, kv_width) = (layout.width(), layout.kv_width());
        for (row, means) in means.chunks_exact_mut(kv_width).enumerate() {
            let values = &projections[(row + 1) * width - kv_width..][..kv_width];
            let count = simd.splat((first + row + 1) as f32);
            for (vector, sums) in sums.chunks_mut(S::LANES).enumerate() {
                let at = vector * S::LANES;
                let sum = simd.add(simd.load(sums), simd.load(&values[at..]));
                simd.store(sum, sums);
                simd.store(simd.div(sum, count), &mut means[at..]);
            }
        }
    }
}

struct Write<'a, E> {
    means: &'a [f32],
    layout: HeadLayout,
    kv_head: usize,
    out: &'a mut [E],
    stride: usize,
}

impl<E: Operand> Task for Write<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { means, layout, kv_head, out, stride } = self;
        for (row, means) in means.chunks_exact(layout.kv_width()).enumerate() {
            let mean = &means[kv_head * layout.head_dim..][..layout.head_dim];
            round(simd, mean, &mut out[row * stride..][..layout.head_dim]);
        }
    }
}
