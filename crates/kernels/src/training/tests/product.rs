//! General products.

use half::bf16;

use crate::Instructions;
use crate::reference::{UNIT, assert_close, dot, numbers};
use crate::training::{Arithmetic, MatrixView, MatrixViewMut, Update, general_product};

/// Rows, columns and depth: vectors, what is too small for tiles, tiles and one more or less, and sums in several blocks.
const SHAPES: [(usize, usize, usize); 15] = [
    (1, 1, 1),
    (1, 33, 97),
    (97, 1, 31),
    (31, 33, 1),
    (33, 31, 2),
    (5, 7, 40),
    (3, 4, 1030),
    (31, 97, 33),
    (97, 31, 64),
    (64, 64, 600),
    (65, 130, 513),
    (200, 33, 1100),
    (97, 97, 97),
    (1, 70, 1025),
    (300, 290, 31),
];

/// What lies between the rows of operands, to show where it is read.
const GAP: f32 = f32::NAN;

/// What lies between the rows of outputs, to show where it is written.
const KEPT: f32 = 77.0;

/// Whether a matrix lies in memory as it is multiplied or as its transpose.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Plain,
    Transposed,
}

/// A matrix that lies with `gap` numbers between its rows.
struct Stored {
    values: Vec<f32>,
    rows: usize,
    columns: usize,
    stride: usize,
    layout: Layout,
}

impl Stored {
    /// Stores `numbers`, `(rows, columns)`.
    fn new(numbers: &[f32], (rows, columns): (usize, usize), gap: usize, layout: Layout) -> Self {
        let (lines, length) = match layout {
            Layout::Plain => (rows, columns),
            Layout::Transposed => (columns, rows),
        };
        let stride = length + gap;
        let mut values = vec![GAP; (lines - 1) * stride + length];
        for row in 0..rows {
            for column in 0..columns {
                let at = match layout {
                    Layout::Plain => row * stride + column,
                    Layout::Transposed => column * stride + row,
                };
                values[at] = numbers[row * columns + column];
            }
        }
        Self { values, rows, columns, stride, layout }
    }

    fn view(&self) -> MatrixView<'_> {
        match self.layout {
            Layout::Plain => MatrixView::with_stride(&self.values, self.rows, self.columns, self.stride),
            Layout::Transposed => {
                MatrixView::with_stride(&self.values, self.columns, self.rows, self.stride).transposed()
            }
        }
    }
}

/// The operands of a product of `(rows, columns, depth)`: the left one by rows, the right one by columns. Rounding changes none of them.
fn operands((rows, columns, depth): (usize, usize, usize)) -> (Vec<f32>, Vec<f32>) {
    (numbers::<bf16>(1, rows * depth), numbers::<bf16>(2, columns * depth))
}

/// Float32, and bfloat16 by every level of this processor.
fn all() -> impl Iterator<Item = Arithmetic> {
    std::iter::once(Arithmetic::Float32).chain(Instructions::all().map(Arithmetic::Bfloat16))
}

fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}

/// Checks a product of every arithmetic and layout against float64; `before` is what the output holds.
fn check(shape: (usize, usize, usize), gap: usize, update: Update, before: impl Fn(usize) -> f32) {
    let (rows, columns, depth) = shape;
    let (a, b) = operands(shape);
    let right = transposed(&b, columns, depth);
    let expected: Vec<_> = (0..rows * columns)
        .map(|at| {
            let (sum, bound) = dot(&a[at / columns * depth..][..depth], &b[at % columns * depth..][..depth]);
            let kept = if update == Update::Add { f64::from(before(at)) } else { 0.0 };
            // the sum is added once for each block of terms
            let blocks = depth.div_ceil(512) as f64;
            (sum + kept, bound + 3.0 * blocks * UNIT * (bound / UNIT + sum.abs() + kept.abs()))
        })
        .collect();
    for (arithmetic, left_layout, right_layout) in all().flat_map(layouts) {
        let left = Stored::new(&a, (rows, depth), gap, left_layout);
        let right = Stored::new(&right, (depth, columns), gap, right_layout);
        let stride = columns + gap;
        let mut out = vec![KEPT; (rows - 1) * stride + columns];
        for at in 0..rows * columns {
            out[at / columns * stride + at % columns] = before(at);
        }
        let output = MatrixViewMut::with_stride(&mut out, rows, columns, stride);
        general_product(left.view(), right.view(), update, output, arithmetic);
        for (at, got) in out.iter().enumerate() {
            let (row, column) = (at / stride, at % stride);
            let what = format!("{shape:?} {arithmetic:?} {left_layout:?} {right_layout:?}, row {row}, column {column}");
            if column >= columns {
                assert_eq!(got.to_bits(), KEPT.to_bits(), "{what}: between the rows");
                continue;
            }
            let (sum, bound) = expected[row * columns + column];
            assert_close(*got, sum, bound, &what);
        }
    }
}

/// Every layout of both operands.
fn layouts(arithmetic: Arithmetic) -> impl Iterator<Item = (Arithmetic, Layout, Layout)> {
    let both = [Layout::Plain, Layout::Transposed];
    both.into_iter().flat_map(move |left| both.map(|right| (arithmetic, left, right)))
}

#[test]
fn products_of_all_layouts_are_within_their_bound() {
    for shape in SHAPES {
        for gap in [0, 5] {
            check(shape, gap, Update::Replace, |_| 3.0);
        }
    }
}

#[test]
fn products_are_added() {
    let before = numbers::<f32>(3, 300 * 290);
    for shape in SHAPES {
        check(shape, 3, Update::Add, |at| before[at]);
    }
}

#[test]
fn an_output_that_is_replaced_may_hold_anything() {
    for shape in SHAPES {
        check(shape, 1, Update::Replace, |_| f32::NAN);
    }
}

/// Small integers have exact sums; a misplaced term, or a block that is left out, would show in any layout.
#[test]
fn products_of_integers_are_exact() {
    let (rows, columns, depth) = (70, 66, 1537);
    let (mut a, mut b) = operands((rows, columns, depth));
    a.iter_mut().chain(&mut b).for_each(|x| *x = (*x * 8.0).round());
    for arithmetic in all() {
        let mut out = vec![f32::NAN; rows * columns];
        let output = MatrixViewMut::new(&mut out, rows, columns);
        let right = MatrixView::new(&b, columns, depth).transposed();
        general_product(MatrixView::new(&a, rows, depth), right, Update::Replace, output, arithmetic);
        for (at, got) in out.iter().enumerate() {
            let (sum, _) = dot(&a[at / columns * depth..][..depth], &b[at % columns * depth..][..depth]);
            assert_eq!(f64::from(*got), sum, "at {at}, {arithmetic:?}");
        }
    }
}

/// Nor does it matter what another product left in memory.
#[test]
fn operands_are_rounded_to_nearest_with_ties_to_even() {
    let (rows, columns, depth) = (37, 35, 70);
    let (a, b) = (numbers::<f32>(5, rows * depth), numbers::<f32>(6, columns * depth));
    let rounded = |values: &[f32]| values.iter().map(|x| bf16::from_f32(*x).to_f32()).collect::<Vec<_>>();
    for (arithmetic, left_layout, right_layout) in all().skip(1).flat_map(layouts) {
        let product = |a: &[f32], b: &[f32]| {
            let left = Stored::new(a, (rows, depth), 0, left_layout);
            let right = Stored::new(&transposed(b, columns, depth), (depth, columns), 0, right_layout);
            let mut out = vec![0.0; rows * columns];
            let output = MatrixViewMut::new(&mut out, rows, columns);
            general_product(left.view(), right.view(), Update::Replace, output, arithmetic);
            out
        };
        let expected = product(&rounded(&a), &rounded(&b));
        // a larger one fills the memory of this one, its padding included
        let nothing = vec![f32::NAN; 200 * 200];
        let (left, right) = (MatrixView::new(&nothing, 200, 200), MatrixView::new(&nothing, 200, 200));
        let mut out = vec![0.0; 200 * 200];
        general_product(left, right, Update::Replace, MatrixViewMut::new(&mut out, 200, 200), arithmetic);
        assert_eq!(product(&a, &b), expected, "{arithmetic:?} {left_layout:?} {right_layout:?}");
    }
}

#[test]
fn a_sum_of_no_terms_is_zero() {
    for arithmetic in all() {
        for (update, expected) in [(Update::Replace, 0.0), (Update::Add, 3.0)] {
            let mut out = [3.0; 6];
            let (left, right) = (MatrixView::new(&[], 2, 0), MatrixView::new(&[], 0, 3));
            general_product(left, right, update, MatrixViewMut::new(&mut out, 2, 3), arithmetic);
            assert_eq!(out, [expected; 6], "{arithmetic:?}");
        }
    }
}

#[test]
fn a_product_without_rows_or_columns_writes_nothing() {
    let values = [1.0; 12];
    for (rows, columns) in [(0, 4), (4, 0), (0, 0)] {
        for arithmetic in all() {
            let mut out = [KEPT; 2];
            let (left, right) = (MatrixView::new(&values, rows, 3), MatrixView::new(&values, 3, columns));
            let output = MatrixViewMut::new(&mut out, rows, columns);
            general_product(left, right, Update::Replace, output, arithmetic);
            assert_eq!(out, [KEPT; 2]);
        }
    }
}

#[test]
#[should_panic(expected = "do not fit into 11 numbers")]
fn a_view_past_the_end_of_memory_is_refused() {
    let _ = MatrixView::with_stride(&[0.0; 11], 3, 2, 5);
}

#[test]
#[should_panic(expected = "do not fit into 4 numbers")]
fn a_view_that_overflows_is_refused() {
    let _ = MatrixView::with_stride(&[0.0; 4], 3, 2, usize::MAX / 2 + 1);
}

#[test]
#[should_panic(expected = "rows of 4 numbers lie apart")]
fn rows_that_overlap_are_refused() {
    let _ = MatrixViewMut::with_stride(&mut [0.0; 20], 3, 4, 3);
}

#[test]
#[should_panic(expected = "as many columns as the right one has rows")]
fn operands_that_do_not_fit_are_refused() {
    let (left, right) = (MatrixView::new(&[0.0; 6], 2, 3), MatrixView::new(&[0.0; 6], 2, 3));
    general_product(left, right, Update::Add, MatrixViewMut::new(&mut [0.0; 6], 2, 3), Arithmetic::Float32);
}

#[test]
#[should_panic(expected = "the output has the rows")]
fn an_output_that_does_not_fit_is_refused() {
    let (left, right) = (MatrixView::new(&[0.0; 6], 2, 3), MatrixView::new(&[0.0; 6], 3, 2));
    general_product(left, right, Update::Add, MatrixViewMut::new(&mut [0.0; 6], 3, 2), Arithmetic::Float32);
}
