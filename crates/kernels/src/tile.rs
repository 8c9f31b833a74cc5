//! The shapes in which matrix products are stored and computed.

/// Columns of a panel: the unit in which the right-hand side of a product is stored.
pub(crate) const PANEL: usize = 32;

/// Outputs of each of the two halves of a gated panel.
pub(crate) const HALF_PANEL: usize = PANEL / 2;

/// The length of a sum is stored as a multiple of this, filled up with zeros: what one AMX tile takes.
pub(crate) const DEPTH_STEP: usize = 32;

/// Rows are stored as a multiple of this, so that no microkernel needs an edge: a multiple of every tile's rows.
pub const ROW_STEP: usize = 96;

/// Rows of the largest tile.
pub(crate) const TILE_ROWS: usize = 32;

const _: () = assert!(ROW_STEP.is_multiple_of(TILE_ROWS));

/// The sums of one tile, `(row, column)`.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Tile(pub(crate) [[f32; PANEL]; TILE_ROWS]);

impl Tile {
    /// All sums zero.
    pub(crate) const ZERO: Self = Self([[0.0; PANEL]; TILE_ROWS]);

    /// Returns where the first sum lies.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut f32 {
        self.0.as_mut_ptr().cast()
    }
}

/// Returns the stored length of a sum over `depth` terms.
#[must_use]
pub fn padded_depth(depth: usize) -> usize {
    depth.next_multiple_of(DEPTH_STEP)
}
