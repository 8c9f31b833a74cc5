//! Products of int8: weights with a scale for each output, rows with a scale for each.
//!
//! A row is stored as unsigned bytes around 128, because that is what processors multiply with signed bytes; the surplus of 128
//! times the sum of the weights is taken off afterwards. Sums are int32 and exact, so they are the same on every level.
//!
//! Source: Jacob et al. (2018), Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
//! §2.2–2.3, with symmetric weights; scales a token and a channel as by Xiao et al. (2023), SmoothQuant, §3.

mod product;
mod rows;

pub(super) use product::Int8Product;
#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
pub(super) use product::multiply_amx;
pub use rows::Int8Rows;
use rows::{LARGEST, ZERO};

use rayon::prelude::*;

use super::weights::{InputRows, Multiply, Takes};
use super::{Epilogue, Matrix, Norm, Operand};
use crate::Instructions;
use crate::buffer::Buffer;
use crate::hadamard::Hadamard;
use crate::simd::SHIFT;
use crate::tile::{HALF_PANEL, PANEL, padded_depth};
use rows::DEPTH_STEP;

/// Inputs of the longest sum: 65,536 products of 255 · 127 fit an int32.
const MOST_DEPTH: usize = 1 << 16;

/// Consecutive terms that lie side by side in a panel.
const GROUP: usize = 4;

/// A weight matrix of `columns` outputs by `depth` inputs, in panels of int8.
#[derive(Clone, Debug)]
pub struct Int8Weights {
    panels: Buffer<i8>,
    /// The value of one step of each output's weights, in whole panels.
    steps: Vec<f32>,
    /// What storing rows around 128 adds to each output's sums, in whole panels.
    surplus: Vec<i32>,
    columns: usize,
    depth: usize,
}

impl Int8Weights {
    fn zeros(columns: usize, depth: usize) -> Self {
        assert!(depth <= MOST_DEPTH, "an output has at most {MOST_DEPTH} inputs");
        let whole = columns.next_multiple_of(PANEL);
        let panels = Buffer::zeros(whole * depth.next_multiple_of(DEPTH_STEP));
        Self { panels, steps: vec![0.0; whole], surplus: vec![0; whole], columns, depth }
    }

    fn panel_len(&self) -> usize {
        self.depth.next_multiple_of(DEPTH_STEP) * PANEL
    }

    /// Rounds the weights that `columns` gives for each panel, as pairs of a column of the panel and its values, `(depth,)`, on all threads.
    fn fill<'v, I: Iterator<Item = (usize, &'v [f32])>>(&mut self, columns: impl Fn(usize) -> I + Sync) {
        let len = self.panel_len();
        let scales = self.steps.par_chunks_exact_mut(PANEL).zip(self.surplus.par_chunks_exact_mut(PANEL));
        self.panels.par_chunks_exact_mut(len).zip(scales).enumerate().for_each(|(index, (panel, (steps, surplus)))| {
            for (column, values) in columns(index) {
                (steps[column], surplus[column]) = round_column(panel, column, values);
            }
        });
    }
}

/// Rounds `values`, `(depth,)`, into `column` of `panel`; returns the value of a step, and what storing rows around 128 adds to sums.
#[expect(clippy::cast_possible_truncation, reason = "the low byte of a sum with 1.5 · 2²³ is the rounded number")]
fn round_column(panel: &mut [i8], column: usize, values: &[f32]) -> (f32, i32) {
    let mut largest = 0.0_f32;
    // zero times a number; what is none stays none
    let mut zero = 0.0;
    for x in values {
        largest = largest.max(x.abs());
        zero += x * 0.0;
    }
    // a weight that is no number makes the whole output none
    let step = largest / LARGEST + zero;
    let per_step = if step > 0.0 { step.recip() } else { 0.0 };
    let mut sum = 0;
    for (k, group) in (0..).step_by(GROUP).zip(values.chunks(GROUP)) {
        let at = place(k, column);
        for (to, value) in panel[at..at + GROUP].iter_mut().zip(group) {
            // to nearest, ties to even
            *to = (value * per_step + SHIFT).to_bits() as i8;
            sum += i32::from(*to);
        }
    }
    (step, sum * ZERO as i32)
}

/// Where term `k` of column `column` of a panel lies in it.
fn place(k: usize, column: usize) -> usize {
    (k / GROUP * PANEL + column) * GROUP + k % GROUP
}

impl Matrix for Int8Weights {
    const ROTATES: bool = true;

    fn pack(values: &[f32], columns: usize, depth: usize) -> Self {
        assert_eq!(values.len(), columns * depth, "a weight has one value for each input of each output");
        let mut weights = Self::zeros(columns, depth);
        weights.fill(|panel| {
            let last = values.len().min((panel + 1) * PANEL * depth);
            values[panel * PANEL * depth..last].chunks(depth).enumerate()
        });
        weights
    }

    fn pack_gated(gate: &[f32], up: &[f32], columns: usize, depth: usize) -> Self {
        assert!(gate.len() == columns * depth && up.len() == gate.len(), "one value for each input of each output");
        let mut weights = Self::zeros(columns.div_ceil(HALF_PANEL) * PANEL, depth);
        weights.fill(|panel| {
            let half = panel * HALF_PANEL * depth..gate.len().min((panel + 1) * HALF_PANEL * depth);
            let (gate, up) = (gate[half.clone()].chunks(depth), up[half].chunks(depth));
            gate.enumerate().chain((HALF_PANEL..).zip(up))
        });
        weights
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn read_column(&self, column: usize, to: &mut [f32]) {
        assert!(column < self.columns && to.len() == self.depth, "a column of the weight");
        let panel = &self.panels[column / PANEL * self.panel_len()..];
        for (k, to) in to.iter_mut().enumerate() {
            *to = f32::from(panel[place(k, column % PANEL)]) * self.steps[column];
        }
    }

    fn norm(instructions: Instructions, x: &[f32], norm: Norm<'_>, rows: &mut Int8Rows) {
        rows.round_norm(instructions, x, norm);
    }

    fn take(instructions: Instructions, x: &[f32], width: usize, rows: &mut Int8Rows) {
        rows.round_rows(instructions, x, width);
    }
}

#[expect(private_bounds, reason = "see `Multiply`")]
impl Multiply for Int8Weights {
    type Rows = Int8Rows;

    fn multiply<P: Epilogue>(&self, instructions: Instructions, inputs: InputRows<'_, Int8Rows>, epilogue: &mut P) {
        product::multiply(instructions, Int8Product::new(self, inputs.rows, inputs.count), epilogue);
    }
}

impl<E: Operand> Takes<E> for Int8Weights {
    fn inputs<'a>(
        instructions: Instructions,
        from: &'a Buffer<E>,
        (count, width): (usize, usize),
        mix: Option<&Hadamard>,
        rounded: &'a mut Int8Rows,
    ) -> &'a Int8Rows {
        rounded.round(instructions, &from[..count * padded_depth(width)], width, mix);
        rounded
    }
}
