//! The peak speed of the processor: multiply-adds in registers alone. Kernels are compared with it.

use std::hint::black_box;

use crate::dispatch::{DotTask, Task};
use crate::simd::{Dots, Simd};
use crate::{Instructions, Level};

/// Sums in flight: enough to hide the latency of a multiply-add wherever two are issued in a cycle.
const SUMS: usize = 14;

/// The same where a vector of eight takes two registers.
const PORTABLE_SUMS: usize = 6;

/// Rounds of [`SUMS`] instructions.
const ROUNDS: usize = 100_000;

/// Multiplies and adds in float32 for a fraction of a millisecond; returns how many operations that was, two for each
/// multiply-add.
#[must_use]
pub fn saturate_f32(instructions: Instructions) -> u64 {
    match instructions.level() {
        Level::Plain | Level::Neon => instructions.run(Saturate::<PORTABLE_SUMS>),
        _ => instructions.run(Saturate::<SUMS>),
    }
}

/// Multiplies and adds in bfloat16 where the level has it, else in float32; returns as [`saturate_f32`].
#[must_use]
pub fn saturate_bf16(instructions: Instructions) -> u64 {
    match instructions.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Amx => {
            // SAFETY: the level was found available.
            unsafe { crate::amx::saturate_bf16(ROUNDS / 16) }
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Bf16 => {
            // SAFETY: the level was found available.
            unsafe { saturate_dots() }
        }
        _ => saturate_f32(instructions),
    }
}

/// Multiplies and adds int8 in the dot products of the level, or as int16 where it has none; returns as [`saturate_f32`].
#[must_use]
pub fn saturate_int8(instructions: Instructions) -> u64 {
    match instructions.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Amx => {
            // SAFETY: the level was found available.
            unsafe { crate::amx::saturate_int8(ROUNDS / 16) }
        }
        _ => {
            let mut operations = 0;
            instructions.run_dots(SaturateDots { operations: &mut operations });
            operations
        }
    }
}

struct SaturateDots<'a> {
    operations: &'a mut u64,
}

impl DotTask for SaturateDots<'_> {
    #[inline(always)]
    fn run<D: Dots, const ROWS: usize, const VECTORS: usize>(self, dots: D) {
        // each product depends on the one before, or the compiler would compute it once
        let term = dots.splat(black_box(0));
        let mut sums = [term; SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = dots.dot(*sum, *sum, term);
            }
        }
        for sum in sums {
            black_box(dots.floats().sum(dots.to_floats(sum)));
        }
        let lanes = <D::Floats as Simd>::LANES;
        *self.operations = (ROUNDS * SUMS * lanes * D::TERMS * 2) as u64;
    }
}

struct Saturate<const SUMS: usize>;

impl<const SUMS: usize> Task for Saturate<SUMS> {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> u64 {
        // see `SaturateDots`
        let (term, zero) = (simd.splat(black_box(0.0)), simd.splat(black_box(0.0)));
        let mut sums = [zero; SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = simd.mul_add(*sum, term, zero);
            }
        }
        for sum in sums {
            black_box(simd.sum(sum));
        }
        (ROUNDS * SUMS * S::LANES * 2) as u64
    }
}

/// # Safety
/// The processor has AVX-512 F and BF16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn saturate_dots() -> u64 {
    use std::arch::x86_64::{
        _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_reduce_add_ps, _mm512_set1_ps, _mm512_setzero_ps,
    };
    let zeros = _mm512_set1_ps(black_box(0.0));
    let term = _mm512_cvtne2ps_pbh(zeros, zeros);
    let mut sums = [_mm512_setzero_ps(); SUMS];
    for _ in 0..ROUNDS {
        for sum in &mut sums {
            *sum = _mm512_dpbf16_ps(*sum, term, term);
        }
    }
    for sum in sums {
        black_box(_mm512_reduce_add_ps(sum));
    }
    (ROUNDS * SUMS * 32 * 2) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_counts_what_it_does() {
        for instructions in Instructions::all() {
            let all = [saturate_f32, saturate_bf16, saturate_int8].map(|saturate| saturate(instructions));
            assert!(all.iter().all(|operations| *operations > 0), "{}: {all:?}", instructions.level());
        }
    }
}
