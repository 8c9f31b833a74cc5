//! GPT-2 (Radford et al. 2019, §2.3): layer norms, biases, learned positions, a GELU without a gate; weights are stored with their inputs first.

use headwater_kernels::Activation;

use super::Architecture;
use super::llama::LIKE_LLAMA;
use super::stored::{fused_header_source, projection};
use crate::keys::Keys;
use crate::spec::{Biases, LayerSpec, NormKind, activation, tying};
use crate::tensors::{Cut, Layout, Part, Role, Source};
use crate::{DecoderSpec, Error, ModelShape};

pub(super) static GPT2: Architecture = Architecture {
    model_type: "gpt2",
    header: Some("gpt2"),
    read,
    layout: Layout { source, prefix: "transformer.", header_source: fused_header_source, ..LIKE_LLAMA },
};

fn read(keys: &Keys) -> Result<DecoderSpec, Error> {
    // the names of GPT-2, and those that transformers takes for them
    let size = |own: &str, other: &str| match (keys.size_if_there(own)?, keys.size_if_there(other)?) {
        (Some(size), Some(another)) if size != another => {
            Err(keys.unsupported(other, &another.to_string(), "the same as under GPT-2's own name"))
        }
        (Some(size), _) | (None, Some(size)) => Ok(size),
        (None, None) => Err(keys.missing(own)),
    };
    let (heads, hidden, layers) =
        (size("n_head", "num_attention_heads")?, size("n_embd", "hidden_size")?, size("n_layer", "num_hidden_layers")?);
    let inner = if keys.is_header() { "intermediate_size" } else { "n_inner" };
    let shape = ModelShape {
        layers,
        heads,
        kv_heads: heads,
        head_dim: hidden.checked_div(heads).unwrap_or_default(),
        hidden,
        intermediate: keys.size_if_there(inner)?.unwrap_or(4 * hidden),
        mlp_maps: 2,
        vocab: keys.size("vocab_size")?,
        context_tokens: size("n_positions", "max_position_embeddings")?,
        attention_windows: Vec::new(),
    };
    shape.validate(keys.path())?;
    if heads * shape.head_dim != hidden {
        return Err(keys.unsupported("n_embd", &hidden.to_string(), "a multiple of the number of heads"));
    }
    if keys.flag_or("scale_attn_by_inverse_layer_idx", false)? {
        return Err(keys.unsupported("scale_attn_by_inverse_layer_idx", "true", "false"));
    }
    let is_scaled = keys.flag_or("scale_attn_weights", true)?;
    let attention_scale = if is_scaled { (shape.head_dim as f64).sqrt().recip() } else { 1.0 };
    // the context is what is left of the older name
    keys.pass_over(&["n_ctx"]);
    Ok(DecoderSpec {
        norm: NormKind::Layer,
        norm_eps: keys.positive_or(if keys.is_header() { "layer_norm_eps" } else { "layer_norm_epsilon" }, 1e-5)?,
        activation: activation(keys, "activation_function", Activation::GeluTanh)?,
        learns_positions: true,
        attention_scale,
        biases: Biases::Known { projections: true, output: true, mlp: true },
        tying: tying(keys, true)?,
        layers: vec![LayerSpec { rope: None, window: None }; layers],
        ..DecoderSpec::plain("gpt2", shape)
    })
}

fn source(role: Role, shape: &ModelShape) -> Source {
    let name = match role {
        Role::Embedding => "wte.weight".to_owned(),
        Role::Positions => "wpe.weight".to_owned(),
        Role::FinalNorm => "ln_f.weight".to_owned(),
        Role::FinalNormBias => "ln_f.bias".to_owned(),
        Role::Head => return Source::outside("lm_head.weight"),
        Role::Weight(layer, part) | Role::Bias(layer, part) => {
            let name = format!("h.{layer}.{}.{}", name(part), role.kind());
            let cut = match (projection(part, shape), role) {
                (Some(Cut::Outputs { first, total }), Role::Weight(..)) => Cut::Columns { first, total },
                (Some(cut), _) => cut,
                (None, Role::Weight(..)) if part.is_map() => Cut::Columns { first: 0, total: 0 },
                (None, _) => Cut::Whole,
            };
            return Source { name, cut };
        }
    };
    Source::whole(name)
}

const fn name(part: Part) -> &'static str {
    match part {
        Part::AttentionNorm => "ln_1",
        Part::Query | Part::Key | Part::Value => "attn.c_attn",
        Part::Output => "attn.c_proj",
        Part::QueryNorm => "attn.q_norm",
        Part::KeyNorm => "attn.k_norm",
        Part::AttentionAfterNorm => "ln_after_attn",
        Part::MlpNorm => "ln_2",
        Part::Gate | Part::Up => "mlp.c_fc",
        Part::Down => "mlp.c_proj",
        Part::MlpAfterNorm => "ln_after_mlp",
    }
}
