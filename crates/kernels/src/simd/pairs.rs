//! Blocks of float32 rounded to pairs of bfloat16, as dot products of bfloat16 take them.

use half::bf16;

use super::Simd;

/// Lines of a block: rows of the left-hand side of a product, or columns of the right-hand side.
pub(crate) const LINES: usize = 16;

/// Terms of each line.
pub(crate) const TERMS: usize = 32;

// as many pairs of a line as lines, so that both kinds of vectors are equally long
const _: () = assert!(TERMS == 2 * LINES);

/// Numbers of a block.
pub(crate) const BLOCK: usize = LINES * TERMS;

/// What lies side by side in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adjoining {
    /// The terms of a line.
    Terms,
    /// The lines of a term.
    Lines,
}

impl Adjoining {
    /// How many runs of adjoining numbers a block has, and how long they are.
    const fn runs(self) -> (usize, usize) {
        match self {
            Self::Terms => (LINES, TERMS),
            Self::Lines => (TERMS, LINES),
        }
    }
}

/// [`LINES`] lines of [`TERMS`] terms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a> {
    values: &'a [f32],
    /// Numbers from one line to the next, or from one term to the next.
    step: usize,
    pub(super) adjoining: Adjoining,
}

impl<'a> Block<'a> {
    /// Takes the block that begins with `values`.
    ///
    /// # Panics
    /// If `values` is too short.
    #[inline(always)]
    pub(crate) fn new(values: &'a [f32], step: usize, adjoining: Adjoining) -> Self {
        let (runs, length) = adjoining.runs();
        assert!(values.len() >= (runs - 1) * step + length, "a block has all its numbers");
        Self { values, step, adjoining }
    }

    /// The numbers of line or term `run`.
    #[inline(always)]
    pub(super) fn run(self, run: usize) -> &'a [f32] {
        &self.values[run * self.step..][..self.adjoining.runs().1]
    }
}

/// Where the pairs of a block go: sixteen vectors of sixteen pairs.
#[derive(Debug)]
pub(crate) struct PairVectors<'a> {
    /// Holds the vectors.
    pub(crate) to: &'a mut [bf16],
    /// Numbers from one to the next.
    pub(crate) step: usize,
    /// Whether a vector holds the terms of a line, or else a pair of terms of all lines.
    pub(crate) of_lines: bool,
}

/// [`Simd::store_pairs`] by what every level has.
#[inline(always)]
pub(super) fn store_pairs<S: Simd>(simd: S, block: Block<'_>, out: PairVectors<'_>) {
    let mut rounded = [bf16::ZERO; BLOCK];
    for (run, to) in rounded.chunks_exact_mut(block.adjoining.runs().1).enumerate() {
        for (from, to) in block.run(run).chunks_exact(S::LANES).zip(to.chunks_exact_mut(S::LANES)) {
            simd.store_bf16(simd.load(from), to);
        }
    }
    for vector in 0..LINES {
        let to = &mut out.to[vector * out.step..][..TERMS];
        for (pair, to) in to.chunks_exact_mut(2).enumerate() {
            let (line, first) = if out.of_lines { (vector, 2 * pair) } else { (pair, 2 * vector) };
            to[0] = rounded[place(block.adjoining, line, first)];
            to[1] = rounded[place(block.adjoining, line, first + 1)];
        }
    }
}

/// Where a number lies in a block without gaps.
#[inline(always)]
fn place(adjoining: Adjoining, line: usize, term: usize) -> usize {
    match adjoining {
        Adjoining::Terms => line * TERMS + term,
        Adjoining::Lines => term * LINES + line,
    }
}
