//! Rows of bytes, the left-hand side of an int8 product.

use crate::buffer::Buffer;
use crate::tile::ROW_STEP;

/// The length of a sum is stored as a multiple of this: what one AMX tile takes.
pub(super) const DEPTH_STEP: usize = 64;

/// The largest magnitude of a stored weight or of a row around its zero.
pub(crate) const LARGEST: f32 = 127.0;

/// The byte of zero in a row.
pub(crate) const ZERO: f32 = 128.0;

/// Rows as bytes, with the value of one step for each.
#[derive(Clone, Debug, Default)]
pub struct Int8Rows {
    pub(crate) values: Buffer<u8>,
    /// `(row,)`.
    pub(crate) steps: Vec<f32>,
}

impl Int8Rows {
    /// Makes room for `rows` rows of `depth` numbers and returns the distance between them.
    pub(crate) fn resize(&mut self, rows: usize, depth: usize) -> usize {
        let stride = depth.next_multiple_of(DEPTH_STEP);
        self.values.grow(rows.next_multiple_of(ROW_STEP) * stride);
        self.steps.resize(rows, 0.0);
        stride
    }
}
