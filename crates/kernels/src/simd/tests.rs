//! Exponentials and roundings on every level.

use half::bf16;

use super::*;
use crate::Instructions;
use crate::dispatch::Task;

struct Exp<'a>(&'a mut [f32]);

impl Task for Exp<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for x in self.0.chunks_mut(S::LANES) {
            simd.store(simd.exp(simd.load(x)), x);
        }
    }
}

#[test]
fn exponentials_are_as_near_as_stated() {
    let inputs: Vec<f32> = (-86_999..87_000).step_by(7).map(|x| x as f32 / 1000.0).collect();
    for instructions in Instructions::all() {
        let mut outputs = inputs.clone();
        instructions.run(Exp(&mut outputs));
        for (x, got) in inputs.iter().zip(&outputs) {
            let expected = f64::from(*x).exp();
            let error = (f64::from(*got) - expected).abs() / expected;
            let bound = 2_f64.powi(-22) * (1.0 + f64::from(x.abs()) / 3.0);
            assert!(error <= bound, "{}: exp({x}) is off by {error:e}", instructions.level());
        }
        let mut edges = [f32::NEG_INFINITY, -1e30, 1e30, f32::INFINITY, f32::NAN, 0.0, -0.0];
        instructions.run(Exp(&mut edges));
        assert!(
            (0.0..1e-37).contains(&edges[0]) && edges[1] == edges[0] && edges[2] == edges[3],
            "{}",
            instructions.level()
        );
        assert!(edges[2] > 1e37 && edges[4].is_nan() && edges[5] == 1.0 && edges[6] == 1.0);
    }
}

struct Round<'a>(&'a [f32], &'a mut [bf16]);

impl Task for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (x, to) in self.0.chunks(S::LANES).zip(self.1.chunks_mut(S::LANES)) {
            simd.store_bf16(simd.load(x), to);
        }
    }
}

#[test]
fn bfloat16_rounds_to_nearest_even() {
    // every upper half, with lower halves around the tie
    let lower = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
    let bits = (0..=u16::MAX).flat_map(|upper| lower.map(|lower| u32::from(upper) << 16 | lower));
    let inputs: Vec<f32> = bits.map(f32::from_bits).collect();
    for instructions in Instructions::all() {
        let mut outputs = vec![bf16::ZERO; inputs.len()];
        instructions.run(Round(&inputs, &mut outputs));
        for (x, got) in inputs.iter().zip(&outputs) {
            let expected = bf16::from_f32(*x);
            let same = got.to_bits() == expected.to_bits()
                || got.is_nan() && expected.is_nan()
                || x.is_subnormal() && *got == bf16::ZERO;
            assert!(same, "{}: {x} became {got}, not {expected}", instructions.level());
        }
    }
}
