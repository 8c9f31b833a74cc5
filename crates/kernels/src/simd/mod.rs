//! Vectors of float32, one implementation per instruction set, and what is written once on top of them.
//!
//! A value of a type that implements [`Simd`] is the proof that the processor has its instructions. Everything here is inlined
//! into a function that has them enabled (see [`dispatch`](crate::dispatch)), so none of it uses closures.

mod dots;
mod fma;
mod pairs;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use dots::{Dots, Pairs};
#[cfg(target_arch = "x86_64")]
pub(crate) use dots::{Vnni256, Vnni256Evex, Vnni512};
pub(crate) use pairs::{Adjoining, Block, LINES, PairVectors, TERMS};
pub(crate) use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

use half::bf16;

use crate::tile::Tile;

/// Float32 vectors of one instruction set.
///
/// Loads take as many numbers as there are, up to [`Self::LANES`], and fill up with zeros; stores write as many as there is
/// room for. `max` and `min` return their second operand if either is NaN.
pub(crate) trait Simd: Copy {
    /// A vector.
    type V: Copy;
    /// Numbers in a vector; at most [`MOST_LANES`].
    const LANES: usize;
    /// Rows of a tile of a matrix product.
    const TILE_ROWS: usize;

    /// Computes [`Self::TILE_ROWS`] rows of one panel of a matrix product; see [`fma_tile`](fma::fma_tile).
    fn tile(self, rows: &[f32], stride: usize, panel: &[f32], tile: &mut Tile);

    fn splat(self, x: f32) -> Self::V;
    fn load(self, from: &[f32]) -> Self::V;
    fn store(self, x: Self::V, to: &mut [f32]);
    fn load_bf16(self, from: &[bf16]) -> Self::V;
    /// Rounds to nearest, ties to even; a number below 2⁻¹²⁶ may become zero.
    fn store_bf16(self, x: Self::V, to: &mut [bf16]);
    /// Rounds a block, as [`Self::store_bf16`] does, and stores its pairs.
    ///
    /// # Panics
    /// If there is no room for them.
    #[inline(always)]
    fn store_pairs(self, block: Block<'_>, out: PairVectors<'_>) {
        pairs::store_pairs(self, block, out);
    }
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// √x, correctly rounded.
    fn sqrt(self, x: Self::V) -> Self::V;
    /// 1 / x for x in [1, 2¹²⁶), relative error below 2⁻²².
    #[inline(always)]
    fn reciprocal(self, x: Self::V) -> Self::V {
        self.div(self.splat(1.0), x)
    }
    /// a · b + c.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// |x|.
    #[inline(always)]
    fn abs(self, x: Self::V) -> Self::V {
        self.max(x, self.sub(self.splat(0.0), x))
    }
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// x · 2^n for `shifted` = n + [`SHIFT`], n an integer in [−126, 126] and x in [1/2, 2].
    fn scale_by_power(self, x: Self::V, shifted: Self::V) -> Self::V;
    /// Rounds to the nearest integer, |x| < 2²¹.
    fn round(self, x: Self::V) -> Self::V;
    /// Whether a > b in some lane.
    fn any_greater(self, a: Self::V, b: Self::V) -> bool;

    /// Brings the cache line of the first number nearer, where the processor can be asked.
    #[inline(always)]
    fn prefetch(self, _from: &[f32]) {}

    /// Rounds numbers in [0, 255] to nearest, ties to even, and stores them as bytes.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the caller bounds the numbers")]
    fn store_bytes(self, x: Self::V, to: &mut [u8]) {
        let mut lanes = [0.0; MOST_LANES];
        self.store(self.round(x), &mut lanes);
        for (to, x) in to.iter_mut().zip(lanes) {
            *to = x as u8;
        }
    }

    /// e^x, relative error below 2⁻²² · (1 + |x| / 3); x below −87 gives at most e^−87, about 10⁻³⁸, and x above 87 gives e^87 at least, e^x or infinity at most.
    ///
    /// # Source
    /// 2^n · e^r with r = x − n·ln 2 in two parts, as in Cephes `expf` (Moshier 1989), and the polynomial of degree 6 with the least
    /// relative error in |r| ≤ ln 2 / 2, 1.9 · 10⁻⁹, found by Remez's exchange. AVX-512 splits x / ln 2 in one instruction instead, which
    /// is where |x| comes in, and takes the polynomial of degree 5 for 2^r with the least in 0 ≤ r < 1, 8.2 · 10⁻⁸.
    #[inline(always)]
    fn exp(self, x: Self::V) -> Self::V {
        let x = self.min(self.splat(87.0), self.max(self.splat(-87.0), x));
        let shifted = self.mul_add(x, self.splat(std::f32::consts::LOG2_E), self.splat(SHIFT));
        let n = self.sub(shifted, self.splat(SHIFT));
        let r = self.mul_add(n, self.splat(-0.693_359_4), x);
        let r = self.mul_add(n, self.splat(2.121_944_4e-4), r);
        let mut p = self.splat(1.383_684_6e-3);
        p = self.mul_add(p, r, self.splat(8.374_816e-3));
        p = self.mul_add(p, r, self.splat(4.166_822_5e-2));
        p = self.mul_add(p, r, self.splat(1.666_642e-1));
        p = self.mul_add(p, r, self.splat(4.999_999e-1));
        p = self.mul_add(p, r, self.splat(1.0));
        p = self.mul_add(p, r, self.splat(1.0));
        self.scale_by_power(p, shifted)
    }

    /// The sum of all lanes, pairwise in a fixed order.
    #[inline(always)]
    fn sum(self, x: Self::V) -> f32 {
        let mut lanes = [0.0; MOST_LANES];
        self.store(x, &mut lanes);
        let mut width = MOST_LANES / 2;
        while width > 0 {
            for lane in 0..width {
                lanes[lane] += lanes[lane + width];
            }
            width /= 2;
        }
        lanes[0]
    }

    /// The greatest lane; NaN may be passed over.
    #[inline(always)]
    fn greatest(self, x: Self::V) -> f32 {
        let mut lanes = [f32::NEG_INFINITY; MOST_LANES];
        self.store(x, &mut lanes);
        let mut width = MOST_LANES / 2;
        while width > 0 {
            for lane in 0..width {
                let (a, b) = (lanes[lane], lanes[lane + width]);
                lanes[lane] = if a > b { a } else { b };
            }
            width /= 2;
        }
        lanes[0]
    }
}

/// 1.5 · 2²³: a sum with it has no room for a fraction, and the integer in its low bits.
pub(crate) const SHIFT: f32 = 12_582_912.0;

/// The longest vector, in numbers.
pub(crate) const MOST_LANES: usize = 16;

#[cfg(test)]
mod tests;
