//! Products of matrices that both change.
//!
//! In float32 the arithmetic is that of the crate `gemm` (0.19), which is as fast as this crate's microkernel where both operands are packed
//! at each call (docs/decisions/0020). `gemm` cuts long sums into blocks whose length follows from the first-level cache, which would
//! change their bits; here it gets at most [`DEPTH_BLOCK`] terms at a time, which it never cuts. It takes AVX-512, FMA or NEON as it finds
//! them on the processor, and cannot be asked for less: processors of which it takes the same give the same bits.
//!
//! In bfloat16 it is that of this crate's microkernels, after [`rounded`] has packed both operands.

use gemm::Parallelism;

use super::rounded;
use super::view::{MatrixView, MatrixViewMut, Update};
use crate::Instructions;

/// Terms that a sum takes before it is added to what was summed before: as many as `gemm` never cuts on any cache.
const DEPTH_BLOCK: usize = 512;

/// What a product is computed in. Sums are float32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// Terms are multiplied as they are.
    Float32,
    /// Terms are rounded to bfloat16, to nearest with ties to even, and multiplied with the instructions of a level.
    Bfloat16(Instructions),
}

/// Computes `left` · `right`, or `output` + `left` · `right`, on the calling thread.
///
/// # Shapes
/// - `left`: `(rows, depth)`, `right`: `(depth, columns)`, each as it lies or [transposed](MatrixView::transposed)
/// - `output`: `(rows, columns)`
///
/// # Determinism
/// In float32, bits depend on the shapes, on whether operands are transposed and their rows adjoin, and on which of AVX-512, FMA and
/// NEON the processor has; not on [`Instructions`]. A row may differ in the last bits from the product of that row alone. In bfloat16,
/// bits depend on the level alone.
///
/// # Panics
/// If the shapes do not fit.
pub fn general_product(
    left: MatrixView<'_>,
    right: MatrixView<'_>,
    update: Update,
    mut output: MatrixViewMut<'_>,
    arithmetic: Arithmetic,
) {
    let depth = left.columns();
    assert_eq!(depth, right.rows(), "the left operand has as many columns as the right one has rows");
    assert_eq!(
        (output.rows(), output.columns()),
        (left.rows(), right.columns()),
        "the output has the rows of the left operand and the columns of the right one"
    );
    if output.rows() == 0 || output.columns() == 0 {
        return;
    }
    if let Arithmetic::Bfloat16(instructions) = arithmetic {
        return rounded::multiply(instructions, (left, right), update, output);
    }
    // blocks of about the same length; without terms there is one that is empty
    let step = depth.div_ceil(depth.div_ceil(DEPTH_BLOCK).max(1)).max(1);
    for first in (0..depth.max(1)).step_by(step) {
        let count = step.min(depth - first);
        let update = if first == 0 { update } else { Update::Add };
        multiply(left.column_range(first, count), right.row_range(first, count), update, &mut output);
    }
}

/// Computes a [`general_product`] of at most [`DEPTH_BLOCK`] terms, whose shapes fit.
fn multiply(left: MatrixView<'_>, right: MatrixView<'_>, update: Update, output: &mut MatrixViewMut<'_>) {
    let ([left_row, left_column], [right_row, right_column]) = (left.steps(), right.steps());
    let [output_row, output_column] = output.steps();
    let kept = match update {
        Update::Replace => 0.0,
        Update::Add => 1.0,
    };
    // SAFETY: views hold every number at the steps that they state, those of the output apart from each other and from what is
    // read; the shapes fit; numbers are real, so that nothing is conjugated.
    unsafe {
        gemm::gemm(
            output.rows(),
            output.columns(),
            left.columns(),
            output.as_mut_ptr(),
            output_column,
            output_row,
            update == Update::Add,
            left.as_ptr(),
            left_column,
            left_row,
            right.as_ptr(),
            right_column,
            right_row,
            kept,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
