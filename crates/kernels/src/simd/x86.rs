//! AVX2 and AVX-512 vectors.

use std::arch::x86_64::*;

use half::bf16;

use super::Simd;
use super::fma::fma_tile;
use super::pairs::{self, Adjoining, Block, LINES, PairVectors};
use crate::tile::Tile;

/// AVX2 with FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

/// AVX-512 F, BW, DQ and VL; with `BF16` it rounds to bfloat16 in one instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512<const BF16: bool>(());

impl Avx2 {
    /// # Safety
    /// The processor has AVX2 and FMA.
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }
}

impl<const BF16: bool> Avx512<BF16> {
    /// # Safety
    /// The processor has AVX-512 F, BW, DQ and VL, all of [`Avx2`], and AVX-512 BF16 if that is said.
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }
}

/// Calls an intrinsic of the instruction set that `self` proves.
macro_rules! intrinsic {
    ($call:expr) => {
        // SAFETY: the token exists only where the processor has the instruction, and no pointer is involved.
        unsafe { $call }
    };
}

impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;
    const TILE_ROWS: usize = 6;

    #[inline(always)]
    fn tile(self, rows: &[f32], stride: usize, panel: &[f32], tile: &mut Tile) {
        fma_tile::<Self, 6, 2>(self, rows, stride, panel, tile);
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        intrinsic!(_mm256_set1_ps(x))
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> __m256 {
        let mut padded = [0.0; 8];
        let whole = match from.first_chunk::<8>() {
            Some(whole) => whole,
            None => {
                padded[..from.len()].copy_from_slice(from);
                &padded
            }
        };
        // SAFETY: eight floats are there; the token proves AVX.
        unsafe { _mm256_loadu_ps(whole.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, x: __m256, to: &mut [f32]) {
        if let Some(whole) = to.first_chunk_mut::<8>() {
            // SAFETY: there is room for eight floats; the token proves AVX.
            unsafe { _mm256_storeu_ps(whole.as_mut_ptr(), x) };
            return;
        }
        let mut padded = [0.0; 8];
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(padded.as_mut_ptr(), x) };
        to.copy_from_slice(&padded[..to.len()]);
    }

    #[inline(always)]
    fn load_bf16(self, from: &[bf16]) -> __m256 {
        let mut padded = [bf16::ZERO; 8];
        let whole = match from.first_chunk::<8>() {
            Some(whole) => whole,
            None => {
                padded[..from.len()].copy_from_slice(from);
                &padded
            }
        };
        // SAFETY: eight 16-bit numbers are there; the token proves AVX.
        let bits = unsafe { _mm_loadu_si128(whole.as_ptr().cast()) };
        intrinsic!(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16)))
    }

    #[inline(always)]
    fn store_bf16(self, x: __m256, to: &mut [bf16]) {
        let mut lanes = [0.0; 8];
        self.store(x, &mut lanes);
        for (to, x) in to.iter_mut().zip(lanes) {
            *to = bf16::from_f32(x);
        }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_div_ps(a, b))
    }

    #[inline(always)]
    fn sqrt(self, x: __m256) -> __m256 {
        intrinsic!(_mm256_sqrt_ps(x))
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        intrinsic!(_mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn abs(self, x: __m256) -> __m256 {
        intrinsic!(_mm256_andnot_ps(_mm256_set1_ps(-0.0), x))
    }

    #[inline(always)]
    fn prefetch(self, from: &[f32]) {
        intrinsic!(_mm_prefetch::<_MM_HINT_T0>(from.as_ptr().cast()));
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_min_ps(a, b))
    }

    #[inline(always)]
    fn scale_by_power(self, x: __m256, shifted: __m256) -> __m256 {
        let exponent = intrinsic!(_mm256_slli_epi32(_mm256_castps_si256(shifted), 23));
        intrinsic!(_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), exponent)))
    }

    #[inline(always)]
    fn round(self, x: __m256) -> __m256 {
        intrinsic!(_mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))
    }

    #[inline(always)]
    fn any_greater(self, a: __m256, b: __m256) -> bool {
        intrinsic!(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)) != 0)
    }
}

/// A mask of the first `count` lanes of sixteen.
#[inline(always)]
fn first_lanes(count: usize) -> u16 {
    if count >= 16 { u16::MAX } else { (1 << count) - 1 }
}

/// Rounds to bfloat16, called only with AVX-512F.
#[inline(always)]
fn round_to_bf16(x: __m512) -> __m256i {
    let bits = intrinsic!(_mm512_castps_si512(x));
    // half of the last kept place, less one where the kept part is even
    let odd = intrinsic!(_mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1)));
    let rounded = intrinsic!(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))));
    let nan = intrinsic!(_mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q));
    let rounded = intrinsic!(_mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc0_0000)));
    intrinsic!(_mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)))
}

/// Rounds `low` and `high` to bfloat16, one after the other, called only with AVX-512 BF16.
#[inline(always)]
fn round_both(low: __m512, high: __m512) -> __m512i {
    let halves = intrinsic!(_mm512_cvtne2ps_pbh(high, low));
    // SAFETY: both are 512 bits without invalid patterns.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(halves) }
}

/// From sixteen first and sixteen second terms to pairs.
static INTERLEAVED: [u16; 32] = {
    let mut places = [0; 32];
    let mut pair = 0;
    while pair < 16 {
        places[2 * pair as usize] = pair;
        places[2 * pair as usize + 1] = 16 + pair;
        pair += 1;
    }
    places
};

/// Transposes words of 32 bits, called only with AVX-512F.
#[inline(always)]
fn transpose(rows: &mut [__m512i; 16]) {
    // within quarters: pairs of rows, then fours
    let mut fours = *rows;
    for four in 0..4 {
        let [a, b, c, d] = [rows[4 * four], rows[4 * four + 1], rows[4 * four + 2], rows[4 * four + 3]];
        let (ab, cd) = intrinsic!((_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d)));
        let (ef, gh) = intrinsic!((_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d)));
        fours[4 * four] = intrinsic!(_mm512_unpacklo_epi64(ab, cd));
        fours[4 * four + 1] = intrinsic!(_mm512_unpackhi_epi64(ab, cd));
        fours[4 * four + 2] = intrinsic!(_mm512_unpacklo_epi64(ef, gh));
        fours[4 * four + 3] = intrinsic!(_mm512_unpackhi_epi64(ef, gh));
    }
    // quarters between the fours: vector `column` holds columns column, 4 + column, 8 + column, 12 + column of four rows each
    for column in 0..4 {
        let [a, b, c, d] = [fours[column], fours[4 + column], fours[8 + column], fours[12 + column]];
        let (low, high) = intrinsic!((_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0x88>(c, d)));
        let (odd_low, odd_high) = intrinsic!((_mm512_shuffle_i32x4::<0xdd>(a, b), _mm512_shuffle_i32x4::<0xdd>(c, d)));
        rows[column] = intrinsic!(_mm512_shuffle_i32x4::<0x88>(low, high));
        rows[8 + column] = intrinsic!(_mm512_shuffle_i32x4::<0xdd>(low, high));
        rows[4 + column] = intrinsic!(_mm512_shuffle_i32x4::<0x88>(odd_low, odd_high));
        rows[12 + column] = intrinsic!(_mm512_shuffle_i32x4::<0xdd>(odd_low, odd_high));
    }
}

impl<const BF16: bool> Simd for Avx512<BF16> {
    type V = __m512;
    const LANES: usize = 16;
    const TILE_ROWS: usize = 12;

    #[inline(always)]
    fn tile(self, rows: &[f32], stride: usize, panel: &[f32], tile: &mut Tile) {
        fma_tile::<Self, 12, 2>(self, rows, stride, panel, tile);
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        intrinsic!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> __m512 {
        // SAFETY: masked lanes are not read, and `from` holds all others; the token proves AVX-512F.
        unsafe { _mm512_maskz_loadu_ps(first_lanes(from.len()), from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, x: __m512, to: &mut [f32]) {
        // SAFETY: masked lanes are not written, and `to` has room for all others; the token proves AVX-512F.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), first_lanes(to.len()), x) };
    }

    #[inline(always)]
    fn load_bf16(self, from: &[bf16]) -> __m512 {
        // SAFETY: masked lanes are not read, and `from` holds all others; the token proves AVX-512BW and VL.
        let bits = unsafe { _mm256_maskz_loadu_epi16(first_lanes(from.len()), from.as_ptr().cast()) };
        intrinsic!(_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16)))
    }

    #[inline(always)]
    fn store_bf16(self, x: __m512, to: &mut [bf16]) {
        let halves = if BF16 {
            let halves = intrinsic!(_mm512_cvtneps_pbh(x));
            // SAFETY: both are 256 bits without invalid patterns.
            unsafe { std::mem::transmute::<__m256bh, __m256i>(halves) }
        } else {
            round_to_bf16(x)
        };
        // SAFETY: masked lanes are not written, and `to` has room for all others; the token proves AVX-512BW and VL.
        unsafe { _mm256_mask_storeu_epi16(to.as_mut_ptr().cast(), first_lanes(to.len()), halves) };
    }

    #[inline(always)]
    fn store_pairs(self, block: Block<'_>, out: PairVectors<'_>) {
        if !BF16 {
            return pairs::store_pairs(self, block, out);
        }
        let mut vectors = [intrinsic!(_mm512_setzero_si512()); LINES];
        for (at, vector) in vectors.iter_mut().enumerate() {
            *vector = match block.adjoining {
                Adjoining::Terms => {
                    let (low, high) = block.run(at).split_at(LINES);
                    round_both(self.load(low), self.load(high))
                }
                Adjoining::Lines => {
                    let halves = round_both(self.load(block.run(2 * at)), self.load(block.run(2 * at + 1)));
                    // SAFETY: 32 places of 16 bits are there; the token proves AVX-512F.
                    let places = unsafe { _mm512_loadu_si512(INTERLEAVED.as_ptr().cast()) };
                    intrinsic!(_mm512_permutexvar_epi16(places, halves))
                }
            };
        }
        if out.of_lines != (block.adjoining == Adjoining::Terms) {
            transpose(&mut vectors);
        }
        for (at, vector) in vectors.into_iter().enumerate() {
            let to = &mut out.to[at * out.step..][..2 * LINES];
            // SAFETY: there is room for 32 numbers of 16 bits; the token proves AVX-512F.
            unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), vector) };
        }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn sqrt(self, x: __m512) -> __m512 {
        intrinsic!(_mm512_sqrt_ps(x))
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        intrinsic!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn abs(self, x: __m512) -> __m512 {
        intrinsic!(_mm512_abs_ps(x))
    }

    #[inline(always)]
    fn prefetch(self, from: &[f32]) {
        intrinsic!(_mm_prefetch::<_MM_HINT_T0>(from.as_ptr().cast()));
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn scale_by_power(self, x: __m512, shifted: __m512) -> __m512 {
        let exponent = intrinsic!(_mm512_slli_epi32(_mm512_castps_si512(shifted), 23));
        intrinsic!(_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x), exponent)))
    }

    #[inline(always)]
    fn exp(self, x: __m512) -> __m512 {
        // 2^n · 2^r, with n and r the whole and the rest of x / ln 2 rounded down
        let x = self.mul(x, self.splat(std::f32::consts::LOG2_E));
        let r = intrinsic!(_mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
        let mut p = self.splat(1.867_13e-3);
        for coefficient in [9.017_031e-3, 5.579_991_3e-2, 2.401_644_4e-1, 6.931_513e-1, 1.0] {
            p = self.mul_add(p, r, self.splat(coefficient));
        }
        intrinsic!(_mm512_scalef_ps(p, x))
    }

    #[inline(always)]
    fn reciprocal(self, x: __m512) -> __m512 {
        // one step of Newton's from 14 bits
        let near = intrinsic!(_mm512_rcp14_ps(x));
        let error = intrinsic!(_mm512_fnmadd_ps(x, near, _mm512_set1_ps(1.0)));
        intrinsic!(_mm512_fmadd_ps(near, error, near))
    }

    #[inline(always)]
    fn round(self, x: __m512) -> __m512 {
        intrinsic!(_mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))
    }

    #[inline(always)]
    fn any_greater(self, a: __m512, b: __m512) -> bool {
        intrinsic!(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) != 0)
    }

    #[inline(always)]
    fn store_bytes(self, x: __m512, to: &mut [u8]) {
        let bytes = intrinsic!(_mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(x)));
        // SAFETY: masked lanes are not written, and `to` has room for all others; the token proves AVX-512BW and VL.
        unsafe { _mm_mask_storeu_epi8(to.as_mut_ptr().cast(), first_lanes(to.len()), bytes) };
    }
}
