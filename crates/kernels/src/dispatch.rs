//! From a level to code that is compiled with its instructions enabled.

use crate::simd::{Dots, Pairs, Portable, Simd};
use crate::{Instructions, Level};

/// Work written once for all vectors. `run` is `#[inline(always)]` in every implementation and calls no closures, so that all
/// of it is compiled with the instructions of `simd` enabled.
pub(crate) trait Task {
    /// The result.
    type Output;

    /// Does the work with the vectors of `simd`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Work written once for all dot products of integers; see [`Task`].
pub(crate) trait DotTask {
    /// Does the work in tiles of `ROWS` rows by `VECTORS` vectors, as many sums as the level has registers for.
    fn run<D: Dots, const ROWS: usize, const VECTORS: usize>(self, dots: D);
}

impl Instructions {
    /// Runs `task` with the dot products of this level; tiles are not among them.
    pub(crate) fn run_dots<T: DotTask>(self, task: T) {
        match self.level() {
            #[cfg(target_arch = "x86_64")]
            Level::Amx | Level::Avx512Bf16 => {
                // SAFETY: the level was found available.
                unsafe { run_vnni_512_bf16(task) }
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni => {
                // SAFETY: the level was found available.
                unsafe { run_vnni_512(task) }
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => {
                // SAFETY: the level was found available.
                unsafe { run_pairs_512(task) }
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx2Vnni if std::arch::is_x86_feature_detected!("avxvnni") => {
                // SAFETY: the level was found available, and the instructions in this encoding.
                unsafe { run_vnni_256(task) }
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx2Vnni => {
                // SAFETY: the level was found available, in the only other encoding.
                unsafe { run_vnni_256_evex(task) }
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => {
                // SAFETY: the level was found available.
                unsafe { run_pairs_256(task) }
            }
            Level::Neon => task.run::<_, 3, 4>(Pairs(Portable::<true>)),
            _ => task.run::<_, 3, 4>(Pairs(Portable::<false>)),
        }
    }

    /// Runs `task` with the vectors of this level.
    pub(crate) fn run<T: Task>(self, task: T) -> T::Output {
        match self.level() {
            #[cfg(target_arch = "x86_64")]
            Level::Amx | Level::Avx512Bf16 => {
                // SAFETY: the level was found available.
                unsafe { run_avx512_bf16(task) }
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni | Level::Avx512 => {
                // SAFETY: the level was found available.
                unsafe { run_avx512(task) }
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx2Vnni | Level::Avx2 => {
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
    task.run(unsafe { crate::simd::Avx512::<false>::new() })
}

/// # Safety
/// The processor has AVX-512 F, BW, DQ, VL and BF16, and AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
unsafe fn run_avx512_bf16<T: Task>(task: T) -> T::Output {
    // SAFETY: the caller has seen that the processor has them.
    task.run(unsafe { crate::simd::Avx512::<true>::new() })
}

/// # Safety
/// The processor has AVX-512 F, BW, DQ, VL and VNNI, and AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
unsafe fn run_vnni_512<T: DotTask>(task: T) {
    // SAFETY: the caller has seen that the processor has them.
    let floats = unsafe { crate::simd::Avx512::<false>::new() };
    // SAFETY: as above.
    task.run::<_, 12, 2>(unsafe { crate::simd::Vnni512::new(floats) });
}

/// # Safety
/// The processor has AVX-512 F, BW, DQ, VL, VNNI and BF16, and AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma")]
unsafe fn run_vnni_512_bf16<T: DotTask>(task: T) {
    // SAFETY: the caller has seen that the processor has them.
    let floats = unsafe { crate::simd::Avx512::<true>::new() };
    // SAFETY: as above.
    task.run::<_, 12, 2>(unsafe { crate::simd::Vnni512::new(floats) });
}

/// # Safety
/// The processor has AVX-512 F, BW, DQ and VL, and AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn run_pairs_512<T: DotTask>(task: T) {
    // SAFETY: the caller has seen that the processor has them.
    task.run::<_, 12, 2>(Pairs(unsafe { crate::simd::Avx512::new() }));
}

/// # Safety
/// The processor has AVX2, FMA and AVX-VNNI.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn run_vnni_256<T: DotTask>(task: T) {
    // SAFETY: the caller has seen that the processor has them.
    let floats = unsafe { crate::simd::Avx2::new() };
    // SAFETY: as above.
    task.run::<_, 6, 2>(unsafe { crate::simd::Vnni256::new(floats) });
}

/// # Safety
/// The processor has AVX2, FMA and AVX-512 VNNI and VL.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512vnni,avx512vl")]
unsafe fn run_vnni_256_evex<T: DotTask>(task: T) {
    // SAFETY: the caller has seen that the processor has them.
    let floats = unsafe { crate::simd::Avx2::new() };
    // SAFETY: as above.
    task.run::<_, 6, 2>(unsafe { crate::simd::Vnni256Evex::new(floats) });
}

/// # Safety
/// The processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_pairs_256<T: DotTask>(task: T) {
    // SAFETY: the caller has seen that the processor has them.
    task.run::<_, 6, 2>(Pairs(unsafe { crate::simd::Avx2::new() }));
}
