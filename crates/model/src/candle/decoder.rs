//! The decoder: embedding, layers, final norm, vocabulary projection.

use std::ops::Range;

use candle_core::{Device, Result, Tensor};

use super::attention::{Attention, Positions};
use super::linear::{Linear, Placement, RmsNorm};
use crate::checkpoint::{Checkpoint, Part, Role};
use crate::{Error, HeadMask, ModelShape};

/// SwiGLU (Shazeer 2020).
#[derive(Debug)]
struct Mlp {
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Mlp {
    /// `(w·t, hidden)` → `(w·t, hidden)`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let gate = self.gate.forward(x)?.silu()?; // (w·t, intermediate)
        let inner = (gate * self.up.forward(x)?)?; // (w·t, intermediate)
        self.down.forward(&inner) // (w·t, hidden)
    }
}

/// One layer: attention and MLP, each normed before and added to the residual stream.
#[derive(Debug)]
struct Layer {
    attention_norm: RmsNorm,
    attention: Attention,
    mlp_norm: RmsNorm,
    mlp: Mlp,
}

/// A decoder's weights.
#[derive(Debug)]
pub(super) struct Decoder {
    /// `(vocab, hidden)`, float32.
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: Linear,
    /// Radians per position, `(d / 2,)`.
    frequencies: Vec<f64>,
}

impl Decoder {
    /// Reads the weights of `checkpoint` and puts them in place.
    pub(super) fn load(
        checkpoint: &mut Checkpoint<'_>,
        shape: &ModelShape,
        placement: &Placement,
    ) -> std::result::Result<Self, Error> {
        let embedding = checkpoint.tensor(Role::Embedding)?;
        let head = checkpoint.head()?.unwrap_or_else(|| embedding.clone());
        let layers = (0..shape.layers).map(|index| LayerReader { checkpoint, shape, placement, index }.read());
        let layers = layers.collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(Self {
            // looked up, never multiplied, but rounded as the projection that may share it
            embedding: placement
                .rounded(&embedding)?
                .to_dtype(candle_core::DType::F32)?
                .to_device(&placement.device)?,
            layers,
            norm: RmsNorm::new(&checkpoint.tensor(Role::FinalNorm)?, shape.norm_eps, placement)?,
            head: Linear::new(&head, None, placement)?,
            frequencies: shape.rope_frequencies(),
        })
    }

    /// Prepares a batch of windows. Shorter ones are filled up at their end, where no earlier position sees it.
    pub(super) fn trunk(&self, windows: &[&[u32]], device: &Device) -> Result<Trunk<'_>> {
        let tokens = windows.iter().map(|window| window.len()).max().unwrap_or(0);
        let filled =
            |window: &&[u32]| window.iter().copied().chain(std::iter::repeat(0)).take(tokens).collect::<Vec<_>>();
        let ids: Vec<u32> = windows.iter().flat_map(filled).collect();
        let positions = Positions::new(&self.frequencies, tokens, device)?;
        Ok(Trunk { decoder: self, tokens: Tensor::new(ids, device)?, positions })
    }

    /// Next-token logits, `(q, hidden)` → `(q, vocab)`.
    pub(super) fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        self.head.forward(&self.norm.forward(hidden)?)
    }
}

/// A decoder about to run over one batch.
pub(super) struct Trunk<'a> {
    decoder: &'a Decoder,
    /// `(w·t,)`.
    tokens: Tensor,
    positions: Positions,
}

impl Trunk<'_> {
    /// The embedded tokens, `(w·t, hidden)`.
    pub(super) fn embed(&self) -> Result<Tensor> {
        self.decoder.embedding.index_select(&self.tokens, 0)
    }

    /// Runs the layers `range` with the heads of `mask` replaced, `(w·t, hidden)` → `(w·t, hidden)`.
    pub(super) fn layers(&self, range: Range<usize>, hidden: &Tensor, mask: &HeadMask) -> Result<Tensor> {
        let mut x = hidden.clone(); // (w·t, hidden)
        for index in range {
            let layer = &self.decoder.layers[index];
            let masked: Vec<usize> = mask.set.in_layer(index).collect();
            let normed = layer.attention_norm.forward(&x)?; // (w·t, hidden)
            x = (x + layer.attention.forward(&normed, &self.positions, &masked, mask.kind)?)?; // (w·t, hidden)
            x = (&x + layer.mlp.forward(&layer.mlp_norm.forward(&x)?)?)?; // (w·t, hidden)
        }
        Ok(x)
    }

    /// Attention logits of `layer` for the query positions `rows` of the only window: `(t, hidden)` → `(h, q, t)`.
    pub(super) fn attention_logits(&self, layer: usize, hidden: &Tensor, rows: &Range<usize>) -> Result<Tensor> {
        let layer = &self.decoder.layers[layer];
        layer.attention.logits(&layer.attention_norm.forward(hidden)?, &self.positions, rows)
    }
}

/// Reads the weights of one layer.
struct LayerReader<'r, 'c> {
    checkpoint: &'r mut Checkpoint<'c>,
    shape: &'r ModelShape,
    placement: &'r Placement,
    index: usize,
}

impl LayerReader<'_, '_> {
    fn read(mut self) -> std::result::Result<Layer, Error> {
        Ok(Layer {
            attention_norm: self.norm(Part::AttentionNorm)?,
            attention: Attention {
                query: self.linear(Part::Query)?,
                key: self.linear(Part::Key)?,
                value: self.linear(Part::Value)?,
                output: self.linear(Part::Output)?,
                query_norm: self.head_norm(Part::QueryNorm)?,
                key_norm: self.head_norm(Part::KeyNorm)?,
                heads: self.shape.heads,
                kv_heads: self.shape.kv_heads,
                head_dim: self.shape.head_dim,
                placement: self.placement.clone(),
            },
            mlp_norm: self.norm(Part::MlpNorm)?,
            mlp: Mlp { gate: self.linear(Part::Gate)?, up: self.linear(Part::Up)?, down: self.linear(Part::Down)? },
        })
    }

    fn linear(&mut self, part: Part) -> std::result::Result<Linear, Error> {
        let weight = self.checkpoint.weight(self.index, part)?;
        let bias = self.checkpoint.bias(self.index, part)?;
        Ok(Linear::new(&weight, bias.as_ref(), self.placement)?)
    }

    fn norm(&mut self, part: Part) -> std::result::Result<RmsNorm, Error> {
        let weight = self.checkpoint.weight(self.index, part)?;
        Ok(RmsNorm::new(&weight, self.shape.norm_eps, self.placement)?)
    }

    fn head_norm(&mut self, part: Part) -> std::result::Result<Option<RmsNorm>, Error> {
        let weight = self.checkpoint.head_norm(self.index, part)?;
        Ok(weight.map(|weight| RmsNorm::new(&weight, self.shape.norm_eps, self.placement)).transpose()?)
    }
}
