//! One tile of a float32 product, written once for all vectors.

use super::Simd;
use crate::tile::{PANEL, ROW_STEP, TILE_ROWS, Tile};

/// Computes `ROWS` rows of one panel with multiply-adds, `VECTORS` vectors of columns at a time: as many sums as the level has registers
/// for, beside the columns and a term.
///
/// # Shapes
/// - `rows`: `ROWS` rows, `stride` apart
/// - `panel`: `(depth, 32)`
#[inline(always)]
pub(super) fn fma_tile<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    rows: &[f32],
    stride: usize,
    panel: &[f32],
    tile: &mut Tile,
) {
    const { assert!(PANEL.is_multiple_of(VECTORS * S::LANES) && ROWS <= TILE_ROWS && ROW_STEP.is_multiple_of(ROWS)) }
    let depth = panel.len() / PANEL;
    assert!(rows.len() >= (ROWS - 1) * stride + depth, "a tile has all its rows");
    for first in (0..PANEL).step_by(VECTORS * S::LANES) {
        let mut sums = [[simd.splat(0.0); VECTORS]; ROWS];
        for (k, terms) in panel.chunks_exact(PANEL).enumerate() {
            let mut columns = [simd.splat(0.0); VECTORS];
            for (column, terms) in columns.iter_mut().zip(terms[first..].chunks_exact(S::LANES)) {
                *column = simd.load(terms);
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: k < depth and row < ROWS, so the index is below the length asserted above.
                let term = simd.splat(unsafe { *rows.get_unchecked(row * stride + k) });
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = simd.mul_add(term, column, *sum);
                }
            }
        }
        for (sums, to) in sums.iter().zip(&mut tile.0) {
            for (sum, to) in sums.iter().zip(to[first..].chunks_exact_mut(S::LANES)) {
                simd.store(*sum, to);
            }
        }
    }
}
