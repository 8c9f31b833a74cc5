//! One tile of a product, on every instruction level.

use std::cell::Cell;
use std::ops::Range;

use half::bf16;

use super::{Epilogue, Product};
#[cfg(target_arch = "x86_64")]
use crate::amx;
use crate::buffer::Buffer;
use crate::dispatch::Task;
use crate::simd::Simd;
use crate::tile::{PANEL, Tile};
use crate::{Instructions, Level};

/// Computes a float32 product with the multiply-adds of the level.
pub(super) fn multiply_f32<P: Epilogue>(instructions: Instructions, product: Product<'_, f32>, epilogue: &mut P) {
    instructions.run(Float32 { product, epilogue });
}

/// Computes a bfloat16 product: tiles or dot products where the level has them; elsewhere operands are widened, once for each
/// panel, and multiplied in float32, where products of two bfloat16 are exact.
pub(super) fn multiply_bf16<P: Epilogue>(instructions: Instructions, product: Product<'_, bf16>, epilogue: &mut P) {
    match instructions.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Amx => {
            // SAFETY: the level was found available.
            unsafe { multiply_amx(product, epilogue) }
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Bf16 => {
            // SAFETY: the level was found available.
            unsafe { multiply_avx512_bf16(product, epilogue) }
        }
        _ => {
            let mut widened = WIDENED.take();
            instructions.run(Widened { product, epilogue, memory: &mut widened });
            WIDENED.set(widened);
        }
    }
}

thread_local! {
    /// Rows and one panel of a bfloat16 product in float32, kept from one product to the next.
    static WIDENED: Cell<(Buffer<f32>, Buffer<f32>)> = const { Cell::new((Buffer::EMPTY, Buffer::EMPTY)) };
}

/// The rows of the tile at `row` that belong to the product.
pub(super) fn tile_rows(row: usize, step: usize, rows: usize) -> Range<usize> {
    row..rows.min(row + step)
}

/// A float32 product.
struct Float32<'p, 'e, P> {
    product: Product<'p, f32>,
    epilogue: &'e mut P,
}

impl<P: Epilogue> Task for Float32<'_, '_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { product, epilogue } = self;
        let (rows, stride) = (product.rows(), product.row_stride());
        let mut tile = Tile::ZERO;
        for panel in 0..product.panel_count() {
            for row in (0..rows).step_by(S::TILE_ROWS) {
                simd.tile(product.row_values(row), stride, product.panel(panel), &mut tile);
                epilogue.take(simd, &tile, tile_rows(row, S::TILE_ROWS, rows), panel);
            }
        }
    }
}

/// A bfloat16 product in float32.
struct Widened<'p, 'e, P> {
    product: Product<'p, bf16>,
    epilogue: &'e mut P,
    memory: &'e mut (Buffer<f32>, Buffer<f32>),
}

impl<P: Epilogue> Task for Widened<'_, '_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { product, epilogue, memory: (wide_rows, wide_panel) } = self;
        let (rows, stride) = (product.rows(), product.row_stride());
        let stored = rows.next_multiple_of(S::TILE_ROWS) * stride;
        wide_rows.grow(stored);
        widen(simd, &product.row_values(0)[..stored], wide_rows);
        wide_panel.grow(product.depth * PANEL);
        let mut tile = Tile::ZERO;
        for panel in 0..product.panel_count() {
            widen_pairs(product.panel(panel), wide_panel);
            for row in (0..rows).step_by(S::TILE_ROWS) {
                simd.tile(&wide_rows[row * stride..], stride, &wide_panel[..product.depth * PANEL], &mut tile);
                epilogue.take(simd, &tile, tile_rows(row, S::TILE_ROWS, rows), panel);
            }
        }
    }
}

#[inline(always)]
fn widen<S: Simd>(simd: S, from: &[bf16], to: &mut [f32]) {
    for (from, to) in from.chunks(S::LANES).zip(to.chunks_mut(S::LANES)) {
        simd.store(simd.load_bf16(from), to);
    }
}

/// Turns a panel of pairs into one of single terms.
#[inline(always)]
fn widen_pairs(from: &[bf16], to: &mut [f32]) {
    for (pairs, terms) in from.chunks_exact(2 * PANEL).zip(to.chunks_exact_mut(2 * PANEL)) {
        let (first, second) = terms.split_at_mut(PANEL);
        for column in 0..PANEL {
            first[column] = pairs[2 * column].to_f32();
            second[column] = pairs[2 * column + 1].to_f32();
        }
    }
}

/// Computes a bfloat16 product in tiles.
///
/// # Safety
/// [`amx::is_available`], and the processor has AVX-512 F, BW, DQ, VL and BF16, AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
pub(super) unsafe fn multiply_amx<P: Epilogue>(product: Product<'_, bf16>, epilogue: &mut P) {
    // SAFETY: the caller has seen that the processor has them.
    let simd = unsafe { crate::simd::Avx512::<true>::new() };
    // SAFETY: the caller has seen that tiles are available.
    unsafe { amx::configure() };
    let (rows, stride) = (product.rows(), product.row_stride());
    let tiles = amx::Order { panels: product.panel_count(), rows };
    let mut sums = [Tile::ZERO; 2];
    for index in 0..=tiles.count() {
        if index < tiles.count() {
            let (panel, row) = tiles.at(index);
            // SAFETY: tiles are configured on this thread.
            unsafe { amx::bf16_tile(product.row_values(row), stride, product.panel(panel), &mut sums[index % 2]) };
        }
        if index > 0 {
            let (panel, row) = tiles.at(index - 1);
            epilogue.take(simd, &sums[(index - 1) % 2], tile_rows(row, amx::ROWS, rows), panel);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512_bf16 {
    use std::arch::x86_64::*;

    use half::bf16;

    use super::{Epilogue, Product, tile_rows};
    use crate::simd::Avx512;
    use crate::tile::{PANEL, Tile};

    /// Rows of a tile: 24 sums fill the registers beside two vectors of the panel and one term.
    const ROWS: usize = 12;

    /// Computes a bfloat16 product with dot products of pairs.
    ///
    /// # Safety
    /// The processor has AVX-512 F, BW, DQ, VL and BF16, and AVX2 and FMA.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
    pub(crate) unsafe fn multiply<P: Epilogue>(product: Product<'_, bf16>, epilogue: &mut P) {
        // SAFETY: the caller has seen that the processor has them.
        let simd = unsafe { Avx512::<true>::new() };
        let (rows, stride) = (product.rows(), product.row_stride());
        let mut tile = Tile::ZERO;
        for panel in 0..product.panel_count() {
            for row in (0..rows).step_by(ROWS) {
                dot_tile(product.row_values(row), stride, product.panel(panel), &mut tile);
                epilogue.take(simd, &tile, tile_rows(row, ROWS, rows), panel);
            }
        }
    }

    /// Computes [`ROWS`] rows of one panel.
    ///
    /// # Shapes
    /// - `rows`: `ROWS` rows, `stride` apart
    /// - `panel`: `(depth / 2, 32, 2)`
    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn dot_tile(rows: &[bf16], stride: usize, panel: &[bf16], tile: &mut Tile) {
        let depth = panel.len() / PANEL;
        assert!(depth.is_multiple_of(2) && rows.len() >= (ROWS - 1) * stride + depth, "a tile has all its rows");
        let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
        for (pair, terms) in panel.chunks_exact(2 * PANEL).enumerate() {
            let (low, high) = terms.split_at(PANEL);
            let columns = [bits(low), bits(high)];
            for (row, sums) in sums.iter_mut().enumerate() {
                let at = row * stride + 2 * pair;
                // SAFETY: 2 · pair + 1 < depth and row < ROWS, so both terms lie below the length asserted above.
                let term = unsafe { rows.get_unchecked(at..at + 2) };
                let term = u32::from(term[0].to_bits()) | u32::from(term[1].to_bits()) << 16;
                let term = as_bf16(_mm512_set1_epi32(term.cast_signed()));
                sums[0] = _mm512_dpbf16_ps(sums[0], term, columns[0]);
                sums[1] = _mm512_dpbf16_ps(sums[1], term, columns[1]);
            }
        }
        for (to, [low, high]) in tile.0.iter_mut().zip(sums) {
            // SAFETY: a row of a tile has room for 32 floats.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), low) };
            // SAFETY: as above.
            unsafe { _mm512_storeu_ps(to[16..].as_mut_ptr(), high) };
        }
    }

    /// Sixteen pairs.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn bits(pairs: &[bf16]) -> __m512bh {
        assert!(pairs.len() == PANEL, "sixteen pairs");
        // SAFETY: 32 numbers of 16 bits are there.
        as_bf16(unsafe { _mm512_loadu_si512(pairs.as_ptr().cast()) })
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn as_bf16(bits: __m512i) -> __m512bh {
        // SAFETY: both are 512 bits without invalid patterns.
        unsafe { std::mem::transmute(bits) }
    }
}

#[cfg(target_arch = "x86_64")]
use avx512_bf16::multiply as multiply_avx512_bf16;
