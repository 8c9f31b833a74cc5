//! The cross-entropy of a vocabulary with its gradient.

use std::ops::Range;

use rayon::prelude::*;

use super::product::{ProductScale, Threads, general_product};
use super::view::{MatrixView, MatrixViewMut};
use crate::Instructions;
use crate::dispatch::Task;
use crate::simd::Simd;

/// Rows whose logits are in memory at a time.
const CHUNK_ROWS: usize = 512;

/// Numbers between rows of logits: rows whose distance is a power of two would share a few sets of a cache.
const GAP: usize = 16;

/// Rows of logits that a thread turns into gradients at a time.
const SOFTMAX_ROWS: usize = 16;

/// What predicts the next token, and which token it was.
#[derive(Clone, Copy, Debug)]
pub struct Predictions<'a> {
    /// What the last layer made of each token: `(rows, width)`.
    pub hidden: MatrixView<'a>,
    /// What turns it into logits: `(vocab, width)`.
    pub weights: MatrixView<'a>,
    /// The token that was to be predicted, `(rows,)`; `None` where a prediction does not count.
    pub targets: &'a [Option<u32>],
}

/// Where losses and gradients go.
#[derive(Debug)]
pub struct CrossEntropyGradient<'a> {
    /// Loss of each row in nats, `(rows,)`; zero where a prediction does not count.
    pub losses: &'a mut [f32],
    /// Gradient by the hidden states, `(rows, width)`. What it held is overwritten.
    pub hidden: MatrixViewMut<'a>,
    /// Gradient by the weights, `(vocab, width)`. It is added to what is there.
    pub weights: MatrixViewMut<'a>,
    /// Memory for logits, which is made longer if it is too short. What it holds means nothing.
    pub logits: &'a mut Vec<f32>,
}

/// Computes the cross-entropy of each target, log Σ exp(logits) − logit of the target, with logits = `hidden` · `weights`ᵀ, and the
/// gradient of `scale` · Σ losses.
///
/// A mean over n targets has `scale` = 1 / n. Rows that do not count may hold anything finite. A logit that is no number makes its
/// row's loss NaN, and gradients with it.
///
/// # Memory
/// At most 512 rows of logits, with those of the gradient in their place.
///
/// # Determinism
/// Bit-identical for any thread count; otherwise as [`general_product`], and the softmax depends on the level of `instructions`.
///
/// # Source
/// The gradient of a loss by its logits is softmax(logits), less one at the target: Bishop (2006), Pattern Recognition and Machine
/// Learning, eq. 4.109.
///
/// # Panics
/// If the shapes do not fit, or a target is not in the vocabulary.
pub fn cross_entropy_gradient(
    instructions: Instructions,
    predictions: Predictions<'_>,
    scale: f32,
    gradient: CrossEntropyGradient<'_>,
    threads: Threads,
) {
    let Predictions { hidden, weights, .. } = predictions;
    let CrossEntropyGradient { losses, hidden: mut hidden_gradient, weights: mut weight_gradient, logits: room } =
        gradient;
    let (rows, vocab) = (hidden.rows(), weights.rows());
    predictions.check(losses);
    assert_eq!(hidden_gradient.rows(), rows, "a gradient for each row");
    for first in (0..rows).step_by(CHUNK_ROWS) {
        let chunk = first..rows.min(first + CHUNK_ROWS);
        let logits = logits_of(room, chunk.len(), vocab);
        let losses = &mut losses[chunk.clone()];
        predictions.row_range(chunk.clone()).softmax(instructions, scale, (logits, losses), threads);
        let hidden = hidden.row_range(first, chunk.len());
        let logits = MatrixView::with_stride(logits, chunk.len(), vocab, vocab + GAP);
        let hidden_gradient = hidden_gradient.row_range(first, chunk.len());
        general_product(logits, weights, ProductScale::REPLACE, hidden_gradient, threads);
        let weight_gradient = weight_gradient.row_range(0, vocab);
        general_product(logits.transposed(), hidden, ProductScale::ADD, weight_gradient, threads);
    }
}

/// Computes the losses of [`cross_entropy_gradient`], with the same bits, and no gradient.
///
/// # Panics
/// If the shapes do not fit, or a target is not in the vocabulary.
pub fn cross_entropy_losses(
    instructions: Instructions,
    predictions: Predictions<'_>,
    losses: &mut [f32],
    threads: Threads,
) {
    let (rows, vocab) = (predictions.hidden.rows(), predictions.weights.rows());
    predictions.check(losses);
    let mut room = Vec::new();
    for first in (0..rows).step_by(CHUNK_ROWS) {
        let chunk = first..rows.min(first + CHUNK_ROWS);
        let logits = logits_of(&mut room, chunk.len(), vocab);
        let losses = &mut losses[chunk.clone()];
        predictions.row_range(chunk).softmax(instructions, 1.0, (logits, losses), threads);
    }
}

/// Memory for `rows` rows of logits, [`GAP`] numbers between them.
fn logits_of(room: &mut Vec<f32>, rows: usize, vocab: usize) -> &mut [f32] {
    let numbers = rows * (vocab + GAP);
    if room.len() < numbers {
        room.resize(numbers, 0.0);
    }
    &mut room[..numbers]
}

impl Predictions<'_> {
    /// Panics unless there is a target of the vocabulary and a loss for each row.
    fn check(&self, losses: &[f32]) {
        let (rows, vocab) = (self.hidden.rows(), self.weights.rows());
        assert!(self.targets.len() == rows && losses.len() == rows, "a target and a loss for each row");
        assert!(vocab > 0, "there is a vocabulary");
        for (row, target) in self.targets.iter().enumerate() {
            let known = target.is_none_or(|target| (target as usize) < vocab);
            assert!(known, "target {target:?} of row {row} is not in the vocabulary of {vocab}");
        }
    }

    /// The predictions of some rows.
    fn row_range(&self, rows: Range<usize>) -> Predictions<'_> {
        let hidden = self.hidden.row_range(rows.start, rows.len());
        Predictions { hidden, weights: self.weights, targets: &self.targets[rows] }
    }

    /// Writes the gradient by the logits, `(rows, vocab)` with gaps, and the losses, `(rows,)`.
    fn softmax(
        &self,
        instructions: Instructions,
        scale: f32,
        (logits, losses): (&mut [f32], &mut [f32]),
        threads: Threads,
    ) {
        let Predictions { hidden, weights, targets } = *self;
        let vocab = weights.rows();
        let shaped = MatrixViewMut::with_stride(logits, hidden.rows(), vocab, vocab + GAP);
        general_product(hidden, weights.transposed(), ProductScale::REPLACE, shaped, threads);
        softmax_gradient(instructions, SoftmaxRows { logits, vocab, targets, losses, scale }, threads);
    }
}

/// Turns logits into the gradient of `scale` · Σ losses by them.
fn softmax_gradient(instructions: Instructions, rows: SoftmaxRows<'_>, threads: Threads) {
    let SoftmaxRows { logits, vocab, targets, losses, scale } = rows;
    match threads {
        Threads::Calling => instructions.run(SoftmaxRows { logits, vocab, targets, losses, scale }),
        Threads::Pool => {
            let pieces = logits.par_chunks_mut(SOFTMAX_ROWS * (vocab + GAP)).zip(targets.par_chunks(SOFTMAX_ROWS));
            pieces.zip(losses.par_chunks_mut(SOFTMAX_ROWS)).for_each(|((logits, targets), losses)| {
                instructions.run(SoftmaxRows { logits, vocab, targets, losses, scale });
            });
        }
    }
}

/// Rows of logits that become their gradient.
struct SoftmaxRows<'a> {
    /// `(rows, vocab)`, [`GAP`] numbers between rows.
    logits: &'a mut [f32],
    vocab: usize,
    /// `(rows,)`.
    targets: &'a [Option<u32>],
    /// `(rows,)`.
    losses: &'a mut [f32],
    scale: f32,
}

impl Task for SoftmaxRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let rows = self.logits.chunks_exact_mut(self.vocab + GAP).zip(self.targets);
        for ((logits, target), loss) in rows.zip(self.losses) {
            let logits = &mut logits[..self.vocab];
            *loss = match target {
                Some(target) => softmax_row(simd, logits, *target as usize, self.scale),
                None => {
                    logits.fill(0.0);
                    0.0
                }
            };
        }
    }
}

/// Turns one row of logits into its gradient, and returns the loss of `target`.
#[inline(always)]
fn softmax_row<S: Simd>(simd: S, logits: &mut [f32], target: usize, scale: f32) -> f32 {
    let whole = logits.len() / S::LANES * S::LANES;
    let mut greatest = simd.splat(f32::NEG_INFINITY);
    for logits in logits[..whole].chunks_exact(S::LANES) {
        greatest = simd.max(simd.load(logits), greatest);
    }
    let mut highest = simd.greatest(greatest);
    for logit in &logits[whole..] {
        highest = highest.max(*logit);
    }
    // beside the highest logit nothing is lost to rounding that the logits still had
    let log_target = logits[target] - highest;
    let offset = simd.splat(highest);
    let mut sum = simd.splat(0.0);
    let (vectors, rest) = logits.split_at_mut(whole);
    for logits in vectors.chunks_exact_mut(S::LANES) {
        let exponential = simd.exp(simd.sub(simd.load(logits), offset));
        simd.store(exponential, logits);
        sum = simd.add(sum, exponential);
    }
    let exponential = simd.exp(simd.sub(simd.load(rest), offset));
    simd.store(exponential, rest);
    let mut sum = simd.sum(sum);
    for exponential in &*rest {
        sum += exponential;
    }
    let factor = simd.splat(scale / sum);
    for exponentials in logits.chunks_mut(S::LANES) {
        simd.store(simd.mul(simd.load(exponentials), factor), exponentials);
    }
    logits[target] -= scale;
    sum.ln() - log_target
}
