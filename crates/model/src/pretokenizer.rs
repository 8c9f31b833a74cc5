//! The pre-tokenizers that GGUF files name in `tokenizer.ggml.pre`.
//!
//! An unknown name is an error, never a default: a wrong split changes token ids silently.
//! Names and patterns follow the models' own `tokenizer.json` files.

use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior};

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The names that [`named`] knows.
pub(crate) const KNOWN: &str = "dbrx, gpt-2, llama-bpe, llama-v3, llama3, mpt, olmo, qwen2, refact, smollm and starcoder, or a tokenizer.json beside it";

/// How text is cut before byte-pair encoding.
pub(crate) struct PreTokenizer {
    /// Applied to the text first.
    pub(crate) normalizer: Option<NormalizerWrapper>,
    /// Cuts the text.
    pub(crate) split: PreTokenizerWrapper,
    /// Whether a word that is in the vocabulary is taken whole, without merges.
    pub(crate) ignores_merges: bool,
    /// Whether a file that does not say so adds BOS.
    pub(crate) adds_bos: bool,
}

/// Finds the pre-tokenizer of that name.
pub(crate) fn named(name: &str) -> Option<PreTokenizer> {
    let bytes = |use_regex| PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, use_regex));
    let sequence = |first| PreTokenizerWrapper::Sequence(Sequence::new(vec![first, bytes(false)]));
    let pattern = |regex: &str| {
        Split::new(SplitPattern::Regex(regex.to_owned()), SplitDelimiterBehavior::Isolated, false)
            .ok()
            .map(PreTokenizerWrapper::Split)
    };
    let (normalizer, split) = match name {
        // the latter two are of Granite
        "smollm" | "starcoder" | "refact" => {
            let digits = PreTokenizerWrapper::Digits(Digits::new(true));
            (None, PreTokenizerWrapper::Sequence(Sequence::new(vec![digits, bytes(true)])))
        }
        "gpt-2" => (None, bytes(true)),
        // of GPT-NeoX, and what others took from it
        "mpt" | "olmo" => (Some(NormalizerWrapper::NFC(NFC)), bytes(true)),
        // the last is of OLMo 2
        "llama-bpe" | "llama3" | "llama-v3" | "dbrx" => (None, sequence(pattern(LLAMA3)?)),
        "qwen2" => (Some(NormalizerWrapper::NFC(NFC)), sequence(pattern(QWEN2)?)),
        _ => return None,
    };
    let llama3 = matches!(name, "llama-bpe" | "llama3" | "llama-v3");
    Some(PreTokenizer { normalizer, split, ignores_merges: llama3, adds_bos: llama3 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_that_an_error_lists_are_those_that_are_known() {
        let (names, _) = KNOWN.split_once(", or ").expect("names, then what else would do");
        for name in names.replace(" and ", ", ").split(", ") {
            assert!(named(name).is_some(), "{name}");
        }
        assert!(named("nonesuch").is_none());
    }
}
