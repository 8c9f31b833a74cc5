//! The end-of-text token of a model, from the files beside its `tokenizer.json`.

use std::path::Path;

use serde::Deserialize;

use crate::Error;
use crate::beside::{TokenText, json};

/// What is read of `tokenizer_config.json`, `generation_config.json` and `config.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Beside {
    /// The token's text, or an object with it as `content`.
    eos_token: Option<TokenText>,
    /// The token's id; of several the first is meant.
    eos_token_id: Option<Ids>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    One(u32),
    Several(Vec<u32>),
}

/// Finds the id in the files beside `tokenizer`, the first that says so; `id` looks a token's text up.
pub(crate) fn beside(tokenizer: &Path, id: &dyn Fn(&str) -> Option<u32>) -> Result<Option<u32>, Error> {
    for name in ["tokenizer_config.json", "generation_config.json", "config.json"] {
        let read: Beside = json(tokenizer, name)?;
        let by_text = read.eos_token.and_then(|text| id(&String::from(text)));
        let found = by_text.or_else(|| match read.eos_token_id? {
            Ids::One(id) => Some(id),
            Ids::Several(ids) => ids.first().copied(),
        });
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
