//! What the tests of kernels share: numbers without a pattern, rounding, and float64 twins with their error bounds.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::buffer::Buffer;
use crate::matmul::{InputRows, Operand};
use crate::tile::{ROW_STEP, padded_depth};

/// Unit roundoff of float32.
pub(crate) const UNIT: f64 = 1.0 / (1 << 24) as f64;

/// `count` numbers in [−1, 1), rounded to the operand, so that a twin and a kernel begin with the same values.
pub(crate) fn numbers<E: Operand>(seed: u64, count: usize) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| E::from_f32(random.random_range(-1.0_f32..1.0)).to_f32()).collect()
}

/// A left-hand side as kernels want it.
pub(crate) struct Left<E> {
    values: Buffer<E>,
    rows: usize,
}

impl<E: Operand> Left<E> {
    /// Takes `values`, `(rows, depth)`. What lies beyond the rows is as large as float32 can be, so that it shows if it is used.
    pub(crate) fn new(values: &[f32], rows: usize, depth: usize) -> Self {
        let stride = padded_depth(depth);
        let mut stored = Buffer::zeros(rows.next_multiple_of(ROW_STEP) * stride);
        stored[rows * stride..].fill(E::from_f32(1e38));
        for (row, values) in stored.chunks_mut(stride).zip(values.chunks(depth)) {
            row.iter_mut().zip(values).for_each(|(to, from)| *to = E::from_f32(*from));
        }
        Self { values: stored, rows }
    }

    /// The rows and their number.
    pub(crate) fn rows(&self) -> InputRows<'_, Buffer<E>> {
        InputRows { rows: &self.values, count: self.rows }
    }
}

/// A dot product in float64 and the bound of its float32 twin: n · u · Σ |a · b| for any order of additions (Higham 2002,
/// Accuracy and Stability of Numerical Algorithms, eq. 3.5, to first order), and what flushed subnormals may cost.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> (f64, f64) {
    let terms = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
    let (sum, magnitude) = terms.fold((0.0, 0.0), |(sum, magnitude), term| (sum + term, magnitude + term.abs()));
    (sum, (a.len() as f64 + 1.0) * UNIT * magnitude + a.len() as f64 * f64::from(f32::MIN_POSITIVE))
}

/// Asserts that `got` is within `bound` of `expected`.
pub(crate) fn assert_close(got: f32, expected: f64, bound: f64, what: &str) {
    let difference = (f64::from(got) - expected).abs();
    assert!(difference <= bound, "{what}: {got} instead of {expected}, off by {difference:e}, more than {bound:e}");
}
