//! What a model's files say of its tokenizer beside the tokenizer itself: special tokens, context and chat template.

use std::path::Path;

use candle_core::quantized::gguf_file::Value as GgufValue;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;
use crate::beside::{TokenText, json};
use crate::gguf::GgufFile;
use crate::paths::read;

/// Lengths above this stand for none: transformers writes 10^30.
const MOST_CONTEXT: f64 = 1e12;

/// Special tokens, context and chat template, as `tokenizer_config.json` has them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TokenizerSettings {
    /// The token that begins a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bos_token: Option<String>,
    /// The token that stands for what the vocabulary lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unk_token: Option<String>,
    /// The token that fills up a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pad_token: Option<String>,
    /// Other special tokens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_special_tokens: Vec<String>,
    /// Tokens of the model's context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_max_length: Option<u64>,
    /// A Jinja template, or a list of named ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<Value>,
}

/// What is read of `tokenizer_config.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenizerConfig {
    bos_token: Option<TokenText>,
    unk_token: Option<TokenText>,
    pad_token: Option<TokenText>,
    additional_special_tokens: Option<Vec<TokenText>>,
    /// The same in files of transformers 5; a map names special tokens of other kinds.
    extra_special_tokens: Option<Extra>,
    model_max_length: Option<f64>,
    chat_template: Option<Value>,
}

/// What is read of `config.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ModelConfig {
    max_position_embeddings: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Extra {
    List(Vec<TokenText>),
    Map(std::collections::BTreeMap<String, TokenText>),
}

/// Reads the files beside `tokenizer`; tokens that `is_known` does not know are left out.
///
/// # Errors
/// [`Error::Format`] if a file cannot be understood.
pub(crate) fn beside(tokenizer: &Path, is_known: &dyn Fn(&str) -> bool) -> Result<TokenizerSettings, Error> {
    let config: TokenizerConfig = json(tokenizer, "tokenizer_config.json")?;
    let model: ModelConfig = json(tokenizer, "config.json")?;
    let token = |text: Option<TokenText>| text.map(String::from).filter(|text| is_known(text));
    let extra = match config.extra_special_tokens {
        Some(Extra::List(texts)) => texts,
        Some(Extra::Map(texts)) => texts.into_values().collect(),
        None => Vec::new(),
    };
    let additional = config.additional_special_tokens.unwrap_or_default().into_iter().chain(extra).map(String::from);
    let template = tokenizer.with_file_name("chat_template.jinja");
    let template = if template.is_file() { Some(read(&template)?) } else { None };
    let template = template.map(|bytes| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    let length = config.model_max_length.and_then(context);
    Ok(TokenizerSettings {
        bos_token: token(config.bos_token),
        unk_token: token(config.unk_token),
        pad_token: token(config.pad_token),
        additional_special_tokens: additional.filter(|text| is_known(text)).collect(),
        model_max_length: length.or_else(|| model.max_position_embeddings.and_then(context)),
        chat_template: template.or(config.chat_template),
    })
}

/// Reads the metadata of a GGUF file; `special` are its control tokens.
pub(crate) fn of_gguf(file: &GgufFile, tokens: &[&str], special: &[String]) -> TokenizerSettings {
    let integer = |key: &str| file.value(key).and_then(GgufFile::integer);
    let named = |key: &str| {
        let index = usize::try_from(integer(&format!("tokenizer.ggml.{key}_token_id"))?).ok()?;
        tokens.get(index).map(|token| (*token).to_owned())
    };
    let (bos_token, unk_token, pad_token) = (named("bos"), named("unknown"), named("padding"));
    let is_named =
        |token: &String| [&bos_token, &unk_token, &pad_token].iter().any(|named| named.as_ref() == Some(token));
    let additional_special_tokens = special.iter().filter(|token| !is_named(token)).cloned().collect();
    let architecture = file.text("general.architecture").unwrap_or_default();
    let chat_template = match file.value("tokenizer.chat_template") {
        Some(GgufValue::String(template)) => Some(Value::String(template.clone())),
        _ => None,
    };
    TokenizerSettings {
        model_max_length: integer(&format!("{architecture}.context_length")),
        bos_token,
        unk_token,
        pad_token,
        additional_special_tokens,
        chat_template,
    }
}

/// A length as a whole number, if it is one that a model can have.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 1 and 10^12")]
fn context(length: f64) -> Option<u64> {
    (1.0..=MOST_CONTEXT).contains(&length).then_some(length as u64)
}
