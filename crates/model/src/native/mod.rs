//! The fast engine on a CPU: packed weights, one window a thread, the streams of a window side by side.
//!
//! Layers below the first masked head are computed once; from there on the intact and the masked stream go through every layer
//! together, so that each weight is read once for both. Neither logits nor attention matrices are stored.
//!
//! Source: the network is that of Touvron et al. (2023), LLaMA, §2.2, with grouped-query attention (Ainslie et al. 2023).

mod decoder;
mod forward;
mod rotations;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use headwater_kernels::{HeadLayout, Instructions, Matrix, Operand, RotaryTable, Takes};
use headwater_record::HeadSet;
use headwater_record::run::Numerics;

use crate::checkpoint::Checkpoint;
use crate::engine::{shared_layers, validate_rows, validate_window};
use crate::{AttentionArgmax, Concurrency, Engine, Error, HeadMask, ModelShape, Precision, WindowLosses};
use decoder::Decoder;
use forward::{Memory, Network, Window};

/// The fast engine on a CPU. `N` are the maps and the embedding; `E` is what attention multiplies and what lies between two maps.
#[derive(Debug)]
pub(crate) struct NativeEngine<E, N: Matrix> {
    shape: ModelShape,
    layout: HeadLayout,
    decoder: Decoder<N>,
    instructions: Instructions,
    precision: Precision,
    /// Angles of as many positions as the longest window so far.
    rotary: Mutex<Arc<RotaryTable>>,
    /// Memory of windows that are done, for the next ones.
    idle: Mutex<Vec<Memory<E, N::Rows>>>,
}

impl<E: Operand, N: Takes<E>> NativeEngine<E, N> {
    /// Packs the weights of `checkpoint`.
    pub(crate) fn load(
        checkpoint: &mut Checkpoint<'_>,
        shape: ModelShape,
        (instructions, precision): (Instructions, Precision),
    ) -> Result<Self, Error> {
        let layout = HeadLayout { heads: shape.heads, kv_heads: shape.kv_heads, head_dim: shape.head_dim };
        let decoder = Decoder::load(checkpoint, &shape)?;
        let (rotary, idle) = (Mutex::default(), Mutex::default());
        Ok(Self { shape, layout, decoder, instructions, precision, rotary, idle })
    }

    /// Runs `work` on `tokens`, embedded as one stream.
    fn with_window<T>(&self, tokens: &[u32], work: impl FnOnce(Window<'_, E, N>) -> T) -> T {
        let rotary = self.rotary(tokens.len());
        let mut memory = lock(&self.idle).pop().unwrap_or_default();
        let network = Network {
            decoder: &self.decoder,
            shape: &self.shape,
            layout: self.layout,
            rotary: &rotary,
            instructions: self.instructions,
        };
        let result = work(Window::embed(network, &mut memory, tokens));
        lock(&self.idle).push(memory);
        result
    }

    /// Angles of at least `positions` positions.
    fn rotary(&self, positions: usize) -> Arc<RotaryTable> {
        let mut table = lock(&self.rotary);
        if table.positions() < positions {
            let most = positions.next_power_of_two().min(self.shape.context_tokens);
            *table = Arc::new(RotaryTable::new(&self.shape.rope_frequencies(), most));
        }
        Arc::clone(&table)
    }

    /// See [`Engine::batch_losses`].
    fn window_losses(&self, window: &[u32], mask: &HeadMask) -> Result<WindowLosses, Error> {
        validate_window(&self.shape, window)?;
        let layers = self.shape.layers;
        let shared = shared_layers(&self.shape, [mask])?;
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
        &self.shape
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
        validate_rows(&self.shape, tokens, &rows)?;
        let count = rows.len();
        let positions = self.with_window(tokens, |mut window| window.argmax(rows));
        AttentionArgmax::new(self.shape.layers, self.shape.heads, count, positions)
    }

    fn predictions(&self, tokens: &[u32], rows: Range<usize>, masks: &[HeadMask]) -> Result<Vec<Vec<u32>>, Error> {
        validate_rows(&self.shape, tokens, &rows)?;
        let shared = shared_layers(&self.shape, masks)?;
        if masks.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.with_window(tokens, |mut window| {
            window.layers(0..shared, &[&HeadMask::default()]);
            window.fork(masks.len());
            window.layers(shared..self.shape.layers, &masks.iter().collect::<Vec<_>>());
            window.predictions(rows) // (s, rows)
        }))
    }
}
