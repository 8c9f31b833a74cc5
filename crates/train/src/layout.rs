//! Where the tensors of a model lie in one flat slice.

use std::ops::Range;

use crate::Shape;

/// What a tensor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A matrix that adds nothing to the hidden states: it begins at the usual spread, and decays.
    Matrix,
    /// A matrix whose product is added to the hidden states: it begins closer to zero, and decays.
    Residual,
    /// The weight of a norm, which begins as one and does not decay.
    Norm,
}

/// A tensor of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name in transformers' `LlamaForCausalLM`.
    pub name: String,
    /// `(outputs, inputs)` of a matrix, `(width,)` of a norm.
    pub shape: Vec<usize>,
    /// Where it lies.
    pub place: Range<usize>,
    /// What it does.
    pub role: Role,
}

/// Where the tensors of a layer lie; maps of the same input adjoin and are one matrix.
#[derive(Clone, Debug)]
pub(crate) struct LayerPlaces {
    /// `(width,)`.
    pub(crate) attention_norm: Range<usize>,
    /// `(queries + keys + values, width)`.
    pub(crate) projections: Range<usize>,
    /// `(width, queries)`.
    pub(crate) output: Range<usize>,
    /// `(width,)`.
    pub(crate) mlp_norm: Range<usize>,
    /// `(2 · hidden, width)`.
    pub(crate) gate_up: Range<usize>,
    /// `(width, hidden)`.
    pub(crate) down: Range<usize>,
}

/// Where the tensors of a model lie in one flat slice: of parameters, of a gradient or of a moment.
#[derive(Clone, Debug)]
pub struct Layout {
    tensors: Vec<Tensor>,
    /// `(vocabulary, width)`.
    pub(crate) embedding: Range<usize>,
    pub(crate) layers: Vec<LayerPlaces>,
    /// `(width,)`.
    pub(crate) norm: Range<usize>,
    /// `(vocabulary, width)`; that of the embedding if they are tied.
    pub(crate) head: Range<usize>,
}

impl Layout {
    /// Lays out the tensors of `shape`, one after the other.
    pub(crate) fn new(shape: &Shape) -> Self {
        let mut tensors = Tensors(Vec::new());
        let embedding = tensors.push("model.embed_tokens", &[shape.vocabulary, shape.width], Role::Matrix);
        let layers = (0..shape.layers).map(|layer| tensors.push_layer(shape, layer)).collect();
        let norm = tensors.push("model.norm", &[shape.width], Role::Norm);
        let head = if shape.tied {
            embedding.clone()
        } else {
            tensors.push("lm_head", &[shape.vocabulary, shape.width], Role::Matrix)
        };
        Self { tensors: tensors.0, embedding, layers, norm, head }
    }

    /// Returns the tensors in the order in which they lie.
    #[must_use]
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Returns the length of the slice.
    #[must_use]
    pub fn numbers(&self) -> usize {
        self.tensors.last().map_or(0, |tensor| tensor.place.end)
    }
}

/// Tensors so far.
struct Tensors(Vec<Tensor>);

impl Tensors {
    fn push(&mut self, name: &str, shape: &[usize], role: Role) -> Range<usize> {
        let start = self.0.last().map_or(0, |tensor| tensor.place.end);
        let place = start..start + shape.iter().product::<usize>();
        self.0.push(Tensor { name: format!("{name}.weight"), shape: shape.to_vec(), place: place.clone(), role });
        place
    }

    fn push_layer(&mut self, shape: &Shape, layer: usize) -> LayerPlaces {
        let Shape { width, hidden, .. } = *shape;
        let (queries, keys) = (shape.queries(), shape.kv_heads * shape.head_width);
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let attention_norm = self.push(&name("input_layernorm"), &[width], Role::Norm);
        let q = self.push(&name("self_attn.q_proj"), &[queries, width], Role::Matrix);
        self.push(&name("self_attn.k_proj"), &[keys, width], Role::Matrix);
        let v = self.push(&name("self_attn.v_proj"), &[keys, width], Role::Matrix);
        let output = self.push(&name("self_attn.o_proj"), &[width, queries], Role::Residual);
        let mlp_norm = self.push(&name("post_attention_layernorm"), &[width], Role::Norm);
        let gate = self.push(&name("mlp.gate_proj"), &[hidden, width], Role::Matrix);
        let up = self.push(&name("mlp.up_proj"), &[hidden, width], Role::Matrix);
        let down = self.push(&name("mlp.down_proj"), &[width, hidden], Role::Residual);
        let (projections, gate_up) = (q.start..v.end, gate.start..up.end);
        LayerPlaces { attention_norm, projections, output, mlp_norm, gate_up, down }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_adjoin_and_are_all_parameters() {
        for tied in [true, false] {
            let shape = Shape { kv_heads: 2, tied, ..Shape::default() };
            let layout = Layout::new(&shape);
            assert_eq!(layout.numbers() as u64, shape.parameters());
            let ends = layout.tensors().iter().map(|tensor| tensor.place.end);
            let starts = layout.tensors().iter().skip(1).map(|tensor| tensor.place.start);
            assert!(starts.zip(ends).all(|(start, end)| start == end));
            let last = layout.tensors().last().expect("there are tensors");
            assert_eq!(last.name, if tied { "model.norm.weight" } else { "lm_head.weight" });
        }
    }
}
