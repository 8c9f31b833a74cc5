//! From a level to code that is compiled with its instructions enabled.

use crate::simd::{Portable, Simd};
use crate::{Instructions, Level};

/// Work written once for all vectors. `run` is `#[inline(always)]` in every implementation and calls no closures, so that all
/// of it is compiled with the instructions of `simd` enabled.
pub(crate) trait Task {
    /// The result.
    type Output;

    /// Does the work with the vectors of `simd`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

impl Instructions {
    /// Runs `task` with the vectors of this level.
    pub(crate) fn run<T: Task>(self, task: T) -> T::Output {
        match self.level() {
            #[cfg(target_arch = "x86_64")]
            Level::Amx | Level::Avx512Bf16 | Level::Avx512 => {
                // SAFETY: the level was found available.
                unsafe { run_avx512(task) }
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => {
                // SAFETY: the level was found available.
                unsafe { run_avx2(task) }
            }
            Level::Neon => task.run(Portable::<true>),
            _ => task.run(Portable::<false>),
        }
    }
}

/// # Safety
/// The processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2<T: Task>(task: T) -> T::Output {
    // SAFETY: the caller has seen that the processor has them.
    task.run(unsafe { crate::simd::Avx2::new() })
}

/// # Safety
/// The processor has AVX-512 F, BW, DQ and VL, and AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn run_avx512<T: Task>(task: T) -> T::Output {
    // SAFETY: the caller has seen that the processor has them.
    task.run(unsafe { crate::simd::Avx512::new() })
}
