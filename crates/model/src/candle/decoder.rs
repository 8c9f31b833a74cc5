//! The decoder: embedding, layers, final norm, vocabulary projection.

use std::ops::Range;

use candle_core::{Device, Result, Tensor};
use candle_nn::kv_cache::KvCache;

use super::attention::{Attention, Positions};
use super::linear::{Linear, Norm, Placement, capped};
use crate::tensors::{Checkpoint, Part, Role};
use crate::{Activation, DecoderSpec, Error, HeadMask, HeadNorms, NormKind};

/// An MLP, with a gate (Shazeer 2020) or without.
#[derive(Debug)]
struct Mlp {
    gate: Option<Linear>,
    up: Linear,
    down: Linear,
    activation: Activation,
}

impl Mlp {
    /// `(w·t, hidden)` → `(w·t, hidden)`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let up = self.up.forward(x)?; // (w·t, intermediate)
        let inner = match &self.gate {
            Some(gate) => (activate(self.activation, &gate.forward(x)?)? * up)?, // (w·t, intermediate)
            None => activate(self.activation, &up)?,                             // (w·t, intermediate)
        };
        self.down.forward(&inner) // (w·t, hidden)
    }
}

fn activate(activation: Activation, x: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::Silu => x.silu(),
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
    }
}

/// One layer: what attention and MLP add to the residual stream, normed before or after.
#[derive(Debug)]
struct Layer {
    attention_norm: Option<Norm>,
    attention: Attention,
    attention_after_norm: Option<Norm>,
    mlp_norm: Option<Norm>,
    mlp: Mlp,
    mlp_after_norm: Option<Norm>,
}

impl Layer {
    /// `(w·t, hidden)` → `(w·t, hidden)`; `attend` is this layer's attention, of the same shapes.
    fn forward(
        &self,
        spec: &DecoderSpec,
        x: &Tensor,
        attend: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let attended = attend(&normed(x, self.attention_norm.as_ref())?)?; // (w·t, hidden)
        let added = normed(&attended, self.attention_after_norm.as_ref())?; // (w·t, hidden)
        let after = (x + (added * spec.residual_multiplier)?)?; // (w·t, hidden)
        let read = if spec.is_parallel { x } else { &after };
        let inner = self.mlp.forward(&normed(read, self.mlp_norm.as_ref())?)?; // (w·t, hidden)
        let added = normed(&inner, self.mlp_after_norm.as_ref())?; // (w·t, hidden)
        after + (added * spec.residual_multiplier)?
    }
}

/// A decoder's weights.
#[derive(Debug)]
pub(super) struct Decoder {
    spec: DecoderSpec,
    /// `(vocab, hidden)`, float32.
    embedding: Tensor,
    /// Learned positions, `(context, hidden)`, float32.
    positions: Option<Tensor>,
    layers: Vec<Layer>,
    norm: Norm,
    head: Linear,
}

impl Decoder {
    /// Reads the weights of `checkpoint` and puts them in place.
    pub(super) fn load(
        checkpoint: &Checkpoint<'_>,
        spec: &DecoderSpec,
        placement: &Placement,
    ) -> std::result::Result<Self, Error> {
        let embedding = checkpoint.tensor(Role::Embedding)?;
        let head = checkpoint.head(&embedding)?.unwrap_or_else(|| embedding.clone());
        let positions = checkpoint.positions()?;
        let layers = (0..spec.shape.layers).map(|index| LayerReader { checkpoint, spec, placement, index }.read());
        let layers = layers.collect::<std::result::Result<Vec<_>, _>>()?;
        let norm = checkpoint.tensor(Role::FinalNorm)?;
        let norm_bias = checkpoint.norm_bias(Role::FinalNormBias)?;
        // looked up, never multiplied, but rounded as the projection that may share it
        let looked_up = |table: &Tensor| -> Result<Tensor> {
            placement.rounded(table)?.to_dtype(candle_core::DType::F32)?.to_device(&placement.device)
        };
        Ok(Self {
            spec: spec.clone(),
            embedding: looked_up(&embedding)?,
            positions: positions.map(|positions| looked_up(&positions)).transpose()?,
            layers,
            norm: Norm::new(spec.norm, &norm, norm_bias.as_ref(), spec.norm_eps, placement)?,
            head: Linear::new(&head, None, placement)?,
        })
    }

    /// Prepares a batch of windows. Shorter ones are filled up at their end, where no earlier position sees it.
    pub(super) fn trunk(&self, windows: &[&[u32]], device: &Device) -> Result<Trunk<'_>> {
        let tokens = windows.iter().map(|window| window.len()).max().unwrap_or(0);
        let filled =
            |window: &&[u32]| window.iter().copied().chain(std::iter::repeat(0)).take(tokens).collect::<Vec<_>>();
        let ids: Vec<u32> = windows.iter().flat_map(filled).collect();
        let positions = Positions::new(&self.spec, &(0..tokens), device)?;
        let ids = Tensor::new(ids, device)?;
        Ok(Trunk { decoder: self, tokens: ids, windows: windows.len(), range: 0..tokens, positions })
    }

    /// Prepares the tokens that follow the first `before` of one window.
    fn next(&self, tokens: &[u32], before: usize, device: &Device) -> Result<Trunk<'_>> {
        let range = before..before + tokens.len();
        let positions = Positions::new(&self.spec, &range, device)?;
        Ok(Trunk { decoder: self, tokens: Tensor::new(tokens, device)?, windows: 1, range, positions })
    }

    /// Runs `tokens`, which follow those whose keys and values are in `caches`, one a layer: the hidden state of the last, `(1, hidden)`.
    pub(super) fn extend(&self, tokens: &[u32], caches: &mut [KvCache], device: &Device) -> Result<Tensor> {
        let before = caches.first().map_or(0, KvCache::current_seq_len);
        let trunk = self.next(tokens, before, device)?;
        let mut x = trunk.embed()?; // (t, hidden)
        for (layer, cache) in self.layers.iter().zip(caches) {
            x = layer.forward(&self.spec, &x, |normed| layer.attention.extend(normed, &trunk.positions, cache))?;
        }
        x.narrow(0, tokens.len() - 1, 1)
    }

    /// Next-token logits, `(q, hidden)` → `(q, vocab)`.
    pub(super) fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let logits = (self.head.forward(&self.norm.forward(hidden)?)? * self.spec.logit_multiplier)?;
        capped(logits, self.spec.logit_cap)
    }
}

/// A decoder about to run over one batch.
pub(super) struct Trunk<'a> {
    decoder: &'a Decoder,
    /// `(w·t,)`.
    tokens: Tensor,
    windows: usize,
    /// The positions of the longest window.
    range: Range<usize>,
    positions: Positions,
}

impl Trunk<'_> {
    /// The embedded tokens, `(w·t, hidden)`.
    pub(super) fn embed(&self) -> Result<Tensor> {
        let Decoder { spec, embedding, positions, .. } = self.decoder;
        let x = (embedding.index_select(&self.tokens, 0)? * spec.embedding_multiplier)?; // (w·t, hidden)
        let Some(positions) = positions else { return Ok(x) };
        let positions = positions.narrow(0, self.range.start, self.range.len())?; // (t, hidden)
        let by_window = x.reshape((self.windows, self.range.len(), ()))?.broadcast_add(&positions)?; // (w, t, hidden)
        by_window.flatten(0, 1)
    }

    /// Runs the layers `range` with the heads of `mask` replaced, `(w·t, hidden)` → `(w·t, hidden)`.
    pub(super) fn layers(&self, range: Range<usize>, hidden: &Tensor, mask: &HeadMask) -> Result<Tensor> {
        let mut x = hidden.clone(); // (w·t, hidden)
        for index in range {
            let layer = &self.decoder.layers[index];
            let masked: Vec<usize> = mask.set.in_layer(index).collect();
            let attend = |normed: &Tensor| layer.attention.forward(normed, &self.positions, (&masked, mask.kind));
            x = layer.forward(&self.decoder.spec, &x, attend)?; // (w·t, hidden)
        }
        Ok(x)
    }

    /// Attention logits of `layer` for the query positions `rows` of the only window: `(t, hidden)` → `(h, q, t)`.
    pub(super) fn attention_logits(&self, layer: usize, hidden: &Tensor, rows: &Range<usize>) -> Result<Tensor> {
        let layer = &self.decoder.layers[layer];
        layer.attention.logits(&normed(hidden, layer.attention_norm.as_ref())?, &self.positions, rows)
    }
}

fn normed(x: &Tensor, norm: Option<&Norm>) -> Result<Tensor> {
    norm.map_or_else(|| Ok(x.clone()), |norm| norm.forward(x))
}

/// Reads the weights of one layer.
struct LayerReader<'r, 'c> {
    checkpoint: &'r Checkpoint<'c>,
    spec: &'r DecoderSpec,
    placement: &'r Placement,
    index: usize,
}

impl LayerReader<'_, '_> {
    fn read(&self) -> std::result::Result<Layer, Error> {
        let (spec, shape) = (self.spec, &self.spec.shape);
        let (before, after) = (spec.norm_places.before(), spec.norm_places.after());
        let has_head_norms = spec.head_norms != HeadNorms::None;
        Ok(Layer {
            attention_norm: self.norm(Part::AttentionNorm, before)?,
            attention: Attention {
                query: self.linear(Part::Query)?,
                key: self.linear(Part::Key)?,
                value: self.linear(Part::Value)?,
                output: self.linear(Part::Output)?,
                norms_over: spec.head_norms,
                query_norm: self.head_norm(Part::QueryNorm, has_head_norms)?,
                key_norm: self.head_norm(Part::KeyNorm, has_head_norms)?,
                heads: shape.heads,
                kv_heads: shape.kv_heads,
                head_dim: shape.head_dim,
                scale: spec.attention_scale,
                cap: spec.attention_cap,
                layer: spec.layers[self.index],
                placement: self.placement.clone(),
            },
            attention_after_norm: self.norm(Part::AttentionAfterNorm, after)?,
            mlp_norm: self.norm(Part::MlpNorm, before)?,
            mlp: Mlp {
                gate: if shape.mlp_maps == 3 { Some(self.linear(Part::Gate)?) } else { None },
                up: self.linear(Part::Up)?,
                down: self.linear(Part::Down)?,
                activation: spec.activation,
            },
            mlp_after_norm: self.norm(Part::MlpAfterNorm, after)?,
        })
    }

    fn linear(&self, part: Part) -> std::result::Result<Linear, Error> {
        let weight = self.checkpoint.weight(self.index, part)?;
        let bias = self.checkpoint.bias(self.index, part)?;
        Ok(Linear::new(&weight, bias.as_ref(), self.placement)?)
    }

    /// A norm of the residual stream, if it is there.
    fn norm(&self, part: Part, is_there: bool) -> std::result::Result<Option<Norm>, Error> {
        if !is_there {
            return Ok(None);
        }
        let weight = self.checkpoint.weight(self.index, part)?;
        let bias = self.checkpoint.norm_bias(Role::Bias(self.index, part))?;
        Ok(Some(Norm::new(self.spec.norm, &weight, bias.as_ref(), self.spec.norm_eps, self.placement)?))
    }

    /// A norm of queries or keys, if it is there.
    fn head_norm(&self, part: Part, is_there: bool) -> std::result::Result<Option<Norm>, Error> {
        if !is_there {
            return Ok(None);
        }
        let weight = self.checkpoint.weight(self.index, part)?;
        Ok(Some(Norm::new(NormKind::Rms, &weight, None, self.spec.norm_eps, self.placement)?))
    }
}
