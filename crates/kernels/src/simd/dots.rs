//! Dot products of integers: four terms of unsigned by signed bytes at a time where the processor has them, elsewhere two of int16.
//!
//! Sums are int32 and exact either way, so that every level gives the same integers.

use super::{Portable, Simd};

/// Vectors of int32 sums of one instruction set, beside the float32 vectors that finish them.
///
/// Everything is inlined into a function that has the instructions enabled, as for [`Simd`].
pub(crate) trait Dots: Copy {
    /// The float32 vectors, with as many lanes.
    type Floats: Simd;
    /// A vector of int32 sums, or of as many words of terms.
    type I: Copy;
    /// Terms in a word of 32 bits: four bytes, or two of int16.
    const TERMS: usize;

    fn floats(self) -> Self::Floats;
    fn splat(self, word: i32) -> Self::I;
    /// Takes as many words as a vector has lanes.
    ///
    /// # Panics
    /// If there are fewer.
    fn load(self, words: &[i32]) -> Self::I;
    /// Adds to each lane of `sums` the products of `terms` with `columns`.
    fn dot(self, sums: Self::I, terms: Self::I, columns: Self::I) -> Self::I;
    fn sub(self, a: Self::I, b: Self::I) -> Self::I;
    /// Rounds to nearest, ties to even.
    fn to_floats(self, x: Self::I) -> <Self::Floats as Simd>::V;
}

/// Dot products of int16, for the vectors of `S`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pairs<S>(pub(crate) S);

impl<const FUSED: bool> Dots for Pairs<Portable<FUSED>> {
    type Floats = Portable<FUSED>;
    type I = [i32; 8];
    const TERMS: usize = 2;

    #[inline(always)]
    fn floats(self) -> Self::Floats {
        self.0
    }

    #[inline(always)]
    fn splat(self, word: i32) -> Self::I {
        [word; 8]
    }

    #[inline(always)]
    fn load(self, words: &[i32]) -> Self::I {
        *words.first_chunk().expect("a vector of words")
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the low half of a word")]
    fn dot(self, mut sums: Self::I, terms: Self::I, columns: Self::I) -> Self::I {
        for (sum, (term, column)) in sums.iter_mut().zip(terms.into_iter().zip(columns)) {
            let low = i32::from(term as i16) * i32::from(column as i16);
            *sum += low + (term >> 16) * (column >> 16);
        }
        sums
    }

    #[inline(always)]
    fn sub(self, mut a: Self::I, b: Self::I) -> Self::I {
        for (a, b) in a.iter_mut().zip(b) {
            *a -= b;
        }
        a
    }

    #[inline(always)]
    #[expect(clippy::cast_precision_loss, reason = "rounding is what is asked for")]
    fn to_floats(self, x: Self::I) -> [f32; 8] {
        let mut out = [0.0; 8];
        for (out, x) in out.iter_mut().zip(x) {
            *out = x as f32;
        }
        out
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Vnni256, Vnni256Evex, Vnni512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Dots, Pairs};
    use crate::simd::{Avx2, Avx512};

    /// 512-bit dot products of bytes.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Vnni512<const BF16: bool>(Avx512<BF16>);

    /// 256-bit dot products of bytes as AVX-VNNI encodes them.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Vnni256(Avx2);

    /// 256-bit dot products of bytes as AVX-512 VNNI and VL encode them.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Vnni256Evex(Avx2);

    impl<const BF16: bool> Vnni512<BF16> {
        /// # Safety
        /// The processor has AVX-512 VNNI.
        pub(crate) unsafe fn new(floats: Avx512<BF16>) -> Self {
            Self(floats)
        }
    }

    impl Vnni256 {
        /// # Safety
        /// The processor has AVX-VNNI.
        pub(crate) unsafe fn new(floats: Avx2) -> Self {
            Self(floats)
        }
    }

    impl Vnni256Evex {
        /// # Safety
        /// The processor has AVX-512 VNNI and VL.
        pub(crate) unsafe fn new(floats: Avx2) -> Self {
            Self(floats)
        }
    }

    /// Calls an intrinsic of the instruction set that `self` proves.
    macro_rules! intrinsic {
        ($call:expr) => {
            // SAFETY: the token exists only where the processor has the instruction, and no pointer is involved.
            unsafe { $call }
        };
    }

    /// Implements [`Dots`] for vectors of 512 or 256 bits; `$dot` takes sums, terms and columns.
    macro_rules! dots {
        ([$($generic:ident)?] $token:ty, $floats:ty, $vector:ty, $lanes:literal, $terms:literal, $prefix:ident, $dot:expr) => {
            impl$(<const $generic: bool>)? Dots for $token {
                type Floats = $floats;
                type I = $vector;
                const TERMS: usize = $terms;

                #[inline(always)]
                fn floats(self) -> $floats {
                    self.0
                }

                #[inline(always)]
                fn splat(self, word: i32) -> $vector {
                    $prefix::splat(word)
                }

                #[inline(always)]
                fn load(self, words: &[i32]) -> $vector {
                    $prefix::load(words.first_chunk::<$lanes>().expect("a vector of words"))
                }

                #[inline(always)]
                fn dot(self, sums: $vector, terms: $vector, columns: $vector) -> $vector {
                    intrinsic!($dot(sums, terms, columns))
                }

                #[inline(always)]
                fn sub(self, a: $vector, b: $vector) -> $vector {
                    $prefix::sub(a, b)
                }

                #[inline(always)]
                fn to_floats(self, x: $vector) -> <$floats as crate::simd::Simd>::V {
                    $prefix::to_floats(x)
                }
            }
        };
    }

    /// What 512-bit vectors share; called only by a token that proves AVX-512F.
    mod zmm {
        use super::*;

        #[inline(always)]
        pub(super) fn splat(word: i32) -> __m512i {
            intrinsic!(_mm512_set1_epi32(word))
        }

        #[inline(always)]
        pub(super) fn load(words: &[i32; 16]) -> __m512i {
            // SAFETY: sixteen words are there; the caller's token proves AVX-512F.
            unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
        }

        #[inline(always)]
        pub(super) fn sub(a: __m512i, b: __m512i) -> __m512i {
            intrinsic!(_mm512_sub_epi32(a, b))
        }

        #[inline(always)]
        pub(super) fn to_floats(x: __m512i) -> __m512 {
            intrinsic!(_mm512_cvtepi32_ps(x))
        }
    }

    /// What 256-bit vectors share; called only by a token that proves AVX2.
    mod ymm {
        use super::*;

        #[inline(always)]
        pub(super) fn splat(word: i32) -> __m256i {
            intrinsic!(_mm256_set1_epi32(word))
        }

        #[inline(always)]
        pub(super) fn load(words: &[i32; 8]) -> __m256i {
            // SAFETY: eight words are there; the caller's token proves AVX2.
            unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
        }

        #[inline(always)]
        pub(super) fn sub(a: __m256i, b: __m256i) -> __m256i {
            intrinsic!(_mm256_sub_epi32(a, b))
        }

        #[inline(always)]
        pub(super) fn to_floats(x: __m256i) -> __m256 {
            intrinsic!(_mm256_cvtepi32_ps(x))
        }
    }

    /// # Safety
    /// The processor has AVX-512BW.
    #[inline(always)]
    unsafe fn pairs_512(sums: __m512i, terms: __m512i, columns: __m512i) -> __m512i {
        intrinsic!(_mm512_add_epi32(sums, _mm512_madd_epi16(terms, columns)))
    }

    /// # Safety
    /// The processor has AVX2.
    #[inline(always)]
    unsafe fn pairs_256(sums: __m256i, terms: __m256i, columns: __m256i) -> __m256i {
        intrinsic!(_mm256_add_epi32(sums, _mm256_madd_epi16(terms, columns)))
    }

    dots!([BF16] Vnni512<BF16>, Avx512<BF16>, __m512i, 16, 4, zmm, _mm512_dpbusd_epi32);
    dots!([] Vnni256, Avx2, __m256i, 8, 4, ymm, _mm256_dpbusd_avx_epi32);
    dots!([] Vnni256Evex, Avx2, __m256i, 8, 4, ymm, _mm256_dpbusd_epi32);
    dots!([] Pairs<Avx512<false>>, Avx512<false>, __m512i, 16, 2, zmm, pairs_512);
    dots!([] Pairs<Avx2>, Avx2, __m256i, 8, 2, ymm, pairs_256);
}
