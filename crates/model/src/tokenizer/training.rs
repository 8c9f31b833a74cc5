//! A tokenizer made from texts.

use headwater_record::ContentHash;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as HfTokenizer};

use super::fast::FastEncoder;
use super::{Cuts, Origin, Tokenizer};
use crate::Error;

/// The token that ends a document.
const END: &str = "<|endoftext|>";

/// Characters of a token, at most: what is longer stands in few documents.
const MOST_CHARACTERS: usize = 24;

impl Tokenizer {
    /// Makes a byte-level BPE tokenizer of `entries` entries from `texts`, cut into words as GPT-2 does; `<|endoftext|>` is entry 0 and ends
    /// documents. There are fewer entries if the texts have too few pairs to merge.
    ///
    /// # Errors
    /// [`Error::Train`] if the library cannot make one, or its own file does not read back.
    ///
    /// # Determinism
    /// The same texts in the same order give the same tokenizer: pairs of equal counts are merged in the order of their entries.
    ///
    /// # Source
    /// Radford et al. (2019), Language Models are Unsupervised Multitask Learners, §2.2.
    pub fn train<'t>(texts: impl Iterator<Item = &'t str> + Send, entries: usize) -> Result<Self, Error> {
        let failed = |error: tokenizers::Error| Error::Train { reason: error.to_string() };
        let trainer = BpeTrainerBuilder::new()
            .show_progress(false)
            .vocab_size(entries)
            .max_token_length(Some(MOST_CHARACTERS))
            .special_tokens(vec![AddedToken::from(END, true)])
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let mut made = HfTokenizer::new(BPE::default());
        made.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        made.with_decoder(Some(ByteLevel::new(false, true, true)));
        made.train(&mut TrainerWrapper::BpeTrainer(trainer), texts).map_err(failed)?;
        let json = made.to_string(true).map_err(failed)?;
        let inner = HfTokenizer::from_bytes(&json).map_err(failed)?;
        let fast = FastEncoder::new(&inner);
        let origin = Origin::Known { eos: inner.token_to_id(END), settings: Box::default() };
        Ok(Self {
            fast,
            inner,
            cuts: Cuts::BeforeLines,
            leading: Vec::new(),
            origin,
            hash: ContentHash::of(json.as_bytes()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> Vec<String> {
        (0..400)
            .map(|number| {
                format!("the theory of {number} other things, that they are the same;\n\tand {}", number * 7919 % 1000)
            })
            .collect()
    }

    #[test]
    fn a_tokenizer_is_the_same_each_time_and_loses_nothing() {
        let texts = texts();
        let make = || Tokenizer::train(texts.iter().map(String::as_str), 400).expect("it can be made");
        let (one, other) = (make(), make());
        assert_eq!(one.hash(), other.hash());
        assert_eq!((one.vocab_size(), one.eos().ok().flatten()), (400, Some(0)));
        let text = "the theory is naïve: 𝛼 ≤ 12\n\n  of things";
        let ids = one.encode(text).expect("every byte has an entry");
        assert!(ids.len() < text.len());
        assert_eq!(one.inner.decode(&ids, false).expect("entries are known"), text);
        assert_eq!(one.leading(), [0_u32; 0]);
    }

    #[test]
    fn few_texts_give_few_entries() {
        let made = Tokenizer::train(["a"].into_iter(), 4096).expect("it can be made");
        assert_eq!(made.vocab_size(), 257);
    }
}
