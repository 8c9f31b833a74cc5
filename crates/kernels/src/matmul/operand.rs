//! The numbers that matrix products multiply.

use half::bf16;

use super::microkernel::{multiply_bf16, multiply_f32};
use super::{Epilogue, Product};
use crate::buffer::Plain;
use crate::simd::Simd;
use crate::tile::{PANEL, ROW_STEP, TILE_ROWS};
use crate::{Instructions, Level};

/// A number that matrices are multiplied in, float32 or bfloat16. Sums are float32.
pub trait Operand: Plain + Vectors + std::fmt::Debug {
    /// Consecutive terms of a sum that lie side by side in a panel, as the processor's dot products take them.
    const GROUP: usize;

    /// Rounds to nearest, ties to even.
    fn from_f32(x: f32) -> Self;

    /// Widens.
    fn to_f32(self) -> f32;
}

impl Operand for f32 {
    const GROUP: usize = 1;

    fn from_f32(x: f32) -> Self {
        x
    }

    fn to_f32(self) -> f32 {
        self
    }
}

impl Operand for bf16 {
    const GROUP: usize = 2;

    fn from_f32(x: f32) -> Self {
        Self::from_f32(x)
    }

    fn to_f32(self) -> f32 {
        Self::to_f32(self)
    }
}

/// What only this crate does with an operand.
#[expect(
    private_interfaces,
    private_bounds,
    reason = "seals `Operand`: nothing outside this crate implements or calls it"
)]
pub trait Vectors: Sized {
    /// Loads and widens as many numbers as there are, up to a vector.
    fn load<S: Simd>(simd: S, from: &[Self]) -> S::V;

    /// Rounds a vector of float32 and stores it.
    fn store<S: Simd>(simd: S, x: S::V, to: &mut [Self]);

    /// Rows that attention takes at once: so few that logits and weights stay in the first-level cache, in whole tiles of
    /// [`Self::multiply`] so that none reads beyond a block.
    fn part_rows(instructions: Instructions) -> usize;

    /// Computes `product` with the microkernel of the level.
    fn multiply<P: Epilogue>(instructions: Instructions, product: Product<'_, Self>, epilogue: &mut P)
    where
        Self: Operand;
}

#[expect(private_interfaces, private_bounds, reason = "see `Vectors`")]
impl Vectors for f32 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[Self]) -> S::V {
        simd.load(from)
    }

    #[inline(always)]
    fn store<S: Simd>(simd: S, x: S::V, to: &mut [Self]) {
        simd.store(x, to);
    }

    fn part_rows(_: Instructions) -> usize {
        PART_ROWS
    }

    fn multiply<P: Epilogue>(instructions: Instructions, product: Product<'_, Self>, epilogue: &mut P) {
        multiply_f32(instructions, product, epilogue);
    }
}

#[expect(private_interfaces, private_bounds, reason = "see `Vectors`")]
impl Vectors for bf16 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[Self]) -> S::V {
        simd.load_bf16(from)
    }

    #[inline(always)]
    fn store<S: Simd>(simd: S, x: S::V, to: &mut [Self]) {
        simd.store_bf16(x, to);
    }

    fn part_rows(instructions: Instructions) -> usize {
        if instructions.level() == Level::Amx { TILE_ROWS } else { PART_ROWS }
    }

    fn multiply<P: Epilogue>(instructions: Instructions, product: Product<'_, Self>, epilogue: &mut P) {
        multiply_bf16(instructions, product, epilogue);
    }
}

/// Whole tiles of multiply-adds and dot products on every level, and a divisor of [`ROW_STEP`].
const PART_ROWS: usize = 24;

const _: () =
    assert!(ROW_STEP.is_multiple_of(PART_ROWS) && PART_ROWS.is_multiple_of(12) && PART_ROWS.is_multiple_of(6));

/// Where term `k` of column `column` of a panel lies in it.
#[must_use]
pub(crate) fn place<E: Operand>(k: usize, column: usize) -> usize {
    (k / E::GROUP * PANEL + column) * E::GROUP + k % E::GROUP
}
