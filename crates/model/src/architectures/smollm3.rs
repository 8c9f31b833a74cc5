//! SmolLM3 (Bakouch et al. 2025): every fourth layer rotates nothing, as by Yang et al. (2025), Rope to Nope and Back Again.

use serde_json::Value;

use super::Architecture;
use super::llama::LIKE_LLAMA;
use crate::keys::Keys;
use crate::spec::{Defaults, windows};
use crate::tensors::Layout;
use crate::{DecoderSpec, Error};

pub(super) static SMOLLM3: Architecture = Architecture {
    model_type: "smollm3",
    header: Some("smollm3"),
    read,
    layout: Layout { has_rotated_pairs: true, ..LIKE_LLAMA },
};

fn read(keys: &Keys) -> Result<DecoderSpec, Error> {
    let defaults = Defaults {
        kv_heads: Some(4),
        context_tokens: 1 << 15,
        theta: 2e6,
        tied: true,
        padding: Some(128_004),
        ..Defaults::LLAMA
    };
    let mut spec = DecoderSpec::llama("smollm3", keys, defaults)?;
    let is_rotated = rotated(keys, spec.shape.layers)?;
    let is_used = keys.flag_or("use_sliding_window", false)?;
    let width = keys.size_if_there("sliding_window")?.filter(|_| is_used);
    let seen = windows(keys, spec.shape.layers, width, |layer| width.is_some() && !is_rotated[layer])?;
    for ((layer, is_rotated), window) in spec.layers.iter_mut().zip(is_rotated).zip(seen) {
        layer.rope = is_rotated.then_some(0);
        layer.window = window;
    }
    Ok(spec)
}

/// Whether each of `layers` layers is rotated.
fn rotated(keys: &Keys, layers: usize) -> Result<Vec<bool>, Error> {
    const KEY: &str = "no_rope_layers";
    // not read beside a list of layers
    keys.pass_over(&["no_rope_layer_interval"]);
    let Some(flags) = keys.list(KEY)? else {
        let interval = keys.size_above_0("no_rope_layer_interval")?.unwrap_or(4);
        return Ok((1..=layers).map(|layer| !layer.is_multiple_of(interval)).collect());
    };
    let is_rotated = |flag: &Value| match flag.as_u64().or(flag.as_bool().map(u64::from)) {
        Some(flag @ (0 | 1)) => Ok(flag == 1),
        _ => Err(keys.unsupported(KEY, &flag.to_string(), "0 for a layer without rotation and 1 for one with it")),
    };
    if flags.len() < layers {
        return Err(keys.unsupported(
            KEY,
            &format!("a list of {}", flags.len()),
            "a list with an entry for each layer",
        ));
    }
    flags[..layers].iter().map(is_rotated).collect()
}
