//! A tokenizer with the token after every document and the width of a token in bytes.

use headwater_model::Tokenizer;
use headwater_record::tokens::{EosToken, TokenSettings, TokenizerRecord};

use crate::{Error, Result, TokenBytes, TokenFormat, TokensConfig};

/// Tokens that pretrained models separate documents with. A chat model's own end of text is the end of a turn, which pretraining
/// never sees, so these go before it.
const SEPARATORS: [&str; 2] = ["<|endoftext|>", "<|end_of_text|>"];

/// Vocabularies up to this size fit two bytes.
const MOST_IN_TWO_BYTES: u64 = 1 << 16;

/// Megatron's own tools take two bytes for vocabularies below this size.
const MEGATRON_FOUR_BYTES: u64 = 65_500;

/// The highest id of all formats: Megatron and MDS hold signed numbers.
const HIGHEST_ID: u64 = i32::MAX as u64;

/// How documents become tokens, and tokens bytes.
///
/// The token after every document is `tokens.eos` if that is set; else `<|endoftext|>` or `<|end_of_text|>` if the vocabulary has
/// one, because pretraining separates documents with it; else the model's own.
#[derive(Debug)]
pub struct TokenizerSetup<'a> {
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) config: &'a TokensConfig,
    record: TokenizerRecord,
    eos: EosToken,
    sequence_tokens: u64,
}

impl<'a> TokenizerSetup<'a> {
    /// Checks that `tokenizer`, called `name`, can be used as `config` says. `sequence_tokens` is taken if `config` does not say.
    ///
    /// # Errors
    /// [`Error::UnknownEos`], [`Error::NoEos`], [`Error::Width`] or [`Error::Vocabulary`] for a tokenizer that does not fit the
    /// settings.
    pub fn new(config: &'a TokensConfig, tokenizer: &'a Tokenizer, name: &str, sequence_tokens: u64) -> Result<Self> {
        config.validate()?;
        let vocab_size = tokenizer.vocab_size();
        let called = || name.to_owned();
        if vocab_size > HIGHEST_ID + 1 {
            return Err(Error::Vocabulary { tokenizer: called(), highest: vocab_size - 1, most: HIGHEST_ID });
        }
        if config.token_bytes == TokenBytes::Two && vocab_size > MOST_IN_TWO_BYTES {
            return Err(Error::Width { tokenizer: called(), vocab_size, most: MOST_IN_TWO_BYTES });
        }
        Ok(Self {
            tokenizer,
            config,
            record: TokenizerRecord { name: called(), hash: tokenizer.hash(), vocab_size },
            eos: eos(config, tokenizer, name)?,
            sequence_tokens: config.sequence_tokens.unwrap_or(sequence_tokens),
        })
    }

    /// Returns the token after every document.
    #[must_use]
    pub const fn eos(&self) -> &EosToken {
        &self.eos
    }

    /// What decides the bytes of `format` for the text that `plan` describes.
    pub(crate) fn settings(&self, format: TokenFormat, plan: String) -> TokenSettings {
        TokenSettings {
            tokenizer: self.record.clone(),
            eos: self.eos.clone(),
            token_bytes: token_bytes(format, self.config.token_bytes, self.record.vocab_size),
            sequence_tokens: (format == TokenFormat::Mds).then_some(self.sequence_tokens),
            plan,
        }
    }
}

fn eos(config: &TokensConfig, tokenizer: &Tokenizer, name: &str) -> Result<EosToken> {
    let token = |text: &str| tokenizer.token_to_id(text).map(|id| EosToken { id, text: text.to_owned() });
    if let Some(text) = &config.eos {
        return token(text).ok_or_else(|| Error::UnknownEos { eos: text.clone(), tokenizer: name.to_owned() });
    }
    if let Some(separator) = SEPARATORS.into_iter().find_map(token) {
        return Ok(separator);
    }
    let own = tokenizer.eos().map_err(Box::new)?;
    let own = own.and_then(|id| tokenizer.id_to_token(id).map(|text| EosToken { id, text }));
    own.ok_or_else(|| Error::NoEos { tokenizer: name.to_owned() })
}

/// Bytes of a token, as each format's own tools choose them unless the user does.
fn token_bytes(format: TokenFormat, wanted: TokenBytes, vocab_size: u64) -> u8 {
    let two = match (format, wanted) {
        (TokenFormat::Mds, _) | (_, TokenBytes::Four) => false,
        (_, TokenBytes::Two) => true,
        (TokenFormat::Megatron, TokenBytes::Auto) => vocab_size < MEGATRON_FOUR_BYTES,
        (TokenFormat::Datatrove | TokenFormat::Olmo, TokenBytes::Auto) => vocab_size <= MOST_IN_TWO_BYTES,
    };
    if two { 2 } else { 4 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_the_formats_own_tools() {
        use TokenFormat::{Datatrove, Mds, Megatron, Olmo};
        let auto = |format, vocab_size| token_bytes(format, TokenBytes::Auto, vocab_size);
        assert_eq!((auto(Datatrove, 65_536), auto(Datatrove, 65_537)), (2, 4));
        assert_eq!((auto(Olmo, 65_536), auto(Olmo, 65_537)), (2, 4));
        assert_eq!((auto(Megatron, 65_499), auto(Megatron, 65_500)), (2, 4));
        assert_eq!((auto(Mds, 300), token_bytes(Olmo, TokenBytes::Four, 300)), (4, 4));
    }
}
