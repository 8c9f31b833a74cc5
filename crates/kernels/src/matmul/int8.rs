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

use super::weights::{InputRows, Multiply, Takes};
use super::{Epilogue, Matrix, Norm, Operand};
use crate::Instructions;
use crate::buffer::Buffer;
use crate::hadamard::Hadamard;
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

    /// Rounds `values`, `(depth,)`, into output `column`.
    #[expect(clippy::cast_possible_truncation, reason = "rounded numbers are within ±127")]
    fn set_column(&mut self, column: usize, values: &[f32]) {
        let largest = values.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        // a weight that is no number makes the whole output none
        let step = if values.iter().all(|x| x.is_finite()) { largest / LARGEST } else { f32::NAN };
        let per_step = if step > 0.0 { step.recip() } else { 0.0 };
        let start = column / PANEL * self.panel_len();
        let mut sum = 0;
        for (k, value) in values.iter().enumerate() {
            let rounded = (value * per_step).round_ties_even().clamp(-LARGEST, LARGEST) as i8;
            self.panels[start + place(k, column % PANEL)] = rounded;
            sum += i32::from(rounded);
        }
        self.steps[column] = step;
        self.surplus[column] = sum * ZERO as i32;
    }
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
        for (column, values) in values.chunks(depth).enumerate() {
            weights.set_column(column, values);
        }
        weights
    }

    fn pack_gated(gate: &[f32], up: &[f32], columns: usize, depth: usize) -> Self {
        assert!(gate.len() == columns * depth && up.len() == gate.len(), "one value for each input of each output");
        let mut weights = Self::zeros(columns.div_ceil(HALF_PANEL) * PANEL, depth);
        for (column, (gate, up)) in gate.chunks(depth).zip(up.chunks(depth)).enumerate() {
            let place = column / HALF_PANEL * PANEL + column % HALF_PANEL;
            weights.set_column(place, gate);
            weights.set_column(place + HALF_PANEL, up);
        }
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
