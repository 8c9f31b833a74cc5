//! JSON files that lie beside a `tokenizer.json`.

use std::path::Path;

use serde::Deserialize;

use crate::Error;
use crate::paths::read;

/// A token's text, or an object with it as `content`.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum TokenText {
    Plain(String),
    Added { content: String },
}

impl From<TokenText> for String {
    fn from(text: TokenText) -> Self {
        match text {
            TokenText::Plain(text) | TokenText::Added { content: text } => text,
        }
    }
}

/// Reads the file `name` beside `tokenizer`; what it has by default if there is none.
///
/// # Errors
/// [`Error::Format`] if it cannot be understood; what the disk says.
pub(crate) fn json<T: Default + for<'de> Deserialize<'de>>(tokenizer: &Path, name: &'static str) -> Result<T, Error> {
    let path = tokenizer.with_file_name(name);
    if !path.is_file() {
        return Ok(T::default());
    }
    serde_json::from_slice(&read(&path)?).map_err(|error| Error::Format {
        path,
        format: name,
        reason: error.to_string(),
    })
}
