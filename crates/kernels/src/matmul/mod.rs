//! Matrix products whose right-hand side is stored in panels, and what becomes of their sums.
//!
//! The right-hand side is cut into panels of `PANEL` columns that hold all terms of the sums, so that a
//! panel streams through the first-level cache while every block of rows meets it. A microkernel computes one tile, some
//! rows by one panel, in registers; an [`Epilogue`] consumes the tile while it is in the first-level cache, so that no
//! product is ever stored only to be read again.
//!
//! Every sum runs over its terms in order, in a register of its own: it does not depend on what else is computed. A [`Matrix`]
//! says what is multiplied: float32, bfloat16, or int8 with scales.
//!
//! Source: the scheme of Goto and van de Geijn (2008), Anatomy of High-Performance Matrix Multiplication, §4, with the
//! panels packed once because weights do not change.

mod epilogue;
mod int8;
mod microkernel;
mod norm;
mod operand;
mod weights;

pub use epilogue::{Inner, PaddedRows, Vocabulary, activated, cross_entropy, gated, project, project_add};
pub use int8::{Int8Rows, Int8Weights};
pub use norm::Norm;
pub use operand::Operand;
pub use weights::{InputRows, Matrix, Takes, Weights, gated_bias};

pub(crate) use epilogue::{AddTo, Store};
pub(crate) use norm::{inverse_rms, inverse_root_of_mean};
pub(crate) use operand::{Vectors, place};

use std::ops::Range;

use crate::simd::Simd;
use crate::tile::{PANEL, ROW_STEP, Tile, padded_depth};

/// The left-hand side of a product: `rows` rows of `depth` terms.
///
/// Rows lie [`padded_depth`] numbers apart, with zeros beyond `depth`. Memory extends to a multiple of [`ROW_STEP`] rows;
/// what lies beyond `rows` is not used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a, E> {
    values: &'a [E],
    rows: usize,
    stride: usize,
}

impl<'a, E> Rows<'a, E> {
    /// Takes `rows` rows of `depth` terms from `values`.
    ///
    /// # Panics
    /// If `values` is too short.
    pub(crate) fn new(values: &'a [E], rows: usize, depth: usize) -> Self {
        Self::with_stride(values, rows, padded_depth(depth))
    }

    /// Numbers that `rows` rows of `depth` terms take.
    pub(crate) fn stored(rows: usize, depth: usize) -> usize {
        rows.next_multiple_of(ROW_STEP) * padded_depth(depth)
    }

    /// Takes `rows` rows from `values`, `stride` apart. A tile asks for its own rows beyond them.
    ///
    /// # Panics
    /// If `values` is too short.
    pub(crate) fn with_stride(values: &'a [E], rows: usize, stride: usize) -> Self {
        assert!(values.len() >= rows * stride, "all rows are there");
        Self { values, rows, stride }
    }
}

/// The right-hand side of a product: panels one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels<'a, E> {
    values: &'a [E],
    /// Numbers from one panel to the next.
    stride: usize,
    count: usize,
}

impl<'a, E> Panels<'a, E> {
    /// `count` panels in `values`, each `stride` numbers after the one before.
    pub(crate) fn new(values: &'a [E], stride: usize, count: usize) -> Self {
        Self { values, stride, count }
    }
}

/// A product to compute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product<'a, E> {
    rows: Rows<'a, E>,
    panels: Panels<'a, E>,
    /// Terms of every sum, a multiple of what a microkernel takes at once.
    depth: usize,
}

impl<'a, E> Product<'a, E> {
    /// The product of `rows` with `panels`, as far as both have terms.
    ///
    /// # Panics
    /// If a panel is shorter than `depth`, or a row.
    pub(crate) fn new(rows: Rows<'a, E>, panels: Panels<'a, E>, depth: usize) -> Self {
        let depth = padded_depth(depth);
        assert!(depth <= rows.stride, "rows have as many terms as the product");
        let last = panels.count.saturating_sub(1) * panels.stride;
        assert!(
            panels.count == 0 || panels.values.len() >= last + depth * PANEL,
            "panels have as many terms as the product"
        );
        Self { rows, panels, depth }
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows.rows
    }

    /// Numbers from one row to the next.
    pub(crate) fn row_stride(&self) -> usize {
        self.rows.stride
    }

    /// The rows from `row` on.
    pub(crate) fn row_values(&self, row: usize) -> &'a [E] {
        &self.rows.values[row * self.rows.stride..]
    }

    /// Number of panels.
    pub(crate) fn panel_count(&self) -> usize {
        self.panels.count
    }

    /// The panel at `index`, `(depth, 32)` in groups.
    pub(crate) fn panel(&self, index: usize) -> &'a [E] {
        &self.panels.values[index * self.panels.stride..][..self.depth * PANEL]
    }
}

/// What becomes of the sums.
pub(crate) trait Epilogue {
    /// Takes the tile of `rows` and `panel`. Tiles come panel by panel, in the order of rows.
    fn take<S: Simd>(&mut self, simd: S, tile: &Tile, rows: Range<usize>, panel: usize);

    /// Asks for the memory that [`Self::take`] will read for a tile that is still to be computed.
    #[inline(always)]
    fn expect<S: Simd>(&self, _simd: S, _rows: Range<usize>, _panel: usize) {}
}

#[cfg(test)]
mod tests;
