//! Text that no arm trains on, and what is too near to it to be trained on either.

use std::collections::{BTreeSet, HashMap};

use headwater_record::ContentHash;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

/// Words of the stretches that texts are compared by.
///
/// # Source
/// Brown et al. (2020), Language Models are Few-Shot Learners (arXiv 2005.14165), appendix C: 13-grams.
const WORDS: usize = 13;

/// Bytes of the hash of a word.
const WORD_BYTES: usize = 8;

/// Share of a document's stretches that stand in held-out texts from which on it is taken for a near-duplicate of one.
const MOST_SHARED: f64 = 0.1;

/// A held-out document.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldOutDocument {
    /// Its domain.
    pub domain: String,
    /// Its source.
    pub source: String,
    /// Its text.
    pub text: String,
}

/// What is known of the held-out documents of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldOutSummary {
    /// Documents.
    pub documents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// A hash of their texts.
    pub hash: ContentHash,
}

/// Says whether the document with a text of this hash is held out: a share of all texts, and of two equal texts both or none.
#[must_use]
pub fn is_held_out(text_hash: u64, share: f64, seed: u64) -> bool {
    (XxHash3_64::oneshot_with_seed(seed, &text_hash.to_le_bytes()) as f64) < share * 2_f64.powi(64)
}

/// The stretches of words of held-out texts, to find near-duplicates by.
#[derive(Debug, Default)]
pub struct NearDuplicates {
    /// The place of each stretch's hash among all.
    stretches: HashMap<u64, u32>,
}

impl NearDuplicates {
    /// Takes in the texts that are held out.
    #[must_use]
    pub fn of<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut held = Self::default();
        for hash in texts.into_iter().flat_map(stretches) {
            let next = u32::try_from(held.stretches.len()).unwrap_or(u32::MAX);
            held.stretches.entry(hash).or_insert(next);
        }
        held
    }

    /// Whether so many stretches of 13 words of `text` stand in a held-out text that it is a near-duplicate: a tenth of them.
    #[must_use]
    pub fn is_near(&self, text: &str) -> bool {
        let (mut shared, mut all) = (0.0, 0.0);
        for hash in stretches(text) {
            all += 1.0;
            shared += f64::from(u8::from(self.stretches.contains_key(&hash)));
        }
        all > 0.0 && shared >= MOST_SHARED * all
    }

    /// Notes in `seen` which of the held-out stretches stand in `text`.
    pub fn note(&self, text: &str, seen: &mut BTreeSet<u32>) {
        seen.extend(stretches(text).iter().filter_map(|hash| self.stretches.get(hash)));
    }

    /// The share of the held-out stretches that `seen` has.
    #[must_use]
    pub fn share_of(&self, seen: &BTreeSet<u32>) -> f64 {
        seen.len() as f64 / self.stretches.len().max(1) as f64
    }
}

/// The hashes of the stretches of 13 words of a text, case and punctuation aside; of a shorter text the one of all its words.
fn stretches(text: &str) -> Vec<u64> {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    let hashes: Vec<u8> =
        words.flat_map(|word| XxHash3_64::oneshot(word.to_lowercase().as_bytes()).to_le_bytes()).collect();
    let length = WORD_BYTES * (hashes.len() / WORD_BYTES).clamp(1, WORDS);
    hashes.windows(length).step_by(WORD_BYTES).map(XxHash3_64::oneshot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: std::ops::Range<u32>) -> String {
        words.map(|word| format!("w{word}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn equal_texts_are_held_out_together_and_as_many_as_asked_for() {
        let held = |seed| {
            (0..20_000_u64)
                .filter(|hash| is_held_out(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15), 0.05, seed))
                .collect::<Vec<_>>()
        };
        let (one, other) = (held(1), held(2));
        assert!((900..1100).contains(&one.len()) && one != other, "{} {}", one.len(), other.len());
        assert_eq!(one, held(1));
        assert!(!is_held_out(0, 0.0, 1) && is_held_out(0, 1.0, 1));
    }

    #[test]
    fn near_duplicates_are_found_however_they_are_set() {
        let held = NearDuplicates::of([text(0..100).as_str(), "a short one"]);
        assert!(held.is_near(&text(0..100)));
        assert!(held.is_near(&text(0..100).to_uppercase().replace(' ', ",\n")), "case and punctuation aside");
        assert!(held.is_near(&(text(50..100) + " " + &text(1000..1200))), "38 of 238 stretches");
        assert!(!held.is_near(&(text(80..100) + " " + &text(1000..1200))), "8 of 208");
        assert!(!held.is_near(&text(200..300)) && !held.is_near("") && !held.is_near("!"));
        assert!(held.is_near("A short one.") && !held.is_near("another short one"));
    }

    #[test]
    fn what_an_arm_saw_of_the_held_out_text_is_counted_once() {
        let held = NearDuplicates::of([text(0..112).as_str()]);
        let mut seen = BTreeSet::new();
        held.note(&text(0..37), &mut seen);
        held.note(&text(0..37), &mut seen);
        assert_eq!((seen.len(), held.share_of(&seen)), (25, 0.25));
        held.note(&text(0..112), &mut seen);
        assert_eq!(held.share_of(&seen), 1.0);
    }
}
