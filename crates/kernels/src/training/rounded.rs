//! Products of operands that are rounded to bfloat16.
//!
//! Both operands are packed at each call for the microkernels of inference: the right one in panels, the left one in strips of rows. Sixteen
//! lines by 32 terms are rounded, and where they lie the other way round transposed, in registers.

use std::cell::Cell;

use half::bf16;

use super::view::{MatrixView, MatrixViewMut, Update};
use crate::Instructions;
use crate::buffer::Buffer;
use crate::dispatch::Task;
use crate::matmul::{AddTo, Epilogue, Panels, Product, Rows, Store, Vectors};
use crate::simd::{Adjoining, Block, LINES, PairVectors, Simd, TERMS};
use crate::tile::{DEPTH_STEP, PANEL, ROW_STEP, padded_depth};

/// Most numbers of a strip of rows, unless its fewest rows hold more: a quarter of a mebibyte, which stays in the second-level cache beside
/// a panel.
const STRIP: usize = 1 << 15;

thread_local! {
    /// A strip of rows, and panels, kept from one product to the next.
    static PACKED: Cell<(Buffer<bf16>, Buffer<bf16>)> = const { Cell::new((Buffer::EMPTY, Buffer::EMPTY)) };
}

/// Computes a [`general_product`](super::general_product) whose shapes fit and whose output is not empty.
pub(super) fn multiply(
    instructions: Instructions,
    (left, right): (MatrixView<'_>, MatrixView<'_>),
    update: Update,
    mut output: MatrixViewMut<'_>,
) {
    let (rows, columns) = (left.rows(), right.columns());
    // a sum of no terms is one of zeros
    let depth = padded_depth(left.columns().max(1));
    let (mut strip, mut panels) = PACKED.take();
    let count = columns.div_ceil(PANEL);
    panels.grow(count * depth * PANEL);
    instructions.run(Pack { from: right.transposed(), depth, order: Order::Panels, to: &mut panels });
    // rows whose distance is a power of two would share a few sets of a cache
    let stride = depth + DEPTH_STEP;
    let step = (STRIP / stride / ROW_STEP).max(1) * ROW_STEP;
    strip.grow(rows.min(step).next_multiple_of(ROW_STEP) * stride);
    for first in (0..rows).step_by(step) {
        let rows = step.min(rows - first);
        let from = left.row_range(first, rows);
        instructions.run(Pack { from, depth, order: Order::Rows { stride }, to: &mut strip });
        let panels = Panels::new(&panels, depth * PANEL, count);
        let product = Product::new(Rows::with_stride(&strip, rows, stride), panels, depth);
        let (out, stride) = output.row_range(first, rows).into_values();
        match update {
            Update::Replace => finish(instructions, product, &mut Store { out, stride, columns, bias: None }),
            Update::Add => finish(instructions, product, &mut AddTo { out, stride, columns, bias: None }),
        }
    }
    PACKED.set((strip, panels));
}

fn finish<P: Epilogue>(instructions: Instructions, product: Product<'_, bf16>, epilogue: &mut P) {
    <bf16 as Vectors>::multiply(instructions, product, epilogue);
}

/// How packed numbers lie.
#[derive(Clone, Copy)]
enum Order {
    /// Lines one after the other, `stride` numbers apart.
    Rows { stride: usize },
    /// Panels of lines, each `(depth / 2, 32, 2)`.
    Panels,
}

/// Rounds lines and packs them, filled up with zeros to `depth`.
struct Pack<'a> {
    /// `(lines, terms)`.
    from: MatrixView<'a>,
    /// Terms of a packed line.
    depth: usize,
    order: Order,
    to: &'a mut [bf16],
}

impl Task for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (lines, depth) = (self.from.rows(), self.depth);
        // memory is read as it lies
        if self.adjoining() == Adjoining::Terms {
            for line in (0..lines).step_by(LINES) {
                for term in (0..depth).step_by(TERMS) {
                    self.pack(simd, line, term);
                }
            }
        } else {
            for term in (0..depth).step_by(TERMS) {
                for line in (0..lines).step_by(LINES) {
                    self.pack(simd, line, term);
                }
            }
        }
    }
}

impl Pack<'_> {
    fn adjoining(&self) -> Adjoining {
        if self.from.steps()[1] == 1 { Adjoining::Terms } else { Adjoining::Lines }
    }

    /// Packs the block that begins at `line` and `term`.
    #[inline(always)]
    fn pack<S: Simd>(&mut self, simd: S, line: usize, term: usize) {
        let adjoining = self.adjoining();
        let out = match self.order {
            Order::Rows { stride } => {
                PairVectors { to: &mut self.to[line * stride + term..], step: stride, of_lines: true }
            }
            Order::Panels => {
                let panel = line / PANEL * self.depth * PANEL;
                let to = &mut self.to[panel + term * PANEL + 2 * (line % PANEL)..];
                PairVectors { to, step: 2 * PANEL, of_lines: false }
            }
        };
        let from = self.from;
        let [line_step, term_step] = from.steps().map(isize::unsigned_abs);
        let (lines, terms) = (from.rows() - line, from.columns().saturating_sub(term));
        if lines >= LINES && terms >= TERMS {
            let values = &from.values()[line * line_step + term * term_step..];
            simd.store_pairs(Block::new(values, line_step.max(term_step), adjoining), out);
        } else {
            let mut padded = [0.0; LINES * TERMS];
            for (line, padded) in (line..).zip(padded.chunks_exact_mut(TERMS)).take(lines) {
                for (term, padded) in (term..).zip(padded).take(terms) {
                    *padded = from.values()[line * line_step + term * term_step];
                }
            }
            simd.store_pairs(Block::new(&padded, TERMS, Adjoining::Terms), out);
        }
    }
}
