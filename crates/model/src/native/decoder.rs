//! A decoder's weights, packed for the kernels.

use candle_core::Tensor;
use headwater_kernels::{Hadamard, Matrix, Norm};

use super::rotations::Rotations;
use crate::checkpoint::{Checkpoint, Part, Role};
use crate::{Error, ModelShape};

/// A linear map, with a bias where the checkpoint has one.
#[derive(Debug)]
pub(super) struct Linear<M> {
    /// `(out, in)`.
    pub(super) weights: M,
    /// `(out,)`.
    pub(super) bias: Option<Vec<f32>>,
}

/// One layer: attention and MLP, each normed before and added to the residual stream.
#[derive(Debug)]
pub(super) struct Layer<M> {
    attention_norm: Vec<f32>,
    /// Q, K and V, one below the other.
    pub(super) projections: Linear<M>,
    /// Qwen3's norms of every head's Q and K, `(head_dim,)`.
    pub(super) head_norms: [Option<Vec<f32>>; 2],
    pub(super) output: Linear<M>,
    mlp_norm: Vec<f32>,
    /// Gate and up, side by side in every panel.
    pub(super) gate_up: Linear<M>,
    pub(super) down: Linear<M>,
}

/// A decoder's weights.
#[derive(Debug)]
pub(super) struct Decoder<M> {
    /// `(vocab, hidden)`; `None` if tied to the projection.
    embedding: Option<M>,
    pub(super) layers: Vec<Layer<M>>,
    norm: Vec<f32>,
    pub(super) head: M,
    pub(super) eps: f32,
    /// The bases that vectors lie in; `None` for those of the checkpoint.
    rotations: Option<Rotations>,
}

impl<M: Matrix> Decoder<M> {
    /// Reads and packs the weights of `checkpoint`.
    #[expect(clippy::cast_possible_truncation, reason = "ε is stored as float32 in checkpoints")]
    pub(super) fn load(checkpoint: &mut Checkpoint<'_>, shape: &ModelShape) -> Result<Self, Error> {
        let rotations = M::ROTATES.then(|| Rotations::new(shape));
        let vocabulary = |weight: Tensor| -> Result<M, Error> {
            let mut values = floats(&weight)?;
            if let Some(rotations) = &rotations {
                rotations.read_stream(&mut values, None);
            }
            Ok(M::pack(&values, shape.vocab, shape.hidden))
        };
        let embedding = vocabulary(checkpoint.tensor(Role::Embedding)?)?;
        let (embedding, head) = match checkpoint.head()? {
            Some(head) => (Some(embedding), vocabulary(head)?),
            None => (None, embedding),
        };
        let layer = |index| LayerReader { checkpoint, shape, rotations: rotations.as_ref(), index }.read();
        let layers = (0..shape.layers).map(layer).collect::<Result<_, Error>>()?;
        let norm = floats(&checkpoint.tensor(Role::FinalNorm)?)?;
        Ok(Self { embedding, layers, norm, head, eps: shape.norm_eps as f32, rotations })
    }

    /// Writes the embedding of `token` to `to`, `(hidden,)`.
    pub(super) fn embed(&self, token: u32, to: &mut [f32]) {
        self.embedding.as_ref().unwrap_or(&self.head).read_column(token as usize, to);
    }

    /// The norm before the attention of `layer`.
    pub(super) fn attention_norm<'a>(&self, layer: &'a Layer<M>) -> Norm<'a> {
        Norm { weight: &layer.attention_norm, eps: self.eps, basis: None }
    }

    /// The norm before the MLP of `layer`.
    pub(super) fn mlp_norm<'a>(&self, layer: &'a Layer<M>) -> Norm<'a> {
        Norm { weight: &layer.mlp_norm, eps: self.eps, basis: None }
    }

    /// The norm before the vocabulary.
    pub(super) fn final_norm(&self) -> Norm<'_> {
        Norm { weight: &self.norm, eps: self.eps, basis: self.rotations.as_ref().map(|rotations| &rotations.hidden) }
    }

    /// How the inputs of the down projection are mixed.
    pub(super) fn inner_mix(&self) -> Option<&Hadamard> {
        self.rotations.as_ref().map(|rotations| &rotations.inner)
    }
}

/// Reads the weights of one layer.
struct LayerReader<'r, 'c> {
    checkpoint: &'r mut Checkpoint<'c>,
    shape: &'r ModelShape,
    rotations: Option<&'r Rotations>,
    index: usize,
}

impl LayerReader<'_, '_> {
    fn read<M: Matrix>(mut self) -> Result<Layer<M>, Error> {
        let (attention_norm, mlp_norm) = (self.weight(Part::AttentionNorm)?, self.weight(Part::MlpNorm)?);
        let projections = self.projections(&attention_norm)?;
        let head_norms = [self.head_norm(Part::QueryNorm)?, self.head_norm(Part::KeyNorm)?];
        let output = self.writer(Part::Output, |rotations, weight| rotations.read_values(weight))?;
        let gate_up = self.gated(&mlp_norm)?;
        let down = self.writer(Part::Down, |rotations, weight| rotations.read_inner(weight))?;
        let [attention_norm, mlp_norm] = [attention_norm, mlp_norm].map(|norm| self.kept(norm));
        Ok(Layer { attention_norm, projections, head_norms, output, mlp_norm, gate_up, down })
    }

    /// Q, K and V as one map, their outputs one after the other.
    fn projections<M: Matrix>(&mut self, norm: &[f32]) -> Result<Linear<M>, Error> {
        let (hidden, parts) = (self.shape.hidden, [Part::Query, Part::Key, Part::Value]);
        let mut values = Vec::new();
        for part in parts {
            let mut weight = self.reader(part, norm)?;
            if let (Part::Value, Some(rotations)) = (part, self.rotations) {
                rotations.give_values(&mut weight, hidden);
            }
            values.extend(weight);
        }
        let mut bias = self.biases(parts)?;
        if let (Some([_, _, value]), Some(rotations)) = (&mut bias, self.rotations) {
            rotations.give_values(value, 1);
        }
        let weights = M::pack(&values, values.len() / hidden, hidden);
        Ok(Linear { weights, bias: bias.map(|all| all.concat()) })
    }

    fn gated<M: Matrix>(&mut self, norm: &[f32]) -> Result<Linear<M>, Error> {
        let (gate, up) = (self.reader(Part::Gate, norm)?, self.reader(Part::Up, norm)?);
        let weights = M::pack_gated(&gate, &up, self.shape.intermediate, self.shape.hidden);
        let bias = self.biases([Part::Gate, Part::Up])?;
        Ok(Linear { weights, bias: bias.map(|[gate, up]| headwater_kernels::gated_bias(&gate, &up)) })
    }

    /// The weight of a part that reads the normed residual stream.
    fn reader(&mut self, part: Part, norm: &[f32]) -> Result<Vec<f32>, Error> {
        let mut weight = self.weight(part)?;
        if let Some(rotations) = self.rotations {
            rotations.read_stream(&mut weight, Some(norm));
        }
        Ok(weight)
    }

    /// A part that writes to the residual stream; `read` lets it read its inputs in their basis.
    fn writer<M: Matrix>(&mut self, part: Part, read: impl Fn(&Rotations, &mut [f32])) -> Result<Linear<M>, Error> {
        let mut weight = self.weight(part)?;
        let mut bias = self.biases([part])?.map(|[bias]| bias);
        if let Some(rotations) = self.rotations {
            read(rotations, &mut weight);
            rotations.write_stream(&mut weight);
            if let Some(bias) = &mut bias {
                rotations.write_stream(bias);
            }
        }
        let hidden = self.shape.hidden;
        Ok(Linear { weights: M::pack(&weight, hidden, weight.len() / hidden), bias })
    }

    /// The weight of a norm, all ones where it went into the maps that follow.
    fn kept(&self, norm: Vec<f32>) -> Vec<f32> {
        if self.rotations.is_some() { vec![1.0; norm.len()] } else { norm }
    }

    /// The biases of `parts`, zero where one has none; `None` if none has.
    fn biases<const PARTS: usize>(&mut self, parts: [Part; PARTS]) -> Result<Option<[Vec<f32>; PARTS]>, Error> {
        let mut any = false;
        let mut all = [const { Vec::new() }; PARTS];
        for (bias, part) in all.iter_mut().zip(parts) {
            *bias = match self.checkpoint.bias(self.index, part)? {
                Some(values) => {
                    any = true;
                    floats(&values)?
                }
                None => vec![0.0; self.checkpoint.outputs(part)],
            };
        }
        Ok(any.then_some(all))
    }

    fn weight(&mut self, part: Part) -> Result<Vec<f32>, Error> {
        floats(&self.checkpoint.weight(self.index, part)?)
    }

    fn head_norm(&mut self, part: Part) -> Result<Option<Vec<f32>>, Error> {
        self.checkpoint.head_norm(self.index, part)?.map(|weight| floats(&weight)).transpose()
    }
}

fn floats(tensor: &Tensor) -> Result<Vec<f32>, Error> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}
