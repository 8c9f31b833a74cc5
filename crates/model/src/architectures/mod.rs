//! The architectures that are known: how each reads its configuration and what it calls its tensors.
//!
//! Each is described by its difference to Llama. What a configuration leaves out is what transformers 5 takes; the names of tensors are those of
//! transformers, and of llama.cpp for GGUF files.

mod gemma;
mod gpt2;
mod gpt_neox;
mod granite;
mod llama;
mod mistral;
mod olmo;
mod phi3;
mod qwen;
mod smollm3;
mod stored;

use std::path::Path;

use crate::keys::Keys;
use crate::tensors::Layout;
use crate::{DecoderSpec, Error};

/// What is known of an architecture.
#[derive(Debug)]
pub(crate) struct Architecture {
    /// `model_type` in `config.json`.
    pub(crate) model_type: &'static str,
    /// `general.architecture` in GGUF files; `None` where they have no such decoder, or call it by another's name.
    pub(crate) header: Option<&'static str>,
    /// Reads a configuration.
    pub(crate) read: fn(&Keys) -> Result<DecoderSpec, Error>,
    /// Where files keep its tensors.
    pub(crate) layout: Layout,
}

/// Every architecture.
pub(crate) const ALL: [&Architecture; 14] = [
    &llama::LLAMA,
    &mistral::MISTRAL,
    &qwen::QWEN2,
    &qwen::QWEN3,
    &smollm3::SMOLLM3,
    &granite::GRANITE,
    &phi3::PHI3,
    &olmo::OLMO2,
    &olmo::OLMO3,
    &gemma::GEMMA,
    &gemma::GEMMA2,
    &gemma::GEMMA3,
    &gpt_neox::GPT_NEOX,
    &gpt2::GPT2,
];

/// What is supported, for error messages.
const KNOWN: &str =
    "llama, mistral, qwen2, qwen3, smollm3, granite, phi3, olmo2, olmo3, gemma, gemma2, gemma3_text, gpt_neox and gpt2";

/// Finds the architecture that `config.json` or a GGUF header names.
fn of(keys: &Keys) -> Result<&'static Architecture, Error> {
    const KEY: &str = "model_type";
    let name = keys.text(KEY)?.ok_or_else(|| keys.missing(KEY))?;
    let is_named = |known: &&&Architecture| {
        if keys.is_header() { known.header == Some(name) } else { known.model_type == name }
    };
    ALL.iter().find(is_named).copied().ok_or_else(|| {
        let experts = ["num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "expert_count"];
        let has_experts = experts.iter().any(|key| keys.value(key).is_some());
        let name = if has_experts { format!("{name}, a mixture of experts") } else { name.to_owned() };
        keys.unsupported(KEY, &name, KNOWN)
    })
}

impl DecoderSpec {
    /// Reads the description of a decoder from the text of its `config.json`, which lies at `path`.
    ///
    /// # Errors
    /// Names the key: an architecture or a value that this version cannot run, or a key that changes what a model computes and that the
    /// architecture does not have.
    pub fn of_config(path: &Path, text: &[u8]) -> Result<Self, Error> {
        Ok(described(&Keys::of_json(path, text)?)?.1)
    }
}

/// Reads the description of the decoder that `keys` configure.
pub(crate) fn described(keys: &Keys) -> Result<(&'static Architecture, DecoderSpec), Error> {
    let architecture = of(keys)?;
    keys.validate_types(architecture.model_type)?;
    let spec = (architecture.read)(keys)?.checked(keys)?;
    keys.finish(spec.architecture)?;
    Ok((architecture, spec))
}

#[cfg(test)]
mod tests;
