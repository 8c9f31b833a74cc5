//! What becomes of the sums of a product: stored, added to the residual stream, activated, gated, or turned into losses.

use std::ops::Range;

use super::operand::Operand;
use super::weights::{InputRows, Matrix};
use super::{Epilogue, Rows};
use crate::Instructions;
use crate::activation::{Activation, SoftCap};
use crate::buffer::Buffer;
use crate::dispatch::Task;
use crate::simd::{MOST_LANES, Simd};
use crate::tile::{HALF_PANEL, PANEL, Tile, padded_depth};

/// Rows of `width` numbers to write, [`padded_depth`] apart: what the next product multiplies.
#[derive(Debug)]
pub struct PaddedRows<'a, E> {
    /// Memory of the rows, which grows as needed. One buffer serves one width, since its padding stays as it is.
    pub rows: &'a mut Buffer<E>,
    /// Numbers of a row.
    pub width: usize,
}

/// Computes `inputs` · `weights` + `bias`.
///
/// # Shapes
/// - `inputs`: rows of as many inputs as the weights have, [`padded_depth`] apart, memory in whole [`ROW_STEP`](crate::ROW_STEP)s
/// - `bias`: `(columns,)`
/// - `out`: `(rows, columns)`
///
/// # Panics
/// If `out` or `bias` is too short.
pub fn project<M: Matrix>(
    instructions: Instructions,
    inputs: InputRows<'_, M::Rows>,
    weights: &M,
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let mut store = Store { out, stride: weights.columns(), columns: weights.columns(), bias };
    weights.multiply(instructions, inputs, &mut store);
}

/// Adds `inputs` · `weights` + `bias` to `out`; shapes as in [`project`].
///
/// # Panics
/// If `out` or `bias` is too short.
pub fn project_add<M: Matrix>(
    instructions: Instructions,
    inputs: InputRows<'_, M::Rows>,
    weights: &M,
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let mut add = AddTo { out, stride: weights.columns(), columns: weights.columns(), bias };
    weights.multiply(instructions, inputs, &mut add);
}

/// The first map of an MLP, and what its sums pass through.
#[derive(Debug)]
pub struct Inner<'a, M> {
    /// The map; of a gated one, gate and up as [`Matrix::pack_gated`] lays them out.
    pub weights: &'a M,
    /// Added to the sums, in the order of the map.
    pub bias: Option<&'a [f32]>,
    /// Applied to the sums, or to those of the gate.
    pub activation: Activation,
}

/// Computes a(`inputs` · gate) ⊙ (`inputs` · up) with the activation a, and with the biases added to the products.
///
/// # Shapes
/// - `out`: `(rows, width)`
///
/// # Source
/// Shazeer (2020), GLU Variants Improve Transformer, eq. 6 and those before it.
///
/// # Panics
/// If the bias is too short.
pub fn gated<M: Matrix, E: Operand>(
    instructions: Instructions,
    inputs: InputRows<'_, M::Rows>,
    inner: Inner<'_, M>,
    out: PaddedRows<'_, E>,
) {
    let PaddedRows { rows: out, width } = out;
    let Inner { weights, bias, activation } = inner;
    out.grow(Rows::<E>::stored(inputs.count, width));
    let mut gate = Gate { out, stride: padded_depth(width), inner: width, bias, activation };
    weights.multiply(instructions, inputs, &mut gate);
}

/// Computes a(`inputs` · `weights` + `bias`) with the activation a; shapes as in [`gated`].
///
/// # Panics
/// If the bias is too short.
pub fn activated<M: Matrix, E: Operand>(
    instructions: Instructions,
    inputs: InputRows<'_, M::Rows>,
    inner: Inner<'_, M>,
    out: PaddedRows<'_, E>,
) {
    let PaddedRows { rows: out, width } = out;
    let Inner { weights, bias, activation } = inner;
    out.grow(Rows::<E>::stored(inputs.count, width));
    let mut activate = Activate { out, stride: padded_depth(width), inner: width, bias, activation };
    weights.multiply(instructions, inputs, &mut activate);
}

/// A projection on the vocabulary.
#[derive(Debug)]
pub struct Vocabulary<'a, M> {
    /// `(vocab, hidden)`.
    pub weights: &'a M,
    /// Added to the logits, `(vocab,)`.
    pub bias: Option<&'a [f32]>,
    /// What logits never pass.
    pub cap: Option<SoftCap>,
}

// derived, these would ask the same of `M`
impl<M> Clone for Vocabulary<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Vocabulary<'_, M> {}

/// Computes the cross-entropy of `targets` under the logits of `vocabulary`, in nats, without storing a logit:
/// log Σ exp(logits) − logit of the target.
///
/// # Shapes
/// - `targets`: `(rows,)`
/// - `losses`: `(rows,)`
///
/// # Source
/// The sum is kept online as by Milakov and Gimelshein (2018), Online normalizer calculation for softmax, algorithm 3, in
/// each lane apart.
///
/// # Panics
/// If `targets` or `losses` is shorter than `rows`.
pub fn cross_entropy<M: Matrix>(
    instructions: Instructions,
    inputs: InputRows<'_, M::Rows>,
    vocabulary: Vocabulary<'_, M>,
    targets: &[u32],
    losses: &mut [f32],
) {
    let Vocabulary { weights, bias, cap } = vocabulary;
    let count = inputs.count;
    let lanes = count * MOST_LANES;
    let mut online = CrossEntropy {
        greatest: vec![f32::MIN; lanes],
        sums: vec![0.0; lanes],
        chosen: vec![f32::NAN; count],
        targets: &targets[..count],
        vocab: weights.columns(),
        bias,
        cap,
    };
    weights.multiply(instructions, inputs, &mut online);
    instructions.run(Finish { online: &online, losses: &mut losses[..count] });
}

/// Numbers of a cache line.
const LINE: usize = 16;

/// Stores sums, plus `bias`, as rows of `columns` floats, `stride` apart; `ADD` adds them to `out`.
pub(crate) struct Out<'a, const ADD: bool> {
    pub(crate) out: &'a mut [f32],
    pub(crate) stride: usize,
    pub(crate) columns: usize,
    pub(crate) bias: Option<&'a [f32]>,
}

/// Stores sums.
pub(crate) type Store<'a> = Out<'a, false>;

/// Adds sums to `out`.
pub(crate) type AddTo<'a> = Out<'a, true>;

impl<const ADD: bool> Epilogue for Out<'_, ADD> {
    #[inline(always)]
    fn take<S: Simd>(&mut self, simd: S, tile: &Tile, rows: Range<usize>, panel: usize) {
        let columns = panel * PANEL..self.columns.min((panel + 1) * PANEL);
        let bias = self.bias.map(|bias| &bias[columns.clone()]);
        for (row, sums) in rows.zip(&tile.0) {
            let out = &mut self.out[row * self.stride..][columns.clone()];
            // a length that is known here costs no masks
            match out.first_chunk_mut::<PANEL>() {
                Some(out) => write::<S, ADD>(simd, sums, bias, out),
                None => write::<S, ADD>(simd, sums, bias, out),
            }
        }
    }

    #[inline(always)]
    fn expect<S: Simd>(&self, simd: S, rows: Range<usize>, panel: usize) {
        if ADD {
            for row in rows {
                let columns = self.out.get(row * self.stride + panel * PANEL..).unwrap_or_default();
                for line in columns.chunks(LINE).take(PANEL / LINE) {
                    simd.prefetch(line);
                }
            }
        }
    }
}

/// Writes one row of sums, plus `bias`, to `out`, or adds them.
#[inline(always)]
fn write<S: Simd, const ADD: bool>(simd: S, sums: &[f32; PANEL], bias: Option<&[f32]>, out: &mut [f32]) {
    for (vector, out) in out.chunks_mut(S::LANES).enumerate() {
        let at = vector * S::LANES;
        let mut sum = simd.load(&sums[at..at + S::LANES]);
        if let Some(bias) = bias {
            sum = simd.add(sum, simd.load(&bias[at..]));
        }
        simd.store(if ADD { simd.add(simd.load(out), sum) } else { sum }, out);
    }
}

/// Activates sums.
struct Activate<'a, E> {
    out: &'a mut [E],
    stride: usize,
    inner: usize,
    bias: Option<&'a [f32]>,
    activation: Activation,
}

impl<E: Operand> Epilogue for Activate<'_, E> {
    #[inline(always)]
    fn take<S: Simd>(&mut self, simd: S, tile: &Tile, rows: Range<usize>, panel: usize) {
        let columns = panel * PANEL..self.inner.min((panel + 1) * PANEL);
        let bias = self.bias.map(|bias| &bias[columns.clone()]);
        for (row, sums) in rows.zip(&tile.0) {
            let out = &mut self.out[row * self.stride..][columns.clone()];
            for (vector, out) in out.chunks_mut(S::LANES).enumerate() {
                let at = vector * S::LANES;
                let mut sum = simd.load(&sums[at..at + S::LANES]);
                if let Some(bias) = bias {
                    sum = simd.add(sum, simd.load(&bias[at..]));
                }
                E::store(simd, self.activation.apply(simd, sum), out);
            }
        }
    }
}

/// Gates one half of every panel with the other.
struct Gate<'a, E> {
    out: &'a mut [E],
    stride: usize,
    inner: usize,
    bias: Option<&'a [f32]>,
    activation: Activation,
}

impl<E: Operand> Epilogue for Gate<'_, E> {
    #[inline(always)]
    fn take<S: Simd>(&mut self, simd: S, tile: &Tile, rows: Range<usize>, panel: usize) {
        let columns = panel * HALF_PANEL..self.inner.min((panel + 1) * HALF_PANEL);
        let bias = self.bias.map(|bias| bias[panel * PANEL..].first_chunk().expect("biases of whole panels"));
        for (row, sums) in rows.zip(&tile.0) {
            let out = &mut self.out[row * self.stride..][columns.clone()];
            // a length that is known here costs no masks
            match out.first_chunk_mut::<HALF_PANEL>() {
                Some(out) => gate(simd, self.activation, (sums, bias), out),
                None => gate(simd, self.activation, (sums, bias), out),
            }
        }
    }
}

/// Gates one row of sums, each half plus its half of `bias`, and writes it to `out`.
#[inline(always)]
fn gate<S: Simd, E: Operand>(
    simd: S,
    activation: Activation,
    (sums, bias): (&[f32; PANEL], Option<&[f32; PANEL]>),
    out: &mut [E],
) {
    let half = |half: usize, at: usize| half * HALF_PANEL + at..half * HALF_PANEL + at + S::LANES;
    for (vector, out) in out.chunks_mut(S::LANES).enumerate() {
        let at = vector * S::LANES;
        let (mut gate, mut up) = (simd.load(&sums[half(0, at)]), simd.load(&sums[half(1, at)]));
        if let Some(bias) = bias {
            gate = simd.add(gate, simd.load(&bias[half(0, at)]));
            up = simd.add(up, simd.load(&bias[half(1, at)]));
        }
        E::store(simd, simd.mul(activation.apply(simd, gate), up), out);
    }
}

/// Keeps, for each row and lane, the greatest logit and the sum of exp(logit − greatest).
struct CrossEntropy<'a> {
    /// `(row, lane)`.
    greatest: Vec<f32>,
    /// `(row, lane)`.
    sums: Vec<f32>,
    /// The logit of each row's target.
    chosen: Vec<f32>,
    targets: &'a [u32],
    vocab: usize,
    /// `(vocab,)`.
    bias: Option<&'a [f32]>,
    cap: Option<SoftCap>,
}

impl CrossEntropy<'_> {
    /// The logits of one row of a panel's sums; `None` if they are the sums.
    #[inline(always)]
    fn changed<S: Simd>(&self, simd: S, sums: &[f32; PANEL], columns: Range<usize>) -> Option<[f32; PANEL]> {
        if self.bias.is_none() && self.cap.is_none() {
            return None;
        }
        let mut logits = *sums;
        if let Some(bias) = self.bias {
            for (logit, bias) in logits.iter_mut().zip(&bias[columns]) {
                *logit += bias;
            }
        }
        if let Some(cap) = self.cap {
            cap.apply_to(simd, &mut logits);
        }
        Some(logits)
    }
}

impl Epilogue for CrossEntropy<'_> {
    #[inline(always)]
    fn take<S: Simd>(&mut self, simd: S, tile: &Tile, rows: Range<usize>, panel: usize) {
        let first = panel * PANEL;
        let width = PANEL.min(self.vocab - first);
        for (row, sums) in rows.zip(&tile.0) {
            let changed = self.changed(simd, sums, first..first + width);
            let logits = changed.as_ref().unwrap_or(sums);
            let target = (self.targets[row] as usize).wrapping_sub(first);
            if target < width {
                self.chosen[row] = logits[target];
            }
            let lanes = row * MOST_LANES..row * MOST_LANES + S::LANES;
            let (greatest, sum) = (&mut self.greatest[lanes.clone()], &mut self.sums[lanes]);
            if width == PANEL {
                add_exponentials(simd, logits, greatest, sum);
            } else {
                let mut kept = [f32::NEG_INFINITY; PANEL];
                kept[..width].copy_from_slice(&logits[..width]);
                add_exponentials(simd, &kept, greatest, sum);
            }
        }
    }
}

/// Adds exp(logit − greatest) to the sum of each lane, with the greatest logit of each lane brought up to date.
#[inline(always)]
fn add_exponentials<S: Simd>(simd: S, logits: &[f32; PANEL], greatest_at: &mut [f32], sum_at: &mut [f32]) {
    let (before, mut sum) = (simd.load(greatest_at), simd.load(sum_at));
    let mut greatest = before;
    for logits in logits.chunks_exact(S::LANES) {
        greatest = simd.max(greatest, simd.load(logits));
    }
    if simd.any_greater(greatest, before) {
        sum = simd.mul(sum, simd.exp(simd.sub(before, greatest)));
        simd.store(greatest, greatest_at);
    }
    for logits in logits.chunks_exact(S::LANES) {
        sum = simd.add(sum, simd.exp(simd.sub(simd.load(logits), greatest)));
    }
    simd.store(sum, sum_at);
}

/// Brings the lanes of every row together.
struct Finish<'a, 'o> {
    online: &'a CrossEntropy<'a>,
    losses: &'o mut [f32],
}

impl Task for Finish<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (row, loss) in self.losses.iter_mut().enumerate() {
            let lanes = row * MOST_LANES..row * MOST_LANES + S::LANES;
            let greatest = simd.load(&self.online.greatest[lanes.clone()]);
            let highest = simd.greatest(greatest);
            let scales = simd.exp(simd.sub(greatest, simd.splat(highest)));
            let sum = simd.sum(simd.mul(simd.load(&self.online.sums[lanes]), scales));
            *loss = highest + sum.ln() - self.online.chosen[row];
        }
    }
}
