//! The `[tokens]` table of a pipeline.

use std::borrow::Cow;

use headwater_record::ByteCount;
use headwater_record::tokens::{TextPart, TokenFormat};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How many bytes a token takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum TokenBytes {
    /// Two if the vocabulary fits, as each format's own tools choose.
    #[default]
    Auto,
    /// Two.
    Two,
    /// Four.
    Four,
}

/// `"auto"`, `2` or `4`.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "\"auto\", 2 or 4")]
enum Written {
    Number(u8),
    Text(String),
}

const AUTO: &str = "auto";

impl JsonSchema for TokenBytes {
    fn schema_name() -> Cow<'static, str> {
        "TokenBytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "`\"auto\"`, 2 or 4", "enum": ["auto", 2, 4] })
    }
}

impl TryFrom<Written> for TokenBytes {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Number(2) => Ok(Self::Two),
            Written::Number(4) => Ok(Self::Four),
            Written::Text(text) if text == AUTO => Ok(Self::Auto),
            Written::Number(bytes) => Err(format!("a token takes \"auto\", 2 or 4 bytes, not {bytes}")),
            Written::Text(text) => Err(format!("a token takes \"auto\", 2 or 4 bytes, not `{text}`")),
        }
    }
}

impl From<TokenBytes> for Written {
    fn from(bytes: TokenBytes) -> Self {
        match bytes {
            TokenBytes::Auto => Self::Text(AUTO.to_owned()),
            TokenBytes::Two => Self::Number(2),
            TokenBytes::Four => Self::Number(4),
        }
    }
}

/// The `[tokens]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokensConfig {
    /// Formats that are written; `[]` for none.
    pub formats: Vec<TokenFormat>,
    /// What is written.
    pub parts: Vec<TextPart>,
    /// The tokenizer of the model that is trained: what `[model] name` accepts, or the path of a `tokenizer.json`. Without it, the
    /// scoring model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// The token after every document. Without it `<|endoftext|>` or `<|end_of_text|>` if the tokenizer has one, else the model's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eos: Option<String>,
    /// Bytes of a token: `"auto"` for 2 if the vocabulary allows, else 4. MDS always has 4.
    pub token_bytes: TokenBytes,
    /// Tokens of a packed sample (MDS). Without it, `[recipe] sequence_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence_tokens: Option<u64>,
    /// Text of the corpus that goes into one token file.
    pub file_bytes: ByteCount,
}

impl Default for TokensConfig {
    fn default() -> Self {
        Self {
            formats: Vec::new(),
            parts: vec![TextPart::Corpus, TextPart::Selected],
            tokenizer: None,
            eos: None,
            token_bytes: TokenBytes::Auto,
            sequence_tokens: None,
            file_bytes: ByteCount(4 << 30),
        }
    }
}

impl TokensConfig {
    /// Checks what can be checked without a tokenizer.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first key whose value cannot be used.
    pub fn validate(&self) -> Result<()> {
        let wrong = |key, value: String, rule| Err(Error::Config { key, value, rule });
        if self.file_bytes.0 == 0 {
            return wrong("tokens.file_bytes", self.file_bytes.to_string(), "a file needs some text");
        }
        if self.sequence_tokens == Some(0) {
            return wrong("tokens.sequence_tokens", "0".to_owned(), "a sample needs a token");
        }
        if self.parts.is_empty() && !self.formats.is_empty() {
            return wrong("tokens.parts", "[]".to_owned(), "there are \"corpus\" and \"selected\" to write");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_bytes_are_auto_two_or_four() {
        let read = |json: &str| serde_json::from_str::<TokenBytes>(json);
        assert_eq!(read("\"auto\"").ok(), Some(TokenBytes::Auto));
        assert_eq!((read("2").ok(), read("4").ok()), (Some(TokenBytes::Two), Some(TokenBytes::Four)));
        for wrong in ["3", "\"two\"", "true", "2.5"] {
            let error = read(wrong).expect_err(wrong).to_string();
            assert!(error.contains("\"auto\", 2 or 4"), "{error}");
        }
        for bytes in [TokenBytes::Auto, TokenBytes::Two, TokenBytes::Four] {
            let json = serde_json::to_string(&bytes).expect("plain data");
            assert_eq!(read(&json).ok(), Some(bytes), "{json}");
        }
    }

    #[test]
    fn unusable_values_are_named() {
        let none = TokensConfig { file_bytes: ByteCount(0), ..TokensConfig::default() };
        let text = none.validate().expect_err("no text").to_string();
        assert!(text.contains("tokens.file_bytes"), "{text}");
        let zero = TokensConfig { sequence_tokens: Some(0), ..TokensConfig::default() };
        assert!(zero.validate().is_err() && TokensConfig::default().validate().is_ok());
    }
}
