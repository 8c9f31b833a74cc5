//! What stands between two maps of an MLP, and caps of logits.

use crate::simd::Simd;

/// The function between the maps of an MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x / (1 + e^−x).
    ///
    /// # Source
    /// Elfwing et al. (2018), Sigmoid-weighted linear units, eq. 5.
    Silu,
    /// x · Φ(x), with the distribution function Φ of the normal distribution.
    ///
    /// # Error
    /// Φ within 2 · 10⁻⁷: Abramowitz and Stegun (1964), Handbook of Mathematical Functions, 7.1.26.
    ///
    /// # Source
    /// Hendrycks and Gimpel (2016), Gaussian Error Linear Units, §2.
    Gelu,
    /// x / (1 + e^−2u) with u = √(2/π) · (x + 0.044715 x³), which is x · (1 + tanh u) / 2.
    ///
    /// # Source
    /// Hendrycks and Gimpel (2016), §2.
    GeluTanh,
}

impl Activation {
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, simd: S, x: S::V) -> S::V {
        match self {
            Self::Silu => simd.mul(x, sigmoid(simd, x)),
            Self::Gelu => gelu(simd, x),
            Self::GeluTanh => {
                let square = simd.mul(x, x);
                let twice = simd.splat(2.0 * 0.797_884_6);
                let inner = simd.mul_add(square, simd.splat(0.044_715), simd.splat(1.0));
                simd.mul(x, sigmoid(simd, simd.mul(twice, simd.mul(x, inner))))
            }
        }
    }
}

/// The greatest x whose e^x has a reciprocal that is a normal number.
const GREATEST_EXPONENT: f32 = 87.0;

/// 1 / (1 + e^−x).
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(simd: S, x: S::V) -> S::V {
    let negative = simd.min(simd.splat(GREATEST_EXPONENT), simd.sub(simd.splat(0.0), x));
    simd.reciprocal(simd.add(simd.splat(1.0), simd.exp(negative)))
}

/// x · Φ(x): x less |x| · Q where x is positive, −|x| · Q where it is not, with Q = 1 − Φ(|x|).
#[inline(always)]
fn gelu<S: Simd>(simd: S, x: S::V) -> S::V {
    let zero = simd.splat(0.0);
    let size = simd.abs(x);
    let scaled = simd.mul(size, simd.splat(std::f32::consts::FRAC_1_SQRT_2));
    let t = simd.reciprocal(simd.mul_add(scaled, simd.splat(0.327_591_1), simd.splat(1.0)));
    let mut p = simd.splat(1.061_405_4);
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        p = simd.mul_add(p, t, simd.splat(coefficient));
    }
    let tail = simd.mul(simd.mul(p, t), simd.exp(simd.sub(zero, simd.mul(scaled, scaled))));
    simd.sub(simd.max(x, zero), simd.mul(simd.mul(size, tail), simd.splat(0.5)))
}

/// tanh x, relative error below 2⁻²⁰.
///
/// Up to 0.2 its power series, from 0.25 on 1 − 2 / (1 + e^2x), linearly between; the former loses nothing of small numbers.
#[inline(always)]
fn tanh<S: Simd>(simd: S, x: S::V) -> S::V {
    let (zero, one) = (simd.splat(0.0), simd.splat(1.0));
    let grown = simd.exp(simd.min(simd.splat(GREATEST_EXPONENT), simd.add(x, x)));
    let far = simd.sub(one, simd.mul(simd.splat(2.0), simd.reciprocal(simd.add(one, grown))));
    let small = simd.min(simd.splat(0.25), simd.max(simd.splat(-0.25), x));
    let square = simd.mul(small, small);
    let mut series = simd.splat(62.0 / 2_835.0);
    for coefficient in [-17.0 / 315.0, 2.0 / 15.0, -1.0 / 3.0, 1.0] {
        series = simd.mul_add(series, square, simd.splat(coefficient));
    }
    let near = simd.mul(small, series);
    let size = simd.abs(x);
    let share = simd.min(one, simd.max(zero, simd.mul(simd.sub(size, simd.splat(0.2)), simd.splat(20.0))));
    simd.mul_add(share, simd.sub(far, near), near)
}

/// A cap that logits come near and never pass: c · tanh(x / c).
///
/// # Source
/// Gemma Team (2024), Gemma 2, §2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftCap(pub f32);

impl SoftCap {
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, simd: S, x: S::V) -> S::V {
        simd.mul(simd.splat(self.0), tanh(simd, simd.mul(x, simd.splat(1.0 / self.0))))
    }

    #[inline(always)]
    pub(crate) fn apply_to<S: Simd>(self, simd: S, logits: &mut [f32]) {
        for logits in logits.chunks_mut(S::LANES) {
            simd.store(self.apply(simd, simd.load(logits)), logits);
        }
    }
}
