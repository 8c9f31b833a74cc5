//! Vectors as arrays, for the compiler to map to what the architecture's baseline has: the plain twin of the others, and
//! what runs on Arm.

use half::bf16;

use super::fma::fma_tile;
use super::{SHIFT, Simd};
use crate::tile::Tile;

const LANES: usize = 8;

/// Arrays of eight. `FUSED` rounds a product and a sum once, as Arm's vectors do; without it twice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable<const FUSED: bool>;

/// Applies an expression to every lane.
macro_rules! lanes {
    ($lane:ident => $value:expr) => {{
        let mut out = [0.0; LANES];
        let mut $lane = 0;
        while $lane < LANES {
            out[$lane] = $value;
            $lane += 1;
        }
        out
    }};
}

impl<const FUSED: bool> Simd for Portable<FUSED> {
    type V = [f32; LANES];
    const LANES: usize = LANES;
    const TILE_ROWS: usize = 3;

    #[inline(always)]
    fn tile(self, rows: &[f32], stride: usize, panel: &[f32], tile: &mut Tile) {
        fma_tile::<Self, 3, 4>(self, rows, stride, panel, tile);
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::V {
        if let Some(whole) = from.first_chunk() {
            return *whole;
        }
        let mut out = [0.0; LANES];
        out[..from.len()].copy_from_slice(from);
        out
    }

    #[inline(always)]
    fn store(self, x: Self::V, to: &mut [f32]) {
        match to.first_chunk_mut() {
            Some(whole) => *whole = x,
            None => to.copy_from_slice(&x[..to.len()]),
        }
    }

    #[inline(always)]
    fn load_bf16(self, from: &[bf16]) -> Self::V {
        let mut out = [0.0; LANES];
        for (out, x) in out.iter_mut().zip(from) {
            *out = f32::from_bits(u32::from(x.to_bits()) << 16);
        }
        out
    }

    #[inline(always)]
    fn store_bf16(self, x: Self::V, to: &mut [bf16]) {
        for (to, x) in to.iter_mut().zip(x) {
            *to = bf16::from_f32(x);
        }
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        lanes!(i => a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        lanes!(i => a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        lanes!(i => a[i] * b[i])
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        lanes!(i => a[i] / b[i])
    }

    #[inline(always)]
    fn sqrt(self, x: Self::V) -> Self::V {
        lanes!(i => x[i].sqrt())
    }

    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        if FUSED { lanes!(i => a[i].mul_add(b[i], c[i])) } else { lanes!(i => a[i] * b[i] + c[i]) }
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        lanes!(i => if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        lanes!(i => if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn scale_by_power(self, x: Self::V, shifted: Self::V) -> Self::V {
        lanes!(i => f32::from_bits(x[i].to_bits().wrapping_add(shifted[i].to_bits() << 23)))
    }

    #[inline(always)]
    fn round(self, x: Self::V) -> Self::V {
        lanes!(i => (x[i] + SHIFT) - SHIFT)
    }

    #[inline(always)]
    fn any_greater(self, a: Self::V, b: Self::V) -> bool {
        let mut any = false;
        for (a, b) in a.iter().zip(b) {
            any |= *a > b;
        }
        any
    }
}
