//! A decoder's weights, packed for the kernels.

use candle_core::Tensor;
use headwater_kernels::{Matrix, Operand, Weights};

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

/// One layer: attention and MLP, each normed before and added to the residual stream. `N` are the maps that follow a norm, `E` is
/// what the others multiply.
#[derive(Debug)]
pub(super) struct Layer<E, N> {
    pub(super) attention_norm: Vec<f32>,
    /// Q, K and V, one below the other.
    pub(super) projections: Linear<N>,
    /// Qwen3's norms of every head's Q and K, `(head_dim,)`.
    pub(super) head_norms: [Option<Vec<f32>>; 2],
    pub(super) output: Linear<Weights<E>>,
    pub(super) mlp_norm: Vec<f32>,
    /// Gate and up, side by side in every panel.
    pub(super) gate_up: Linear<N>,
    pub(super) down: Linear<Weights<E>>,
}

/// A decoder's weights.
#[derive(Debug)]
pub(super) struct Decoder<E, N> {
    /// `(vocab, hidden)`; `None` if tied to the projection.
    embedding: Option<N>,
    pub(super) layers: Vec<Layer<E, N>>,
    pub(super) norm: Vec<f32>,
    pub(super) head: N,
    pub(super) eps: f32,
}

impl<E: Operand, N: Matrix> Decoder<E, N> {
    /// Reads and packs the weights of `checkpoint`.
    #[expect(clippy::cast_possible_truncation, reason = "ε is stored as float32 in checkpoints")]
    pub(super) fn load(checkpoint: &mut Checkpoint<'_>, shape: &ModelShape) -> Result<Self, Error> {
        let embedding = pack(&checkpoint.tensor(Role::Embedding)?)?;
        let (embedding, head) = match checkpoint.head()? {
            Some(head) => (Some(embedding), pack(&head)?),
            None => (None, embedding),
        };
        let layers = (0..shape.layers).map(|index| LayerReader { checkpoint, shape, index }.read());
        let layers = layers.collect::<Result<_, Error>>()?;
        let norm = floats(&checkpoint.tensor(Role::FinalNorm)?)?;
        Ok(Self { embedding, layers, norm, head, eps: shape.norm_eps as f32 })
    }

    /// Writes the embedding of `token` to `to`, `(hidden,)`.
    pub(super) fn embed(&self, token: u32, to: &mut [f32]) {
        self.embedding.as_ref().unwrap_or(&self.head).read_column(token as usize, to);
    }
}

/// Reads the weights of one layer.
struct LayerReader<'r, 'c> {
    checkpoint: &'r mut Checkpoint<'c>,
    shape: &'r ModelShape,
    index: usize,
}

impl LayerReader<'_, '_> {
    fn read<E: Operand, N: Matrix>(mut self) -> Result<Layer<E, N>, Error> {
        Ok(Layer {
            attention_norm: self.norm(Part::AttentionNorm)?,
            projections: self.stacked([Part::Query, Part::Key, Part::Value])?,
            head_norms: [self.head_norm(Part::QueryNorm)?, self.head_norm(Part::KeyNorm)?],
            output: self.stacked([Part::Output])?,
            mlp_norm: self.norm(Part::MlpNorm)?,
            gate_up: self.gated()?,
            down: self.stacked([Part::Down])?,
        })
    }

    /// Parts with the same inputs as one map, their outputs one after the other.
    fn stacked<M: Matrix, const PARTS: usize>(&mut self, parts: [Part; PARTS]) -> Result<Linear<M>, Error> {
        let mut values = Vec::new();
        let (mut columns, mut depth) = (0, 0);
        for part in parts {
            let weight = self.checkpoint.weight(self.index, part)?;
            (columns, depth) = (columns + weight.dim(0)?, weight.dim(1)?);
            values.extend(floats(&weight)?);
        }
        Ok(Linear { weights: M::pack(&values, columns, depth), bias: self.biases(parts)?.map(|all| all.concat()) })
    }

    fn gated<M: Matrix>(&mut self) -> Result<Linear<M>, Error> {
        let gate = floats(&self.checkpoint.weight(self.index, Part::Gate)?)?;
        let up = floats(&self.checkpoint.weight(self.index, Part::Up)?)?;
        let (columns, depth) = (self.shape.intermediate, self.shape.hidden);
        let weights = M::pack_gated(&gate, &up, columns, depth);
        let bias = self.biases([Part::Gate, Part::Up])?;
        Ok(Linear { weights, bias: bias.map(|[gate, up]| headwater_kernels::gated_bias(&gate, &up)) })
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

    fn norm(&mut self, part: Part) -> Result<Vec<f32>, Error> {
        floats(&self.checkpoint.weight(self.index, part)?)
    }

    fn head_norm(&mut self, part: Part) -> Result<Option<Vec<f32>>, Error> {
        self.checkpoint.head_norm(self.index, part)?.map(|weight| floats(&weight)).transpose()
    }
}

/// Packs a float32 weight, `(out, in)`.
fn pack<M: Matrix>(weight: &Tensor) -> Result<M, Error> {
    Ok(M::pack(&floats(weight)?, weight.dim(0)?, weight.dim(1)?))
}

fn floats(tensor: &Tensor) -> Result<Vec<f32>, Error> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}
