//! One tile of an int8 product, on every instruction level.

use std::cell::Cell;

use super::{GROUP, Int8Rows, Int8Weights};
#[cfg(target_arch = "x86_64")]
use crate::amx;
use crate::buffer::{Buffer, words};
use crate::dispatch::DotTask;
use crate::matmul::Epilogue;
use crate::matmul::int8::rows::DEPTH_STEP;
use crate::matmul::microkernel::tile_rows;
use crate::simd::{Dots, Simd};
use crate::tile::{PANEL, ROW_STEP, TILE_ROWS, Tile};
use crate::{Instructions, Level};

/// An int8 product to compute.
#[derive(Clone, Copy)]
pub(crate) struct Int8Product<'a> {
    weights: &'a Int8Weights,
    rows: &'a Int8Rows,
    /// Number of rows.
    count: usize,
    /// Bytes from one row to the next, and terms of every sum.
    depth: usize,
}

impl<'a> Int8Product<'a> {
    /// # Panics
    /// If there are fewer rows, or they are shorter than the weights' inputs.
    pub(crate) fn new(weights: &'a Int8Weights, rows: &'a Int8Rows, count: usize) -> Self {
        let depth = weights.depth.next_multiple_of(DEPTH_STEP);
        assert!(rows.steps.len() >= count, "every row has a scale");
        assert!(rows.values.len() >= count.next_multiple_of(ROW_STEP) * depth, "rows are stored in whole steps");
        Self { weights, rows, count, depth }
    }

    /// The rows, with zeros up to a whole step.
    fn row_bytes(&self) -> &'a [u8] {
        &self.rows.values[..self.count.next_multiple_of(ROW_STEP) * self.depth]
    }

    fn panel_count(&self) -> usize {
        self.weights.columns.div_ceil(PANEL)
    }

    /// The panel at `index`, `(depth / 4, 32, 4)`.
    fn panel(&self, index: usize) -> &'a [i8] {
        &self.weights.panels[index * self.depth * PANEL..][..self.depth * PANEL]
    }

    /// Surplus and step of each column of the panel at `index`.
    fn scales(&self, index: usize) -> (&'a [i32; PANEL], &'a [f32; PANEL]) {
        let at = index * PANEL;
        let surplus = self.weights.surplus[at..].first_chunk().expect("surpluses of whole panels");
        (surplus, self.weights.steps[at..].first_chunk().expect("steps of whole panels"))
    }

    /// The step of `row`; 0 for rows that only fill a tile.
    fn row_step(&self, row: usize) -> f32 {
        if row < self.count { self.rows.steps[row] } else { 0.0 }
    }
}

/// Computes an int8 product.
pub(super) fn multiply<P: Epilogue>(instructions: Instructions, product: Int8Product<'_>, epilogue: &mut P) {
    match instructions.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Amx => {
            // SAFETY: the level was found available.
            unsafe { multiply_amx(product, epilogue) }
        }
        _ => {
            let mut wide = WIDE.take();
            instructions.run_dots(Multiply { product, epilogue, wide: &mut wide });
            WIDE.set(wide);
        }
    }
}

thread_local! {
    /// Rows and one panel as int16, kept from one product to the next.
    static WIDE: Cell<(Buffer<i16>, Buffer<i16>)> = const { Cell::new((Buffer::EMPTY, Buffer::EMPTY)) };
}

/// An int8 product in dot products of bytes or int16.
struct Multiply<'a, 'e, P> {
    product: Int8Product<'a>,
    epilogue: &'e mut P,
    wide: &'e mut (Buffer<i16>, Buffer<i16>),
}

impl<P: Epilogue> DotTask for Multiply<'_, '_, P> {
    #[inline(always)]
    fn run<D: Dots, const ROWS: usize, const VECTORS: usize>(self, dots: D) {
        let Self { product, epilogue, wide: (wide_rows, wide_panel) } = self;
        let is_wide = D::TERMS < GROUP;
        let rows = if is_wide {
            widen_rows(product.row_bytes(), wide_rows);
            words(&wide_rows[..product.row_bytes().len()])
        } else {
            words(product.row_bytes())
        };
        let stride = product.depth / D::TERMS;
        let mut tile = Tile::ZERO;
        for panel in 0..product.panel_count() {
            let terms = if is_wide {
                widen_panel(product.panel(panel), wide_panel);
                words(&wide_panel[..product.depth * PANEL])
            } else {
                words(product.panel(panel))
            };
            let (surplus, columns) = product.scales(panel);
            for row in (0..product.count).step_by(ROWS) {
                let tile_rows = tile_rows(row, ROWS, product.count);
                epilogue.expect(dots.floats(), tile_rows.clone(), panel);
                let mut steps = [0.0; ROWS];
                for (index, step) in steps.iter_mut().enumerate() {
                    *step = product.row_step(row + index);
                }
                let scales = Scales { surplus, columns, rows: &steps };
                dot_tile::<D, ROWS, VECTORS>(dots, &rows[row * stride..], terms, scales, &mut tile);
                epilogue.take(dots.floats(), &tile, tile_rows, panel);
            }
        }
    }
}

/// Bytes as int16.
#[inline(always)]
fn widen_rows(from: &[u8], to: &mut Buffer<i16>) {
    to.grow(from.len());
    for (from, to) in from.iter().zip(to.iter_mut()) {
        *to = i16::from(*from);
    }
}

/// A panel of groups of four bytes, `(depth / 4, 32, 4)`, as one of pairs of int16, `(depth / 2, 32, 2)`.
#[inline(always)]
fn widen_panel(from: &[i8], to: &mut Buffer<i16>) {
    to.grow(from.len());
    for (groups, pairs) in from.chunks_exact(4 * PANEL).zip(to.chunks_exact_mut(4 * PANEL)) {
        let (first, second) = pairs.split_at_mut(2 * PANEL);
        for column in 0..PANEL {
            for term in 0..2 {
                first[2 * column + term] = i16::from(groups[4 * column + term]);
                second[2 * column + term] = i16::from(groups[4 * column + 2 + term]);
            }
        }
    }
}

/// What turns the sums of a tile into numbers.
#[derive(Clone, Copy)]
struct Scales<'a, const ROWS: usize> {
    /// What is taken off the sums of each column, `(32,)`.
    surplus: &'a [i32; PANEL],
    /// The step of each column, `(32,)`.
    columns: &'a [f32; PANEL],
    /// The step of each row.
    rows: &'a [f32; ROWS],
}

/// Computes `ROWS` rows of one panel, `VECTORS` vectors of columns at a time, and scales the sums.
///
/// # Shapes
/// - `rows`: `ROWS` rows of words, as far apart as a panel has words of terms
/// - `panel`: `(word, 32)`
#[inline(always)]
fn dot_tile<D: Dots, const ROWS: usize, const VECTORS: usize>(
    dots: D,
    rows: &[i32],
    panel: &[i32],
    scales: Scales<'_, ROWS>,
    tile: &mut Tile,
) {
    const { assert!(ROWS <= TILE_ROWS && ROW_STEP.is_multiple_of(ROWS)) }
    let simd = dots.floats();
    let lanes = <D::Floats as Simd>::LANES;
    let stride = panel.len() / PANEL;
    assert!(rows.len() >= ROWS * stride, "a tile has all its rows");
    for first in (0..PANEL).step_by(VECTORS * lanes) {
        let mut start = [dots.splat(0); VECTORS];
        for (start, surplus) in start.iter_mut().zip(scales.surplus[first..].chunks_exact(lanes)) {
            *start = dots.sub(*start, dots.load(surplus));
        }
        let mut sums = [start; ROWS];
        for (k, words) in panel.chunks_exact(PANEL).enumerate() {
            let mut columns = [dots.splat(0); VECTORS];
            for (column, words) in columns.iter_mut().zip(words[first..].chunks_exact(lanes)) {
                *column = dots.load(words);
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: k < stride and row < ROWS, so the index is below the length asserted above.
                let term = dots.splat(unsafe { *rows.get_unchecked(row * stride + k) });
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = dots.dot(*sum, term, column);
                }
            }
        }
        for (vector, at) in (first..).step_by(lanes).take(VECTORS).enumerate() {
            let column_steps = simd.load(&scales.columns[at..at + lanes]);
            for ((sums, step), to) in sums.iter().zip(scales.rows).zip(&mut tile.0) {
                let value = simd.mul(dots.to_floats(sums[vector]), simd.mul(column_steps, simd.splat(*step)));
                simd.store(value, &mut to[at..at + lanes]);
            }
        }
    }
}

/// Computes an int8 product in tiles.
///
/// # Safety
/// [`amx::is_available`], and the processor has AVX-512 F, BW, DQ, VL and BF16, AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
pub(crate) unsafe fn multiply_amx<P: Epilogue>(product: Int8Product<'_>, epilogue: &mut P) {
    // SAFETY: the caller has seen that the processor has them.
    let simd = unsafe { crate::simd::Avx512::<true>::new() };
    // SAFETY: the caller has seen that tiles are available.
    unsafe { amx::configure() };
    let tiles = amx::Order { panels: product.panel_count(), rows: product.count };
    let mut sums = [[[0; PANEL]; amx::ROWS]; 2];
    let mut tile = Tile::ZERO;
    for index in 0..=tiles.count() {
        if index < tiles.count() {
            let (panel, row) = tiles.at(index);
            if panel + 1 < tiles.panels {
                tiles.prefetch(row, product.panel(panel + 1));
            }
            let rows = &product.row_bytes()[row * product.depth..];
            // SAFETY: tiles are configured on this thread.
            unsafe { amx::int8_tile(rows, product.depth, product.panel(panel), &mut sums[index % 2]) };
        }
        if index > 0 {
            let (panel, row) = tiles.at(index - 1);
            let (surplus, steps) = product.scales(panel);
            for (offset, (to, sums)) in tile.0.iter_mut().zip(&sums[(index - 1) % 2]).enumerate() {
                let row_step = product.row_step(row + offset);
                let columns = surplus.iter().zip(steps);
                for (to, (sum, (surplus, step))) in to.iter_mut().zip(sums.iter().zip(columns)) {
                    *to = (sum - surplus) as f32 * (step * row_step);
                }
            }
            epilogue.take(simd, &tile, tile_rows(row, amx::ROWS, product.count), panel);
        }
    }
}
