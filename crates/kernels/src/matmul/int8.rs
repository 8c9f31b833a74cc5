//! Products of int8: weights with a scale for each output, rows with a scale for each.
//!
//! A row is stored as unsigned bytes around 128, because that is what processors multiply with signed bytes; the surplus of 128
//! times the sum of the weights is taken off afterwards. Sums are int32 and exact, so they are the same on every level.
//!
//! Source: Jacob et al. (2018), Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
//! §2.2–2.3, with symmetric weights; scales a token and a channel as by Xiao et al. (2023), SmoothQuant, §3.

mod rows;

pub use rows::Int8Rows;
pub(super) use rows::{LARGEST, ZERO};

use super::microkernel::tile_rows;
use super::norm::rms_norm_int8;
use super::weights::{InputRows, Multiply};
use super::{Epilogue, Matrix};
#[cfg(target_arch = "x86_64")]
use crate::amx;
use crate::buffer::Buffer;
use crate::tile::{HALF_PANEL, PANEL, ROW_STEP, Tile};
use crate::{Instructions, Level};
use rows::DEPTH_STEP;

/// Consecutive terms that lie side by side in a panel.
const GROUP: usize = 4;

/// A weight matrix of `columns` outputs by `depth` inputs, in panels of int8.
#[derive(Clone, Debug)]
pub struct Int8Weights {
    panels: Buffer<i8>,
    /// The value of one step of each output's weights, in whole panels.
    steps: Vec<f32>,
    /// What storing rows around 128 adds to each output's sums, in whole panels.
    surplus: Vec<i32>,
    columns: usize,
    depth: usize,
}

impl Int8Weights {
    /// Returns whether the processor multiplies int8 at the level.
    #[must_use]
    pub fn is_available(instructions: Instructions) -> bool {
        matches!(instructions.level(), Level::Avx512Bf16 | Level::Amx)
    }

    fn zeros(columns: usize, depth: usize) -> Self {
        let whole = columns.next_multiple_of(PANEL);
        let panels = Buffer::zeros(whole * depth.next_multiple_of(DEPTH_STEP));
        Self { panels, steps: vec![0.0; whole], surplus: vec![0; whole], columns, depth }
    }

    fn panel_len(&self) -> usize {
        self.depth.next_multiple_of(DEPTH_STEP) * PANEL
    }

    /// Rounds `values`, `(depth,)`, into output `column`.
    #[expect(clippy::cast_possible_truncation, reason = "rounded numbers are within ±127")]
    fn set_column(&mut self, column: usize, values: &[f32]) {
        let largest = values.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        // a weight that is no number makes the whole output none
        let step = if values.iter().all(|x| x.is_finite()) { largest / LARGEST } else { f32::NAN };
        let per_step = if step > 0.0 { step.recip() } else { 0.0 };
        let start = column / PANEL * self.panel_len();
        let mut sum = 0;
        for (k, value) in values.iter().enumerate() {
            let rounded = (value * per_step).round_ties_even().clamp(-LARGEST, LARGEST) as i8;
            self.panels[start + place(k, column % PANEL)] = rounded;
            sum += i32::from(rounded);
        }
        self.steps[column] = step;
        self.surplus[column] = sum * ZERO as i32;
    }
}

/// Where term `k` of column `column` of a panel lies in it.
fn place(k: usize, column: usize) -> usize {
    (k / GROUP * PANEL + column) * GROUP + k % GROUP
}

impl Matrix for Int8Weights {
    fn pack(values: &[f32], columns: usize, depth: usize) -> Self {
        assert_eq!(values.len(), columns * depth, "a weight has one value for each input of each output");
        let mut weights = Self::zeros(columns, depth);
        for (column, values) in values.chunks(depth).enumerate() {
            weights.set_column(column, values);
        }
        weights
    }

    fn pack_gated(gate: &[f32], up: &[f32], columns: usize, depth: usize) -> Self {
        assert!(gate.len() == columns * depth && up.len() == gate.len(), "one value for each input of each output");
        let mut weights = Self::zeros(columns.div_ceil(HALF_PANEL) * PANEL, depth);
        for (column, (gate, up)) in gate.chunks(depth).zip(up.chunks(depth)).enumerate() {
            let place = column / HALF_PANEL * PANEL + column % HALF_PANEL;
            weights.set_column(place, gate);
            weights.set_column(place + HALF_PANEL, up);
        }
        weights
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn read_column(&self, column: usize, to: &mut [f32]) {
        assert!(column < self.columns && to.len() == self.depth, "a column of the weight");
        let panel = &self.panels[column / PANEL * self.panel_len()..];
        for (k, to) in to.iter_mut().enumerate() {
            *to = f32::from(panel[place(k, column % PANEL)]) * self.steps[column];
        }
    }

    fn norm(instructions: Instructions, x: &[f32], weight: &[f32], eps: f32, rows: &mut Int8Rows) {
        rms_norm_int8(instructions, x, weight, eps, rows);
    }
}

#[expect(private_bounds, reason = "see `Multiply`")]
impl Multiply for Int8Weights {
    type Rows = Int8Rows;

    fn multiply<P: Epilogue>(&self, instructions: Instructions, inputs: InputRows<'_, Int8Rows>, epilogue: &mut P) {
        let product = Int8Product::new(self, inputs.rows, inputs.count);
        match instructions.level() {
            #[cfg(target_arch = "x86_64")]
            Level::Amx => {
                // SAFETY: the level was found available.
                unsafe { multiply_amx(product, epilogue) }
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16 => {
                // SAFETY: the level was found available.
                unsafe { vnni::multiply(product, epilogue) }
            }
            level => panic!("int8 products are not available at level {level}: ask `Int8Weights::is_available` first"),
        }
    }
}

/// An int8 product to compute.
#[derive(Clone, Copy)]
pub(crate) struct Int8Product<'a> {
    weights: &'a Int8Weights,
    rows: &'a Int8Rows,
    /// Number of rows.
    pub(crate) count: usize,
    /// Bytes from one row to the next, and terms of every sum.
    pub(crate) depth: usize,
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

    /// The rows from `row` on.
    pub(crate) fn row_values(&self, row: usize) -> &'a [u8] {
        &self.rows.values[row * self.depth..]
    }

    /// Number of panels.
    pub(crate) fn panel_count(&self) -> usize {
        self.weights.columns.div_ceil(PANEL)
    }

    /// The panel at `index`, `(depth / 4, 32, 4)`.
    pub(crate) fn panel(&self, index: usize) -> &'a [i8] {
        &self.weights.panels[index * self.depth * PANEL..][..self.depth * PANEL]
    }

    /// Surplus and step of each column of the panel at `index`.
    pub(crate) fn scales(&self, index: usize) -> (&'a [i32], &'a [f32]) {
        let columns = index * PANEL..(index + 1) * PANEL;
        (&self.weights.surplus[columns.clone()], &self.weights.steps[columns])
    }

    /// The step of `row`; 0 for rows that only fill a tile.
    pub(crate) fn row_step(&self, row: usize) -> f32 {
        if row < self.count { self.rows.steps[row] } else { 0.0 }
    }
}

/// Computes an int8 product in tiles.
///
/// # Safety
/// [`amx::is_available`], and the processor has AVX-512 F, BW, DQ and VL, AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) unsafe fn multiply_amx<P: Epilogue>(product: Int8Product<'_>, epilogue: &mut P) {
    // SAFETY: the caller has seen that the processor has them.
    let simd = unsafe { crate::simd::Avx512::new() };
    // SAFETY: the caller has seen that tiles are available.
    unsafe { amx::configure() };
    let mut sums = [[0; PANEL]; amx::ROWS];
    let mut tile = Tile::ZERO;
    for panel in 0..product.panel_count() {
        let (surplus, steps) = product.scales(panel);
        for row in (0..product.count).step_by(amx::ROWS) {
            // SAFETY: tiles are configured on this thread.
            unsafe { amx::int8_tile(product.row_values(row), product.depth, product.panel(panel), &mut sums) };
            for (index, (to, sums)) in tile.0.iter_mut().zip(&sums).enumerate() {
                let row_step = product.row_step(row + index);
                for column in 0..PANEL {
                    to[column] = (sums[column] - surplus[column]) as f32 * (steps[column] * row_step);
                }
            }
            epilogue.take(simd, &tile, tile_rows(row, amx::ROWS, product.count), panel);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod vnni {
    use std::arch::x86_64::*;

    use super::{Epilogue, Int8Product};
    use crate::matmul::microkernel::tile_rows;
    use crate::simd::Avx512;
    use crate::tile::{PANEL, Tile};

    /// Rows of a tile, as for bfloat16.
    const ROWS: usize = 12;

    /// Computes an int8 product with dot products of four.
    ///
    /// # Safety
    /// The processor has AVX-512 F, BW, DQ, VL and VNNI, and AVX2 and FMA.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
    pub(super) unsafe fn multiply<P: Epilogue>(product: Int8Product<'_>, epilogue: &mut P) {
        // SAFETY: the caller has seen that the processor has them.
        let simd = unsafe { Avx512::new() };
        let mut tile = Tile::ZERO;
        for panel in 0..product.panel_count() {
            for row in (0..product.count).step_by(ROWS) {
                dot_tile(&product, row, panel, &mut tile);
                epilogue.take(simd, &tile, tile_rows(row, ROWS, product.count), panel);
            }
        }
    }

    /// Computes [`ROWS`] rows of one panel, in float32 at the end.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn dot_tile(product: &Int8Product<'_>, row: usize, panel: usize, tile: &mut Tile) {
        let (rows, stride) = (product.row_values(row), product.depth);
        assert!(stride.is_multiple_of(4) && rows.len() >= ROWS * stride, "a tile has all its rows");
        let mut sums = [[_mm512_setzero_si512(); 2]; ROWS];
        for (group, terms) in product.panel(panel).chunks_exact(4 * PANEL).enumerate() {
            let (low, high) = terms.split_at(2 * PANEL);
            let columns = [bytes(low), bytes(high)];
            for (row, sums) in sums.iter_mut().enumerate() {
                let at = row * stride + 4 * group;
                // SAFETY: 4 · group + 3 < stride and row < ROWS, so all four lie below the length asserted above.
                let term = unsafe { rows.get_unchecked(at..at + 4) };
                let term = _mm512_set1_epi32(i32::from_le_bytes([term[0], term[1], term[2], term[3]]));
                sums[0] = _mm512_dpbusd_epi32(sums[0], term, columns[0]);
                sums[1] = _mm512_dpbusd_epi32(sums[1], term, columns[1]);
            }
        }
        let (surplus, steps) = product.scales(panel);
        for (index, (to, sums)) in tile.0.iter_mut().zip(sums).enumerate() {
            let row_step = _mm512_set1_ps(product.row_step(row + index));
            for (half, sum) in sums.into_iter().enumerate() {
                let columns = half * 16..half * 16 + 16;
                let surplus = integers(&surplus[columns.clone()]);
                let sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, surplus));
                let value = _mm512_mul_ps(sum, _mm512_mul_ps(floats(&steps[columns.clone()]), row_step));
                // SAFETY: half a row of a tile has room for 16 floats.
                unsafe { _mm512_storeu_ps(to[columns].as_mut_ptr(), value) };
            }
        }
    }

    /// Sixteen groups of four.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn bytes(groups: &[i8]) -> __m512i {
        assert!(groups.len() == 64, "sixteen groups");
        // SAFETY: 64 bytes are there.
        unsafe { _mm512_loadu_si512(groups.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn integers(values: &[i32]) -> __m512i {
        assert!(values.len() == 16, "a vector");
        // SAFETY: sixteen integers are there.
        unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn floats(values: &[f32]) -> __m512 {
        assert!(values.len() == 16, "a vector");
        // SAFETY: sixteen floats are there.
        unsafe { _mm512_loadu_ps(values.as_ptr()) }
    }
}
