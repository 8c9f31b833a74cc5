//! Queries, keys and values of one layer in the layouts that products want.

use std::ops::Range;

use super::{AttentionSpan, KEY_BLOCK};
use crate::Instructions;
use crate::buffer::Buffer;
use crate::dispatch::Task;
use crate::matmul::{Operand, Panels, place};
use crate::rotary::{HeadNorm, RotaryTable, rotate};
use crate::simd::Simd;
use crate::tile::{DEPTH_STEP, PANEL, ROW_STEP, padded_depth};

/// How many heads there are and how wide they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLayout {
    /// Query heads.
    pub heads: usize,
    /// Key/value heads, a divisor of `heads`.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
}

impl HeadLayout {
    /// Returns the query heads that share one key/value head.
    #[must_use]
    pub fn group(self) -> usize {
        self.heads / self.kv_heads
    }

    /// Returns the numbers of all queries of a position.
    #[must_use]
    pub fn query_width(self) -> usize {
        self.heads * self.head_dim
    }

    /// Returns the numbers of all keys, or of all values, of a position.
    #[must_use]
    pub fn kv_width(self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Returns the numbers of queries, keys and values of a position.
    #[must_use]
    pub fn width(self) -> usize {
        self.query_width() + 2 * self.kv_width()
    }

    /// Returns the room for the queries of a block, in numbers.
    #[must_use]
    pub fn block_len(self) -> usize {
        self.heads * self.query_stride()
    }

    /// From one head's queries to the next's.
    fn query_stride(self) -> usize {
        ROW_STEP * padded_depth(self.head_dim)
    }
}

/// Keys and values of one layer over the positions of a window so far.
///
/// Keys of one head are the panels of a product with queries: positions are columns. Values are the panels of a product with
/// attention weights: positions are terms.
#[derive(Debug)]
pub struct KvCache<E> {
    keys: Buffer<E>,
    values: Buffer<E>,
    layout: HeadLayout,
    /// Positions there is room for, in whole blocks of keys.
    capacity: usize,
}

impl<E: Operand> KvCache<E> {
    /// Makes an empty cache.
    #[must_use]
    pub fn new(layout: HeadLayout) -> Self {
        Self { keys: Buffer::EMPTY, values: Buffer::EMPTY, layout, capacity: 0 }
    }

    /// Makes room for a window of `positions`; what was there is forgotten.
    pub fn reset(&mut self, positions: usize) {
        self.capacity = positions.next_multiple_of(KEY_BLOCK);
        self.keys.grow(self.layout.kv_heads * self.key_stride());
        self.values.grow(self.layout.kv_heads * self.value_stride());
    }

    pub(crate) fn layout(&self) -> HeadLayout {
        self.layout
    }

    /// Keys of `positions` as panels, and their number.
    pub(crate) fn keys(&self, kv_head: usize, positions: Range<usize>) -> (Panels<'_, E>, usize) {
        let panel = PANEL * padded_depth(self.layout.head_dim);
        let start = kv_head * self.key_stride() + positions.start / PANEL * panel;
        (Panels::new(&self.keys[start..], panel, positions.len().div_ceil(PANEL)), positions.len())
    }

    /// Values from position `start` on as panels.
    pub(crate) fn values(&self, kv_head: usize, start: usize) -> Panels<'_, E> {
        let first = kv_head * self.value_stride() + start * PANEL;
        Panels::new(&self.values[first..], self.capacity * PANEL, self.layout.head_dim.div_ceil(PANEL))
    }

    fn key_stride(&self) -> usize {
        self.capacity * padded_depth(self.layout.head_dim)
    }

    fn value_stride(&self) -> usize {
        self.capacity * self.layout.head_dim.next_multiple_of(PANEL)
    }

    /// Stores one head's key, `(head_dim,)`.
    #[inline(always)]
    fn put_key(&mut self, kv_head: usize, position: usize, key: &[E]) {
        let depth = padded_depth(self.layout.head_dim);
        let start = kv_head * self.key_stride() + position / PANEL * PANEL * depth;
        let panel = &mut self.keys[start..][..PANEL * depth];
        for (k, group) in key.chunks(E::GROUP).enumerate() {
            let at = place::<E>(k * E::GROUP, position % PANEL);
            panel[at..at + group.len()].copy_from_slice(group);
        }
        for k in key.len()..depth {
            panel[place::<E>(k, position % PANEL)] = E::default();
        }
    }

    /// Stores one head's value, `(head_dim,)`.
    #[inline(always)]
    fn put_value(&mut self, kv_head: usize, position: usize, value: &[E]) {
        let start = kv_head * self.value_stride();
        let values = &mut self.values[start..][..self.capacity * value.len().next_multiple_of(PANEL)];
        for (panel, value) in values.chunks_mut(self.capacity * PANEL).zip(value.chunks(PANEL)) {
            let at = place::<E>(position, 0);
            for (column, value) in value.iter().enumerate() {
                panel[at + column * E::GROUP] = *value;
            }
        }
    }

    /// Clears the values from `end` to the next step of a product, which reads them with weights of zero.
    fn clear_values_from(&mut self, end: usize) {
        let zero = [E::default(); MOST_WIDTH];
        for kv_head in 0..self.layout.kv_heads {
            for position in end..end.next_multiple_of(DEPTH_STEP) {
                self.put_value(kv_head, position, &zero[..self.layout.head_dim]);
            }
        }
    }
}

/// The widest head there is room for on the stack.
const MOST_WIDTH: usize = 4_096;

/// The queries of one head in a block of consecutive positions.
#[derive(Clone, Copy, Debug)]
pub struct QueryBlock<'a, E> {
    pub(crate) values: &'a [E],
    pub(crate) head: usize,
    pub(crate) head_dim: usize,
    /// Position of the first query.
    pub(crate) first: usize,
    pub(crate) rows: usize,
    pub(crate) span: AttentionSpan,
}

impl<'a, E: Operand> QueryBlock<'a, E> {
    /// Takes the queries of `head` from those that [`split_heads`] wrote to `queries` for `positions`.
    #[must_use]
    pub fn new(queries: &'a [E], layout: HeadLayout, head: usize, positions: Range<usize>) -> Self {
        assert!(layout.head_dim <= MOST_WIDTH, "a head is at most {MOST_WIDTH} wide");
        let values = &queries[head * layout.query_stride()..][..layout.query_stride()];
        let span = AttentionSpan::default();
        Self { values, head, head_dim: layout.head_dim, first: positions.start, rows: positions.len(), span }
    }

    /// Returns the queries with what they see and how.
    #[must_use]
    pub fn spanning(self, span: AttentionSpan) -> Self {
        Self { span, ..self }
    }

    /// The queries `rows` of the block.
    pub(crate) fn part(self, rows: Range<usize>) -> Self {
        let values = &self.values[rows.start * padded_depth(self.head_dim)..];
        Self { values, first: self.first + rows.start, rows: rows.len(), ..self }
    }
}

/// The projections of a block.
#[derive(Debug)]
pub struct Projections<'a> {
    /// `(rows, query, key and value of every head)`, at most [`ROW_STEP`] rows.
    pub values: &'a mut [f32],
    /// Position of the first row in the window.
    pub first: usize,
}

/// What happens to queries and keys before they meet: the norm of every head, if there is one, then the rotation.
#[derive(Clone, Copy, Debug)]
pub struct HeadRotation<'a> {
    /// Angles of as many positions as the window has.
    pub table: &'a RotaryTable,
    /// Norm of every query head.
    pub query_norm: Option<HeadNorm<'a>>,
    /// Norm of every key head.
    pub key_norm: Option<HeadNorm<'a>>,
}

/// Turns the projections of a block into queries, keys and values: norms and rotates queries and keys, scales queries by
/// 1/√head_dim, and appends keys and values to `cache`.
///
/// # Shapes
/// - `projections`: queries and keys are rotated in place
/// - `queries`: [`HeadLayout::block_len`] numbers
///
/// # Panics
/// If there are more rows than a block has, the window is longer than the cache was reset for, or a head is wider than 4,096.
pub fn split_heads<E: Operand>(
    instructions: Instructions,
    projections: Projections<'_>,
    rotation: HeadRotation<'_>,
    queries: &mut [E],
    cache: &mut KvCache<E>,
) {
    let (rows, first) = (projections.values.len() / cache.layout.width(), projections.first);
    assert!(rows <= ROW_STEP, "a block has at most {ROW_STEP} rows");
    assert!(first + rows <= cache.capacity, "the cache was made for a window as long as this");
    instructions.run(SplitHeads { projections: projections.values, first, rotation, queries, cache });
    cache.clear_values_from(first + rows);
}

struct SplitHeads<'a, 'c, E> {
    projections: &'a mut [f32],
    first: usize,
    rotation: HeadRotation<'a>,
    queries: &'a mut [E],
    cache: &'c mut KvCache<E>,
}

impl<E: Operand> Task for SplitHeads<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { projections, first, rotation, queries, cache } = self;
        let layout = cache.layout;
        let depth = padded_depth(layout.head_dim);
        let scale = root(layout.head_dim).recip();
        let mut rounded = [E::default(); MOST_WIDTH];
        let rounded = &mut rounded[..layout.head_dim];
        for (row, projections) in projections.chunks_exact_mut(layout.width()).enumerate() {
            let (q, kv) = projections.split_at_mut(layout.query_width());
            let (k, v) = kv.split_at_mut(layout.kv_width());
            let angles = rotation.table.at(first + row);
            for (head, q) in q.chunks_exact_mut(layout.head_dim).enumerate() {
                rotate(simd, q, angles, rotation.query_norm, scale);
                let to = &mut queries[head * layout.query_stride() + row * depth..][..depth];
                round(simd, q, to);
            }
            for (head, k) in k.chunks_exact_mut(layout.head_dim).enumerate() {
                rotate(simd, k, angles, rotation.key_norm, 1.0);
                round(simd, k, rounded);
                cache.put_key(head, first + row, rounded);
            }
            for (head, v) in v.chunks_exact(layout.head_dim).enumerate() {
                round(simd, v, rounded);
                cache.put_value(head, first + row, rounded);
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "widths are small")]
fn root(width: usize) -> f32 {
    (width as f32).sqrt()
}

/// Rounds `from` into the front of `to`.
#[inline(always)]
pub(super) fn round<S: Simd, E: Operand>(simd: S, from: &[f32], to: &mut [E]) {
    for (from, to) in from.chunks(S::LANES).zip(to[..from.len()].chunks_mut(S::LANES)) {
        E::store(simd, simd.load(from), to);
    }
}
