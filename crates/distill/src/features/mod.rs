//! What a document is described by, without any model: its matches, its contexts, its size and its characters.
//!
//! One pass over the tokens, window by window as the teacher reads them. The numbers depend on the document alone, to the last bit.

mod characters;
mod matches;

use std::sync::{Mutex, PoisonError};

use characters::Characters;
use matches::{FAR, LENGTHS, Matcher, Matches};

/// The version of the features; another one means other numbers.
pub const VERSION: u32 = 1;

/// How many features there are.
const COUNT: usize = 3 * LENGTHS.len() + 2 * FAR.len() + 7 + Characters::NAMES.len();

/// The place of `right_2` among the features: the share of the targets whose two tokens before stood before in their window, the last time
/// followed by the same token.
pub const COPIED: usize = LENGTHS.len() + 1;

/// The features of one document, in the order of [`names`].
pub type Features = Vec<f32>;

/// What features are made from.
#[derive(Clone, Copy, Debug)]
pub struct DocumentTokens<'t> {
    /// The text.
    pub text: &'t str,
    /// Its tokens, without BOS.
    pub tokens: &'t [u32],
    /// Bytes of text by bytes of zstd.
    pub compression: f32,
}

/// Describes documents; keeps its tables between them.
#[derive(Debug)]
pub struct Extractor {
    window_tokens: usize,
    vocabulary: usize,
    matcher: Matcher,
}

impl Extractor {
    /// Reads tokens below `vocabulary`, in consecutive windows of `window_tokens`.
    #[must_use]
    pub fn new(window_tokens: usize, vocabulary: usize) -> Self {
        Self { window_tokens: window_tokens.max(1), vocabulary: vocabulary.max(1), matcher: Matcher::default() }
    }

    /// Describes a document.
    #[expect(clippy::cast_possible_truncation, reason = "features are float32")]
    pub fn features(&mut self, document: DocumentTokens<'_>) -> Features {
        let DocumentTokens { text, tokens, compression } = document;
        let mut matches = Matches::default();
        self.matcher.begin();
        for window in tokens.chunks(self.window_tokens) {
            self.matcher.window(window, self.vocabulary, &mut matches);
        }
        let targets = matches.targets.max(1) as f64;
        let share = |count: u64| count as f64 / targets;
        let mut features: Vec<f64> = Vec::with_capacity(COUNT);
        features.extend(matches.hits.map(share));
        features.extend(matches.rights.map(share));
        features.extend(matches.longest_rights.map(share));
        features.extend(matches.far_rights.map(share));
        let means = FAR.iter().zip(matches.distances).map(|(number, sum)| sum / matches.rights[*number].max(1) as f64);
        features.extend(means);
        let (contexts, mixed) = (matches.context_bits.total() / targets, matches.match_bits.total() / targets);
        features.extend([contexts, mixed, contexts - mixed]);
        let (bytes, count) = (text.len() as f64, tokens.len().max(1) as f64);
        features.extend([f64::from(compression), libm::log2(count), bytes / count, matches.new as f64 / count]);
        features.extend(Characters::of(text).shares());
        features.into_iter().map(|feature| feature as f32).collect()
    }
}

/// Describes documents on any number of threads.
#[derive(Debug)]
pub struct Extractors {
    window_tokens: usize,
    vocabulary: usize,
    /// Those that no thread uses.
    idle: Mutex<Vec<Extractor>>,
}

impl Extractors {
    /// As [`Extractor::new`].
    #[must_use]
    pub const fn new(window_tokens: usize, vocabulary: usize) -> Self {
        Self { window_tokens, vocabulary, idle: Mutex::new(Vec::new()) }
    }

    /// Describes a document.
    pub fn features(&self, document: DocumentTokens<'_>) -> Features {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let mut extractor = taken.unwrap_or_else(|| Extractor::new(self.window_tokens, self.vocabulary));
        let features = extractor.features(document);
        idle().push(extractor);
        features
    }
}

/// The names of the features, in order.
#[must_use]
pub fn names() -> Vec<String> {
    let numbered = |name: &str| LENGTHS.map(|length| format!("{name}_{length}"));
    let far = |name: &str| FAR.map(|number| format!("{name}_{}", LENGTHS[number]));
    let mut names = Vec::new();
    names.extend([numbered("hit"), numbered("right"), numbered("longest_right")].concat());
    names.extend([far("far_right"), far("distance")].concat());
    names.extend(
        ["context_bits", "match_bits", "saved_bits", "compression", "log_tokens", "token_bytes", "new"]
            .map(str::to_owned),
    );
    names.extend(Characters::NAMES.map(str::to_owned));
    names
}

#[cfg(test)]
mod tests;
