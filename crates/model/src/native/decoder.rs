//! A decoder's weights, packed for the kernels.
//!
//! The kernels know one kind of layer; what a [`DecoderSpec`] says beside it goes into the weights while they are packed:
//!
//! - a layer norm is a root-mean-square norm of vectors without their mean, so whatever writes to the residual stream is freed of its mean, and
//!   what the norm adds goes through the maps that follow into their biases (Ashkboos et al. 2024, SliceGPT, §3.1);
//! - multipliers of what layers add, of products of queries and keys, of rotated numbers and of logits scale the weights before them;
//! - numbers of a head that are not rotated are pairs that turn by angles of zero: Q and K are put into the order of the pairs.

use candle_core::Tensor;
use headwater_kernels::{AttentionSpan, Hadamard, Matrix, Norm, SoftCap, Vocabulary};
use rayon::prelude::*;

use super::rotations::Rotations;
use crate::tensors::{Checkpoint, Part, Role};
use crate::{DecoderSpec, Error, HeadNorms, NormKind, Rope};

/// Layers that are read at the same time, since reading one keeps few threads busy; each is in memory in float32 until it is packed.
const LAYERS_AT_ONCE: usize = 2;

/// A linear map, with a bias where the model has one.
#[derive(Debug)]
pub(super) struct Linear<M> {
    /// `(out, in)`.
    pub(super) weights: M,
    /// `(out,)`.
    pub(super) bias: Option<Vec<f32>>,
}

/// The norms of queries and keys.
#[derive(Debug)]
pub(super) enum QueryKeyNorms {
    None,
    /// Of every head's Q and K, `(head_dim,)`.
    EachHead([Vec<f32>; 2]),
    /// Of all queries and of all keys of a position, `(query,)` and `(kv,)`.
    AllHeads([Vec<f32>; 2]),
}

/// A norm before a map.
#[derive(Debug)]
pub(super) struct InputNorm {
    /// `(hidden,)`; `None` where it went into the map.
    weight: Option<Vec<f32>>,
}

/// One layer: what attention and MLP add to the residual stream, normed before or after.
#[derive(Debug)]
pub(super) struct Layer<M> {
    pub(super) attention_norm: Option<InputNorm>,
    /// Q, K and V, one below the other.
    pub(super) projections: Linear<M>,
    pub(super) head_norms: QueryKeyNorms,
    pub(super) span: AttentionSpan,
    /// Which of the rotary tables turns Q and K.
    pub(super) table: usize,
    pub(super) output: Linear<M>,
    /// The norm of what attention adds, in the basis of the checkpoint.
    pub(super) attention_after_norm: Option<Vec<f32>>,
    pub(super) mlp_norm: Option<InputNorm>,
    /// Gate and up, side by side in every panel, or the only first map.
    pub(super) inner: Linear<M>,
    pub(super) down: Linear<M>,
    /// The norm of what the MLP adds, in the basis of the checkpoint.
    pub(super) mlp_after_norm: Option<Vec<f32>>,
}

/// A decoder's weights.
#[derive(Debug)]
pub(super) struct Decoder<M> {
    /// `(vocab, hidden)`; `None` if tied to the projection.
    embedding: Option<M>,
    embedding_multiplier: f32,
    /// Learned positions, `(context, hidden)`, in the basis of the checkpoint.
    positions: Option<Vec<f32>>,
    /// Whether the residual stream is kept free of its mean.
    is_centred: bool,
    pub(super) layers: Vec<Layer<M>>,
    norm: Vec<f32>,
    head: M,
    /// What the final norm adds to logits, `(vocab,)`.
    logit_bias: Option<Vec<f32>>,
    logit_cap: Option<SoftCap>,
    pub(super) eps: f32,
    /// The bases that vectors lie in; `None` for those of the checkpoint.
    rotations: Option<Rotations>,
}

impl<M: Matrix> Decoder<M> {
    /// Reads and packs the weights of `checkpoint`.
    pub(super) fn load(checkpoint: &Checkpoint<'_>, spec: &DecoderSpec) -> Result<Self, Error> {
        let shape = &spec.shape;
        let rotations = M::ROTATES.then(|| Rotations::new(shape));
        let vocabulary = |mut values: Vec<f32>| {
            if let Some(rotations) = &rotations {
                rotations.read_stream(&mut values, None);
            }
            M::pack(&values, shape.vocab, shape.hidden)
        };
        let stored = checkpoint.tensor(Role::Embedding)?;
        let (stored_head, embedding) = (checkpoint.head(&stored)?, floats(&stored)?);
        let stored_head = stored_head.map(|head| floats(&head)).transpose()?;
        let mut norm = floats(&checkpoint.tensor(Role::FinalNorm)?)?;
        let norm_bias = checkpoint.norm_bias(Role::FinalNormBias)?.map(|bias| floats(&bias)).transpose()?;
        scale(&mut norm, spec.logit_multiplier);
        let logit_bias = norm_bias.map(|mut bias| {
            scale(&mut bias, spec.logit_multiplier);
            through(stored_head.as_ref().unwrap_or(&embedding), &bias)
        });
        let (embedding, head) = match stored_head {
            Some(head) => (Some(vocabulary(embedding)), vocabulary(head)),
            None => (None, vocabulary(embedding)),
        };
        let positions = checkpoint.positions()?.map(|positions| floats(&positions)).transpose()?;
        let layer = |index| LayerReader { checkpoint, spec, rotations: rotations.as_ref(), index }.read();
        let mut layers = Vec::with_capacity(shape.layers);
        for first in (0..shape.layers).step_by(LAYERS_AT_ONCE) {
            let together = first..shape.layers.min(first + LAYERS_AT_ONCE);
            let read: Vec<Result<_, Error>> = together.into_par_iter().map(layer).collect();
            for layer in read {
                layers.push(layer?);
            }
        }
        Ok(Self {
            embedding,
            embedding_multiplier: narrow(spec.embedding_multiplier),
            positions,
            is_centred: spec.norm == NormKind::Layer,
            layers,
            norm,
            head,
            logit_bias,
            logit_cap: spec.logit_cap.map(|cap| SoftCap(narrow(cap))),
            eps: narrow(spec.norm_eps),
            rotations,
        })
    }

    /// Writes the embedding of `token` at `position` to `to`, `(hidden,)`.
    pub(super) fn embed(&self, token: u32, position: usize, to: &mut [f32]) {
        self.embedding.as_ref().unwrap_or(&self.head).read_column(token as usize, to);
        if self.embedding_multiplier != 1.0 {
            to.iter_mut().for_each(|x| *x *= self.embedding_multiplier);
        }
        if self.positions.is_none() && !self.is_centred {
            return;
        }
        let basis = self.rotations.as_ref().map(|rotations| &rotations.hidden);
        if let Some(basis) = basis {
            basis.undo(to);
        }
        if let Some(positions) = &self.positions {
            let learned = &positions[position * to.len()..];
            to.iter_mut().zip(learned).for_each(|(x, learned)| *x += learned);
        }
        if self.is_centred {
            centre(to, 1);
        }
        if let Some(basis) = basis {
            basis.apply(to);
        }
    }

    /// Width of the residual stream.
    pub(super) fn hidden(&self) -> usize {
        self.norm.len()
    }

    /// A norm before attention or the MLP.
    pub(super) fn norm_before<'a>(&self, norm: &'a InputNorm) -> Norm<'a> {
        Norm { width: self.hidden(), weight: norm.weight.as_deref(), eps: self.eps, basis: None }
    }

    /// The norm before the vocabulary.
    pub(super) fn final_norm(&self) -> Norm<'_> {
        let basis = self.rotations.as_ref().map(|rotations| &rotations.hidden);
        Norm { width: self.hidden(), weight: Some(&self.norm), eps: self.eps, basis }
    }

    /// The projection on the vocabulary.
    pub(super) fn vocabulary(&self) -> Vocabulary<'_, M> {
        Vocabulary { weights: &self.head, bias: self.logit_bias.as_deref(), cap: self.logit_cap }
    }

    /// How the inputs of the down projection are mixed.
    pub(super) fn inner_mix(&self) -> Option<&Hadamard> {
        self.rotations.as_ref().map(|rotations| &rotations.inner)
    }

    /// Adds `branch`, what attention or the MLP wrote in the basis of the checkpoint, to the residual stream, under a norm of weight `norm`.
    ///
    /// # Shapes
    /// - `branch` and `residual`: `(rows, hidden)`; `branch` is left normed
    pub(super) fn add_normed(&self, norm: &[f32], branch: &mut [f32], residual: &mut [f32]) {
        for (branch, residual) in branch.chunks_exact_mut(norm.len()).zip(residual.chunks_exact_mut(norm.len())) {
            norm_in_place(branch, norm, self.eps);
            if let Some(rotations) = &self.rotations {
                rotations.hidden.apply(branch);
            }
            residual.iter_mut().zip(branch).for_each(|(x, added)| *x += *added);
        }
    }
}

/// Norms `x` by its root mean square, in place.
#[expect(clippy::cast_precision_loss, reason = "widths are small")]
pub(super) fn norm_in_place(x: &mut [f32], weight: &[f32], eps: f32) {
    let mut squares = [0.0_f32; 16];
    for part in x.chunks(squares.len()) {
        squares.iter_mut().zip(part).for_each(|(sum, x)| *sum += x * x);
    }
    let by = (squares.iter().sum::<f32>() / x.len() as f32 + eps).sqrt().recip();
    x.iter_mut().zip(weight).for_each(|(x, weight)| *x *= by * weight);
}

/// What a norm before a map is: its weight, and what it adds.
struct StoredNorm {
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
}

/// A map as it is stored.
struct StoredMap {
    weight: Vec<f32>,
    /// `(out,)`; zero where there is none.
    bias: Vec<f32>,
    has_bias: bool,
}

/// Reads the weights of one layer.
struct LayerReader<'r, 'c> {
    checkpoint: &'r Checkpoint<'c>,
    spec: &'r DecoderSpec,
    rotations: Option<&'r Rotations>,
    index: usize,
}

impl LayerReader<'_, '_> {
    fn read<M: Matrix>(&self) -> Result<Layer<M>, Error> {
        let (before, after) = (self.spec.norm_places.before(), self.spec.norm_places.after());
        let attention_norm = self.norm_before(Part::AttentionNorm, before)?;
        let mlp_norm = self.norm_before(Part::MlpNorm, before)?;
        let attention_after_norm = self.norm_after(Part::AttentionAfterNorm, after)?;
        let mlp_after_norm = self.norm_after(Part::MlpAfterNorm, after)?;
        let head_norms = self.head_norms()?;
        let projections = self.projections(attention_norm.as_ref())?;
        let output = self.writer(Part::Output, after, |rotations, weight| rotations.read_values(weight))?;
        let inner = self.inner(mlp_norm.as_ref())?;
        let down = self.writer(Part::Down, after, |rotations, weight| rotations.read_inner(weight))?;
        let [attention_norm, mlp_norm] = [attention_norm, mlp_norm].map(|norm| norm.map(|norm| self.kept(norm)));
        let layer = self.spec.layers[self.index];
        Ok(Layer {
            attention_norm,
            projections,
            head_norms,
            span: AttentionSpan { window: layer.window, cap: self.spec.attention_cap.map(|cap| SoftCap(narrow(cap))) },
            // the table after those of the rotary embeddings turns nothing
            table: layer.rope.unwrap_or(self.spec.ropes.len()),
            output,
            attention_after_norm,
            mlp_norm,
            inner,
            down,
            mlp_after_norm,
        })
    }

    /// Q, K and V as one map, their outputs one after the other.
    fn projections<M: Matrix>(&self, norm: Option<&StoredNorm>) -> Result<Linear<M>, Error> {
        let hidden = self.spec.shape.hidden;
        let (mut values, mut biases, mut has_bias) = (Vec::new(), Vec::new(), false);
        for part in [Part::Query, Part::Key, Part::Value] {
            let mut map = self.reader(part, norm)?;
            match part {
                Part::Value => {
                    if let Some(rotations) = self.rotations {
                        rotations.give_values(&mut map.weight, hidden);
                        rotations.give_values(&mut map.bias, 1);
                    }
                }
                _ => self.prepare(&mut map, part),
            }
            values.extend(map.weight);
            biases.extend(map.bias);
            has_bias |= map.has_bias;
        }
        let weights = M::pack(&values, values.len() / hidden, hidden);
        Ok(Linear { weights, bias: has_bias.then_some(biases) })
    }

    /// The first map of the MLP, with its gate if it has one.
    fn inner<M: Matrix>(&self, norm: Option<&StoredNorm>) -> Result<Linear<M>, Error> {
        let (hidden, intermediate) = (self.spec.shape.hidden, self.spec.shape.intermediate);
        if self.spec.shape.mlp_maps < 3 {
            let StoredMap { weight, bias, has_bias } = self.reader(Part::Up, norm)?;
            return Ok(Linear { weights: M::pack(&weight, intermediate, hidden), bias: has_bias.then_some(bias) });
        }
        let (gate, up) = (self.reader(Part::Gate, norm)?, self.reader(Part::Up, norm)?);
        let weights = M::pack_gated(&gate.weight, &up.weight, intermediate, hidden);
        let has_bias = gate.has_bias || up.has_bias;
        Ok(Linear { weights, bias: has_bias.then(|| headwater_kernels::gated_bias(&gate.bias, &up.bias)) })
    }

    /// A part that reads the residual stream, after `norm` if there is one.
    fn reader(&self, part: Part, norm: Option<&StoredNorm>) -> Result<StoredMap, Error> {
        let mut map = self.stored(part)?;
        if let Some(added) = norm.and_then(|norm| norm.bias.as_ref()) {
            map.bias.iter_mut().zip(through(&map.weight, added)).for_each(|(bias, added)| *bias += added);
            map.has_bias = true;
        }
        if let Some(rotations) = self.rotations {
            rotations.read_stream(&mut map.weight, norm.map(|norm| norm.weight.as_slice()));
        }
        Ok(map)
    }

    /// A part that writes to the residual stream, or `is_normed` before it does; `read` lets it read its inputs in their basis.
    fn writer<M: Matrix>(
        &self,
        part: Part,
        is_normed: bool,
        read: impl Fn(&Rotations, &mut [f32]),
    ) -> Result<Linear<M>, Error> {
        let StoredMap { mut weight, mut bias, has_bias } = self.stored(part)?;
        let (hidden, inputs) = (self.spec.shape.hidden, weight.len() / self.spec.shape.hidden);
        if self.spec.norm == NormKind::Layer {
            centre(&mut weight, inputs);
            centre(&mut bias, 1);
        }
        scale(&mut weight, self.spec.residual_multiplier);
        scale(&mut bias, self.spec.residual_multiplier);
        if let Some(rotations) = self.rotations {
            read(rotations, &mut weight);
            if !is_normed {
                rotations.write_stream(&mut weight);
                rotations.write_stream(&mut bias);
            }
        }
        Ok(Linear { weights: M::pack(&weight, hidden, inputs), bias: has_bias.then_some(bias) })
    }

    /// The norms of queries and keys; that of queries has the scale of attention.
    fn head_norms(&self) -> Result<QueryKeyNorms, Error> {
        if self.spec.head_norms == HeadNorms::None {
            return Ok(QueryKeyNorms::None);
        }
        let mut norms = [self.weight(Part::QueryNorm)?, self.weight(Part::KeyNorm)?];
        norms.iter_mut().for_each(|norm| self.pair(norm, 1));
        scale(&mut norms[0], self.query_scale());
        Ok(match self.spec.head_norms {
            HeadNorms::AllHeads => QueryKeyNorms::AllHeads(norms),
            _ => QueryKeyNorms::EachHead(norms),
        })
    }

    /// Orders and scales Q or K for the kernel; where they are normed, scales are the norm's.
    fn prepare(&self, map: &mut StoredMap, part: Part) {
        let hidden = self.spec.shape.hidden;
        for (values, inputs) in [(&mut map.weight, hidden), (&mut map.bias, 1)] {
            if self.spec.head_norms != HeadNorms::None {
                self.order(values, inputs);
                continue;
            }
            self.pair(values, inputs);
            if part == Part::Query {
                scale(values, self.query_scale());
            }
        }
    }

    /// What queries are multiplied with beside the 1/√d of the kernel.
    fn query_scale(&self) -> f64 {
        let kernel = (self.spec.shape.head_dim as f64).sqrt().recip();
        // a ratio that differs from one by the rounding of a root is none
        Some(self.spec.attention_scale / kernel).filter(|ratio| (ratio - 1.0).abs() > 1e-12).unwrap_or(1.0)
    }

    /// As [`Self::order`]; those numbers that are rotated get the magnitude of the rotary embedding.
    fn pair(&self, values: &mut [f32], inputs: usize) {
        let width = self.spec.shape.head_dim;
        if let Some(rope) = self.rope().filter(|rope| rope.magnitude != 1.0) {
            for head in values.chunks_exact_mut(width * inputs) {
                scale(&mut head[..rope.rotated * inputs], rope.magnitude);
            }
        }
        self.order(values, inputs);
    }

    /// Puts the outputs of every head, `(heads · head_dim, inputs)`, into the order of the pairs that the kernel rotates: number `i` with number
    /// `i + head_dim / 2`.
    fn order(&self, values: &mut [f32], inputs: usize) {
        let width = self.spec.shape.head_dim;
        let rotated = self.rope().map_or(0, |rope| rope.rotated);
        if rotated == 0 || rotated == width {
            return;
        }
        let (pairs, half) = (rotated / 2, width / 2);
        let rest = rotated + half - pairs;
        let order: Vec<usize> = (0..pairs).chain(rotated..rest).chain(pairs..rotated).chain(rest..width).collect();
        for head in values.chunks_exact_mut(width * inputs) {
            let stored = head.to_vec();
            for (to, from) in head.chunks_exact_mut(inputs).zip(&order) {
                to.copy_from_slice(&stored[from * inputs..][..inputs]);
            }
        }
    }

    /// The rotary embedding of the layer, if it has one.
    fn rope(&self) -> Option<&Rope> {
        self.spec.layers[self.index].rope.map(|rope| &self.spec.ropes[rope])
    }

    /// What is left of a norm before a map, which takes its weight where bases are rotated.
    fn kept(&self, norm: StoredNorm) -> InputNorm {
        InputNorm { weight: self.rotations.is_none().then_some(norm.weight) }
    }

    fn norm_before(&self, part: Part, is_there: bool) -> Result<Option<StoredNorm>, Error> {
        if !is_there {
            return Ok(None);
        }
        let bias = self.checkpoint.norm_bias(Role::Bias(self.index, part))?;
        Ok(Some(StoredNorm { weight: self.weight(part)?, bias: bias.map(|bias| floats(&bias)).transpose()? }))
    }

    fn norm_after(&self, part: Part, is_there: bool) -> Result<Option<Vec<f32>>, Error> {
        is_there.then(|| self.weight(part)).transpose()
    }

    fn stored(&self, part: Part) -> Result<StoredMap, Error> {
        let weight = self.weight(part)?;
        let bias = self.checkpoint.bias(self.index, part)?;
        let has_bias = bias.is_some();
        let none = || vec![0.0; self.checkpoint.outputs(part)];
        let bias = bias.map(|bias| floats(&bias)).transpose()?.unwrap_or_else(none);
        Ok(StoredMap { weight, bias, has_bias })
    }

    fn weight(&self, part: Part) -> Result<Vec<f32>, Error> {
        floats(&self.checkpoint.weight(self.index, part)?)
    }
}

fn floats(tensor: &Tensor) -> Result<Vec<f32>, Error> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

#[expect(clippy::cast_possible_truncation, reason = "computed in float64 and used in float32")]
fn narrow(x: f64) -> f32 {
    x as f32
}

/// Multiplies all of `values` with `by`.
fn scale(values: &mut [f32], by: f64) {
    if by != 1.0 {
        values.iter_mut().for_each(|x| *x = narrow(f64::from(*x) * by));
    }
}

/// What `weight`, `(out, in)`, makes of `x`, `(in,)`, summed in float64.
fn through(weight: &[f32], x: &[f32]) -> Vec<f32> {
    let dot = |row: &[f32]| row.iter().zip(x).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    weight.chunks_exact(x.len()).map(|row| narrow(dot(row))).collect()
}

/// Takes the mean of each column off `values`, `(rows, columns)`.
fn centre(values: &mut [f32], columns: usize) {
    let rows = (values.len() / columns.max(1)) as f64;
    let mut means = vec![0.0_f64; columns];
    for row in values.chunks_exact(columns) {
        means.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    for row in values.chunks_exact_mut(columns) {
        row.iter_mut().zip(&means).for_each(|(x, sum)| *x = narrow(f64::from(*x) - sum / rows));
    }
}
