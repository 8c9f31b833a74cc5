//! Phi-3 (Abdin et al. 2024, Phi-3 Technical Report, §2): Llama with Q, K and V in one map, gate and up in another, and perhaps a window.

use super::Architecture;
use super::llama::{self, LIKE_LLAMA};
use super::stored::{fused_header_source, gate_or_up, projection, renamed};
use crate::keys::Keys;
use crate::rope::RopeScaling;
use crate::spec::{Defaults, with_window};
use crate::tensors::{Layout, Role, Source};
use crate::{DecoderSpec, Error, ModelShape};

pub(super) static PHI3: Architecture = Architecture {
    model_type: "phi3",
    header: Some("phi3"),
    read,
    layout: Layout { source, header_source, ..LIKE_LLAMA },
};

fn read(keys: &Keys) -> Result<DecoderSpec, Error> {
    // of this architecture alone a configuration that says none has one
    let original_context_tokens = Some(keys.size_or("original_max_position_embeddings", 4_096, 4_096)?);
    let defaults = Defaults {
        context_tokens: 4_096,
        eps: 1e-5,
        original_context_tokens,
        may_share: true,
        padding: Some(32_000),
        ..Defaults::LLAMA
    };
    let spec = DecoderSpec::llama("phi3", keys, defaults)?;
    // as transformers, which knows no other of it; a header says no type where divisors are stored
    if !keys.is_header() && !matches!(spec.ropes[0].scaling, RopeScaling::None | RopeScaling::Divisors(_)) {
        let supported = "longrope, or none, in this architecture";
        return Err(keys.unsupported("rope_scaling", "of another type", supported));
    }
    with_window(spec, keys, None)
}

fn source(role: Role, shape: &ModelShape) -> Source {
    let (Some(part), Role::Weight(layer, _) | Role::Bias(layer, _)) = (role.part(), role) else {
        return llama::source(role, shape);
    };
    if let Some(cut) = projection(part, shape) {
        return Source { name: format!("layers.{layer}.self_attn.qkv_proj.{}", role.kind()), cut };
    }
    match gate_or_up(part, shape) {
        Some(cut) => Source { name: format!("layers.{layer}.mlp.gate_up_proj.{}", role.kind()), cut },
        None => llama::source(role, shape),
    }
}

fn header_source(role: Role, shape: &ModelShape) -> Source {
    match role.part().and_then(|part| gate_or_up(part, shape)) {
        Some(cut) => Source { name: renamed(role, "ffn_up"), cut },
        None => fused_header_source(role, shape),
    }
}
