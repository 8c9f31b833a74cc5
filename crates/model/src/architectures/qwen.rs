//! Qwen2 (Yang et al. 2024, Qwen2 Technical Report, §2.2.1): biases on Q, K and V. Qwen3 (Yang et al. 2025, §2): norms of every head's Q and K
//! instead. The upper layers of either see a window if the configuration says so.

use super::Architecture;
use super::llama::LIKE_LLAMA;
use crate::keys::Keys;
use crate::spec::{Biases, Defaults, HeadNorms, sliding_width, windows};
use crate::{DecoderSpec, Error};

pub(super) static QWEN2: Architecture =
    Architecture { model_type: "qwen2", header: Some("qwen2"), read: qwen2, layout: LIKE_LLAMA };
pub(super) static QWEN3: Architecture =
    Architecture { model_type: "qwen3", header: Some("qwen3"), read: qwen3, layout: LIKE_LLAMA };

const DEFAULTS: Defaults = Defaults { kv_heads: Some(32), context_tokens: 1 << 15, ..Defaults::LLAMA };

fn qwen2(keys: &Keys) -> Result<DecoderSpec, Error> {
    let spec = DecoderSpec::llama("qwen2", keys, DEFAULTS)?;
    let biases = Biases::Known { projections: true, output: false, mlp: false };
    windowed(DecoderSpec { biases, ..spec }, keys)
}

fn qwen3(keys: &Keys) -> Result<DecoderSpec, Error> {
    let spec = DecoderSpec::llama("qwen3", keys, Defaults { head_dim: Some(128), ..DEFAULTS })?;
    windowed(DecoderSpec { head_norms: HeadNorms::EachHead, ..spec }, keys)
}

fn windowed(mut spec: DecoderSpec, keys: &Keys) -> Result<DecoderSpec, Error> {
    // it is a whole number even where it is not used
    keys.size_if_there("sliding_window")?;
    let width = if keys.flag_or("use_sliding_window", false)? { sliding_width(keys)? } else { None };
    let lowest = keys.size_or("max_window_layers", 28, 28)?;
    let seen = windows(keys, spec.shape.layers, width, |layer| width.is_some() && layer >= lowest)?;
    spec.layers.iter_mut().zip(seen).for_each(|(layer, window)| layer.window = window);
    Ok(spec)
}
