//! The gate of a SwiGLU layer and its gradient.

use crate::Instructions;
use crate::activation::sigmoid;
use crate::dispatch::Task;
use crate::simd::Simd;

/// Writes silu(gate) · up of each row to `out`, with silu(x) = x / (1 + e^−x).
///
/// # Shapes
/// - `gate_up`: rows of `width` gates, then as many ups
/// - `out`: `(rows, width)`
///
/// # Source
/// Shazeer (2020), GLU Variants Improve Transformer, eq. 6.
///
/// # Panics
/// If the shapes do not fit.
pub fn gate_rows(instructions: Instructions, gate_up: &[f32], width: usize, out: &mut [f32]) {
    assert!(width > 0 && out.len().is_multiple_of(width) && gate_up.len() == 2 * out.len(), "rows of that width");
    instructions.run(GateRows { gate_up, width, out });
}

struct GateRows<'a> {
    gate_up: &'a [f32],
    width: usize,
    out: &'a mut [f32],
}

impl Task for GateRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (gate_up, out) in self.gate_up.chunks_exact(2 * self.width).zip(self.out.chunks_exact_mut(self.width)) {
            let (gate, up) = gate_up.split_at(self.width);
            for ((gate, up), out) in gate.chunks(S::LANES).zip(up.chunks(S::LANES)).zip(out.chunks_mut(S::LANES)) {
                let gate = simd.load(gate);
                simd.store(simd.mul(simd.mul(gate, sigmoid(simd, gate)), simd.load(up)), out);
            }
        }
    }
}

/// Puts the gradient by gates and ups into their place.
///
/// For the gradient g by silu(gate) · up and s = 1 / (1 + e^−gate) it is g · up · s · (1 + gate · (1 − s)) and g · gate · s.
///
/// # Shapes
/// As [`gate_rows`]; `by_out`: `(rows, width)`.
///
/// # Panics
/// If the shapes do not fit.
pub fn gate_rows_gradient(instructions: Instructions, by_out: &[f32], width: usize, gate_up: &mut [f32]) {
    assert!(width > 0 && by_out.len().is_multiple_of(width) && gate_up.len() == 2 * by_out.len(), "rows of that width");
    instructions.run(GateGradient { by_out, width, gate_up });
}

struct GateGradient<'a> {
    by_out: &'a [f32],
    width: usize,
    gate_up: &'a mut [f32],
}

impl Task for GateGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let one = simd.splat(1.0);
        for (by_out, gate_up) in self.by_out.chunks_exact(self.width).zip(self.gate_up.chunks_exact_mut(2 * self.width))
        {
            let (gate, up) = gate_up.split_at_mut(self.width);
            let gates = gate.chunks_mut(S::LANES).zip(up.chunks_mut(S::LANES));
            for (by_out, (gate, up)) in by_out.chunks(S::LANES).zip(gates) {
                let (by_out, g) = (simd.load(by_out), simd.load(gate));
                let share = sigmoid(simd, g);
                let slope = simd.mul(share, simd.mul_add(g, simd.sub(one, share), one));
                simd.store(simd.mul(simd.mul(by_out, simd.load(up)), slope), gate);
                simd.store(simd.mul(by_out, simd.mul(g, share)), up);
            }
        }
    }
}
