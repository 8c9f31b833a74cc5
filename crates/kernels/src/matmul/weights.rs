//! Weights in panels.

use crate::buffer::Buffer;
use crate::matmul::Panels;
use crate::matmul::epilogue::HALF;
use crate::operand::{Operand, PANEL, padded_depth, place};

/// A weight matrix of `columns` outputs by `depth` inputs, in panels.
#[derive(Clone, Debug)]
pub struct Weights<E> {
    panels: Buffer<E>,
    columns: usize,
    depth: usize,
}

impl<E: Operand> Weights<E> {
    /// Room for `columns` outputs of `depth` inputs, all zero.
    #[must_use]
    pub fn zeros(columns: usize, depth: usize) -> Self {
        let panels = columns.div_ceil(PANEL) * PANEL * padded_depth(depth);
        Self { panels: Buffer::zeros(panels), columns, depth }
    }

    /// Packs `values`, `(columns, depth)` in the order of rows as checkpoints store them.
    ///
    /// # Panics
    /// If `values` has another length.
    #[must_use]
    pub fn pack(values: &[f32], columns: usize, depth: usize) -> Self {
        assert_eq!(values.len(), columns * depth, "a weight has one value for each input of each output");
        let mut weights = Self::zeros(columns, depth);
        let stride = weights.panel_len();
        let rows = values.chunks(PANEL * depth.max(1));
        for (panel, rows) in weights.panels.chunks_mut(stride.max(1)).zip(rows) {
            pack_panel(panel, rows, depth, 0);
        }
        weights
    }

    /// Packs two weights of the same shape for [`swiglu`](crate::swiglu): in each panel sixteen outputs of `gate`, then the same
    /// sixteen of `up`.
    ///
    /// # Panics
    /// If either has another length than `(columns, depth)`.
    #[must_use]
    pub fn pack_gated(gate: &[f32], up: &[f32], columns: usize, depth: usize) -> Self {
        assert!(gate.len() == columns * depth && up.len() == gate.len(), "one value for each input of each output");
        let mut weights = Self::zeros(columns.div_ceil(HALF) * PANEL, depth);
        let stride = weights.panel_len();
        let halves = gate.chunks(HALF * depth).zip(up.chunks(HALF * depth));
        for (panel, (gate, up)) in weights.panels.chunks_mut(stride).zip(halves) {
            pack_panel(panel, gate, depth, 0);
            pack_panel(panel, up, depth, HALF);
        }
        weights
    }

    /// Writes the inputs of output `column` into `to`, `(depth,)`.
    ///
    /// # Panics
    /// If there is no such column, or `to` has another length than its inputs.
    pub fn read_column(&self, column: usize, to: &mut [f32]) {
        assert!(column < self.columns && to.len() == self.depth, "a column of the weight");
        let panel = &self.panels[column / PANEL * self.panel_len()..];
        for (k, to) in to.iter_mut().enumerate() {
            *to = panel[place::<E>(k, column % PANEL)].to_f32();
        }
    }

    /// Number of outputs.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Number of inputs.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Bytes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.panels)
    }

    pub(crate) fn panels(&self) -> Panels<'_, E> {
        Panels::new(&self.panels, self.panel_len(), self.columns.div_ceil(PANEL))
    }

    fn panel_len(&self) -> usize {
        padded_depth(self.depth) * PANEL
    }
}

/// Writes `rows`, `(column, depth)`, into the columns of `panel` from `first`.
fn pack_panel<E: Operand>(panel: &mut [E], rows: &[f32], depth: usize, first: usize) {
    for (column, row) in (first..).zip(rows.chunks(depth.max(1))) {
        for (k, value) in row.iter().enumerate() {
            panel[place::<E>(k, column)] = E::from_f32(*value);
        }
    }
}

/// Lays out two biases, `(columns,)` each, as [`Weights::pack_gated`] lays out their weights.
#[must_use]
pub fn gated_bias(gate: &[f32], up: &[f32]) -> Vec<f32> {
    let mut bias = vec![0.0; gate.len().div_ceil(HALF) * PANEL];
    for (panel, (gate, up)) in bias.chunks_mut(PANEL).zip(gate.chunks(HALF).zip(up.chunks(HALF))) {
        panel[..gate.len()].copy_from_slice(gate);
        panel[HALF..HALF + up.len()].copy_from_slice(up);
    }
    bias
}
