//! Causal attention of one sequence, in blocks of queries.
//!
//! A block of queries meets the keys up to its last query and no later ones, so that about half of all scores are never computed. The
//! probabilities of a head are stored block after block, each as `(queries, keys that the block meets)`.

use std::ops::Range;

use headwater_kernels::{
    Arithmetic, CausalRows, Instructions, MatrixView, MatrixViewMut, Update, causal_softmax, causal_softmax_gradient,
    general_product,
};

use crate::Shape;

/// Queries of a block.
const BLOCK: usize = 64;

/// The attention of a layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attention<'a> {
    pub(super) shape: &'a Shape,
    /// T.
    pub(super) length: usize,
    pub(super) instructions: Instructions,
    pub(super) arithmetic: Arithmetic,
    /// Whether probabilities are stored, or computed again in the backward pass.
    pub(super) kept: bool,
}

/// Gradients of one layer's attention.
pub(super) struct AttentionGradients<'a> {
    /// By the means of values, `(T, queries)`.
    pub(super) mixed: &'a [f32],
    /// By the projections, `(T, queries + keys + values)`; overwritten.
    pub(super) projections: &'a mut [f32],
    /// Room for one block.
    pub(super) block: &'a mut [f32],
}

/// A block of queries.
struct Block {
    /// Their positions; keys are those from 0 to the last.
    queries: Range<usize>,
    /// Where its probabilities begin among those of its head.
    start: usize,
}

impl Attention<'_> {
    /// Numbers of probabilities of a layer.
    pub(super) fn kept_numbers(shape: &Shape, length: usize) -> usize {
        shape.heads.saturating_mul(head_numbers(length))
    }

    /// Most numbers of a block.
    pub(super) fn block_numbers(length: usize) -> usize {
        BLOCK.min(length) * length
    }

    /// Writes the means of values under the probabilities of each head to `mixed`, `(T, queries)`.
    ///
    /// Probabilities are stored in the first of `stores`, or go through the second if they are not kept.
    pub(super) fn forward(&self, projections: &[f32], stores: (&mut [f32], &mut [f32]), mixed: &mut [f32]) {
        let (kept, room) = stores;
        for head in 0..self.shape.heads {
            for block in blocks(self.length) {
                let weights = self.store(head, &block, kept, room);
                self.probabilities(projections, head, &block, weights);
                let weights = MatrixView::new(weights, block.queries.len(), block.queries.end);
                let values = self.part(projections, self.value_column(head), 0..block.queries.end);
                let width = self.shape.queries();
                let out = &mut mixed[block.queries.start * width + head * self.shape.head_width..];
                let out = MatrixViewMut::with_stride(out, block.queries.len(), self.shape.head_width, width);
                general_product(weights, values, Update::Replace, out, self.arithmetic);
            }
        }
    }

    /// Computes the gradient by the projections.
    pub(super) fn backward(&self, projections: &[f32], stores: (&mut [f32], &mut [f32]), by: AttentionGradients<'_>) {
        let (kept, room) = stores;
        let AttentionGradients { mixed, projections: by_projections, block: by_weights } = by;
        by_projections.fill(0.0);
        for head in 0..self.shape.heads {
            for block in blocks(self.length) {
                let weights = self.store(head, &block, kept, room);
                if !self.kept {
                    self.probabilities(projections, head, &block, weights);
                }
                self.block_gradient(projections, (head, &block), (weights, by_weights), (mixed, by_projections));
            }
        }
    }

    /// Adds what one block of a head gives to the gradient by the projections.
    fn block_gradient(
        &self,
        projections: &[f32],
        (head, block): (usize, &Block),
        (weights, by_weights): (&[f32], &mut [f32]),
        (by_mixed, by_projections): (&[f32], &mut [f32]),
    ) {
        let Block { queries, .. } = block;
        let (rows, keys, width) = (queries.len(), queries.end, self.shape.head_width);
        let stride = self.shape.queries();
        let by_mixed = &by_mixed[queries.start * stride + head * width..];
        let by_mixed = MatrixView::with_stride(by_mixed, rows, width, stride);
        // by values: (keys, rows) · (rows, width)
        let seen = MatrixView::new(weights, rows, keys);
        let by_values = self.part_mut(by_projections, self.value_column(head), 0..keys);
        general_product(seen.transposed(), by_mixed, Update::Add, by_values, self.arithmetic);
        // by probabilities: (rows, width) · (width, keys), and by scores
        let values = self.part(projections, self.value_column(head), 0..keys).transposed();
        let shaped = MatrixViewMut::new(by_weights, rows, keys);
        general_product(by_mixed, values, Update::Replace, shaped, self.arithmetic);
        causal_softmax_gradient(self.instructions, weights, by_weights, self.rows(block));
        let by_scores = MatrixView::new(by_weights, rows, keys);
        // by queries: (rows, keys) · (keys, width)
        let key_rows = self.part(projections, self.key_column(head), 0..keys);
        let by_queries = self.part_mut(by_projections, head * width, queries.clone());
        general_product(by_scores, key_rows, Update::Replace, by_queries, self.arithmetic);
        // by keys: (keys, rows) · (rows, width)
        let query_rows = self.part(projections, head * width, queries.clone());
        let by_keys = self.part_mut(by_projections, self.key_column(head), 0..keys);
        general_product(by_scores.transposed(), query_rows, Update::Add, by_keys, self.arithmetic);
    }

    /// Computes the probabilities of a block: `(queries, keys)`.
    fn probabilities(&self, projections: &[f32], head: usize, block: &Block, out: &mut [f32]) {
        let queries = self.part(projections, head * self.shape.head_width, block.queries.clone());
        let keys = self.part(projections, self.key_column(head), 0..block.queries.end);
        let shaped = MatrixViewMut::new(out, block.queries.len(), block.queries.end);
        general_product(queries, keys.transposed(), Update::Replace, shaped, self.arithmetic);
        causal_softmax(self.instructions, out, self.rows(block));
    }

    /// Where the probabilities of a block go.
    fn store<'s>(&self, head: usize, block: &Block, kept: &'s mut [f32], room: &'s mut [f32]) -> &'s mut [f32] {
        let numbers = block.queries.len() * block.queries.end;
        if self.kept {
            &mut kept[head * head_numbers(self.length) + block.start..][..numbers]
        } else {
            &mut room[..numbers]
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "heads are narrow")]
    fn rows(&self, block: &Block) -> CausalRows {
        let (rows, first, keys) = (block.queries.len(), block.queries.start, block.queries.end);
        CausalRows { rows, keys, stride: keys, first, scale: (self.shape.head_width as f32).sqrt().recip() }
    }

    /// The first column of the keys that `head` meets.
    fn key_column(&self, head: usize) -> usize {
        let group = self.shape.heads / self.shape.kv_heads;
        (self.shape.heads + head / group) * self.shape.head_width
    }

    /// The first column of their values.
    fn value_column(&self, head: usize) -> usize {
        self.key_column(head) + self.shape.kv_heads * self.shape.head_width
    }

    /// One head of the projections at some positions: `(positions, head_width)`.
    fn part<'p>(&self, projections: &'p [f32], column: usize, positions: Range<usize>) -> MatrixView<'p> {
        let stride = self.shape.projections();
        let values = &projections[positions.start * stride + column..];
        MatrixView::with_stride(values, positions.len(), self.shape.head_width, stride)
    }

    fn part_mut<'p>(&self, projections: &'p mut [f32], column: usize, positions: Range<usize>) -> MatrixViewMut<'p> {
        let stride = self.shape.projections();
        let values = &mut projections[positions.start * stride + column..];
        MatrixViewMut::with_stride(values, positions.len(), self.shape.head_width, stride)
    }
}

/// The blocks of a sequence, from the first.
fn blocks(length: usize) -> impl Iterator<Item = Block> {
    let mut next = 0;
    (0..length).step_by(BLOCK).map(move |first| {
        let block = Block { queries: first..length.min(first + BLOCK), start: next };
        next += block.queries.len() * block.queries.end;
        block
    })
}

/// Numbers of probabilities of a head.
fn head_numbers(length: usize) -> usize {
    blocks(length).last().map_or(0, |block| block.start + block.queries.len() * block.queries.end)
}
