//! Causal grouped-query attention with masked heads, in blocks of query rows.

use std::num::NonZeroUsize;
use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::kv_cache::KvCache;
use headwater_kernels::AttentionSpan;

use super::linear::{Linear, Norm, Placement, capped};
use crate::{DecoderSpec, HeadNorms, LayerSpec, MaskKind, Rope};

/// Query rows of a window that are attended at once: bounds the attention logits to `heads × 128 × window` floats a window.
pub(super) const BLOCK_ROWS: usize = 128;

/// What attention needs to know of the positions of a batch.
#[derive(Debug)]
pub(super) struct Positions {
    /// Positions before those of the batch, whose keys and values are kept.
    before: usize,
    tokens: usize,
    /// The rotary angles of each of the decoder's embeddings.
    angles: Vec<Angles>,
    /// What rows see under each of the decoder's windows.
    views: Vec<View>,
}

/// Rotary angles, `(t, rotated / 2)` each.
#[derive(Debug)]
struct Angles {
    cos: Tensor,
    sin: Tensor,
}

/// What rows see under one window.
#[derive(Debug)]
struct View {
    window: Option<NonZeroUsize>,
    /// The blocks of query rows, each with 0 where a row sees a position and −∞ where it does not, `(q, e)`.
    blocks: Vec<(Range<usize>, Tensor)>,
}

impl Positions {
    /// Prepares the positions `range` for the layers of `spec`.
    pub(super) fn new(spec: &DecoderSpec, range: &Range<usize>, device: &Device) -> Result<Self> {
        let angles = spec.ropes.iter().map(|rope| Angles::new(rope, range, device));
        let mut windows: Vec<_> = spec.layers.iter().map(|layer| layer.window).collect();
        windows.sort_unstable();
        windows.dedup();
        let views = windows.into_iter().map(|window| View::new(window, range, device));
        let (angles, views) = (angles.collect::<Result<_>>()?, views.collect::<Result<_>>()?);
        Ok(Self { before: range.start, tokens: range.len(), angles, views })
    }

    /// `(w, heads, t, d)` → `(w, heads, t, d)`, in a layer with the embedding `rope`.
    fn rotate(&self, x: &Tensor, rope: Option<usize>) -> Result<Tensor> {
        let Some(Angles { cos, sin }) = rope.map(|rope| &self.angles[rope]) else { return Ok(x.clone()) };
        let (width, rotated) = (x.dim(3)?, 2 * cos.dim(1)?);
        if width == rotated {
            return candle_nn::rotary_emb::rope(&x.contiguous()?, cos, sin);
        }
        let turned = candle_nn::rotary_emb::rope(&x.narrow(3, 0, rotated)?.contiguous()?, cos, sin)?;
        Tensor::cat(&[&turned, &x.narrow(3, rotated, width - rotated)?], 3)
    }

    /// What rows see in a layer under `window`.
    fn view(&self, window: Option<NonZeroUsize>) -> &View {
        let view = self.views.iter().find(|view| view.window == window);
        view.expect("invariant: every window of a layer has a view")
    }
}

impl Angles {
    #[expect(clippy::cast_possible_truncation, reason = "angles are computed in float64 and used in float32")]
    fn new(rope: &Rope, range: &Range<usize>, device: &Device) -> Result<Self> {
        let (frequencies, magnitude) = (&rope.frequencies(), rope.magnitude);
        let table = |wave: fn(f64) -> f64| {
            let angles =
                range.clone().flat_map(|t| frequencies.iter().map(move |f| (magnitude * wave(t as f64 * f)) as f32));
            Tensor::from_vec(angles.collect::<Vec<f32>>(), (range.len(), frequencies.len()), device)
        };
        Ok(Self { cos: table(f64::cos)?, sin: table(f64::sin)? })
    }
}

impl View {
    fn new(window: Option<NonZeroUsize>, range: &Range<usize>, device: &Device) -> Result<Self> {
        let blocks = range.clone().step_by(BLOCK_ROWS).map(|start| {
            let rows = start..range.end.min(start + BLOCK_ROWS);
            causal_bias(&rows, window, device).map(|bias| (rows, bias))
        });
        Ok(Self { window, blocks: blocks.collect::<Result<_>>()? })
    }
}

/// One layer's attention.
#[derive(Debug)]
pub(super) struct Attention {
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) output: Linear,
    /// What queries and keys are normed over.
    pub(super) norms_over: HeadNorms,
    pub(super) query_norm: Option<Norm>,
    pub(super) key_norm: Option<Norm>,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) scale: f64,
    pub(super) cap: Option<f64>,
    pub(super) layer: LayerSpec,
    pub(super) placement: Placement,
}

impl Attention {
    /// `(w·t, hidden)` → `(w·t, hidden)`. `masked` are the heads of this layer that a mask of `kind` replaces.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        positions: &Positions,
        (masked, kind): (&[usize], MaskKind),
    ) -> Result<Tensor> {
        let (k, v, values) = self.keys_and_values(x, positions)?;
        self.attended(x, positions, (&k, &v), (&values, masked, kind))
    }

    /// As [`Self::forward`] without masked heads, for positions that follow those in `cache`.
    pub(super) fn extend(&self, x: &Tensor, positions: &Positions, cache: &mut KvCache) -> Result<Tensor> {
        let (k, v, values) = self.keys_and_values(x, positions)?;
        let (k, v) = cache.append(&k.contiguous()?, &v.contiguous()?)?; // (w, k, e, d)
        self.attended(x, positions, (&k, &v), (&values, &[], MaskKind::Zero))
    }

    /// The keys and values that are multiplied with, and the values not rounded: `(w, k, t, d)` each.
    fn keys_and_values(&self, x: &Tensor, positions: &Positions) -> Result<(Tensor, Tensor, Tensor)> {
        let k = self.placement.rounded(&self.keys(x, positions)?)?;
        let values = self.split(&self.value.forward(x)?, self.kv_heads, positions)?;
        Ok((k, self.placement.rounded(&values)?, values))
    }

    /// Attends from the positions of a batch to the keys and values `(w, k, e, d)` of these and all before them; `values` are those of the
    /// batch, not rounded.
    fn attended(
        &self,
        x: &Tensor,
        positions: &Positions,
        (k, v): (&Tensor, &Tensor),
        (values, masked, kind): (&Tensor, &[usize], MaskKind),
    ) -> Result<Tensor> {
        let q = self.placement.rounded(&self.queries(x, positions)?)?; // (w, h, t, d)
        let k = k.transpose(2, 3)?; // (w, k, d, e)
        let windows = q.dim(0)?;
        let view = positions.view(self.layer.window);
        let mut means = RunningMean::new(values, masked.is_empty())?;
        let mut blocks = Vec::with_capacity(view.blocks.len());
        for (rows, bias) in &view.blocks {
            let of_batch = rows.start - positions.before..rows.end - positions.before;
            let logits = self.products(&q, &k.narrow(3, 0, rows.end)?, &of_batch)?; // (w, k, g·q, e)
            let logits = capped(logits, self.cap)?; // (w, k, g·q, e)
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

    /// Queries, normed, rotated and scaled: `(w·t, hidden)` → `(w, h, t, d)`.
    fn queries(&self, x: &Tensor, positions: &Positions) -> Result<Tensor> {
        let q = self.normed(&self.query.forward(x)?, self.heads, self.query_norm.as_ref(), positions)?; // (w, h, t, d)
        positions.rotate(&q, self.layer.rope)? * self.scale
    }

    /// Keys, normed and rotated: `(w·t, hidden)` → `(w, k, t, d)`.
    fn keys(&self, x: &Tensor, positions: &Positions) -> Result<Tensor> {
        let k = self.normed(&self.key.forward(x)?, self.kv_heads, self.key_norm.as_ref(), positions)?; // (w, k, t, d)
        positions.rotate(&k, self.layer.rope)
    }

    /// `(w·t, heads · d)` → `(w, heads, t, d)`, normed over each head or before it is split.
    fn normed(&self, x: &Tensor, heads: usize, norm: Option<&Norm>, positions: &Positions) -> Result<Tensor> {
        match (norm, self.norms_over) {
            (None, _) | (_, HeadNorms::None) => self.split(x, heads, positions),
            (Some(norm), HeadNorms::EachHead) => norm.forward(&self.split(x, heads, positions)?),
            (Some(norm), HeadNorms::AllHeads) => self.split(&norm.forward(x)?, heads, positions),
        }
    }

    /// `(w·t, heads · d)` → `(w, heads, t, d)`.
    fn split(&self, x: &Tensor, heads: usize, positions: &Positions) -> Result<Tensor> {
        x.reshape(((), positions.tokens, heads, self.head_dim))?.transpose(1, 2)?.contiguous()
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

/// See [`View::blocks`].
fn causal_bias(rows: &Range<usize>, window: Option<NonZeroUsize>, device: &Device) -> Result<Tensor> {
    let span = AttentionSpan { window, cap: None };
    let seen = |row: usize, position: usize| {
        if (span.first_seen(row)..=row).contains(&position) { 0.0 } else { f32::NEG_INFINITY }
    };
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
