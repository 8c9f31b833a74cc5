//! Hadamard transforms: rotations that spread a few large numbers over many, so that rounding to int8 loses little.
//!
//! Source: Ashkboos et al. (2024), QuaRot: Outlier-Free 4-Bit Inference in Rotated LLMs, §3, for the use; Tseng et al. (2024),
//! QuIP#, §3, for random signs. Departs: where the length is no power of two, a Householder reflection mixes what is left over,
//! instead of a Hadamard matrix of that order.

use crate::simd::Simd;

/// Numbers that lie side by side and are not mixed by [`Hadamard::across`], so that a transform needs no shuffles.
const LANES: usize = 16;

/// An orthogonal transform of vectors of one width.
///
/// A width of `m · 2ᵃ` is transformed by (I − 2/m · 1·1ᵀ) ⊗ H of order 2ᵃ, scaled to keep lengths; with random signs before it, if it
/// has any.
#[derive(Clone, Debug)]
pub struct Hadamard {
    width: usize,
    /// Numbers from one that is mixed to the next.
    stride: usize,
    /// Order of the Hadamard matrix.
    order: usize,
    /// What each number is multiplied with before, ±1; empty if with nothing.
    signs: Vec<f32>,
}

impl Hadamard {
    /// Mixes all of `width` numbers, with signs that depend on the width alone.
    #[must_use]
    pub fn randomized(width: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut sign = || {
            // Marsaglia's xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if state >> 63 == 0 { 1.0 } else { -1.0 }
        };
        Self { signs: (0..width).map(|_| sign()).collect(), ..Self::with_stride(width, 1) }
    }

    /// Mixes numbers a multiple of sixteen places apart, without signs: what a processor does quickly. It is its own inverse. All are mixed
    /// where the width is no multiple of sixteen.
    #[must_use]
    pub fn across(width: usize) -> Self {
        Self::with_stride(width, if width.is_multiple_of(LANES) { LANES } else { 1 })
    }

    fn with_stride(width: usize, stride: usize) -> Self {
        assert!(width > 0, "there is something to mix");
        let count = width / stride;
        Self { width, stride, order: 1 << count.trailing_zeros(), signs: Vec::new() }
    }

    /// Transforms `x`, `(width,)`.
    ///
    /// # Panics
    /// If `x` has another length.
    #[inline(always)]
    pub fn apply(&self, x: &mut [f32]) {
        assert_eq!(x.len(), self.width, "a vector of the transform's width");
        self.flip(x);
        self.mix(x);
    }

    /// Undoes [`Self::apply`].
    ///
    /// # Panics
    /// If `x` has another length.
    #[inline(always)]
    pub fn undo(&self, x: &mut [f32]) {
        assert_eq!(x.len(), self.width, "a vector of the transform's width");
        self.mix(x);
        self.flip(x);
    }

    /// Transforms every column of `matrix`, `(width, columns)`.
    ///
    /// # Panics
    /// If the matrix has another number of rows.
    pub fn apply_to_columns(&self, matrix: &mut [f32]) {
        assert!(matrix.len().is_multiple_of(self.width), "a matrix with as many rows as the transform is wide");
        let columns = matrix.len() / self.width;
        for (row, sign) in matrix.chunks_exact_mut(columns.max(1)).zip(&self.signs) {
            row.iter_mut().for_each(|x| *x *= sign);
        }
        mix(matrix, self.order, self.width / self.stride, self.stride * columns);
    }

    #[inline(always)]
    fn flip(&self, x: &mut [f32]) {
        for (x, sign) in x.iter_mut().zip(&self.signs) {
            *x *= sign;
        }
    }

    #[inline(always)]
    fn mix(&self, x: &mut [f32]) {
        mix(x, self.order, self.width / self.stride, self.stride);
    }

    /// Does what [`Self::apply`] does with the vectors of `simd`.
    #[inline(always)]
    pub(crate) fn apply_with<S: Simd>(&self, simd: S, x: &mut [f32]) {
        if self.stride != LANES || !self.signs.is_empty() {
            return self.apply(x);
        }
        let mut step = LANES;
        let end = self.order * LANES;
        while step * 4 <= end {
            for block in x.chunks_exact_mut(4 * step) {
                fours(simd, block, step);
            }
            step *= 4;
        }
        if step < end {
            for block in x.chunks_exact_mut(2 * step) {
                twos(simd, block, step);
            }
        }
        self.reflect_with(simd, x);
    }

    /// The reflection, and the scale.
    #[inline(always)]
    #[expect(clippy::cast_precision_loss, reason = "orders are small")]
    fn reflect_with<S: Simd>(&self, simd: S, x: &mut [f32]) {
        let chunk = self.order * LANES;
        let count = x.len() / chunk;
        let scale = simd.splat((self.order as f32).sqrt().recip());
        let by = simd.splat(if count > 1 { -2.0 / count as f32 } else { 0.0 });
        for at in (0..chunk).step_by(S::LANES) {
            let mut sum = simd.splat(0.0);
            for index in 0..count {
                sum = simd.add(sum, simd.load(&x[index * chunk + at..][..S::LANES]));
            }
            for index in 0..count {
                let x = &mut x[index * chunk + at..][..S::LANES];
                simd.store(simd.mul(simd.mul_add(sum, by, simd.load(x)), scale), x);
            }
        }
    }
}

/// Sums and differences of numbers `step` apart.
#[inline(always)]
fn twos<S: Simd>(simd: S, block: &mut [f32], step: usize) {
    let (a, b) = block.split_at_mut(step);
    for (a, b) in a.chunks_exact_mut(S::LANES).zip(b.chunks_exact_mut(S::LANES)) {
        let (x, y) = (simd.load(a), simd.load(b));
        simd.store(simd.add(x, y), a);
        simd.store(simd.sub(x, y), b);
    }
}

/// Two stages of [`twos`] at once.
#[inline(always)]
fn fours<S: Simd>(simd: S, block: &mut [f32], step: usize) {
    let (low, high) = block.split_at_mut(2 * step);
    let ((a, b), (c, d)) = (low.split_at_mut(step), high.split_at_mut(step));
    let low = a.chunks_exact_mut(S::LANES).zip(b.chunks_exact_mut(S::LANES));
    let high = c.chunks_exact_mut(S::LANES).zip(d.chunks_exact_mut(S::LANES));
    for ((a, b), (c, d)) in low.zip(high) {
        let (x, y, z, w) = (simd.load(a), simd.load(b), simd.load(c), simd.load(d));
        let (xy, x_y, zw, z_w) = (simd.add(x, y), simd.sub(x, y), simd.add(z, w), simd.sub(z, w));
        simd.store(simd.add(xy, zw), a);
        simd.store(simd.add(x_y, z_w), b);
        simd.store(simd.sub(xy, zw), c);
        simd.store(simd.sub(x_y, z_w), d);
    }
}

/// Mixes `count` groups of `stride` numbers each, with the vectors of whoever calls.
#[inline(always)]
#[expect(clippy::cast_precision_loss, reason = "orders are small")]
fn mix(x: &mut [f32], order: usize, count: usize, stride: usize) {
    let mut step = stride;
    while step < order * stride {
        for block in x.chunks_exact_mut(2 * step) {
            let (a, b) = block.split_at_mut(step);
            for (a, b) in a.iter_mut().zip(b) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        step *= 2;
    }
    let scale = (order as f32).sqrt().recip();
    let (chunk, chunks) = (order * stride, count / order);
    if chunks == 1 {
        x.iter_mut().for_each(|x| *x *= scale);
        return;
    }
    let by = -2.0 / chunks as f32;
    let mut sums = vec![0.0; chunk];
    for part in x.chunks_exact(chunk) {
        sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
    }
    for part in x.chunks_exact_mut(chunk) {
        part.iter_mut().zip(&sums).for_each(|(x, sum)| *x = (*x + by * sum) * scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Instructions;
    use crate::dispatch::Task;
    use crate::reference::numbers;

    const WIDTHS: [usize; 7] = [1, 2, 9, 40, 64, 576, 1536];

    fn length(x: &[f32]) -> f64 {
        x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
    }

    fn assert_near(a: &[f32], b: &[f32], what: &str) {
        assert_eq!(a.len(), b.len());
        let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{what}: off by {worst}");
    }

    #[test]
    fn lengths_are_kept_and_the_transform_is_undone() {
        for width in WIDTHS {
            for transform in [Hadamard::randomized(width), Hadamard::across(width)] {
                let x = numbers::<f32>(30, width);
                let mut y = x.clone();
                transform.apply(&mut y);
                assert!((length(&x) - length(&y)).abs() < 1e-5, "{width}");
                transform.undo(&mut y);
                assert_near(&x, &y, &format!("{width} undone"));
            }
        }
    }

    #[test]
    fn one_large_number_is_spread() {
        for (transform, most) in [(Hadamard::randomized(576), 0.1), (Hadamard::across(1536), 0.12)] {
            let mut x = vec![0.0; transform.width];
            x[77] = 1.0;
            transform.apply(&mut x);
            assert!(x.iter().all(|x| x.abs() < most), "{}", transform.width);
        }
    }

    #[test]
    fn columns_are_transformed_like_vectors() {
        let (width, columns) = (40, 3);
        let transform = Hadamard::randomized(width);
        let matrix = numbers::<f32>(31, width * columns);
        let mut transformed = matrix.clone();
        transform.apply_to_columns(&mut transformed);
        for column in 0..columns {
            let take = |matrix: &[f32]| matrix.iter().skip(column).step_by(columns).copied().collect::<Vec<f32>>();
            let mut expected = take(&matrix);
            transform.apply(&mut expected);
            assert_near(&take(&transformed), &expected, "a column");
        }
    }

    struct Apply<'a>(&'a Hadamard, &'a mut [f32]);

    impl Task for Apply<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            self.0.apply_with(simd, self.1);
        }
    }

    #[test]
    fn vectors_transform_as_numbers_do_on_every_level() {
        for width in WIDTHS.into_iter().chain([16, 48, 2048, 4864]) {
            let transform = Hadamard::across(width);
            let mut expected = numbers::<f32>(32, width);
            let x = expected.clone();
            transform.apply(&mut expected);
            for instructions in Instructions::all() {
                let mut y = x.clone();
                instructions.run(Apply(&transform, &mut y));
                assert_near(&y, &expected, &format!("{} {width}", instructions.level()));
            }
        }
    }
}
