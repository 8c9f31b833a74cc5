//! Gemma (Gemma Team 2024, §2): embeddings times √hidden, a GELU gate, norms whose weights are stored less 1. Gemma 2 (Gemma Team 2024, §2) norms
//! around attention and MLP, caps logits, and sees a window in every other layer; Gemma 3 (Gemma Team 2025, §2) has norms of every head's Q and
//! K instead of caps, and another rotary base where it sees a window, in five of six layers.

use headwater_kernels::Activation;

use super::Architecture;
use super::llama::{self, LIKE_LLAMA};
use crate::keys::Keys;
use crate::rope::{self, RopeDefaults};
use crate::spec::{Defaults, HeadNorms, LayerSpec, NormPlaces, activation, sliding_width, windows};
use crate::tensors::{Layout, Part, Role, Source};
use crate::{DecoderSpec, Error, ModelShape};

pub(super) static GEMMA: Architecture =
    Architecture { model_type: "gemma", header: Some("gemma"), read: gemma, layout: ABOVE_ONE };
pub(super) static GEMMA2: Architecture =
    Architecture { model_type: "gemma2", header: Some("gemma2"), read: gemma2, layout: AROUND };
pub(super) static GEMMA3: Architecture =
    Architecture { model_type: "gemma3_text", header: Some("gemma3"), read: gemma3, layout: AROUND };

const ABOVE_ONE: Layout = Layout { norms_are_above_one: true, ..LIKE_LLAMA };
const AROUND: Layout = Layout { source, ..ABOVE_ONE };

const DEFAULTS: Defaults =
    Defaults { kv_heads: Some(16), head_dim: Some(256), context_tokens: 8_192, tied: true, ..Defaults::LLAMA };

fn gemma(keys: &Keys) -> Result<DecoderSpec, Error> {
    let spec = common("gemma", keys, DEFAULTS)?;
    // files of the first release say `gelu` and mean its approximation; `hidden_activation` is newer than they are
    let act = activation(keys, "hidden_act", Activation::GeluTanh)?;
    let act = if act == Activation::Gelu { Activation::GeluTanh } else { act };
    keys.pass_over(&["hidden_activation"]);
    Ok(DecoderSpec { activation: act, ..spec })
}

fn gemma2(keys: &Keys) -> Result<DecoderSpec, Error> {
    let spec = around("gemma2", keys, DEFAULTS)?;
    let seen = windows(keys, spec.shape.layers, sliding_width(keys)?, |layer| layer.is_multiple_of(2))?;
    let layers = seen.into_iter().map(|window| LayerSpec { rope: Some(0), window });
    // llama.cpp knows the largest, whose scale is another, by its number of layers
    let largest = keys.is_header() && spec.shape.layers == 46;
    let attention_scale = if largest {
        (spec.shape.hidden as f64 / spec.shape.heads as f64).sqrt().recip()
    } else {
        spec.attention_scale
    };
    Ok(DecoderSpec {
        attention_cap: keys.cap_or("attn_logit_softcapping", Some(50.0))?,
        logit_cap: keys.cap_or("final_logit_softcapping", Some(30.0))?,
        attention_scale,
        layers: layers.collect(),
        ..spec
    })
}

fn gemma3(keys: &Keys) -> Result<DecoderSpec, Error> {
    let defaults = Defaults { context_tokens: 1 << 17, ropes_differ: true, ..DEFAULTS };
    let spec = around("gemma3_text", keys, defaults)?;
    // not read beside a list of layers
    keys.pass_over(&["sliding_window_pattern", "_sliding_window_pattern"]);
    let is_listed = keys.value("layer_types").is_some();
    let pattern = if is_listed { 1 } else { keys.size_above_0("sliding_window_pattern")?.unwrap_or(6) };
    let seen = windows(keys, spec.shape.layers, sliding_width(keys)?, |layer| !(layer + 1).is_multiple_of(pattern))?;
    let defaults = |theta| RopeDefaults {
        theta,
        share: 1.0,
        may_share: false,
        context_tokens: spec.shape.context_tokens,
        original_context_tokens: None,
    };
    let full = defaults(keys.positive_or("rope_theta", 1e6)?);
    let sliding = defaults(keys.positive_or("rope_local_base_freq", 1e4)?);
    let [full, sliding] = rope::by_kind(keys, spec.shape.head_dim, [full, sliding])?;
    let layers = seen.into_iter().map(|window| LayerSpec { rope: Some(usize::from(window.is_some())), window });
    Ok(DecoderSpec {
        head_norms: HeadNorms::EachHead,
        // one of attention is not read, as in transformers
        logit_cap: keys.cap_or("final_logit_softcapping", None)?,
        ropes: vec![full, sliding],
        layers: layers.collect(),
        ..spec
    })
}

/// What all three have.
fn common(architecture: &'static str, keys: &Keys, defaults: Defaults) -> Result<DecoderSpec, Error> {
    let spec = DecoderSpec::llama(architecture, keys, defaults)?;
    Ok(DecoderSpec { embedding_multiplier: (spec.shape.hidden as f64).sqrt(), ..spec })
}

/// What the second and the third have.
fn around(architecture: &'static str, keys: &Keys, defaults: Defaults) -> Result<DecoderSpec, Error> {
    let spec = common(architecture, keys, Defaults { kv_heads: Some(4), ..defaults })?;
    let default = if keys.is_header() { spec.shape.head_dim as f64 } else { 256.0 };
    Ok(DecoderSpec {
        norm_places: NormPlaces::Around,
        activation: activation(keys, "hidden_activation", Activation::GeluTanh)?,
        attention_scale: keys.positive_or("query_pre_attn_scalar", default)?.sqrt().recip(),
        ..spec
    })
}

/// As Llama's, but for the norms of a layer.
fn source(role: Role, shape: &ModelShape) -> Source {
    let norm = |layer: usize, name: &str| Source::whole(format!("layers.{layer}.{name}.weight"));
    match role {
        Role::Weight(layer, Part::AttentionAfterNorm) => norm(layer, "post_attention_layernorm"),
        Role::Weight(layer, Part::MlpNorm) => norm(layer, "pre_feedforward_layernorm"),
        Role::Weight(layer, Part::MlpAfterNorm) => norm(layer, "post_feedforward_layernorm"),
        _ => llama::source(role, shape),
    }
}
