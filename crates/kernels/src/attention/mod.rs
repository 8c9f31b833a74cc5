//! Causal grouped-query attention over one window, in blocks of queries and keys, so that no matrix of tokens by tokens is
//! ever stored.
//!
//! A layer goes through the window in blocks of at most [`ROW_STEP`] positions. [`split_heads`] turns a block's projections
//! into queries and appends its keys and values to a [`KvCache`], already in the panels that products want; [`attend`] then
//! runs one head over all keys so far. A masked head is a [`RunningMean`] instead, and needs no product.
//!
//! Source: Dao et al. (2022), FlashAttention, §3.1: the softmax is kept online over blocks of keys (Milakov and Gimelshein
//! 2018). Departs: queries are the outer loop, since one thread runs them in order.

mod cache;
mod mean;
mod softmax;

pub use cache::{HeadLayout, HeadRotation, KvCache, Projections, QueryBlock, split_heads};
pub use mean::RunningMean;

use std::num::NonZeroUsize;
use std::ops::Range;

use crate::Instructions;
use crate::activation::SoftCap;
use crate::buffer::Buffer;
use crate::matmul::{AddTo, Operand, Panels, Product, Rows, Store};
use crate::tile::{PANEL, ROW_STEP, padded_depth};
use softmax::{Normalise, SoftmaxBlock};

/// Keys that a block of queries meets at once: their logits stay in the second-level cache.
pub(crate) const KEY_BLOCK: usize = 256;

/// What queries see, and a cap of their logits. By default they see every position up to their own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AttentionSpan {
    /// Positions that a query sees at most, itself and those before it; `None` for all.
    ///
    /// # Source
    /// Beltagy et al. (2020), Longformer, §3.1, causal.
    pub window: Option<NonZeroUsize>,
    /// What logits never pass.
    pub cap: Option<SoftCap>,
}

impl AttentionSpan {
    /// Returns the first position that a query at `position` sees.
    #[must_use]
    pub fn first_seen(&self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window.get()))
    }
}

/// Rows to write, `stride` numbers apart.
#[derive(Debug)]
pub struct StridedRows<'a, T> {
    /// The first row and all after it.
    pub values: &'a mut [T],
    /// Numbers from one row to the next.
    pub stride: usize,
}

/// Memory for [`attend`], kept from one call to the next.
#[derive(Debug)]
pub struct AttentionScratch<E> {
    /// Logits of some queries of a block, `(query, key)`.
    logits: Buffer<f32>,
    /// exp(logit − greatest), `(query, key)`.
    weights: Buffer<E>,
    /// Weighted sums of values, `(query, head_dim)` in whole panels.
    sums: Buffer<f32>,
    /// Greatest logit so far, `(query,)`.
    greatest: [f32; ROW_STEP],
    /// Sum of weights so far, `(query,)`.
    totals: [f32; ROW_STEP],
}

impl<E: Operand> Default for AttentionScratch<E> {
    fn default() -> Self {
        Self {
            logits: Buffer::zeros(ROW_STEP * KEY_BLOCK),
            weights: Buffer::zeros(ROW_STEP * KEY_BLOCK),
            sums: Buffer::EMPTY,
            greatest: [0.0; ROW_STEP],
            totals: [0.0; ROW_STEP],
        }
    }
}

/// Attends with one head of `queries` to all positions that each query sees.
///
/// # Shapes
/// - `out`: rows of `head_dim` numbers
///
/// # Error
/// As that of a product of `head_dim` terms, a sum of at most 256 weights at a time, and the operand's rounding of queries,
/// keys, values and weights.
///
/// # Panics
/// If `out` is too short, or the cache ends before the last query.
pub fn attend<E: Operand>(
    instructions: Instructions,
    queries: QueryBlock<'_, E>,
    cache: &KvCache<E>,
    scratch: &mut AttentionScratch<E>,
    out: StridedRows<'_, E>,
) {
    let QueryBlock { head, first, rows, span, .. } = queries;
    let layout = cache.layout();
    let kv_head = head / layout.group();
    let width = layout.head_dim.next_multiple_of(PANEL);
    scratch.sums.grow(ROW_STEP * width);
    scratch.sums[..rows * width].fill(0.0);
    scratch.greatest[..rows].fill(f32::NEG_INFINITY);
    scratch.totals[..rows].fill(0.0);
    let first_block = span.first_seen(first) / KEY_BLOCK * KEY_BLOCK;
    for start in (first_block..first + rows).step_by(KEY_BLOCK) {
        for part in parts(E::part_rows(instructions), rows) {
            // later keys are seen by none of them
            let keys = (first + part.end).saturating_sub(start).min(KEY_BLOCK);
            if keys == 0 {
                continue;
            }
            let count = part.len();
            logits(
                instructions,
                queries.part(part.clone()),
                cache.keys(kv_head, start..start + keys),
                StridedRows { values: &mut scratch.logits, stride: KEY_BLOCK },
            );
            let sums = &mut scratch.sums[part.start * width..];
            instructions.run(SoftmaxBlock {
                logits: &mut scratch.logits,
                weights: &mut scratch.weights,
                sums: &mut sums[..count * width],
                greatest: &mut scratch.greatest[part.clone()],
                totals: &mut scratch.totals[part.clone()],
                first_visible: (first + part.start + 1) as isize - start as isize,
                keys,
                span,
            });
            let weights = Rows::with_stride(&scratch.weights, count, KEY_BLOCK);
            let mut add = AddTo { out: sums, stride: width, columns: width, bias: None };
            E::multiply(instructions, Product::new(weights, cache.values(kv_head, start), keys), &mut add);
        }
    }
    instructions.run(Normalise {
        sums: &scratch.sums[..rows * width],
        totals: &scratch.totals[..rows],
        head_dim: layout.head_dim,
        out: out.values,
        stride: out.stride,
    });
}

/// Stretches of `rows` rows, of `step` rows each but the last.
fn parts(step: usize, rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(step).map(move |start| start..rows.min(start + step))
}

/// Computes the logits of `queries` with every position of the cache up to the block's last: `(row, position)`. A query's logits with later positions mean nothing.
///
/// # Panics
/// If `out` is too short.
pub fn attention_logits<E: Operand>(
    instructions: Instructions,
    queries: QueryBlock<'_, E>,
    cache: &KvCache<E>,
    out: StridedRows<'_, f32>,
) {
    let kv_head = queries.head / cache.layout().group();
    logits(instructions, queries, cache.keys(kv_head, 0..queries.first + queries.rows), out);
}

fn logits<E: Operand>(
    instructions: Instructions,
    queries: QueryBlock<'_, E>,
    (keys, count): (Panels<'_, E>, usize),
    out: StridedRows<'_, f32>,
) {
    let mut store = Store { out: out.values, stride: out.stride, columns: count, bias: None };
    let rows = Rows::with_stride(queries.values, queries.rows, padded_depth(queries.head_dim));
    E::multiply(instructions, Product::new(rows, keys, queries.head_dim), &mut store);
}

#[cfg(test)]
mod tests;
