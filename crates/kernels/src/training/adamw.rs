//! Sums over a gradient, and the update that it leads to.

use crate::Instructions;
use crate::dispatch::Task;
use crate::simd::Simd;

/// Numbers whose sum is kept in float32 before it is added in float64.
const SUM_BLOCK: usize = 256;

/// Returns Σ |x| and Σ x².
///
/// Blocks of 256 numbers are summed in float32, and the blocks in float64 from the first to the last.
#[must_use]
pub fn absolute_and_square_sums(instructions: Instructions, x: &[f32]) -> (f64, f64) {
    instructions.run(Sums { x })
}

struct Sums<'a> {
    x: &'a [f32],
}

impl Task for Sums<'_> {
    type Output = (f64, f64);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> (f64, f64) {
        let (mut absolutes, mut squares) = (0.0, 0.0);
        let zero = simd.splat(0.0);
        for block in self.x.chunks(SUM_BLOCK) {
            let (mut absolute, mut square) = (zero, zero);
            for x in block.chunks(S::LANES) {
                let x = simd.load(x);
                // what is no number stays none: the second operand is returned then
                absolute = simd.add(absolute, simd.max(simd.sub(zero, x), x));
                square = simd.mul_add(x, x, square);
            }
            absolutes += f64::from(simd.sum(absolute));
            squares += f64::from(simd.sum(square));
        }
        (absolutes, squares)
    }
}

/// The factors of one update of [`adamw_update`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWFactors {
    /// What the gradient is multiplied by first, as clipping asks.
    pub gradient: f32,
    /// β₁, what is kept of the first moment.
    pub beta1: f32,
    /// β₂, what is kept of the second.
    pub beta2: f32,
    /// What is kept of the parameters: 1 − rate · weight decay.
    pub keep: f32,
    /// Rate / (1 − β₁ᵗ) at update t, counted from 1.
    pub rate: f32,
    /// 1 / √(1 − β₂ᵗ).
    pub spread: f32,
    /// ε, added to the root of the second moment.
    pub eps: f32,
}

/// Parameters with their moments, `(numbers,)` each.
#[derive(Debug)]
pub struct AdamWState<'a> {
    /// What is trained.
    pub parameters: &'a mut [f32],
    /// Running mean of gradients.
    pub first: &'a mut [f32],
    /// Running mean of their squares.
    pub second: &'a mut [f32],
}

/// Updates parameters and moments by a gradient: m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², and
/// p ← keep · p − rate · m / (spread · √v + ε).
///
/// # Source
/// Loshchilov and Hutter (2019), Decoupled Weight Decay Regularization (arXiv 1711.05101), algorithm 2, with the decay multiplied by the rate,
/// as PyTorch's `AdamW` does.
///
/// # Panics
/// If there is not one of each for every gradient.
pub fn adamw_update(instructions: Instructions, factors: AdamWFactors, gradient: &[f32], state: AdamWState<'_>) {
    let count = gradient.len();
    let lengths = [state.parameters.len(), state.first.len(), state.second.len()];
    assert_eq!(lengths, [count; 3], "a parameter and two moments for each gradient");
    instructions.run(Update { factors, gradient, state });
}

struct Update<'a> {
    factors: AdamWFactors,
    gradient: &'a [f32],
    state: AdamWState<'a>,
}

impl Task for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let AdamWFactors { gradient: by, beta1, beta2, keep, rate, spread, eps } = self.factors;
        let (by, keep, rate) = (simd.splat(by), simd.splat(keep), simd.splat(-rate));
        let (spread, eps) = (simd.splat(spread), simd.splat(eps));
        let (beta1, rest1) = (simd.splat(beta1), simd.splat(1.0 - beta1));
        let (beta2, rest2) = (simd.splat(beta2), simd.splat(1.0 - beta2));
        let AdamWState { parameters, first, second } = self.state;
        let moments = first.chunks_mut(S::LANES).zip(second.chunks_mut(S::LANES));
        let places = parameters.chunks_mut(S::LANES).zip(moments);
        for (gradient, (parameters, (first, second))) in self.gradient.chunks(S::LANES).zip(places) {
            let g = simd.mul(simd.load(gradient), by);
            let m = simd.mul_add(simd.load(first), beta1, simd.mul(g, rest1));
            let v = simd.mul_add(simd.load(second), beta2, simd.mul(simd.mul(g, g), rest2));
            simd.store(m, first);
            simd.store(v, second);
            let step = simd.div(m, simd.mul_add(simd.sqrt(v), spread, eps));
            simd.store(simd.mul_add(rate, step, simd.mul(simd.load(parameters), keep)), parameters);
        }
    }
}
