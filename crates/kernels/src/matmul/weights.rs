//! Weights in panels.

use rayon::prelude::*;

use super::norm::{Norm, rms_norm, take_rows};
use super::operand::{Operand, place};
use super::{Epilogue, Panels, Product, Rows};
use crate::Instructions;
use crate::buffer::Buffer;
use crate::hadamard::Hadamard;
use crate::tile::{HALF_PANEL, PANEL, padded_depth};

/// A weight matrix, and the rows that it multiplies.
pub trait Matrix: Multiply + Send + Sync + std::fmt::Debug {
    /// Packs `values`, `(columns, depth)` in the order of rows as checkpoints store them.
    ///
    /// # Panics
    /// If `values` has another length.
    fn pack(values: &[f32], columns: usize, depth: usize) -> Self;

    /// Packs two weights of the same shape for [`gated`](crate::gated): in each panel sixteen outputs of `gate`, then the same
    /// sixteen of `up`.
    ///
    /// # Panics
    /// If either has another length than `(columns, depth)`.
    fn pack_gated(gate: &[f32], up: &[f32], columns: usize, depth: usize) -> Self;

    /// Number of outputs, in whole panels after [`Self::pack_gated`].
    fn columns(&self) -> usize;

    /// Writes the inputs of output `column` into `to`, `(depth,)`.
    ///
    /// # Panics
    /// If there is no such column, or `to` has another length than its inputs.
    fn read_column(&self, column: usize, to: &mut [f32]);

    /// Whether inputs are rounded so coarsely that it pays to rotate what is rounded.
    const ROTATES: bool;

    /// Computes the root-mean-square norm of each row of `x`, `(rows, width)`, as inputs.
    ///
    /// # Panics
    /// If the norm has a basis and [`Self::ROTATES`] is false.
    fn norm(instructions: Instructions, x: &[f32], norm: Norm<'_>, rows: &mut Self::Rows);

    /// Takes each row of `x`, `(rows, width)`, as inputs.
    fn take(instructions: Instructions, x: &[f32], width: usize, rows: &mut Self::Rows);
}

/// A matrix that multiplies rows that were stored in `E`.
pub trait Takes<E: Operand>: Matrix {
    /// Returns `from` as inputs of the matrix: as they are, or rounded into `rounded`, under `mix` if there is one.
    ///
    /// # Shapes
    /// - `from`: `(count, width)`, rows [`padded_depth`] apart
    fn inputs<'a>(
        instructions: Instructions,
        from: &'a Buffer<E>,
        shape: (usize, usize),
        mix: Option<&Hadamard>,
        rounded: &'a mut Self::Rows,
    ) -> &'a Self::Rows;
}

/// The rows that a matrix multiplies: the first `count` of `rows`.
#[derive(Debug)]
pub struct InputRows<'a, R> {
    /// Memory of the rows, as [`Matrix::norm`] writes it.
    pub rows: &'a R,
    /// Rows to multiply.
    pub count: usize,
}

// derived, these would ask the same of `R`
impl<R> Clone for InputRows<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for InputRows<'_, R> {}

/// What only this crate does with a matrix.
#[expect(private_bounds, reason = "seals `Matrix`: nothing outside this crate implements or calls it")]
pub trait Multiply: Sized {
    /// Memory of rows of inputs.
    type Rows: Default + Send + std::fmt::Debug;

    /// Multiplies `inputs` with the weights.
    fn multiply<P: Epilogue>(&self, instructions: Instructions, inputs: InputRows<'_, Self::Rows>, epilogue: &mut P);
}

/// A weight matrix of `columns` outputs by `depth` inputs, in panels of numbers.
#[derive(Clone, Debug)]
pub struct Weights<E> {
    panels: Buffer<E>,
    columns: usize,
    depth: usize,
}

impl<E: Operand> Weights<E> {
    fn zeros(columns: usize, depth: usize) -> Self {
        let panels = columns.div_ceil(PANEL) * PANEL * padded_depth(depth);
        Self { panels: Buffer::zeros(panels), columns, depth }
    }

    pub(super) fn panels(&self) -> Panels<'_, E> {
        Panels::new(&self.panels, self.panel_len(), self.columns.div_ceil(PANEL))
    }

    fn panel_len(&self) -> usize {
        padded_depth(self.depth) * PANEL
    }
}

impl<E: Operand> Matrix for Weights<E> {
    const ROTATES: bool = false;

    fn pack(values: &[f32], columns: usize, depth: usize) -> Self {
        assert_eq!(values.len(), columns * depth, "a weight has one value for each input of each output");
        let mut weights = Self::zeros(columns, depth);
        let stride = weights.panel_len();
        let panels = weights.panels.par_chunks_mut(stride).zip(values.par_chunks(PANEL * depth));
        panels.for_each(|(panel, rows)| pack_panel(panel, rows, depth, 0));
        weights
    }

    fn pack_gated(gate: &[f32], up: &[f32], columns: usize, depth: usize) -> Self {
        assert!(gate.len() == columns * depth && up.len() == gate.len(), "one value for each input of each output");
        let mut weights = Self::zeros(columns.div_ceil(HALF_PANEL) * PANEL, depth);
        let stride = weights.panel_len();
        let halves = gate.par_chunks(HALF_PANEL * depth).zip(up.par_chunks(HALF_PANEL * depth));
        weights.panels.par_chunks_mut(stride).zip(halves).for_each(|(panel, (gate, up))| {
            pack_panel(panel, gate, depth, 0);
            pack_panel(panel, up, depth, HALF_PANEL);
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
            *to = panel[place::<E>(k, column % PANEL)].to_f32();
        }
    }

    fn norm(instructions: Instructions, x: &[f32], norm: Norm<'_>, rows: &mut Buffer<E>) {
        assert!(norm.basis.is_none(), "only rows that are rounded to int8 are rotated");
        rows.grow(Rows::<E>::stored(x.len() / norm.width, norm.width));
        rms_norm(instructions, x, norm, rows);
    }

    fn take(instructions: Instructions, x: &[f32], width: usize, rows: &mut Buffer<E>) {
        rows.grow(Rows::<E>::stored(x.len() / width, width));
        take_rows(instructions, x, width, rows);
    }
}

#[expect(private_bounds, reason = "see `Multiply`")]
impl<E: Operand> Multiply for Weights<E> {
    type Rows = Buffer<E>;

    fn multiply<P: Epilogue>(&self, instructions: Instructions, inputs: InputRows<'_, Buffer<E>>, epilogue: &mut P) {
        let rows = Rows::new(inputs.rows, inputs.count, self.depth);
        E::multiply(instructions, Product::new(rows, self.panels(), self.depth), epilogue);
    }
}

impl<E: Operand> Takes<E> for Weights<E> {
    fn inputs<'a>(
        _instructions: Instructions,
        from: &'a Buffer<E>,
        _shape: (usize, usize),
        mix: Option<&Hadamard>,
        _rounded: &'a mut Buffer<E>,
    ) -> &'a Buffer<E> {
        assert!(mix.is_none(), "only rows that are rounded are mixed");
        from
    }
}

/// Writes `rows`, `(column, depth)`, into the columns of `panel` from `first`.
fn pack_panel<E: Operand>(panel: &mut [E], rows: &[f32], depth: usize, first: usize) {
    for (column, row) in (first..).zip(rows.chunks(depth)) {
        for (k, value) in row.iter().enumerate() {
            panel[place::<E>(k, column)] = E::from_f32(*value);
        }
    }
}

/// Lays out two biases, `(columns,)` each, as [`Matrix::pack_gated`] lays out their weights.
#[must_use]
pub fn gated_bias(gate: &[f32], up: &[f32]) -> Vec<f32> {
    let mut bias = vec![0.0; gate.len().div_ceil(HALF_PANEL) * PANEL];
    for (panel, (gate, up)) in bias.chunks_mut(PANEL).zip(gate.chunks(HALF_PANEL).zip(up.chunks(HALF_PANEL))) {
        panel[..gate.len()].copy_from_slice(gate);
        panel[HALF_PANEL..HALF_PANEL + up.len()].copy_from_slice(up);
    }
    bias
}
