//! Mistral (Jiang et al. 2023, Mistral 7B, §2): every layer sees a window. GGUF files call it llama.

use super::Architecture;
use super::llama::LIKE_LLAMA;
use crate::keys::Keys;
use crate::spec::{Defaults, with_window};
use crate::{DecoderSpec, Error};

pub(super) static MISTRAL: Architecture =
    Architecture { model_type: "mistral", header: None, read, layout: LIKE_LLAMA };

fn read(keys: &Keys) -> Result<DecoderSpec, Error> {
    let defaults = Defaults { kv_heads: Some(8), context_tokens: 1 << 17, ..Defaults::LLAMA };
    let spec = DecoderSpec::llama("mistral", keys, defaults)?;
    with_window(spec, keys, Some(4_096))
}
