//! The end-of-text token of a model, from the files beside its `tokenizer.json`.

use std::path::Path;

use serde::Deserialize;

use crate::Error;
use crate::paths::read;

/// What is read of `tokenizer_config.json`, `generation_config.json` and `config.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Beside {
    /// The token's text, or an object with it as `content`.
    eos_token: Option<Text>,
    /// The token's id; of several the first is meant.
    eos_token_id: Option<Ids>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Added { content: String },
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
        let path = tokenizer.with_file_name(name);
        if !path.is_file() {
            continue;
        }
        let read: Beside = serde_json::from_slice(&read(&path)?).map_err(|error| Error::Format {
            path: path.clone(),
            format: name,
            reason: error.to_string(),
        })?;
        let by_text = read.eos_token.and_then(|text| match text {
            Text::Plain(text) | Text::Added { content: text } => id(&text),
        });
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
