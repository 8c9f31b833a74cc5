//! Granite 3 (Granite Team 2024): Llama with multipliers after the embedding, on attention, on what layers add, and under the logits, as by
//! Yang et al. (2022), Tensor Programs V.

use super::Architecture;
use super::llama::LIKE_LLAMA;
use crate::keys::Keys;
use crate::spec::Defaults;
use crate::tensors::Layout;
use crate::{DecoderSpec, Error};

pub(super) static GRANITE: Architecture = Architecture {
    model_type: "granite",
    header: Some("granite"),
    read,
    layout: Layout { has_rotated_pairs: true, ..LIKE_LLAMA },
};

fn read(keys: &Keys) -> Result<DecoderSpec, Error> {
    let spec = DecoderSpec::llama("granite", keys, Defaults::LLAMA)?;
    Ok(DecoderSpec {
        embedding_multiplier: keys.real_or("embedding_multiplier", 1.0)?,
        residual_multiplier: keys.real_or("residual_multiplier", 1.0)?,
        // products of queries and keys are multiplied with it alone, not with 1/√d
        attention_scale: keys.real_or("attention_multiplier", 1.0)?,
        logit_multiplier: keys.positive_or("logits_scaling", 1.0)?.recip(),
        ..spec
    })
}
