//! A Llama model over one sequence on the calling thread: forwards, and back for the gradient.
//!
//! The forward pass leaves in a [`Workspace`] what the backward pass needs. `T` in the shapes is the length of the sequence.

mod attention;
mod backward;
mod workspace;

pub(crate) use workspace::Workspace;

use headwater_kernels::{
    Arithmetic, HeadRows, Instructions, MatrixView, MatrixViewMut, Predictions, RotaryTable, Turn, Update,
    cross_entropy_losses, gate_rows, general_product, norm_rows, rotate_rows,
};

use crate::Shape;
use crate::layout::{LayerPlaces, Layout};
use attention::Attention;
use workspace::LayerState;

/// A model as its passes see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network<'a> {
    pub(crate) shape: &'a Shape,
    pub(crate) layout: &'a Layout,
    pub(crate) table: &'a RotaryTable,
    pub(crate) instructions: Instructions,
    pub(crate) arithmetic: Arithmetic,
    /// All parameters.
    pub(crate) parameters: &'a [f32],
    /// T.
    pub(crate) length: usize,
}

impl Network<'_> {
    /// Computes the loss of each token of a sequence but the first, in nats.
    ///
    /// # Shapes
    /// - `tokens`: `(T + 1,)`; `losses`: `(T,)`
    pub(crate) fn losses(&self, tokens: &[u32], work: &mut Workspace, losses: &mut [f32]) {
        self.forward(tokens, work);
        cross_entropy_losses(self.instructions, self.predictions(work), losses, self.arithmetic);
    }

    /// What predicts the tokens after the forward pass.
    fn predictions<'w>(&'w self, work: &'w Workspace) -> Predictions<'w> {
        let Shape { vocabulary, width, .. } = *self.shape;
        Predictions {
            hidden: MatrixView::new(&work.normed, self.length, width),
            weights: MatrixView::new(&self.parameters[self.layout.head.clone()], vocabulary, width),
            targets: &work.targets,
        }
    }

    /// Computes the last hidden states, normed, of all tokens but the last, which becomes a target.
    fn forward(&self, tokens: &[u32], work: &mut Workspace) {
        let (shape, width) = (self.shape, self.shape.width);
        let (inputs, targets) = (&tokens[..self.length], &tokens[1..]);
        for (to, target) in work.targets.iter_mut().zip(targets) {
            *to = Some(*target);
        }
        let embedding = &self.parameters[self.layout.embedding.clone()];
        for (x, token) in work.x.chunks_exact_mut(width).zip(inputs) {
            x.copy_from_slice(&embedding[*token as usize * width..][..width]);
        }
        let attention = Attention {
            shape,
            length: self.length,
            instructions: self.instructions,
            arithmetic: self.arithmetic,
            kept: work.kept,
        };
        for (places, state) in self.layout.layers.iter().zip(&mut work.layers) {
            self.attend(attention, places, (&mut work.x, state), &mut work.block);
            self.transform(places, &mut work.x, state);
        }
        let norm = (&self.parameters[self.layout.norm.clone()], shape.norm_eps);
        norm_rows(self.instructions, &work.x, norm, &mut work.normed, &mut work.inverse);
    }

    /// Adds the attention of a layer to `x`, `(T, width)`.
    fn attend(
        &self,
        attention: Attention<'_>,
        places: &LayerPlaces,
        (x, state): (&mut [f32], &mut LayerState),
        block: &mut [f32],
    ) {
        let shape = self.shape;
        state.x.copy_from_slice(x);
        let norm = (&self.parameters[places.attention_norm.clone()], shape.norm_eps);
        norm_rows(self.instructions, x, norm, &mut state.normed, &mut state.inverse);
        // (T, width) to (T, queries + keys + values)
        self.map(places.projections.clone(), &state.normed, Update::Replace, &mut state.projections);
        rotate_rows(self.instructions, &mut state.projections, self.turned(), self.table, Turn::Forwards);
        attention.forward(&state.projections, (&mut state.probabilities, block), &mut state.mixed);
        // (T, queries) to (T, width)
        self.map(places.output.clone(), &state.mixed, Update::Add, x);
    }

    /// Adds the MLP of a layer to `x`, `(T, width)`.
    fn transform(&self, places: &LayerPlaces, x: &mut [f32], state: &mut LayerState) {
        state.y.copy_from_slice(x);
        let norm = (&self.parameters[places.mlp_norm.clone()], self.shape.norm_eps);
        norm_rows(self.instructions, x, norm, &mut state.mlp_normed, &mut state.mlp_inverse);
        // (T, width) to (T, 2 · hidden) to (T, hidden) to (T, width)
        self.map(places.gate_up.clone(), &state.mlp_normed, Update::Replace, &mut state.gate_up);
        gate_rows(self.instructions, &state.gate_up, self.shape.hidden, &mut state.gated);
        self.map(places.down.clone(), &state.gated, Update::Add, x);
    }

    /// The heads of queries and keys among the projections.
    fn turned(&self) -> HeadRows {
        let Shape { heads, kv_heads, head_width, .. } = *self.shape;
        HeadRows { stride: self.shape.projections(), heads: heads + kv_heads, head_width }
    }

    /// Computes `x` · `weights`ᵀ: `(T, inputs)` by `(outputs, inputs)` to `(T, outputs)`.
    fn map(&self, weights: std::ops::Range<usize>, x: &[f32], update: Update, out: &mut [f32]) {
        let weights = &self.parameters[weights];
        let length = self.length;
        let (inputs, outputs) = (x.len() / length, out.len() / length);
        let weights = MatrixView::new(weights, outputs, inputs).transposed();
        let x = MatrixView::new(x, length, inputs);
        general_product(x, weights, update, MatrixViewMut::new(out, length, outputs), self.arithmetic);
    }
}
