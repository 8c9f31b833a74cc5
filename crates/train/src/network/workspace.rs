//! Memory for one sequence.

use super::attention::Attention;
use crate::Shape;

/// Most numbers of attention probabilities that are kept for the backward pass; of longer sequences they are computed again.
const MOST_KEPT: usize = 32 << 20;

/// What a layer leaves for the backward pass.
#[derive(Debug)]
pub(super) struct LayerState {
    /// What the attention was given, `(T, width)`.
    pub(super) x: Vec<f32>,
    /// 1 / √(mean(x²) + ε), `(T,)`.
    pub(super) inverse: Vec<f32>,
    /// `x` after the norm, `(T, width)`.
    pub(super) normed: Vec<f32>,
    /// Queries and keys, turned, and values: `(T, queries + keys + values)`.
    pub(super) projections: Vec<f32>,
    /// As [`Attention`] lays them out; nothing if they are computed again.
    pub(super) probabilities: Vec<f32>,
    /// Means of values, `(T, queries)`.
    pub(super) mixed: Vec<f32>,
    /// What the MLP was given, `(T, width)`.
    pub(super) y: Vec<f32>,
    /// 1 / √(mean(y²) + ε), `(T,)`.
    pub(super) mlp_inverse: Vec<f32>,
    /// `y` after the norm, `(T, width)`.
    pub(super) mlp_normed: Vec<f32>,
    /// Gates and ups, `(T, 2 · hidden)`.
    pub(super) gate_up: Vec<f32>,
    /// silu(gate) · up, `(T, hidden)`.
    pub(super) gated: Vec<f32>,
}

/// Memory for one sequence, used again for the next.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Whether probabilities are kept.
    pub(super) kept: bool,
    pub(super) layers: Vec<LayerState>,
    /// `(T,)`.
    pub(super) targets: Vec<Option<u32>>,
    /// Hidden states, `(T, width)`.
    pub(super) x: Vec<f32>,
    /// 1 / √(mean(x²) + ε) of the last ones, `(T,)`.
    pub(super) inverse: Vec<f32>,
    /// The last ones after the norm, `(T, width)`.
    pub(super) normed: Vec<f32>,
    /// One block of probabilities, if they are not kept.
    pub(super) block: Vec<f32>,
    pub(super) gradient: Gradients,
}

/// Gradients by what a layer computes.
#[derive(Debug)]
pub(super) struct Gradients {
    /// By hidden states, `(T, width)`.
    pub(super) x: Vec<f32>,
    /// By hidden states after a norm, `(T, width)`.
    pub(super) normed: Vec<f32>,
    /// `(T, queries + keys + values)`.
    pub(super) projections: Vec<f32>,
    /// One block of probabilities.
    pub(super) block: Vec<f32>,
    /// `(T, queries)`.
    pub(super) mixed: Vec<f32>,
    /// `(T, hidden)`.
    pub(super) gated: Vec<f32>,
}

impl Workspace {
    /// Memory for sequences in which `length` tokens are predicted.
    pub(crate) fn new(shape: &Shape, length: usize) -> Self {
        let Shape { width, hidden, .. } = *shape;
        let of = |width: usize| vec![0.0; length * width];
        let probabilities = Attention::kept_numbers(shape, length);
        let kept = probabilities.saturating_mul(shape.layers) <= MOST_KEPT;
        let layer = |_| LayerState {
            x: of(width),
            inverse: of(1),
            normed: of(width),
            projections: of(shape.projections()),
            probabilities: vec![0.0; if kept { probabilities } else { 0 }],
            mixed: of(shape.queries()),
            y: of(width),
            mlp_inverse: of(1),
            mlp_normed: of(width),
            gate_up: of(2 * hidden),
            gated: of(hidden),
        };
        let block = Attention::block_numbers(length);
        Self {
            kept,
            layers: (0..shape.layers).map(layer).collect(),
            targets: vec![None; length],
            x: of(width),
            inverse: of(1),
            normed: of(width),
            block: vec![0.0; if kept { 0 } else { block }],
            gradient: Gradients {
                x: of(width),
                normed: of(width),
                projections: of(shape.projections()),
                block: vec![0.0; block],
                mixed: of(shape.queries()),
                gated: of(hidden),
            },
        }
    }

    /// Computes probabilities again in the backward pass, as for long sequences.
    #[cfg(test)]
    pub(crate) fn forgetting(shape: &Shape, length: usize) -> Self {
        let mut work = Self::new(shape, length);
        work.kept = false;
        work.block = vec![0.0; Attention::block_numbers(length)];
        work
    }
}
