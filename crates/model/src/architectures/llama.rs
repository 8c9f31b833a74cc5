//! Llama (Touvron et al. 2023, LLaMA, §2.2) and SmolLM.

use super::Architecture;
use super::stored::header_source;
use crate::keys::Keys;
use crate::spec::{Defaults, with_window};
use crate::tensors::{Layout, Part, Role, Source};
use crate::{DecoderSpec, Error, ModelShape};

pub(super) static LLAMA: Architecture = Architecture {
    model_type: "llama",
    header: Some("llama"),
    read,
    layout: Layout { has_rotated_pairs: true, ..LIKE_LLAMA },
};

/// The tensors of Llama, in the layout of llama.cpp that most have.
pub(super) const LIKE_LLAMA: Layout =
    Layout { source, prefix: "model.", header_source, has_rotated_pairs: false, norms_are_above_one: false };

fn read(keys: &Keys) -> Result<DecoderSpec, Error> {
    let spec = DecoderSpec::llama("llama", keys, Defaults::LLAMA)?;
    // GGUF files call Mistral llama
    if keys.is_header() { with_window(spec, keys, None) } else { Ok(spec) }
}

/// Where a tensor of Llama is kept.
pub(super) fn source(role: Role, _: &ModelShape) -> Source {
    let name = match role {
        Role::Embedding => "embed_tokens.weight".to_owned(),
        Role::Positions => "embed_positions.weight".to_owned(),
        Role::FinalNorm => "norm.weight".to_owned(),
        Role::FinalNormBias => "norm.bias".to_owned(),
        Role::Head => return Source::outside("lm_head.weight"),
        Role::Weight(layer, part) => format!("layers.{layer}.{}.weight", name(part)),
        Role::Bias(layer, part) => format!("layers.{layer}.{}.bias", name(part)),
    };
    Source::whole(name)
}

const fn name(part: Part) -> &'static str {
    match part {
        Part::AttentionNorm => "input_layernorm",
        Part::Query => "self_attn.q_proj",
        Part::Key => "self_attn.k_proj",
        Part::Value => "self_attn.v_proj",
        Part::Output => "self_attn.o_proj",
        Part::QueryNorm => "self_attn.q_norm",
        Part::KeyNorm => "self_attn.k_norm",
        // Llama has no norm after attention; its norm before the MLP has the name
        Part::AttentionAfterNorm | Part::MlpNorm => "post_attention_layernorm",
        Part::Gate => "mlp.gate_proj",
        Part::Up => "mlp.up_proj",
        Part::Down => "mlp.down_proj",
        Part::MlpAfterNorm => "post_feedforward_layernorm",
    }
}
