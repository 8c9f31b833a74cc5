//! The portable engine: the forward pass on `candle`, readable beside the paper.
//!
//! Shapes use these letters: `t` tokens of the window, `q` query rows of a block, `e` positions visible to the block,
//! `h` query heads, `k` key/value heads, `g` query heads that share one of them, `d` head width.
//!
//! Source: the network is that of Touvron et al. (2023), LLaMA, §2.2, with grouped-query attention (Ainslie et al. 2023).

mod attention;
mod decoder;
mod linear;
mod losses;

use std::ops::Range;

use candle_core::Device;
use headwater_record::HeadSet;
use headwater_record::run::Numerics;

use crate::checkpoint::Checkpoint;
use crate::engine::{lowest_argmax, shared_layers, validate_rows, validate_window};
use crate::{
    AttentionArgmax, Concurrency, Engine, EngineOptions, Error, HeadMask, ModelShape, Precision, WindowLosses,
};
use decoder::Decoder;

/// The portable engine.
#[derive(Debug)]
pub(crate) struct CandleEngine {
    shape: ModelShape,
    decoder: Decoder,
    device: Device,
    precision: Precision,
}

impl CandleEngine {
    /// Puts the weights of `checkpoint` on the device.
    pub(crate) fn load(
        checkpoint: &mut Checkpoint<'_>,
        shape: ModelShape,
        options: &EngineOptions,
    ) -> Result<Self, Error> {
        let device = device(&options.device)?;
        let decoder = Decoder::load(checkpoint, &shape, &linear::Placement::new(&device, options.precision))?;
        Ok(Self { shape, decoder, device, precision: options.precision })
    }
}

impl Engine for CandleEngine {
    fn shape(&self) -> &ModelShape {
        &self.shape
    }

    fn numerics(&self) -> Numerics {
        let (device, instructions) = match self.device {
            Device::Cpu => ("cpu", instruction_level()),
            Device::Cuda(_) => ("cuda", String::new()),
            Device::Metal(_) => ("metal", String::new()),
        };
        Numerics {
            engine: "candle".to_owned(),
            device: device.to_owned(),
            precision: self.precision.as_str().to_owned(),
            instructions,
        }
    }

    fn concurrency(&self) -> Concurrency {
        Concurrency::OneWindow
    }

    fn losses(&self, window: &[u32], mask: &HeadMask) -> Result<WindowLosses, Error> {
        validate_window(&self.shape, window)?;
        let targets = &window[1..];
        if targets.is_empty() {
            return Ok(WindowLosses { base: Vec::new(), masked: Vec::new() });
        }
        let layers = self.shape.layers;
        let shared = shared_layers(&self.shape, [mask])?;
        let trunk = self.decoder.trunk(window, &self.device)?;
        let below = trunk.layers(0..shared, &trunk.embed()?, &HeadMask::default())?; // (t, hidden)
        let intact = trunk.layers(shared..layers, &below, &HeadMask::default())?; // (t, hidden)
        let base = self.decoder.losses(&intact, targets)?; // (t − 1,)
        let masked = if mask.set == HeadSet::default() {
            base.clone()
        } else {
            self.decoder.losses(&trunk.layers(shared..layers, &below, mask)?, targets)? // (t − 1,)
        };
        Ok(WindowLosses { base, masked })
    }

    fn attention_argmax(&self, tokens: &[u32], rows: Range<usize>) -> Result<AttentionArgmax, Error> {
        validate_rows(&self.shape, tokens, &rows)?;
        let trunk = self.decoder.trunk(tokens, &self.device)?;
        let mut hidden = trunk.embed()?; // (t, hidden)
        let mut positions = Vec::with_capacity(self.shape.layers * self.shape.heads * rows.len());
        for layer in 0..self.shape.layers {
            let logits = trunk.attention_logits(layer, &hidden, &rows)?; // (h, q, t)
            for head in logits.to_vec3::<f32>()? {
                positions.extend(head.iter().zip(rows.clone()).map(|(row, query)| lowest_argmax(&row[..=query])));
            }
            hidden = trunk.layers(layer..layer + 1, &hidden, &HeadMask::default())?; // (t, hidden)
        }
        AttentionArgmax::new(self.shape.layers, self.shape.heads, rows.len(), positions)
    }

    fn predictions(&self, tokens: &[u32], rows: Range<usize>, masks: &[HeadMask]) -> Result<Vec<Vec<u32>>, Error> {
        validate_rows(&self.shape, tokens, &rows)?;
        let layers = self.shape.layers;
        let shared = shared_layers(&self.shape, masks)?;
        let trunk = self.decoder.trunk(tokens, &self.device)?;
        let below = trunk.layers(0..shared, &trunk.embed()?, &HeadMask::default())?; // (t, hidden)
        let most_likely = |mask: &HeadMask| {
            let hidden = trunk.layers(shared..layers, &below, mask)?; // (t, hidden)
            let logits = self.decoder.logits(&hidden.narrow(0, rows.start, rows.len())?)?; // (q, vocab)
            Ok(logits.to_vec2::<f32>()?.iter().map(|row| lowest_argmax(row)).collect())
        };
        masks.iter().map(most_likely).collect()
    }
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
