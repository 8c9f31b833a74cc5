//! The portable engine: the forward pass on `candle`, readable beside the paper.
//!
//! Shapes use these letters: `w` windows of the batch, `t` tokens of the longest, `q` query rows of a block, `e` positions visible to the block,
//! `h` query heads, `k` key/value heads, `g` query heads that share one of them, `d` head width.
//!
//! The network is what a [`DecoderSpec`] says.

mod attention;
mod decoder;
mod linear;
mod losses;

use std::ops::Range;

use candle_core::Device;
use candle_nn::kv_cache::KvCache;
use headwater_record::HeadSet;
use headwater_record::run::Numerics;

use crate::engine::{argmax_of_seen, lowest_argmax, shared_layers, validate_rows, validate_window};
use crate::options::CPU;
use crate::tensors::Checkpoint;
use crate::{
    AttentionArgmax, Concurrency, Continuation, DecoderSpec, Engine, EngineOptions, Error, HeadMask, ModelShape,
    Precision, WindowLosses,
};
use decoder::Decoder;
use losses::Targets;

/// Float32 copies of the residual stream, of the gates, of the heads' rows and of a block's attention logits that are in memory at once, counted
/// in the code of a layer with both passes' streams.
const RESIDUALS: usize = 6;
const GATES: usize = 5;
const PROJECTIONS: usize = 6;
const LOGITS: usize = 4;

/// The portable engine.
#[derive(Debug)]
pub(crate) struct CandleEngine {
    spec: DecoderSpec,
    decoder: Decoder,
    device: Device,
    precision: Precision,
    batch_tokens: usize,
}

impl CandleEngine {
    /// Puts the weights of `checkpoint` on the device.
    pub(crate) fn load(checkpoint: &Checkpoint<'_>, spec: DecoderSpec, options: &EngineOptions) -> Result<Self, Error> {
        let device = device(&options.device)?;
        let decoder = Decoder::load(checkpoint, &spec, &linear::Placement::new(&device, options.precision))?;
        let batch_tokens = batch_tokens(&spec.shape, options);
        Ok(Self { spec, decoder, device, precision: options.precision, batch_tokens })
    }
}

impl Engine for CandleEngine {
    fn shape(&self) -> &ModelShape {
        &self.spec.shape
    }

    fn numerics(&self) -> Numerics {
        let (device, instructions) = match self.device {
            Device::Cpu => ("cpu", instruction_level()),
            // last bits depend on the shapes of products, and these on how windows are batched
            Device::Cuda(_) => ("cuda", format!("batches of {} tokens", self.batch_tokens)),
            Device::Metal(_) => ("metal", format!("batches of {} tokens", self.batch_tokens)),
        };
        Numerics {
            engine: "candle".to_owned(),
            device: device.to_owned(),
            precision: self.precision.as_str().to_owned(),
            instructions,
        }
    }

    fn concurrency(&self) -> Concurrency {
        Concurrency::Batch { tokens: self.batch_tokens }
    }

    fn batch_losses(&self, windows: &[&[u32]], mask: &HeadMask) -> Result<Vec<WindowLosses>, Error> {
        windows.iter().try_for_each(|window| validate_window(&self.spec.shape, window))?;
        let targets = Targets::new(windows);
        let shared = shared_layers(&self.spec.shape, [mask])?;
        if targets.is_empty() {
            return Ok(vec![WindowLosses { base: Vec::new(), masked: Vec::new() }; windows.len()]);
        }
        let layers = self.spec.shape.layers;
        let trunk = self.decoder.trunk(windows, &self.device)?;
        let below = trunk.layers(0..shared, &trunk.embed()?, &HeadMask::default())?; // (w·t, hidden)
        let intact = trunk.layers(shared..layers, &below, &HeadMask::default())?; // (w·t, hidden)
        let base = self.decoder.losses(&intact, &targets)?;
        let masked = if mask.set == HeadSet::default() {
            base.clone()
        } else {
            self.decoder.losses(&trunk.layers(shared..layers, &below, mask)?, &targets)?
        };
        Ok(base.into_iter().zip(masked).map(|(base, masked)| WindowLosses { base, masked }).collect())
    }

    fn attention_argmax(&self, tokens: &[u32], rows: Range<usize>) -> Result<AttentionArgmax, Error> {
        validate_rows(&self.spec.shape, tokens, &rows)?;
        let trunk = self.decoder.trunk(&[tokens], &self.device)?;
        let mut hidden = trunk.embed()?; // (t, hidden)
        let mut positions = Vec::with_capacity(self.spec.shape.layers * self.spec.shape.heads * rows.len());
        for layer in 0..self.spec.shape.layers {
            let logits = trunk.attention_logits(layer, &hidden, &rows)?; // (h, q, t)
            for head in logits.to_vec3::<f32>()? {
                let most = |(row, query): (&Vec<f32>, usize)| {
                    argmax_of_seen(row, self.spec.layers[layer].first_seen(query)..=query)
                };
                positions.extend(head.iter().zip(rows.clone()).map(most));
            }
            hidden = trunk.layers(layer..layer + 1, &hidden, &HeadMask::default())?; // (t, hidden)
        }
        AttentionArgmax::new(self.spec.shape.layers, self.spec.shape.heads, rows.len(), positions)
    }

    fn predictions(&self, tokens: &[u32], rows: Range<usize>, masks: &[HeadMask]) -> Result<Vec<Vec<u32>>, Error> {
        validate_rows(&self.spec.shape, tokens, &rows)?;
        let layers = self.spec.shape.layers;
        let shared = shared_layers(&self.spec.shape, masks)?;
        let trunk = self.decoder.trunk(&[tokens], &self.device)?;
        let below = trunk.layers(0..shared, &trunk.embed()?, &HeadMask::default())?; // (t, hidden)
        let most_likely = |mask: &HeadMask| {
            let hidden = trunk.layers(shared..layers, &below, mask)?; // (t, hidden)
            let logits = self.decoder.logits(&hidden.narrow(0, rows.start, rows.len())?)?; // (q, vocab)
            Ok(logits.to_vec2::<f32>()?.iter().map(|row| lowest_argmax(row)).collect())
        };
        masks.iter().map(most_likely).collect()
    }

    fn continuation(&self) -> Result<Box<dyn Continuation + '_>, Error> {
        let cache = || KvCache::new(2, FIRST_POSITIONS.min(self.spec.shape.context_tokens));
        let caches = (0..self.spec.shape.layers).map(|_| cache()).collect();
        Ok(Box::new(CandleContinuation { engine: self, caches }))
    }
}

/// Positions that a cache has room for at first; it grows by as many.
const FIRST_POSITIONS: usize = 128;

/// A text that grows: the keys and values of its tokens, one cache a layer.
struct CandleContinuation<'a> {
    engine: &'a CandleEngine,
    caches: Vec<KvCache>,
}

impl Continuation for CandleContinuation<'_> {
    fn len(&self) -> usize {
        self.caches.first().map_or(0, KvCache::current_seq_len)
    }

    fn extend(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Error> {
        let CandleEngine { spec, decoder, device, .. } = self.engine;
        validate_window(&spec.shape, tokens)?;
        let all = self.len() + tokens.len();
        if all > spec.shape.context_tokens {
            return Err(Error::WindowLength { tokens: all, context: spec.shape.context_tokens });
        }
        let last = decoder.extend(tokens, &mut self.caches, device)?; // (1, hidden)
        Ok(decoder.logits(&last)?.squeeze(0)?.to_vec1()?)
    }
}

/// Tokens of a batch that the memory of `options` has room for, at least one, so that a window is always a batch.
///
/// On a CPU a batch gains nothing: its windows are computed alone, whatever the memory.
fn batch_tokens(shape: &ModelShape, options: &EngineOptions) -> usize {
    if options.device == CPU {
        return 1;
    }
    let floats = RESIDUALS * shape.hidden
        + GATES * shape.intermediate
        + PROJECTIONS * (shape.heads + shape.kv_heads) * shape.head_dim
        + LOGITS * shape.heads * attention::BLOCK_ROWS;
    let tokens = options.batch_memory.0 / (floats * size_of::<f32>()) as u64;
    usize::try_from(tokens).unwrap_or(usize::MAX).max(1)
}

fn device(name: &str) -> Result<Device, Error> {
    let wrong = |reason: String| Error::Device { device: name.to_owned(), reason };
    let ordinal = |text: &str| text.parse::<usize>().map_err(|_| wrong("its number is not one".to_owned()));
    match name.split_once(':') {
        None if name == "cpu" => Ok(Device::Cpu),
        None if name == "cuda" => cuda(0).map_err(wrong),
        Some(("cuda", number)) => cuda(ordinal(number)?).map_err(wrong),
        None if name == "metal" => metal().map_err(wrong),
        _ => Err(wrong("there are cpu, cuda:N and metal".to_owned())),
    }
}

fn cuda(ordinal: usize) -> Result<Device, String> {
    if cfg!(feature = "cuda") {
        Device::new_cuda(ordinal).map_err(|error| error.to_string())
    } else {
        Err("this binary was built without the `cuda` feature".to_owned())
    }
}

fn metal() -> Result<Device, String> {
    if cfg!(feature = "metal") {
        Device::new_metal(0).map_err(|error| error.to_string())
    } else {
        Err("this binary was built without the `metal` feature".to_owned())
    }
}

/// The instruction level that candle chooses at run time, and the first-level data cache that its products are cut for.
///
/// On x86-64 its matrix products (gemm 0.19) use AVX-512 or FMA where the processor has it, and its sums (of softmax and
/// log-sum-exp) AVX2.
///
/// A product over more than 512 terms is also cut into blocks whose length gemm derives from the first-level data
/// cache: 1,536 terms become blocks of 512 with 32 KiB in 8 ways, of 768 with 48 KiB in 12 ways. Between such
/// processors the last bits of a loss differ, so the cache is part of the level.
fn instruction_level() -> String {
    let l1 = gemm_common::cache::CACHE_INFO[0];
    format!("{}, L1d {} KiB in {} ways", instructions(), l1.cache_bytes >> 10, l1.associativity)
}

#[cfg(target_arch = "x86_64")]
fn instructions() -> String {
    let features = [
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
    ];
    let present = features.into_iter().filter(|(_, present)| *present);
    std::iter::once("x86-64").chain(present.map(|(name, _)| name)).collect::<Vec<_>>().join(" ")
}

#[cfg(not(target_arch = "x86_64"))]
fn instructions() -> String {
    std::env::consts::ARCH.to_owned()
}
