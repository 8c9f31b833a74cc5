//! Products of matrices that both change.
//!
//! The arithmetic is that of the crate `gemm` (0.19), which is as fast as this crate's microkernel where both operands are packed at
//! each call (docs/decisions/0020).
//!
//! Two things could change the bits of a sum. `gemm` cuts long sums into blocks whose length follows from the first-level
//! cache; here it gets at most [`DEPTH_BLOCK`] terms at a time, which it never cuts. And it uses threads, but shares out tiles
//! among them and never a sum.
//!
//! It takes AVX-512, FMA or NEON as it finds them on the processor, and cannot be asked for less: processors of which it takes the
//! same give the same bits.

use gemm::Parallelism;

use super::view::{MatrixView, MatrixViewMut};

/// Terms that a sum takes before it is added to what was summed before: as many as `gemm` never cuts on any cache.
const DEPTH_BLOCK: usize = 512;

/// Which threads compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// The calling thread.
    Calling,
    /// All threads of the rayon pool that the calling thread is in.
    Pool,
}

/// The factors of a [`general_product`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProductScale {
    /// Of the product: α.
    pub product: f32,
    /// Of what the output holds: β. If zero, it is not read and may be NaN.
    pub output: f32,
}

impl ProductScale {
    /// The output becomes the product.
    pub const REPLACE: Self = Self { product: 1.0, output: 0.0 };

    /// The product is added to the output.
    pub const ADD: Self = Self { product: 1.0, output: 1.0 };
}

/// Computes α · `left` · `right` + β · `output`, in float32.
///
/// # Shapes
/// - `left`: `(rows, depth)`, `right`: `(depth, columns)`, each as it lies or [transposed](MatrixView::transposed)
/// - `output`: `(rows, columns)`
///
/// # Determinism
/// Bit-identical for any thread count. Bits depend on the shapes, on whether operands are transposed and their rows adjoin, and
/// on which of AVX-512, FMA and NEON the processor has; not on [`Instructions`](crate::Instructions). A row may differ in the last bits
/// from the product of that row alone.
///
/// # Panics
/// If the shapes do not fit.
pub fn general_product(
    left: MatrixView<'_>,
    right: MatrixView<'_>,
    scale: ProductScale,
    mut output: MatrixViewMut<'_>,
    threads: Threads,
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
    // blocks of about the same length; without terms there is one that is empty, which scales the output
    let step = depth.div_ceil(depth.div_ceil(DEPTH_BLOCK).max(1)).max(1);
    for first in (0..depth.max(1)).step_by(step) {
        let count = step.min(depth - first);
        let output_scale = if first == 0 { scale.output } else { 1.0 };
        let scale = ProductScale { output: output_scale, ..scale };
        multiply(left.column_range(first, count), right.row_range(first, count), scale, &mut output, threads);
    }
}

/// Computes a [`general_product`] of at most [`DEPTH_BLOCK`] terms, whose shapes fit.
fn multiply(
    left: MatrixView<'_>,
    right: MatrixView<'_>,
    scale: ProductScale,
    output: &mut MatrixViewMut<'_>,
    threads: Threads,
) {
    let parallelism = match threads {
        Threads::Calling => Parallelism::None,
        // zero asks for as many as the pool has
        Threads::Pool => Parallelism::Rayon(0),
    };
    let ([left_row, left_column], [right_row, right_column]) = (left.steps(), right.steps());
    let [output_row, output_column] = output.steps();
    let reads_output = scale.output != 0.0;
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
            reads_output,
            left.as_ptr(),
            left_column,
            left_row,
            right.as_ptr(),
            right_column,
            right_row,
            scale.output,
            scale.product,
            false,
            false,
            false,
            parallelism,
        );
    }
}
