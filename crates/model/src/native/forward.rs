//! The forward pass over one window, on one thread: several streams of the same tokens side by side, each with its own mask.
//!
//! A layer takes the window in blocks of as many positions as make [`MAP_ROWS`] rows of all streams, at least [`ROW_STEP`]. The
//! rows of all streams of a block lie one after the other, so that every weight panel that is read serves all of them, and
//! everything between two weights stays in the second-level cache. Attention takes [`ROW_STEP`] positions of one stream at a time.
//! Shapes use these letters: `t` tokens of the window, `r` positions of a block, `s` streams.

use std::ops::Range;

use headwater_kernels::{
    AttentionScratch, Buffer, HeadLayout, HeadNorm, HeadRotation, Inner, InputRows, Instructions, KvCache, Matrix,
    Operand, PaddedRows, Projections, QueryBlock, ROW_STEP, RotaryTable, RunningMean, StridedRows, Takes, activated,
    attend, attention_logits, cross_entropy, gated, padded_depth, project, project_add, split_heads,
};

use super::decoder::{Decoder, InputNorm, Layer, Linear, QueryKeyNorms, norm_in_place};
use crate::engine::{argmax_of_seen, lowest_argmax};
use crate::{DecoderSpec, HeadMask, LayerSpec, MaskKind};

/// Rows that a map takes at once, of all streams: each weight is read once for them, and they stay in the second-level cache.
const MAP_ROWS: usize = 2 * ROW_STEP;

/// Rows that are projected on the vocabulary at once where logits are stored: bounds them to `32 × vocab` floats.
const LOGIT_ROWS: usize = 32;

/// What one thread computes a window in, kept from one window to the next.
#[derive(Debug)]
pub(super) struct Memory<E, R> {
    /// The residual stream, block by block: `(s, r, hidden)` each.
    residual: Buffer<f32>,
    /// The residual stream of a block before attention, where the MLP reads that, `(s · r, hidden)`.
    before: Vec<f32>,
    /// What attention or the MLP wrote before it is normed, `(s · r, hidden)`.
    branch: Vec<f32>,
    /// Inputs of a map, `(s · r, hidden)` and others.
    inputs: R,
    /// Queries, keys and values, `(s · r, query + 2 kv)`.
    projections: Buffer<f32>,
    /// Queries of one stream.
    queries: Buffer<E>,
    /// Outputs of all heads, `(s · r, query)`.
    attended: Buffer<E>,
    /// Gated inner rows, `(s · r, intermediate)`.
    inner: Buffer<E>,
    /// Attention logits, or logits over the vocabulary.
    logits: Vec<f32>,
    attention: AttentionScratch<E>,
    streams: Vec<StreamMemory<E>>,
}

/// What a stream remembers of the earlier positions of a layer.
#[derive(Debug)]
struct StreamMemory<E> {
    cache: KvCache<E>,
    mean: RunningMean,
}

impl<E: Operand, R: Default> Default for Memory<E, R> {
    fn default() -> Self {
        Self {
            residual: Buffer::EMPTY,
            before: Vec::new(),
            branch: Vec::new(),
            inputs: R::default(),
            projections: Buffer::EMPTY,
            queries: Buffer::EMPTY,
            attended: Buffer::EMPTY,
            inner: Buffer::EMPTY,
            logits: Vec::new(),
            attention: AttentionScratch::default(),
            streams: Vec::new(),
        }
    }
}

/// What all windows share.
#[derive(Debug)]
pub(super) struct Network<'a, N> {
    pub(super) decoder: &'a Decoder<N>,
    pub(super) spec: &'a DecoderSpec,
    pub(super) layout: HeadLayout,
    /// See [`Layer::table`].
    pub(super) rotary: &'a [RotaryTable],
    pub(super) instructions: Instructions,
}

/// The state of a window between two layers.
#[derive(Debug)]
pub(super) struct Window<'a, E, N: Matrix> {
    network: Network<'a, N>,
    memory: &'a mut Memory<E, N::Rows>,
    tokens: &'a [u32],
    streams: usize,
    /// Whether no layer has run since all streams were made of one.
    alike: bool,
}

/// Positions of one block.
#[derive(Clone, Copy, Debug)]
struct Block {
    first: usize,
    rows: usize,
}

/// Positions of one stream that attention takes at once.
#[derive(Clone, Copy, Debug)]
struct Part {
    stream: usize,
    first: usize,
    rows: usize,
    /// Rows of the stream's block before it.
    start: usize,
}

impl Block {
    /// The parts of the block, in the order of its rows.
    fn parts(self, streams: usize) -> impl Iterator<Item = Part> {
        (0..streams).flat_map(move |stream| {
            (0..self.rows).step_by(ROW_STEP).map(move |start| Part {
                stream,
                first: self.first + start,
                rows: ROW_STEP.min(self.rows - start),
                start,
            })
        })
    }
}

impl Part {
    fn positions(self) -> Range<usize> {
        self.first..self.first + self.rows
    }
}

/// The position that every head attends to most from some positions, filled layer by layer.
pub(super) struct Argmax {
    /// Positions that are asked for.
    pub(super) rows: Range<usize>,
    /// `(layer, head, row)`.
    pub(super) positions: Vec<u32>,
}

impl<'a, E: Operand, N: Takes<E>> Window<'a, E, N> {
    /// Embeds `tokens` as one stream.
    pub(super) fn embed(network: Network<'a, N>, memory: &'a mut Memory<E, N::Rows>, tokens: &'a [u32]) -> Self {
        let hidden = network.spec.shape.hidden;
        memory.residual.grow(tokens.len() * hidden);
        for (position, (token, row)) in tokens.iter().zip(memory.residual.chunks_exact_mut(hidden)).enumerate() {
            network.decoder.embed(*token, position, row);
        }
        let mut window = Self { network, memory, tokens, streams: 0, alike: false };
        window.set_streams(1);
        window
    }

    /// Makes `streams` streams of the one there is.
    pub(super) fn fork(&mut self, streams: usize) {
        let hidden = self.network.spec.shape.hidden;
        let (step, end) = (ROW_STEP * hidden, self.tokens.len() * hidden);
        let residual = &mut self.memory.residual;
        residual.grow(end * streams);
        // from the end, so that no rows are overwritten before they are copied
        for first in (0..end).step_by(step).rev() {
            let rows = first..end.min(first + step);
            for stream in (0..streams).rev() {
                residual.copy_within(rows.clone(), first * streams + stream * rows.len());
            }
        }
        self.set_streams(streams);
        self.alike = true;
    }

    fn set_streams(&mut self, streams: usize) {
        self.streams = streams;
        let Self { network: Network { layout, .. }, memory, .. } = self;
        let rows = MAP_ROWS.max(streams * ROW_STEP);
        memory.projections.grow(rows * layout.width());
        memory.queries.grow(layout.block_len());
        memory.attended.grow(rows * padded_depth(layout.query_width()));
        while memory.streams.len() < streams {
            memory.streams.push(StreamMemory { cache: KvCache::new(*layout), mean: RunningMean::default() });
        }
    }

    fn blocks(&self) -> impl Iterator<Item = Block> + use<E, N> {
        let tokens = self.tokens.len();
        // one stream alone takes several steps of rows; with more, a step is what `fork` laid side by side
        let step = if self.streams == 1 { MAP_ROWS } else { ROW_STEP };
        (0..tokens).step_by(step).map(move |first| Block { first, rows: step.min(tokens - first) })
    }

    /// The residual stream of a block, `(s, r, hidden)`.
    fn residual(&self, block: Block) -> Range<usize> {
        let row = self.streams * self.network.spec.shape.hidden;
        block.first * row..(block.first + block.rows) * row
    }

    /// Runs the layers `range`, each stream under its own of `masks`.
    pub(super) fn layers(&mut self, range: Range<usize>, masks: &[&HeadMask]) {
        for index in range {
            self.layer(index, masks, None);
        }
    }

    /// Runs all layers of one intact stream and returns the position that every head attends to most.
    pub(super) fn argmax(&mut self, rows: Range<usize>) -> Vec<u32> {
        let mut argmax = Argmax { rows, positions: Vec::new() };
        let (layers, heads) = (self.network.spec.shape.layers, self.network.layout.heads);
        argmax.positions.resize(layers * heads * argmax.rows.len(), 0);
        for index in 0..layers {
            self.layer(index, &[&HeadMask::default()], Some(&mut argmax));
        }
        argmax.positions
    }

    /// Runs one layer. Streams that are alike share their queries, keys and values, and the outputs of heads that both leave intact.
    fn layer(&mut self, index: usize, masks: &[&HeadMask], mut argmax: Option<&mut Argmax>) {
        let layer = &self.network.decoder.layers[index];
        let masked: Vec<MaskedHeads> = masks.iter().map(|mask| MaskedHeads::new(mask, index)).collect();
        let sources = if std::mem::take(&mut self.alike) { 1 } else { self.streams };
        for stream in &mut self.memory.streams[..sources] {
            stream.cache.reset(self.tokens.len());
            stream.mean.reset(self.network.layout);
        }
        for block in self.blocks() {
            if self.network.spec.is_parallel {
                let range = self.residual(block);
                self.memory.before.clear();
                self.memory.before.extend_from_slice(&self.memory.residual[range]);
            }
            self.project_heads(layer, block, sources);
            for part in block.parts(sources) {
                let served = if sources == 1 { 0..self.streams } else { part.stream..part.stream + 1 };
                self.attend(layer, (block, part), (served, &masked), (index, argmax.as_deref_mut()));
            }
            self.project_attended(layer, block);
            self.mlp(layer, block);
        }
    }

    /// Projects the first `sources` streams of a block on queries, keys and values.
    fn project_heads(&mut self, layer: &Layer<N>, block: Block, sources: usize) {
        let start = self.residual(block).start;
        let Self { network: Network { spec, layout, instructions, decoder, .. }, memory, .. } = self;
        let rows = sources * block.rows;
        let read = &memory.residual[start..][..rows * spec.shape.hidden];
        read_stream(*instructions, decoder, (read, layer.attention_norm.as_ref()), &mut memory.inputs);
        let normed = InputRows { rows: &memory.inputs, count: rows }; // (s·r, hidden)
        let Linear { weights, bias } = &layer.projections;
        project(*instructions, normed, weights, bias.as_deref(), &mut memory.projections); // (s·r, query + 2 kv)
        if let QueryKeyNorms::AllHeads([query, key]) = &layer.head_norms {
            for row in memory.projections.chunks_exact_mut(layout.width()).take(rows) {
                let (queries, rest) = row.split_at_mut(layout.query_width());
                norm_in_place(queries, query, decoder.eps);
                norm_in_place(&mut rest[..layout.kv_width()], key, decoder.eps);
            }
        }
    }

    /// Attends with all heads of a part of a block, for the streams `served`, whose queries, keys and values are the same.
    fn attend(
        &mut self,
        layer: &Layer<N>,
        (block, part): (Block, Part),
        (served, masked): (Range<usize>, &[MaskedHeads]),
        (index, mut argmax): (usize, Option<&mut Argmax>),
    ) {
        let Self { network: Network { spec, layout, rotary, instructions, decoder }, memory, .. } = self;
        let (layout, instructions) = (*layout, *instructions);
        let StreamMemory { cache, mean } = &mut memory.streams[part.stream];
        let offset = part.stream * block.rows + part.start;
        let projections = &mut memory.projections[offset * layout.width()..][..part.rows * layout.width()];
        if masked[served.clone()].iter().any(MaskedHeads::needs_mean) {
            mean.advance(instructions, layout, projections, part.first);
        }
        let (query_norm, key_norm) = match &layer.head_norms {
            QueryKeyNorms::EachHead([query, key]) => {
                let norm = |weight| Some(HeadNorm { weight, eps: decoder.eps });
                (norm(query), norm(key))
            }
            QueryKeyNorms::None | QueryKeyNorms::AllHeads(_) => (None, None),
        };
        let rotation = HeadRotation { table: &rotary[layer.table], query_norm, key_norm };
        let projections = Projections { values: projections, first: part.first };
        split_heads(instructions, projections, rotation, &mut memory.queries, cache);
        let stride = padded_depth(layout.query_width());
        for head in 0..layout.heads {
            let queries = QueryBlock::new(&memory.queries, layout, head, part.positions()).spanning(layer.span);
            if let Some(argmax) = &mut argmax {
                let at = (index * layout.heads + head, part, spec.layers[index]);
                argmax.note(instructions, (queries, cache), at, &mut memory.logits);
            }
            let mut intact = None;
            for stream in served.clone() {
                let first = (stream * block.rows + part.start) * stride + head * layout.head_dim;
                let out = StridedRows { values: &mut memory.attended[first..], stride };
                match (masked[stream].kind_of(head), intact) {
                    (None, None) => {
                        attend(instructions, queries, cache, &mut memory.attention, out);
                        intact = Some(first);
                    }
                    (None, Some(intact)) => {
                        for from in (intact..).step_by(stride).take(part.rows) {
                            memory.attended.copy_within(from..from + layout.head_dim, from - intact + first);
                        }
                    }
                    (Some(MaskKind::CausalUniform), _) => mean.write(instructions, layout, head, out),
                    (Some(MaskKind::Zero), _) => {
                        for row in out.values.chunks_mut(stride).take(part.rows) {
                            row[..layout.head_dim].fill(E::default());
                        }
                    }
                }
            }
        }
    }

    /// Adds the projection of what the heads of a block have read to the residual stream.
    fn project_attended(&mut self, layer: &Layer<N>, block: Block) {
        let range = self.residual(block);
        let Self { network: Network { layout, instructions, decoder, .. }, memory, streams, .. } = self;
        let rows = *streams * block.rows;
        let shape = (rows, layout.query_width());
        let attended = N::inputs(*instructions, &memory.attended, shape, None, &mut memory.inputs);
        let attended = InputRows { rows: attended, count: rows }; // (s·r, query)
        let to = (&mut memory.branch, &mut memory.residual[range]);
        add(*instructions, decoder, attended, (&layer.output, layer.attention_after_norm.as_deref()), to); // (s·r, hidden)
    }

    /// Adds the MLP to the residual stream of a block.
    fn mlp(&mut self, layer: &Layer<N>, block: Block) {
        let range = self.residual(block);
        let Self { network: Network { spec, instructions, decoder, .. }, memory, streams, .. } = self;
        let (rows, instructions) = (*streams * block.rows, *instructions);
        let read = if spec.is_parallel { &memory.before } else { &memory.residual[range.clone()] };
        read_stream(instructions, decoder, (read, layer.mlp_norm.as_ref()), &mut memory.inputs);
        let normed = InputRows { rows: &memory.inputs, count: rows }; // (s·r, hidden)
        let Linear { weights, bias } = &layer.inner;
        let map = Inner { weights, bias: bias.as_deref(), activation: spec.activation };
        let inner = PaddedRows { rows: &mut memory.inner, width: spec.shape.intermediate };
        if spec.shape.mlp_maps == 3 {
            gated(instructions, normed, map, inner);
        } else {
            activated(instructions, normed, map, inner);
        }
        let shape = (rows, spec.shape.intermediate);
        let inner = N::inputs(instructions, &memory.inner, shape, decoder.inner_mix(), &mut memory.inputs);
        let inner = InputRows { rows: inner, count: rows }; // (s·r, intermediate)
        let to = (&mut memory.branch, &mut memory.residual[range]);
        add(instructions, decoder, inner, (&layer.down, layer.mlp_after_norm.as_deref()), to); // (s·r, hidden)
    }

    /// The cross-entropy of every target after the last layer, `(s, t − 1)`, in nats.
    pub(super) fn losses(&mut self) -> Vec<Vec<f32>> {
        let mut losses = vec![Vec::with_capacity(self.tokens.len()); self.streams];
        for block in self.blocks() {
            let range = self.residual(block);
            let Self { network: Network { instructions, decoder, .. }, memory, tokens, streams, .. } = self;
            let rows = *streams * block.rows;
            N::norm(*instructions, &memory.residual[range], decoder.final_norm(), &mut memory.inputs);
            // the last position has no target: its loss is dropped below
            let next = |position: usize| tokens.get(position + 1).copied().unwrap_or_default();
            let targets = (0..rows).map(|row| next(block.first + row % block.rows)).collect::<Vec<u32>>();
            let mut all = vec![0.0; rows];
            let normed = InputRows { rows: &memory.inputs, count: rows }; // (s·r, hidden)
            cross_entropy(*instructions, normed, decoder.vocabulary(), &targets, &mut all); // (s·r,)
            for (losses, block) in losses.iter_mut().zip(all.chunks_exact(block.rows)) {
                losses.extend_from_slice(block);
            }
        }
        for losses in &mut losses {
            losses.truncate(self.tokens.len() - 1);
        }
        losses
    }

    /// The most likely next token after each of `rows`, `(s, rows)`; ties take the lowest id.
    pub(super) fn predictions(&mut self, rows: Range<usize>) -> Vec<Vec<u32>> {
        let (hidden, streams) = (self.network.spec.shape.hidden, self.streams);
        (0..streams)
            .map(|stream| {
                let mut predictions = Vec::with_capacity(rows.len());
                let positions: Vec<usize> = rows.clone().collect();
                for positions in positions.chunks(LOGIT_ROWS) {
                    let mut hidden_rows = Vec::with_capacity(positions.len() * hidden); // (q, hidden)
                    for position in positions {
                        let block = position / ROW_STEP * ROW_STEP;
                        let rows = ROW_STEP.min(self.tokens.len() - block);
                        let row = block * streams + stream * rows + (position - block);
                        hidden_rows.extend_from_slice(&self.memory.residual[row * hidden..][..hidden]);
                    }
                    self.logits(&hidden_rows);
                    let vocab = self.network.spec.shape.vocab;
                    predictions.extend(self.memory.logits.chunks_exact(vocab).take(positions.len()).map(lowest_argmax));
                }
                predictions
            })
            .collect()
    }

    /// Logits over the vocabulary, `(q, hidden)` → `(q, vocab)`, into memory, without a cap, which changes no order.
    fn logits(&mut self, hidden_rows: &[f32]) {
        let Self { network: Network { spec, instructions, decoder, .. }, memory, .. } = self;
        let shape = &spec.shape;
        let rows = hidden_rows.len() / shape.hidden;
        N::norm(*instructions, hidden_rows, decoder.final_norm(), &mut memory.inputs);
        memory.logits.resize(rows * shape.vocab, 0.0);
        let normed = InputRows { rows: &memory.inputs, count: rows };
        let vocabulary = decoder.vocabulary();
        project(*instructions, normed, vocabulary.weights, vocabulary.bias, &mut memory.logits);
    }
}

/// Makes the inputs of a map of rows of the residual stream, `(rows, hidden)`, after `norm` if there is one.
fn read_stream<M: Matrix>(
    instructions: Instructions,
    decoder: &Decoder<M>,
    (residual, norm): (&[f32], Option<&InputNorm>),
    inputs: &mut M::Rows,
) {
    match norm {
        Some(norm) => M::norm(instructions, residual, decoder.norm_before(norm), inputs),
        None => M::take(instructions, residual, decoder.hidden(), inputs),
    }
}

/// Adds what `map` makes of `inputs` to the residual stream, `(rows, hidden)`, under a norm of weight `norm` if there is one.
fn add<M: Matrix>(
    instructions: Instructions,
    decoder: &Decoder<M>,
    inputs: InputRows<'_, M::Rows>,
    (map, norm): (&Linear<M>, Option<&[f32]>),
    (branch, residual): (&mut Vec<f32>, &mut [f32]),
) {
    let Linear { weights, bias } = map;
    match norm {
        None => project_add(instructions, inputs, weights, bias.as_deref(), residual),
        Some(norm) => {
            branch.resize(residual.len(), 0.0);
            project(instructions, inputs, weights, bias.as_deref(), branch);
            decoder.add_normed(norm, branch, residual);
        }
    }
}

/// The masked heads of one layer in one stream.
struct MaskedHeads {
    heads: Vec<usize>,
    kind: MaskKind,
}

impl MaskedHeads {
    fn new(mask: &HeadMask, layer: usize) -> Self {
        Self { heads: mask.set.in_layer(layer).collect(), kind: mask.kind }
    }

    fn needs_mean(&self) -> bool {
        self.kind == MaskKind::CausalUniform && !self.heads.is_empty()
    }

    /// What replaces the output of `head`; `None` if it is intact.
    fn kind_of(&self, head: usize) -> Option<MaskKind> {
        self.heads.contains(&head).then_some(self.kind)
    }
}

impl Argmax {
    /// Notes the position that one head attends to most from the rows of `part` that are asked for. `at` counts layer and head.
    fn note<E: Operand>(
        &mut self,
        instructions: Instructions,
        (queries, cache): (QueryBlock<'_, E>, &KvCache<E>),
        (at, part, layer): (usize, Part, LayerSpec),
        logits: &mut Vec<f32>,
    ) {
        let end = part.first + part.rows;
        let asked = self.rows.start.max(part.first)..self.rows.end.min(end);
        if asked.is_empty() {
            return;
        }
        logits.resize(part.rows * end, 0.0);
        attention_logits(instructions, queries, cache, StridedRows { values: logits, stride: end }); // (r, e)
        for position in asked {
            let row = &logits[(position - part.first) * end..];
            let most = argmax_of_seen(row, layer.first_seen(position)..=position);
            self.positions[at * self.rows.len() + position - self.rows.start] = most;
        }
    }
}
