//! Causal grouped-query attention with masked heads, in blocks of query rows.

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};

use super::linear::{Linear, Placement, RmsNorm};
use crate::MaskKind;

/// Query rows of a window that are attended at once: bounds the attention logits to `heads × 128 × window` floats a window.
pub(super) const BLOCK_ROWS: usize = 128;

/// What attention needs to know of the positions of a batch; the same in every window and layer.
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

    /// Positions of a window.
    fn tokens(&self) -> Result<usize> {
        self.cos.dim(0)
    }

    /// `(w, heads, t, d)` → `(w, heads, t, d)`.
    fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::rotary_emb::rope(&x.contiguous()?, &self.cos, &self.sin)
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
    /// `(w·t, hidden)` → `(w·t, hidden)`. `masked` are the heads of this layer that `mask` replaces.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        positions: &Positions,
        masked: &[usize],
        kind: MaskKind,
    ) -> Result<Tensor> {
        let q = self.placement.rounded(&self.queries(x, positions)?)?; // (w, h, t, d)
        let k = self.placement.rounded(&self.keys(x, positions)?)?.transpose(2, 3)?; // (w, k, d, t)
        let values = self.split(&self.value.forward(x)?, self.kv_heads, positions)?; // (w, k, t, d)
        let v = self.placement.rounded(&values)?; // (w, k, t, d)
        let windows = q.dim(0)?;
        let mut means = RunningMean::new(&values, masked.is_empty())?;
        let mut blocks = Vec::with_capacity(positions.blocks.len());
        for (rows, bias) in &positions.blocks {
            let logits = self.products(&q, &k.narrow(3, 0, rows.end)?, rows)?; // (w, k, g·q, e)
            let by_head = logits.reshape((windows * self.heads, rows.len(), rows.end))?.broadcast_add(bias)?; // (w·h, q, e)
            let logits = by_head.reshape(logits.dims())?; // (w, k, g·q, e)
            let weights = self.placement.rounded(&candle_nn::ops::softmax_last_dim(&logits)?)?; // (w, k, g·q, e)
            let visible = v.narrow(2, 0, rows.end)?; // (w, k, e, d)
            let attended = self.placement.matmul(&weights, &visible)?; // (w, k, g·q, d)
            let heads = attended.reshape((windows, self.heads, rows.len(), self.head_dim))?; // (w, h, q, d)
            let heads = if masked.is_empty() {
                heads
            } else {
                let replaced = match kind {
                    MaskKind::CausalUniform => means.next(rows)?, // (w, k, q, d)
                    MaskKind::Zero => values.narrow(2, rows.start, rows.len())?.zeros_like()?, // (w, k, q, d)
                };
                self.replace(&heads, &replaced, masked)? // (w, h, q, d)
            };
            blocks.push(heads.transpose(1, 2)?.reshape((windows, rows.len(), self.heads * self.head_dim))?); // (w, q, h·d)
        }
        let attended = Tensor::cat(&blocks, 1)?; // (w, t, h·d)
        self.output.forward(&attended.flatten(0, 1)?) // (w·t, hidden)
    }

    /// Attention logits of the query positions `rows` of one window over all its positions, causal or not: `(h, q, t)`, float32.
    pub(super) fn logits(&self, x: &Tensor, positions: &Positions, rows: &Range<usize>) -> Result<Tensor> {
        let q = self.placement.rounded(&self.queries(x, positions)?)?; // (1, h, t, d)
        let k = self.placement.rounded(&self.keys(x, positions)?)?.transpose(2, 3)?; // (1, k, d, t)
        let logits = self.products(&q, &k, rows)?; // (1, k, g·q, t)
        logits.reshape((self.heads, rows.len(), x.dim(0)?))
    }

    /// `(w, h, t, d)` rows times `(w, k, d, e)` → `(w, k, g·q, e)`; the heads of one group share their K.
    fn products(&self, q: &Tensor, k: &Tensor, rows: &Range<usize>) -> Result<Tensor> {
        let group = self.heads / self.kv_heads;
        let q = q.narrow(2, rows.start, rows.len())?.contiguous()?; // (w, h, q, d)
        let q = q.reshape((q.dim(0)?, self.kv_heads, group * rows.len(), self.head_dim))?; // (w, k, g·q, d)
        self.placement.matmul(&q, k)
    }

    /// Queries, normed, rotated and scaled by 1/√d: `(w·t, hidden)` → `(w, h, t, d)`.
    fn queries(&self, x: &Tensor, positions: &Positions) -> Result<Tensor> {
        let q = self.split(&self.query.forward(x)?, self.heads, positions)?; // (w, h, t, d)
        positions.rotate(&normed(&q, self.query_norm.as_ref())?)? * (self.head_dim as f64).sqrt().recip()
    }

    /// Keys, normed and rotated: `(w·t, hidden)` → `(w, k, t, d)`.
    fn keys(&self, x: &Tensor, positions: &Positions) -> Result<Tensor> {
        let k = self.split(&self.key.forward(x)?, self.kv_heads, positions)?; // (w, k, t, d)
        positions.rotate(&normed(&k, self.key_norm.as_ref())?)
    }

    /// `(w·t, heads · d)` → `(w, heads, t, d)`.
    fn split(&self, x: &Tensor, heads: usize, positions: &Positions) -> Result<Tensor> {
        x.reshape(((), positions.tokens()?, heads, self.head_dim))?.transpose(1, 2)?.contiguous()
    }

    /// Puts the row of `replaced` that belongs to a masked head's K/V in the head's place.
    ///
    /// # Shapes
    /// - `heads`: `(w, h, q, d)`, returned in the same shape
    /// - `replaced`: `(w, k, q, d)`
    fn replace(&self, heads: &Tensor, replaced: &Tensor, masked: &[usize]) -> Result<Tensor> {
        let group = self.heads / self.kv_heads;
        let output = |head: usize| {
            if masked.contains(&head) { replaced.narrow(1, head / group, 1) } else { heads.narrow(1, head, 1) }
        };
        Tensor::cat(&(0..self.heads).map(output).collect::<Result<Vec<_>>>()?, 1)
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
    /// `(w, k, t, d)`.
    values: Tensor,
    /// Sum of all earlier blocks, `(w, k, 1, d)`.
    before: Tensor,
}

impl RunningMean {
    fn new(values: &Tensor, unused: bool) -> Result<Self> {
        let (windows, heads, _, width) = values.dims4()?;
        let before = Tensor::zeros((windows, heads, usize::from(!unused), width), DType::F32, values.device())?;
        Ok(Self { values: values.clone(), before })
    }

    /// The means of the next block of rows, `(w, k, q, d)`.
    #[expect(clippy::cast_precision_loss, reason = "a window has fewer positions than float32 has integers")]
    fn next(&mut self, rows: &Range<usize>) -> Result<Tensor> {
        let device = self.values.device();
        let block = self.values.narrow(2, rows.start, rows.len())?.contiguous()?; // (w, k, q, d)
        let below = Tensor::tril2(rows.len(), DType::F32, device)?; // (q, q)
        let (windows, heads) = (block.dim(0)?, block.dim(1)?);
        let below = below.broadcast_left((windows, heads))?.contiguous()?; // (w, k, q, q)
        let sums = below.matmul(&block)?.broadcast_add(&self.before)?; // (w, k, q, d)
        self.before = sums.narrow(2, rows.len() - 1, 1)?;
        let counts = Tensor::from_vec(rows.clone().map(|t| (t + 1) as f32).collect(), (rows.len(), 1), device)?;
        sums.broadcast_div(&counts) // (w, k, q, d)
    }
}
