//! The gradient of the losses of one sequence by every parameter.

use std::ops::Range;

use headwater_kernels::{
    CrossEntropyGradient, MatrixView, MatrixViewMut, NormInputs, Turn, Update, cross_entropy_gradient,
    gate_rows_gradient, general_product, norm_rows_gradient, rotate_rows,
};

use super::Network;
use super::attention::{Attention, AttentionGradients};
use super::workspace::{Gradients, LayerState, Workspace};
use crate::layout::LayerPlaces;

impl Network<'_> {
    /// Computes the loss of each token of a sequence but the first, in nats, and adds the gradient of `scale` · Σ losses to `sums`.
    ///
    /// # Shapes
    /// - `tokens`: `(T + 1,)`; `losses`: `(T,)`; `sums`: as the parameters
    pub(crate) fn add_gradient(
        &self,
        tokens: &[u32],
        scale: f32,
        work: &mut Workspace,
        (losses, sums): (&mut [f32], &mut [f32]),
    ) {
        let width = self.shape.width;
        self.forward(tokens, work);
        let mut by_normed = std::mem::take(&mut work.gradient.normed);
        let gradient = CrossEntropyGradient {
            losses,
            hidden: MatrixViewMut::new(&mut by_normed, self.length, width),
            weights: MatrixViewMut::new(&mut sums[self.layout.head.clone()], self.shape.vocabulary, width),
        };
        cross_entropy_gradient(self.instructions, self.predictions(work), scale, gradient, self.arithmetic);
        work.gradient.normed = by_normed;
        let Workspace { kept, layers, x, inverse, block, gradient, .. } = work;
        gradient.x.fill(0.0);
        self.norm_backward(self.layout.norm.clone(), (x, inverse), gradient, sums);
        let attention = Attention {
            shape: self.shape,
            length: self.length,
            instructions: self.instructions,
            arithmetic: self.arithmetic,
            kept: *kept,
        };
        for (places, state) in self.layout.layers.iter().zip(layers).rev() {
            self.transform_backward(places, state, gradient, sums);
            self.attend_backward(attention, places, (state, block), (gradient, sums));
        }
        let sums = &mut sums[self.layout.embedding.clone()];
        for (by_x, token) in gradient.x.chunks_exact(width).zip(tokens) {
            let sums = &mut sums[*token as usize * width..][..width];
            sums.iter_mut().zip(by_x).for_each(|(sum, by_x)| *sum += by_x);
        }
    }

    /// From the gradient by what the MLP was added to, to that by what it was given.
    fn transform_backward(
        &self,
        places: &LayerPlaces,
        state: &mut LayerState,
        gradient: &mut Gradients,
        sums: &mut [f32],
    ) {
        self.map_backward(places.down.clone(), (&state.gated, &gradient.x), &mut gradient.gated, sums);
        gate_rows_gradient(self.instructions, &gradient.gated, self.shape.hidden, &mut state.gate_up);
        let (normed, by_gate_up) = (&state.mlp_normed, &state.gate_up);
        self.map_backward(places.gate_up.clone(), (normed, by_gate_up), &mut gradient.normed, sums);
        self.norm_backward(places.mlp_norm.clone(), (&state.y, &state.mlp_inverse), gradient, sums);
    }

    /// From the gradient by what the attention was added to, to that by what it was given.
    fn attend_backward(
        &self,
        attention: Attention<'_>,
        places: &LayerPlaces,
        (state, block): (&mut LayerState, &mut [f32]),
        (gradient, sums): (&mut Gradients, &mut [f32]),
    ) {
        self.map_backward(places.output.clone(), (&state.mixed, &gradient.x), &mut gradient.mixed, sums);
        let by = AttentionGradients {
            mixed: &gradient.mixed,
            projections: &mut gradient.projections,
            block: &mut gradient.block,
        };
        attention.backward(&state.projections, (&mut state.probabilities, block), by);
        rotate_rows(self.instructions, &mut gradient.projections, self.turned(), self.table, Turn::Backwards);
        let (normed, by_projections) = (&state.normed, &gradient.projections);
        self.map_backward(places.projections.clone(), (normed, by_projections), &mut gradient.normed, sums);
        self.norm_backward(places.attention_norm.clone(), (&state.x, &state.inverse), gradient, sums);
    }

    /// Adds the gradients of a norm by its input to that by hidden states, and by its weight to `sums`.
    fn norm_backward(
        &self,
        weight: Range<usize>,
        (x, inverse_rms): (&[f32], &[f32]),
        gradient: &mut Gradients,
        sums: &mut [f32],
    ) {
        let inputs = NormInputs { x, weight: &self.parameters[weight.clone()], inverse_rms };
        norm_rows_gradient(self.instructions, inputs, &gradient.normed, &mut gradient.x, &mut sums[weight]);
    }

    /// Computes the gradient of a map by its input, and adds that by its weights to `sums`.
    ///
    /// # Shapes
    /// - `x` and `by_x`: `(T, inputs)`; `by_out`: `(T, outputs)`
    fn map_backward(&self, weights: Range<usize>, (x, by_out): (&[f32], &[f32]), by_x: &mut [f32], sums: &mut [f32]) {
        let length = self.length;
        let (inputs, outputs) = (x.len() / length, by_out.len() / length);
        let by_out = MatrixView::new(by_out, length, outputs);
        let map = MatrixView::new(&self.parameters[weights.clone()], outputs, inputs);
        let by_x = MatrixViewMut::new(by_x, length, inputs);
        general_product(by_out, map, Update::Replace, by_x, self.arithmetic);
        let by_weights = MatrixViewMut::new(&mut sums[weights], outputs, inputs);
        let x = MatrixView::new(x, length, inputs);
        general_product(by_out.transposed(), x, Update::Add, by_weights, self.arithmetic);
    }
}
