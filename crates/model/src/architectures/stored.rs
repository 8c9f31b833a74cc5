//! Where GGUF files keep tensors, and parts of maps that are stored as one.

use crate::ModelShape;
use crate::tensors::{Cut, Part, Role, Source};

/// Where GGUF files keep a tensor of most architectures.
pub(super) fn header_source(role: Role, _: &ModelShape) -> Source {
    let name = match role {
        Role::Embedding => Role::EMBEDDING_IN_GGUF.to_owned(),
        Role::Positions => "position_embd.weight".to_owned(),
        Role::FinalNorm => "output_norm.weight".to_owned(),
        Role::FinalNormBias => "output_norm.bias".to_owned(),
        Role::Head => "output.weight".to_owned(),
        Role::Weight(layer, part) => format!("blk.{layer}.{}.weight", header_part(part)),
        Role::Bias(layer, part) => format!("blk.{layer}.{}.bias", header_part(part)),
    };
    Source::whole(name)
}

const fn header_part(part: Part) -> &'static str {
    match part {
        Part::AttentionNorm => "attn_norm",
        Part::Query => "attn_q",
        Part::Key => "attn_k",
        Part::Value => "attn_v",
        Part::Output => "attn_output",
        Part::QueryNorm => "attn_q_norm",
        Part::KeyNorm => "attn_k_norm",
        Part::AttentionAfterNorm => "post_attention_norm",
        Part::MlpNorm => "ffn_norm",
        Part::Gate => "ffn_gate",
        Part::Up => "ffn_up",
        Part::Down => "ffn_down",
        Part::MlpAfterNorm => "post_ffw_norm",
    }
}

/// Where GGUF files keep a tensor of an architecture with Q, K and V in one map.
pub(super) fn fused_header_source(role: Role, shape: &ModelShape) -> Source {
    let Source { name, cut } = header_source(role, shape);
    match role.part().and_then(|part| projection(part, shape)) {
        Some(outputs) => Source { name: renamed(role, "attn_qkv"), cut: outputs },
        None => Source { name, cut },
    }
}

/// The name of a role's tensor in a GGUF file, for a part that is called `part` there.
pub(super) fn renamed(role: Role, part: &str) -> String {
    match role {
        Role::Bias(layer, _) => format!("blk.{layer}.{part}.bias"),
        Role::Weight(layer, _) => format!("blk.{layer}.{part}.weight"),
        _ => part.to_owned(),
    }
}

/// Which outputs of one map for Q, K and V, one below the other, are those of `part`; `None` if it is none of them.
pub(super) fn projection(part: Part, shape: &ModelShape) -> Option<Cut> {
    let (queries, keys) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    let first = match part {
        Part::Query => 0,
        Part::Key => queries,
        Part::Value => queries + keys,
        _ => return None,
    };
    Some(Cut::Outputs { first, total: queries + 2 * keys })
}

/// Which outputs of one map for gate and up, one below the other, are those of `part`; `None` if it is none of them.
pub(super) fn gate_or_up(part: Part, shape: &ModelShape) -> Option<Cut> {
    let first = match part {
        Part::Gate => 0,
        Part::Up => shape.intermediate,
        _ => return None,
    };
    Some(Cut::Outputs { first, total: 2 * shape.intermediate })
}
