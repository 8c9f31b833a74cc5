//! OLMo 2 (OLMo Team 2024, 2 OLMo 2 Furious, §2.1): norms stand after attention and MLP, and Q and K are normed over all heads. OLMo 3 (2025)
//! sees a window in three of four layers.

use super::Architecture;
use super::llama::LIKE_LLAMA;
use crate::keys::Keys;
use crate::rope::{self, RopeDefaults};
use crate::spec::{Biases, Defaults, HeadNorms, LayerSpec, NormPlaces, sliding_width, windows};
use crate::{DecoderSpec, Error};

pub(super) static OLMO2: Architecture =
    Architecture { model_type: "olmo2", header: Some("olmo2"), read: olmo2, layout: LIKE_LLAMA };
pub(super) static OLMO3: Architecture =
    Architecture { model_type: "olmo3", header: None, read: olmo3, layout: LIKE_LLAMA };

const DEFAULTS: Defaults = Defaults { eps: 1e-5, ..Defaults::LLAMA };

fn olmo2(keys: &Keys) -> Result<DecoderSpec, Error> {
    Ok(with_norms_after(DecoderSpec::llama("olmo2", keys, DEFAULTS)?))
}

/// What both have.
fn with_norms_after(spec: DecoderSpec) -> DecoderSpec {
    // its MLP has no biases, whatever `mlp_bias` says
    let biases = match spec.biases {
        Biases::Known { projections, output, .. } => Biases::Known { projections, output, mlp: false },
        Biases::AsStored => Biases::AsStored,
    };
    DecoderSpec { norm_places: NormPlaces::After, head_norms: HeadNorms::AllHeads, biases, ..spec }
}

fn olmo3(keys: &Keys) -> Result<DecoderSpec, Error> {
    const THETA: f64 = 5e5;
    let defaults = Defaults { ropes_differ: true, ..DEFAULTS };
    let spec = with_norms_after(DecoderSpec::llama("olmo3", keys, defaults)?);
    let seen = windows(keys, spec.shape.layers, sliding_width(keys)?, |layer| !(layer + 1).is_multiple_of(4))?;
    let theta = keys.positive_or("rope_theta", THETA)?;
    let defaults = |theta| RopeDefaults {
        theta,
        share: 1.0,
        may_share: false,
        context_tokens: spec.shape.context_tokens,
        original_context_tokens: None,
    };
    // the base beside the tables is that of the layers that see all positions alone
    let [full, sliding] = rope::by_kind(keys, spec.shape.head_dim, [defaults(theta), defaults(THETA)])?;
    let layers = seen.into_iter().map(|window| LayerSpec { rope: Some(usize::from(window.is_some())), window });
    Ok(DecoderSpec { ropes: vec![full, sliding], layers: layers.collect(), ..spec })
}
