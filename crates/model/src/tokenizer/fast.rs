//! Byte-pair encoding with a memory: a word that was seen before is looked up instead of merged anew.
//!
//! Words are merged by the library, so its ids are kept exactly; what is saved is the regular expression that cuts words, and merging the
//! same words again. Texts for which this is not so are left to the library: see [`FastEncoder::takes`].

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use aho_corasick::AhoCorasick;
use foldhash::fast::FixedState;
use tokenizers::{Model as _, ModelWrapper, NormalizerWrapper, Tokenizer as HfTokenizer};
use unicode_normalization::{IsNormalized, is_nfc_quick};

use super::words::Words;

/// Words that are remembered, at most: some 20 MB a thread. Others are merged anew each time they come.
const MOST_WORDS: usize = 1 << 18;

/// Longer words are not remembered, as they hardly come twice.
const MOST_BYTES: usize = 32;

/// Encodes as the library does, faster.
#[derive(Debug)]
pub(super) struct FastEncoder {
    words: Words,
    /// Whether texts must be in normal form C already.
    needs_nfc: bool,
    /// Texts that the vocabulary has as a token of its own.
    added: Option<AhoCorasick>,
    /// The character that stands for each byte in the vocabulary.
    characters: [char; 256],
    /// Memories that no thread uses.
    idle: Mutex<Vec<Memory>>,
}

/// The ids of words, one after the other.
#[derive(Debug)]
struct Memory {
    ids: Vec<u32>,
    words: HashMap<Box<[u8]>, Range<u32>, FixedState>,
    /// Short words that came last, each at its one place: nearly all words of a text are few, and these stay in the processor's caches.
    near: Vec<Near>,
}

/// A short word and its few ids.
#[derive(Clone, Copy, Debug, Default)]
struct Near {
    /// 0 is no word.
    key: u128,
    ids: [u32; NEAR_IDS],
    count: u8,
}

/// Places of short words: two megabytes. A word that is not near is looked up at several places of a larger table.
const NEAR_WORDS: usize = 1 << 16;

/// Ids of a word that is kept near, at most.
const NEAR_IDS: usize = 3;

/// Bytes of a word that is kept near, at most.
const NEAR_BYTES: usize = 15;

/// A multiplier whose products' high bits depend on all bits; of no other meaning.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

impl Default for Memory {
    fn default() -> Self {
        Self { ids: Vec::new(), words: HashMap::default(), near: vec![Near::default(); NEAR_WORDS] }
    }
}

/// The bytes of a short word and how many there are, as one number.
fn near_key(text: &[u8], word: Range<usize>) -> Option<u128> {
    let length = word.len();
    if length > NEAR_BYTES {
        return None;
    }
    let bytes = match text[word.start..].first_chunk() {
        Some(bytes) => *bytes,
        None => {
            let mut bytes = [0; 16];
            bytes[..length].copy_from_slice(&text[word]);
            bytes
        }
    };
    Some(u128::from_le_bytes(bytes) & ((1 << (8 * length)) - 1) | (length as u128) << (8 * NEAR_BYTES))
}

/// The place of a short word.
#[expect(clippy::cast_possible_truncation, reason = "halves of the key")]
fn near_place(key: u128) -> usize {
    let (low, high) = (key as u64, (key >> 64) as u64);
    let mixed = (low ^ high.wrapping_mul(MULTIPLIER)).wrapping_mul(MULTIPLIER);
    (mixed >> 40) as usize % NEAR_WORDS
}

impl FastEncoder {
    /// Finds how to encode as `tokenizer` does; `None` if it is of a kind that is not known here.
    pub(super) fn new(tokenizer: &HfTokenizer) -> Option<Self> {
        let ModelWrapper::BPE(bpe) = tokenizer.get_model() else { return None };
        if bpe.dropout.is_some() {
            return None;
        }
        let needs_nfc = match tokenizer.get_normalizer() {
            None => false,
            Some(NormalizerWrapper::NFC(_)) => true,
            Some(_) => return None,
        };
        let words = Words::of(tokenizer.get_pre_tokenizer()?)?;
        let added = tokenizer.get_added_vocabulary().get_added_tokens_decoder();
        let added = added.values().map(|token| token.content.as_str()).filter(|content| !content.is_empty());
        let added: Vec<&str> = added.collect();
        let added = if added.is_empty() { None } else { Some(AhoCorasick::new(added).ok()?) };
        Some(Self { words, needs_nfc, added, characters: byte_characters(), idle: Mutex::default() })
    }

    /// Whether the ids of `text` are those of its words: it spells no token that is cut out before, and needs no normalisation.
    fn takes(&self, text: &str) -> bool {
        let spells_added = self.added.as_ref().is_some_and(|added| added.is_match(text));
        let is_normal = !self.needs_nfc || text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes;
        !spells_added && is_normal
    }

    /// Adds the ids of `text` to `ids`; returns whether it can.
    ///
    /// # Errors
    /// What the library says of a word.
    pub(super) fn encode(&self, tokenizer: &HfTokenizer, text: &str, ids: &mut Vec<u32>) -> tokenizers::Result<bool> {
        if !self.takes(text) {
            return Ok(false);
        }
        let mut memory = self.lock().pop().unwrap_or_default();
        let mut start = 0;
        while start < text.len() {
            let end = self.words.end(text, start);
            let key = near_key(text.as_bytes(), start..end);
            match key.map(|key| &memory.near[near_place(key)]).filter(|near| Some(near.key) == key) {
                Some(near) => {
                    // as many as there is room for at once, which is no call; then less those that are none
                    let end = ids.len() + usize::from(near.count);
                    ids.extend(near.ids);
                    ids.truncate(end);
                }
                None => {
                    let before = ids.len();
                    self.encode_word(tokenizer, &text.as_bytes()[start..end], &mut memory, ids)?;
                    memory.keep_near(key, &ids[before..]);
                }
            }
            start = end;
        }
        self.lock().push(memory);
        Ok(true)
    }

    /// Adds the ids of a word that is not near.
    fn encode_word(
        &self,
        tokenizer: &HfTokenizer,
        word: &[u8],
        memory: &mut Memory,
        ids: &mut Vec<u32>,
    ) -> tokenizers::Result<()> {
        if let Some(known) = memory.words.get(word) {
            ids.extend_from_slice(&memory.ids[known.start as usize..known.end as usize]);
            return Ok(());
        }
        let spelt: String = word.iter().map(|byte| self.characters[usize::from(*byte)]).collect();
        let before = ids.len();
        ids.extend(tokenizer.get_model().tokenize(&spelt)?.iter().map(|token| token.id));
        memory.learn(word, &ids[before..]);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Memory>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Puts a short word of few ids in its place near by.
    fn keep_near(&mut self, key: Option<u128>, ids: &[u32]) {
        if let (Some(key), 1..=NEAR_IDS) = (key, ids.len()) {
            let mut near = Near { key, count: u8::try_from(ids.len()).unwrap_or_default(), ..Near::default() };
            near.ids[..ids.len()].copy_from_slice(ids);
            self.near[near_place(key)] = near;
        }
    }

    fn learn(&mut self, word: &[u8], ids: &[u32]) {
        if word.len() > MOST_BYTES || self.words.len() >= MOST_WORDS {
            return;
        }
        let place = |ids: &[u32]| u32::try_from(ids.len());
        if let (Ok(start), Ok(length)) = (place(&self.ids), place(ids)) {
            self.ids.extend_from_slice(ids);
            self.words.insert(word.into(), start..start + length);
        }
    }
}

/// GPT-2's characters for bytes: itself where it can be seen, else one from U+0100 on, in order.
fn byte_characters() -> [char; 256] {
    let mut unseen = '\u{100}'..;
    std::array::from_fn(|byte| match u8::try_from(byte).map(char::from) {
        Ok(seen @ ('!'..='~' | '¡'..='¬' | '®'..='ÿ')) => seen,
        _ => unseen.next().unwrap_or_default(),
    })
}
