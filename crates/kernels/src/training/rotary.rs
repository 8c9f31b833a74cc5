//! Rotary position embeddings of the rows of a sequence, there and back.

use crate::Instructions;
use crate::dispatch::Task;
use crate::rotary::RotaryTable;
use crate::simd::Simd;

/// Which way heads are turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// By the angle of the position.
    Forwards,
    /// By as much the other way: the gradient of turning forwards.
    Backwards,
}

/// Where heads lie in rows.
#[derive(Clone, Copy, Debug)]
pub struct HeadRows {
    /// Numbers from one row to the next.
    pub stride: usize,
    /// Heads at the beginning of each row that are turned, one after the other.
    pub heads: usize,
    /// Numbers in a head, twice those of the table at a position.
    pub head_width: usize,
}

/// Turns the first heads of row i by the angles of position i, in place.
///
/// # Source
/// Su et al. (2021), `RoFormer`, §3.4.2, with the pairs (i, i + half) of transformers.
///
/// # Panics
/// If a row is shorter than its heads, the table ends before the last row or is of another width.
pub fn rotate_rows(instructions: Instructions, values: &mut [f32], rows: HeadRows, table: &RotaryTable, turn: Turn) {
    let HeadRows { stride, heads, head_width } = rows;
    assert!(stride > 0 && stride >= heads * head_width, "a row has room for its heads");
    assert!(values.len().div_ceil(stride) <= table.positions(), "there are angles for each position");
    assert_eq!(table.at(0).0.len() * 2, head_width, "two numbers of a head turn by one angle");
    instructions.run(RotateRows { values, rows, table, turn });
}

struct RotateRows<'a> {
    values: &'a mut [f32],
    rows: HeadRows,
    table: &'a RotaryTable,
    turn: Turn,
}

impl Task for RotateRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let HeadRows { stride, heads, head_width } = self.rows;
        let sign = simd.splat(if self.turn == Turn::Forwards { 1.0 } else { -1.0 });
        for (position, row) in self.values.chunks_mut(stride).enumerate() {
            let (cos, sin) = self.table.at(position);
            for head in row[..heads * head_width].chunks_exact_mut(head_width) {
                let (first, second) = head.split_at_mut(head_width / 2);
                let angles = cos.chunks(S::LANES).zip(sin.chunks(S::LANES));
                let pairs = first.chunks_mut(S::LANES).zip(second.chunks_mut(S::LANES));
                for ((cos, sin), (first, second)) in angles.zip(pairs) {
                    let (a, b) = (simd.load(first), simd.load(second));
                    let (cos, sin) = (simd.load(cos), simd.mul(simd.load(sin), sign));
                    simd.store(simd.sub(simd.mul(a, cos), simd.mul(b, sin)), first);
                    simd.store(simd.mul_add(b, cos, simd.mul(a, sin)), second);
                }
            }
        }
    }
}
