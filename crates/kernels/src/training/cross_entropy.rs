//! The cross-entropy of a vocabulary with its gradient.

use std::cell::Cell;
use std::ops::Range;

use super::product::{Arithmetic, general_product};
use super::view::{MatrixView, MatrixViewMut, Update};
use crate::Instructions;
use crate::dispatch::Task;
use crate::simd::{MOST_LANES, Simd};

/// Rows whose logits are computed at a time.
const MOST_ROWS: usize = 512;

/// Logits of a row in memory at a time, so that those of all rows stay in the second-level cache. They are computed twice, which costs
/// less than memory does.
const BLOCK: usize = 256;

/// Numbers between rows of logits: rows whose distance is a power of two would share a few sets of a cache.
const GAP: usize = 16;

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
}

/// Computes the cross-entropy of each target, log Σ exp(logits) − logit of the target, with logits = `hidden` · `weights`ᵀ, and the
/// gradient of `scale` · Σ losses.
///
/// A mean over n targets has `scale` = 1 / n. Rows that do not count may hold anything that is finite, in bfloat16 once it is rounded. A logit that is no number makes its
/// row's loss NaN, and gradients with it.
///
/// # Memory
/// Half a mebibyte of logits, which the thread keeps beside what products keep: they are computed in blocks of the vocabulary, once for the losses and once more for
/// the gradient.
///
/// # Determinism
/// As [`general_product`], and the softmax depends on the level of `instructions`.
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
    arithmetic: Arithmetic,
) {
    let CrossEntropyGradient { losses, hidden: mut by_hidden, weights: mut by_weights } = gradient;
    predictions.check(losses);
    assert_eq!(by_hidden.rows(), losses.len(), "a gradient for each row");
    let mut room = ROOM.take();
    for first in (0..losses.len()).step_by(MOST_ROWS) {
        let rows = first..losses.len().min(first + MOST_ROWS);
        let predictions = predictions.row_range(rows.clone());
        room.normalise(instructions, predictions, arithmetic);
        room.losses(predictions, &mut losses[rows.clone()]);
        let hidden = predictions.hidden;
        for block in predictions.blocks() {
            let Room { logits, normalisers } = &mut room;
            let logits = predictions.logits(&block, arithmetic, logits);
            let (width, first, targets) = (block.len(), block.start, predictions.targets);
            instructions.run(Gradients { logits, width, first, targets, normalisers, scale });
            let logits = MatrixView::with_stride(logits, rows.len(), width, width + GAP);
            let weights = predictions.weights.row_range(block.start, block.len());
            let update = if block.start == 0 { Update::Replace } else { Update::Add };
            general_product(logits, weights, update, by_hidden.row_range(rows.start, rows.len()), arithmetic);
            let by_weights = by_weights.row_range(block.start, block.len());
            general_product(logits.transposed(), hidden, Update::Add, by_weights, arithmetic);
        }
    }
    ROOM.set(room);
}

/// Computes the losses of [`cross_entropy_gradient`], with the same bits, and no gradient.
///
/// # Panics
/// If the shapes do not fit, or a target is not in the vocabulary.
pub fn cross_entropy_losses(
    instructions: Instructions,
    predictions: Predictions<'_>,
    losses: &mut [f32],
    arithmetic: Arithmetic,
) {
    predictions.check(losses);
    let mut room = ROOM.take();
    for first in (0..losses.len()).step_by(MOST_ROWS) {
        let rows = first..losses.len().min(first + MOST_ROWS);
        let predictions = predictions.row_range(rows.clone());
        room.normalise(instructions, predictions, arithmetic);
        room.losses(predictions, &mut losses[rows]);
    }
    ROOM.set(room);
}

thread_local! {
    /// Memory of one call, kept for the next.
    static ROOM: Cell<Room> = const { Cell::new(Room { logits: Vec::new(), normalisers: Vec::new() }) };
}

/// Logits of some rows.
#[derive(Default)]
struct Room {
    /// Those of one block: `(rows, block)`, [`GAP`] numbers between rows.
    logits: Vec<f32>,
    /// What the logits of each row are divided by, `(rows,)`.
    normalisers: Vec<Normaliser>,
}

/// What is known of the logits of a row.
#[derive(Clone, Copy)]
struct Normaliser {
    /// The greatest.
    highest: f32,
    /// Σ exp(logits − highest).
    sum: f32,
    /// That of the target.
    chosen: f32,
}

impl Room {
    /// Computes what is known of all logits of each row.
    fn normalise(&mut self, instructions: Instructions, predictions: Predictions<'_>, arithmetic: Arithmetic) {
        let unknown = Normaliser { highest: f32::NEG_INFINITY, sum: 0.0, chosen: f32::NAN };
        self.normalisers.clear();
        self.normalisers.resize(predictions.hidden.rows(), unknown);
        for block in predictions.blocks() {
            let Self { logits, normalisers } = self;
            let logits = predictions.logits(&block, arithmetic, logits);
            let (width, first, targets) = (block.len(), block.start, predictions.targets);
            instructions.run(Normalise { logits, width, first, targets, normalisers });
        }
    }

    /// Writes the losses, `(rows,)`.
    fn losses(&self, predictions: Predictions<'_>, losses: &mut [f32]) {
        for ((loss, target), known) in losses.iter_mut().zip(predictions.targets).zip(&self.normalisers) {
            // beside the highest logit nothing is lost to rounding that the logits still had
            *loss = if target.is_some() { known.sum.ln() - (known.chosen - known.highest) } else { 0.0 };
        }
    }
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

    /// Computes the logits of a block in `room`: `(rows, block)`, [`GAP`] numbers between rows.
    fn logits<'r>(&self, block: &Range<usize>, arithmetic: Arithmetic, room: &'r mut Vec<f32>) -> &'r mut [f32] {
        let (rows, stride) = (self.hidden.rows(), block.len() + GAP);
        if room.len() < rows * stride {
            room.resize(rows * stride, 0.0);
        }
        let logits = &mut room[..rows * stride];
        let weights = self.weights.row_range(block.start, block.len()).transposed();
        let out = MatrixViewMut::with_stride(logits, rows, block.len(), stride);
        general_product(self.hidden, weights, Update::Replace, out, arithmetic);
        logits
    }

    /// The vocabulary in blocks.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let vocab = self.weights.rows();
        (0..vocab).step_by(BLOCK).map(move |first| first..vocab.min(first + BLOCK))
    }
}

/// Takes a block of logits into what is known of each row.
struct Normalise<'a> {
    /// `(rows, width)`, [`GAP`] numbers between rows.
    logits: &'a [f32],
    width: usize,
    /// The token of the first logit.
    first: usize,
    /// `(rows,)`.
    targets: &'a [Option<u32>],
    /// `(rows,)`.
    normalisers: &'a mut [Normaliser],
}

impl Task for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let rows = self.logits.chunks_exact(self.width + GAP).zip(self.targets);
        for ((logits, target), known) in rows.zip(self.normalisers) {
            let Some(target) = *target else { continue };
            let logits = &logits[..self.width];
            let block = normaliser(simd, logits);
            let highest = if block.highest > known.highest { block.highest } else { known.highest };
            let mut factors = [0.0; MOST_LANES];
            simd.store(simd.exp(simd.load(&[known.highest - highest, block.highest - highest])), &mut factors);
            // without a difference both may be infinite
            let before = if known.highest == highest { 1.0 } else { factors[0] };
            let here = if block.highest == highest { 1.0 } else { factors[1] };
            known.sum = known.sum * before + block.sum * here;
            known.highest = highest;
            if let Some(chosen) = logits.get((target as usize).wrapping_sub(self.first)) {
                known.chosen = *chosen;
            }
        }
    }
}

/// What is known of some logits of a row.
#[inline(always)]
fn normaliser<S: Simd>(simd: S, logits: &[f32]) -> Normaliser {
    let (vectors, rest) = logits.split_at(logits.len() / S::LANES * S::LANES);
    let mut greatest = simd.splat(f32::NEG_INFINITY);
    for logits in vectors.chunks_exact(S::LANES) {
        greatest = simd.max(simd.load(logits), greatest);
    }
    let mut highest = simd.greatest(greatest);
    for logit in rest {
        highest = highest.max(*logit);
    }
    // of logits that are all infinite the sum is next to nothing, and that of another block counts
    let offset = simd.splat(if highest == f32::NEG_INFINITY { 0.0 } else { highest });
    let mut sum = simd.splat(0.0);
    for logits in vectors.chunks_exact(S::LANES) {
        sum = simd.add(sum, simd.exp(simd.sub(simd.load(logits), offset)));
    }
    let mut last = [0.0; MOST_LANES];
    simd.store(simd.exp(simd.sub(simd.load(rest), offset)), &mut last);
    let mut sum = simd.sum(sum);
    for exponential in &last[..rest.len()] {
        sum += exponential;
    }
    Normaliser { highest, sum, chosen: f32::NAN }
}

/// Turns a block of logits into the gradient of `scale` · Σ losses by them.
struct Gradients<'a> {
    /// `(rows, width)`, [`GAP`] numbers between rows.
    logits: &'a mut [f32],
    width: usize,
    /// The token of the first logit.
    first: usize,
    /// `(rows,)`.
    targets: &'a [Option<u32>],
    /// `(rows,)`.
    normalisers: &'a [Normaliser],
    scale: f32,
}

impl Task for Gradients<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let rows = self.logits.chunks_exact_mut(self.width + GAP).zip(self.targets);
        for ((logits, target), known) in rows.zip(self.normalisers) {
            let logits = &mut logits[..self.width];
            let Some(target) = *target else {
                logits.fill(0.0);
                continue;
            };
            let (offset, factor) = (simd.splat(known.highest), simd.splat(self.scale / known.sum));
            for logits in logits.chunks_mut(S::LANES) {
                let exponential = simd.exp(simd.sub(simd.load(logits), offset));
                simd.store(simd.mul(exponential, factor), logits);
            }
            if let Some(logit) = logits.get_mut((target as usize).wrapping_sub(self.first)) {
                *logit -= self.scale;
            }
        }
    }
}
