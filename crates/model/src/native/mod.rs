//! The fast engine on a CPU: packed weights, one window a thread, the streams of a window side by side.
//!
//! Layers below the first masked head are computed once, and so are the queries, keys, values and intact heads of its layer; from there on the intact and the masked stream go through every layer
//! together, so that each weight is read once for both. Neither logits nor attention matrices are stored.
//!
//! The network is what a [`DecoderSpec`] says; see `decoder` for how it comes to the kernels.

mod decoder;
mod forward;
mod rotations;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use headwater_kernels::{HeadLayout, Instructions, Matrix, Operand, RotaryTable, Takes};
use headwater_record::HeadSet;
use headwater_record::run::Numerics;

use crate::engine::{shared_layers, validate_rows, validate_window};
use crate::tensors::Checkpoint;
use crate::{
    AttentionArgmax, Concurrency, DecoderSpec, Engine, Error, HeadMask, ModelShape, Precision, Rope, WindowLosses,
};
use decoder::Decoder;
use forward::{Memory, Network, Window};

/// The fast engine on a CPU. `N` are the maps and the embedding; `E` is what attention multiplies and what lies between two maps.
#[derive(Debug)]
pub(crate) struct NativeEngine<E, N: Matrix> {
    spec: DecoderSpec,
    layout: HeadLayout,
    decoder: Decoder<N>,
    instructions: Instructions,
    precision: Precision,
    /// Angles of as many positions as the longest window so far, of each rotary embedding, and of none.
    rotary: Mutex<Arc<Vec<RotaryTable>>>,
    /// Memory of windows that are done, for the next ones.
    idle: Mutex<Vec<Memory<E, N::Rows>>>,
}

impl<E: Operand, N: Takes<E>> NativeEngine<E, N> {
    /// Packs the weights of `checkpoint`.
    pub(crate) fn load(
        checkpoint: &Checkpoint<'_>,
        spec: DecoderSpec,
        (instructions, precision): (Instructions, Precision),
    ) -> Result<Self, Error> {
        let shape = &spec.shape;
        let layout = HeadLayout { heads: shape.heads, kv_heads: shape.kv_heads, head_dim: shape.head_dim };
        let decoder = Decoder::load(checkpoint, &spec)?;
        let (rotary, idle) = (Mutex::default(), Mutex::default());
        Ok(Self { spec, layout, decoder, instructions, precision, rotary, idle })
    }

    /// Runs `work` on `tokens`, embedded as one stream.
    fn with_window<T>(&self, tokens: &[u32], work: impl FnOnce(Window<'_, E, N>) -> T) -> T {
        let rotary = self.rotary(tokens.len());
        let mut memory = lock(&self.idle).pop().unwrap_or_default();
        let network = Network {
            decoder: &self.decoder,
            spec: &self.spec,
            layout: self.layout,
            rotary: &rotary,
            instructions: self.instructions,
        };
        let result = work(Window::embed(network, &mut memory, tokens));
        lock(&self.idle).push(memory);
        result
    }

    /// Angles of at least `positions` positions.
    fn rotary(&self, positions: usize) -> Arc<Vec<RotaryTable>> {
        let mut tables = lock(&self.rotary);
        if tables.first().map_or(0, RotaryTable::positions) < positions {
            let most = positions.next_power_of_two().min(self.spec.shape.context_tokens);
            let half = self.spec.shape.head_dim / 2;
            let table = |mut frequencies: Vec<f64>| {
                frequencies.resize(half, 0.0);
                RotaryTable::new(&frequencies, most)
            };
            let ropes = self.spec.ropes.iter().map(Rope::frequencies);
            *tables = Arc::new(ropes.chain([Vec::new()]).map(table).collect());
        }
        Arc::clone(&tables)
    }

    /// See [`Engine::batch_losses`].
    fn window_losses(&self, window: &[u32], mask: &HeadMask) -> Result<WindowLosses, Error> {
        validate_window(&self.spec.shape, window)?;
        let layers = self.spec.shape.layers;
        let shared = shared_layers(&self.spec.shape, [mask])?;
        if window.len() < 2 {
            return Ok(WindowLosses { base: Vec::new(), masked: Vec::new() });
        }
        let intact = HeadMask::default();
        let streams = if mask.set == HeadSet::default() { vec![&intact] } else { vec![&intact, mask] };
        let mut losses = self.with_window(window, |mut window| {
            window.layers(0..shared, &[&intact]);
            window.fork(streams.len());
            window.layers(shared..layers, &streams);
            window.losses() // (s, t − 1)
        });
        let masked = losses.pop().unwrap_or_default();
        let base = losses.pop().unwrap_or_else(|| masked.clone());
        Ok(WindowLosses { base, masked })
    }
}

/// Locks what no panic can leave half changed.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<E: Operand, N: Takes<E>> Engine for NativeEngine<E, N> {
    fn shape(&self) -> &ModelShape {
        &self.spec.shape
    }

    fn numerics(&self) -> Numerics {
        Numerics {
            engine: "native".to_owned(),
            device: "cpu".to_owned(),
            precision: self.precision.class().to_owned(),
            instructions: self.instructions.level().to_string(),
        }
    }

    fn concurrency(&self) -> Concurrency {
        Concurrency::WindowPerThread
    }

    fn batch_losses(&self, windows: &[&[u32]], mask: &HeadMask) -> Result<Vec<WindowLosses>, Error> {
        windows.iter().map(|window| self.window_losses(window, mask)).collect()
    }

    fn attention_argmax(&self, tokens: &[u32], rows: Range<usize>) -> Result<AttentionArgmax, Error> {
        validate_rows(&self.spec.shape, tokens, &rows)?;
        let count = rows.len();
        let positions = self.with_window(tokens, |mut window| window.argmax(rows));
        AttentionArgmax::new(self.spec.shape.layers, self.spec.shape.heads, count, positions)
    }

    fn predictions(&self, tokens: &[u32], rows: Range<usize>, masks: &[HeadMask]) -> Result<Vec<Vec<u32>>, Error> {
        validate_rows(&self.spec.shape, tokens, &rows)?;
        let shared = shared_layers(&self.spec.shape, masks)?;
        if masks.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.with_window(tokens, |mut window| {
            window.layers(0..shared, &[&HeadMask::default()]);
            window.fork(masks.len());
            window.layers(shared..self.spec.shape.layers, &masks.iter().collect::<Vec<_>>());
            window.predictions(rows) // (s, rows)
        }))
    }
}
