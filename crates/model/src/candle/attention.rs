//! Causal grouped-query attention with masked heads, in blocks of query rows.

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};

use super::linear::{Linear, Placement, RmsNorm};
use crate::MaskKind;

/// Query rows that are attended at once: bounds the attention logits to `heads × 128 × window` floats.
const BLOCK_ROWS: usize = 128;

/// What attention needs to know of one window's positions; the same in every layer.
#[derive(Debug)]
pub(super) struct Positions {
    /// Rotary angles, `(t, d / 2)`.
    cos: Tensor,
    /// `(t, d / 2)`.
    sin: Tensor,
    /// The blocks of query rows, each with 0 where a row sees a position and −∞ where it does not, `(q, e)`.
    blocks: Vec<(Range<usize>, Tensor)>,
}

impl Positions {
    /// Prepares positions `0..tokens`.
    #[expect(clippy::cast_possible_truncation, reason = "angles are computed in float64 and used in float32")]
    pub(super) fn new(frequencies: &[f64], tokens: usize, device: &Device) -> Result<Self> {
        let table = |wave: fn(f64) -> f64| {
            let angles = (0..tokens).flat_map(|t| frequencies.iter().map(move |f| wave(t as f64 * f) as f32));
            Tensor::from_vec(angles.collect::<Vec<f32>>(), (tokens, frequencies.len()), device)
        };
        let blocks = (0..tokens).step_by(BLOCK_ROWS).map(|start| {
            let rows = start..tokens.min(start + BLOCK_ROWS);
            causal_bias(&rows, device).map(|bias| (rows, bias))
        });
        Ok(Self { cos: table(f64::cos)?, sin: table(f64::sin)?, blocks: blocks.collect::<Result<_>>()? })
    }

    /// `(heads, t, d)` → `(heads, t, d)`.
    fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::rotary_emb::rope(&x.unsqueeze(0)?.contiguous()?, &self.cos, &self.sin)?.squeeze(0)
    }
}

/// The projections of one layer's attention.
#[derive(Debug)]
pub(super) struct Attention {
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) output: Linear,
    /// Qwen3's norms of every head's Q and K.
    pub(super) query_norm: Option<RmsNorm>,
    pub(super) key_norm: Option<RmsNorm>,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) placement: Placement,
}

impl Attention {
    /// `(t, hidden)` → `(t, hidden)`. `masked` are the heads of this layer that `mask` replaces.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        positions: &Positions,
        masked: &[usize],
        kind: MaskKind,
    ) -> Result<Tensor> {
        let q = self.placement.rounded(&self.queries(x, positions)?)?; // (h, t, d)
        let k = self.placement.rounded(&self.keys(x, positions)?)?.transpose(1, 2)?; // (k, d, t)
        let values = self.split(&self.value.forward(x)?, self.kv_heads)?; // (k, t, d)
        let v = self.placement.rounded(&values)?; // (k, t, d)
        let mut means = RunningMean::new(&values, masked.is_empty())?;
        let mut blocks = Vec::with_capacity(positions.blocks.len());
        for (rows, bias) in &positions.blocks {
            let logits = self.products(&q, &k.narrow(2, 0, rows.end)?, rows)?; // (k, g·q, e)
            let by_head = logits.reshape((self.heads, rows.len(), rows.end))?.broadcast_add(bias)?; // (h, q, e)
            let logits = by_head.reshape(logits.dims())?; // (k, g·q, e)
            let weights = self.placement.rounded(&candle_nn::ops::softmax_last_dim(&logits)?)?; // (k, g·q, e)
            let visible = v.narrow(1, 0, rows.end)?; // (k, e, d)
            let attended = self.placement.matmul(&weights, &visible)?; // (k, g·q, d)
            let heads = attended.reshape((self.heads, rows.len(), self.head_dim))?; // (h, q, d)
            let heads = if masked.is_empty() {
                heads
            } else {
                let replaced = match kind {
                    MaskKind::CausalUniform => means.next(rows)?, // (k, q, d)
                    MaskKind::Zero => values.narrow(1, rows.start, rows.len())?.zeros_like()?, // (k, q, d)
                };
                self.replace(&heads, &replaced, masked)? // (h, q, d)
            };
            blocks.push(heads.transpose(0, 1)?.reshape((rows.len(), self.heads * self.head_dim))?); // (q, h·d)
        }
        self.output.forward(&Tensor::cat(&blocks, 0)?) // (t, hidden)
    }

    /// Attention logits of the query positions `rows` over all positions, causal or not: `(h, q, t)`, float32.
    pub(super) fn logits(&self, x: &Tensor, positions: &Positions, rows: &Range<usize>) -> Result<Tensor> {
        let q = self.placement.rounded(&self.queries(x, positions)?)?; // (h, t, d)
        let k = self.placement.rounded(&self.keys(x, positions)?)?.transpose(1, 2)?; // (k, d, t)
        let logits = self.products(&q, &k, rows)?; // (k, g·q, t)
        logits.reshape((self.heads, rows.len(), x.dim(0)?))
    }

    /// `(h, t, d)` rows times `(k, d, e)` → `(k, g·q, e)`; the heads of one group share their K.
    fn products(&self, q: &Tensor, k: &Tensor, rows: &Range<usize>) -> Result<Tensor> {
        let group = self.heads / self.kv_heads;
        let q = q.narrow(1, rows.start, rows.len())?.contiguous()?; // (h, q, d)
        let q = q.reshape((self.kv_heads, group * rows.len(), self.head_dim))?; // (k, g·q, d)
        self.placement.matmul(&q, k)
    }

    /// Queries, normed, rotated and scaled by 1/√d: `(t, hidden)` → `(h, t, d)`.
    fn queries(&self, x: &Tensor, positions: &Positions) -> Result<Tensor> {
        let q = self.split(&self.query.forward(x)?, self.heads)?; // (h, t, d)
        positions.rotate(&normed(&q, self.query_norm.as_ref())?)? * (self.head_dim as f64).sqrt().recip()
    }

    /// Keys, normed and rotated: `(t, hidden)` → `(k, t, d)`.
    fn keys(&self, x: &Tensor, positions: &Positions) -> Result<Tensor> {
        let k = self.split(&self.key.forward(x)?, self.kv_heads)?; // (k, t, d)
        positions.rotate(&normed(&k, self.key_norm.as_ref())?)
    }

    /// `(t, heads · d)` → `(heads, t, d)`.
    fn split(&self, x: &Tensor, heads: usize) -> Result<Tensor> {
        x.reshape((x.dim(0)?, heads, self.head_dim))?.transpose(0, 1)?.contiguous()
    }

    /// Puts the row of `replaced` that belongs to a masked head's K/V in the head's place.
    ///
    /// # Shapes
    /// - `heads`: `(h, q, d)`, returned in the same shape
    /// - `replaced`: `(k, q, d)`
    fn replace(&self, heads: &Tensor, replaced: &Tensor, masked: &[usize]) -> Result<Tensor> {
        let group = self.heads / self.kv_heads;
        let output = |head: usize| {
            if masked.contains(&head) { replaced.narrow(0, head / group, 1) } else { heads.narrow(0, head, 1) }
        };
        Tensor::cat(&(0..self.heads).map(output).collect::<Result<Vec<_>>>()?, 0)
    }
}

fn normed(x: &Tensor, norm: Option<&RmsNorm>) -> Result<Tensor> {
    norm.map_or_else(|| Ok(x.clone()), |norm| norm.forward(x))
}

/// See [`Positions::blocks`].
fn causal_bias(rows: &Range<usize>, device: &Device) -> Result<Tensor> {
    let seen = |row: usize, position: usize| if position <= row { 0.0 } else { f32::NEG_INFINITY };
    let bias = rows.clone().flat_map(|row| (0..rows.end).map(move |position| seen(row, position)));
    Tensor::from_vec(bias.collect::<Vec<_>>(), (rows.len(), rows.end), device)
}

/// The running mean of V over 0..=t, block by block: what a uniformly attending head gives.
struct RunningMean {
    /// `(k, t, d)`.
    values: Tensor,
    /// Sum of all earlier blocks, `(k, 1, d)`.
    before: Tensor,
}

impl RunningMean {
    fn new(values: &Tensor, unused: bool) -> Result<Self> {
        let (heads, _, width) = values.dims3()?;
        let before = Tensor::zeros((heads, usize::from(!unused), width), DType::F32, values.device())?;
        Ok(Self { values: values.clone(), before })
    }

    /// The means of the next block of rows, `(k, q, d)`.
    #[expect(clippy::cast_precision_loss, reason = "a window has fewer positions than float32 has integers")]
    fn next(&mut self, rows: &Range<usize>) -> Result<Tensor> {
        let device = self.values.device();
        let block = self.values.narrow(1, rows.start, rows.len())?.contiguous()?; // (k, q, d)
        let below = Tensor::tril2(rows.len(), DType::F32, device)?; // (q, q)
        let sums = below.broadcast_left(block.dim(0)?)?.matmul(&block)?; // (k, q, d)
        let sums = sums.broadcast_add(&self.before)?; // (k, q, d)
        self.before = sums.narrow(1, rows.len() - 1, 1)?;
        let counts = Tensor::from_vec(rows.clone().map(|t| (t + 1) as f32).collect(), (rows.len(), 1), device)?;
        sums.broadcast_div(&counts) // (k, q, d)
    }
}
