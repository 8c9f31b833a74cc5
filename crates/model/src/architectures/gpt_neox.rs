//! GPT-NeoX (Black et al. 2022, GPT-NeoX-20B, §2.1) and Pythia: layer norms, biases, attention and MLP side by side, a GELU without a gate, and a
//! quarter of each head rotated.

use headwater_kernels::Activation;

use super::Architecture;
use super::llama::LIKE_LLAMA;
use super::stored::fused_header_source;
use crate::keys::Keys;
use crate::rope::{self, RopeDefaults};
use crate::spec::{Biases, Defaults, NormKind, activation, tying};
use crate::tensors::{Cut, Layout, Part, Role, Source};
use crate::{DecoderSpec, Error, ModelShape};

pub(super) static GPT_NEOX: Architecture = Architecture {
    model_type: "gpt_neox",
    header: Some("gptneox"),
    read,
    layout: Layout { source, prefix: "gpt_neox.", header_source: fused_header_source, ..LIKE_LLAMA },
};

fn read(keys: &Keys) -> Result<DecoderSpec, Error> {
    let (heads, hidden, layers) =
        (keys.size("num_attention_heads")?, keys.size("hidden_size")?, keys.size("num_hidden_layers")?);
    let shape = ModelShape {
        layers,
        heads,
        kv_heads: heads,
        head_dim: hidden.checked_div(heads).unwrap_or_default(),
        hidden,
        intermediate: keys.size("intermediate_size")?,
        mlp_maps: 2,
        vocab: keys.size("vocab_size")?,
        context_tokens: keys.size_or("max_position_embeddings", Defaults::LLAMA.context_tokens, 0)?,
        attention_windows: Vec::new(),
    };
    shape.validate(keys.path())?;
    if heads * shape.head_dim != hidden {
        let supported = "a multiple of the number of heads";
        return Err(keys.unsupported("hidden_size", &hidden.to_string(), supported));
    }
    if keys.size_if_there("head_dim")?.is_some_and(|width| width != shape.head_dim) {
        return Err(keys.unsupported("head_dim", "another number", "the hidden size divided by the number of heads"));
    }
    // by names of its own; transformers does not read those of others, but in the table
    let (theta, share) =
        (keys.positive_or("rotary_emb_base", Defaults::LLAMA.theta)?, keys.real_or("rotary_pct", 0.25)?);
    let table = keys.table("rope_scaling")?.or(keys.table("rope_parameters")?);
    for (key, own, value, supported) in [
        ("rope_theta", "rotary_emb_base", theta, "the base under `rotary_emb_base`, in this architecture"),
        ("partial_rotary_factor", "rotary_pct", share, "the share under `rotary_pct`, in this architecture"),
    ] {
        if keys.is_header() || table.as_ref().is_some_and(|table| table.value(key).is_some()) {
            continue;
        }
        keys.refuse_null(&[own])?;
        let stated = keys.real_or(key, value)?;
        if stated != value {
            return Err(keys.unsupported(key, &stated.to_string(), supported));
        }
    }
    let rope = RopeDefaults {
        theta,
        share,
        may_share: true,
        context_tokens: shape.context_tokens,
        original_context_tokens: None,
    };
    let has_biases = keys.flag_or("attention_bias", true)?;
    let biases = Biases::Known { projections: has_biases, output: has_biases, mlp: true };
    Ok(DecoderSpec {
        norm: NormKind::Layer,
        norm_eps: keys.positive_or("layer_norm_eps", 1e-5)?,
        is_parallel: keys.flag_or("use_parallel_residual", true)?,
        activation: activation(keys, "hidden_act", Activation::Gelu)?,
        biases,
        tying: tying(keys, false)?,
        ropes: vec![rope::read(keys, shape.head_dim, rope)?],
        ..DecoderSpec::plain("gpt_neox", shape)
    })
}

fn source(role: Role, _: &ModelShape) -> Source {
    let name = match role {
        Role::Embedding => "embed_in.weight".to_owned(),
        Role::Positions => "embed_positions.weight".to_owned(),
        Role::FinalNorm => "final_layer_norm.weight".to_owned(),
        Role::FinalNormBias => "final_layer_norm.bias".to_owned(),
        Role::Head => return Source::outside("embed_out.weight"),
        Role::Weight(layer, part) | Role::Bias(layer, part) => {
            let (name, index) = name(part);
            let name = format!("layers.{layer}.{name}.{}", role.kind());
            // Q, K and V of a head lie one below the other, then those of the next head
            return Source { name, cut: index.map_or(Cut::Whole, |index| Cut::OfEveryHead { index, of: 3 }) };
        }
    };
    Source::whole(name)
}

/// The name of a part, and which third of every head it is.
const fn name(part: Part) -> (&'static str, Option<usize>) {
    match part {
        Part::AttentionNorm => ("input_layernorm", None),
        Part::Query => ("attention.query_key_value", Some(0)),
        Part::Key => ("attention.query_key_value", Some(1)),
        Part::Value => ("attention.query_key_value", Some(2)),
        Part::Output => ("attention.dense", None),
        Part::QueryNorm => ("attention.query_layernorm", None),
        Part::KeyNorm => ("attention.key_layernorm", None),
        Part::MlpNorm => ("post_attention_layernorm", None),
        Part::Gate | Part::Up => ("mlp.dense_h_to_4h", None),
        Part::Down => ("mlp.dense_4h_to_h", None),
        Part::AttentionAfterNorm => ("after_attention_layernorm", None),
        Part::MlpAfterNorm => ("after_mlp_layernorm", None),
    }
}
