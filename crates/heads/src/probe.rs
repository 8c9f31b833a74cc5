//! Probes: synthetic key-value prompts with a known answer.

use std::ops::Range;

use headwater_model::TokenSpan;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::layout::{Pair, ProbeText, render};
use crate::sentences::usable;
use crate::{Error, HeadsConfig, MAX_SENTENCE_TOKENS, Vocabulary};

/// Length of a key, in characters.
const KEY_CHARACTERS: usize = 32;

/// What keys are made of.
const KEY_ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// One probe as the model sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Prompt and answer, `(n,)`, with the tokens in front that begin every window.
    pub ids: Vec<u32>,
    /// Position of the answer's first token; the answer runs to the end.
    pub answer_start: usize,
    /// Positions of the tokens that overlap the characters of the value in the JSON object, its quotes not counted.
    pub needle: Range<usize>,
}

impl Probe {
    /// Returns the positions of the answer's tokens.
    #[must_use]
    pub fn answer(&self) -> Range<usize> {
        self.answer_start..self.ids.len()
    }

    /// Returns the query positions that predict the answer's tokens: each is one before its token.
    #[must_use]
    pub fn query_rows(&self) -> Range<usize> {
        self.answer_start.saturating_sub(1)..self.ids.len().saturating_sub(1)
    }
}

/// How many probes of what size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeSettings {
    /// Number of probes.
    pub probes: usize,
    /// Demonstrations a probe.
    pub shots: usize,
    /// Prompt plus answer, at most, in tokens, leading ones included.
    pub context_tokens: usize,
    /// Seed of all draws.
    pub seed: u64,
}

impl ProbeSettings {
    /// Returns the settings of `config` under `seed`.
    #[must_use]
    pub fn new(config: &HeadsConfig, seed: u64) -> Self {
        Self { probes: config.probes, shots: config.shots, context_tokens: config.context_tokens, seed }
    }
}

/// Builds probes from `sentences`, each with as many pairs as fit.
///
/// Sentences that hold `"`, `\` or control characters or have more than 30 tokens are left out, repeated ones used once. Inside a probe
/// no sentence occurs twice in the JSON object; the demonstrations and the question are four (`shots` + 1) distinct pairs of it.
///
/// # Errors
/// [`Error::TooFewSentences`] or [`Error::ContextTooSmall`] if not even `shots` + 1 pairs can be had, [`Error::AnswerBoundary`] and
/// [`Error::LostText`] for a tokenizer that cannot tell the answer or the value apart, [`Error::Sentence`] and [`Error::Model`] if it fails.
///
/// # Determinism
/// Probe *i* draws from stream *i* of ChaCha8 under the seed, so the first probes of a longer list are those of a shorter one. Pair by
/// pair (0, 1, …) it draws: the sentence, as one step of a Fisher–Yates shuffle of the usable sentences in the order given; 32 key
/// characters; the pair's place among the pairs drawn so far. Pairs 0 to `shots` − 1 are the demonstrations in this order, pair `shots` is the question.
/// A pair that does not fit ends the probe.
///
/// # Source
/// AttentionInfluence §4.1 and appendix A. The number of pairs is not given there; here it is the most that fit.
pub fn build_probes(
    sentences: &[&str],
    vocabulary: &Vocabulary<'_>,
    settings: &ProbeSettings,
) -> Result<Vec<Probe>, Error> {
    let usable = usable(sentences, vocabulary)?;
    let needed = settings.shots.saturating_add(1);
    if usable.len() < needed {
        let (usable, given, max_tokens) = (usable.len(), sentences.len(), MAX_SENTENCE_TOKENS);
        return Err(Error::TooFewSentences { usable, given, needed, max_tokens });
    }
    (0..settings.probes).map(|index| Draft::new(&usable, vocabulary, settings, index).build()).collect()
}

/// One probe while its pairs are drawn.
struct Draft<'a> {
    vocabulary: &'a Vocabulary<'a>,
    settings: &'a ProbeSettings,
    index: usize,
    rng: ChaCha8Rng,
    /// Usable sentences; the first `pairs.len()` are taken.
    sentences: Vec<&'a str>,
    /// Pairs in the order drawn.
    pairs: Vec<Pair<'a>>,
    /// Place of each pair among the pairs up to it.
    places: Vec<usize>,
}

impl<'a> Draft<'a> {
    fn new(sentences: &[&'a str], vocabulary: &'a Vocabulary<'a>, settings: &'a ProbeSettings, index: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
        rng.set_stream(index as u64);
        Self { vocabulary, settings, index, rng, sentences: sentences.to_vec(), pairs: Vec::new(), places: Vec::new() }
    }

    /// Draws the next pair; `false` if the sentences are used up.
    fn draw(&mut self) -> bool {
        let drawn = self.pairs.len();
        if drawn == self.sentences.len() {
            return false;
        }
        let other = self.rng.random_range(drawn..self.sentences.len());
        self.sentences.swap(drawn, other);
        let character = |_| char::from(KEY_ALPHABET[self.rng.random_range(0..KEY_ALPHABET.len())]);
        let key = (0..KEY_CHARACTERS).map(character).collect();
        self.pairs.push(Pair { key, value: self.sentences[drawn] });
        self.places.push(self.rng.random_range(0..=drawn));
        true
    }

    /// Builds the probe of the most pairs that fit.
    ///
    /// A line's own tokens are the first guess of what it adds; the whole text decides.
    fn build(mut self) -> Result<Probe, Error> {
        let asked = self.settings.shots + 1;
        while self.pairs.len() < asked && self.draw() {}
        let limit = self.settings.context_tokens;
        let smallest = self.tokens(asked)?;
        if smallest.ids.len() > limit {
            let (context_tokens, needed) = (limit, smallest.ids.len());
            return Err(Error::ContextTooSmall { context_tokens, needed, pairs: asked, probe: self.index });
        }
        let mut guess = asked;
        let mut expected = smallest.ids.len();
        while expected <= limit && (guess < self.pairs.len() || self.draw()) {
            expected += self.tokenise(&format!("{},\n", self.pairs[guess].line()))?.len();
            guess += usize::from(expected <= limit);
        }
        let mut best = self.tokens(guess)?;
        while best.ids.len() > limit {
            guess -= 1;
            best = self.tokens(guess)?;
        }
        while guess < self.pairs.len() || self.draw() {
            let larger = self.tokens(guess + 1)?;
            if larger.ids.len() > limit {
                break;
            }
            guess += 1;
            best = larger;
        }
        Ok(best)
    }

    /// The probe of the first `count` pairs, whether or not it fits.
    fn tokens(&self, count: usize) -> Result<Probe, Error> {
        let text = self.text(count);
        let spans = self.tokenise(&text.text)?;
        let first = spans.partition_point(|span| span.start < text.answer_start);
        if spans[..first].iter().any(|span| span.end > text.answer_start) {
            return Err(Error::AnswerBoundary { probe: self.index });
        }
        let overlaps = |span: &TokenSpan| span.start < text.needle.end && span.end > text.needle.start;
        let needle = spans.iter().position(overlaps).zip(spans.iter().rposition(overlaps));
        let Some((needle_first, needle_last)) = needle else {
            return Err(Error::LostText { probe: self.index, part: "value" });
        };
        if first == spans.len() || first == 0 {
            return Err(Error::LostText { probe: self.index, part: "answer" });
        }
        let leading = self.vocabulary.leading;
        let before = leading.len();
        Ok(Probe {
            ids: leading.iter().copied().chain(spans.iter().map(|span| span.id)).collect(),
            answer_start: first + before,
            needle: needle_first + before..needle_last + 1 + before,
        })
    }

    fn text(&self, count: usize) -> ProbeText {
        let mut order = Vec::with_capacity(count);
        for (pair, &place) in self.places[..count].iter().enumerate() {
            order.insert(place, pair);
        }
        let asked: Vec<usize> = (0..=self.settings.shots).collect();
        render(&self.pairs, &order, &asked)
    }

    fn tokenise(&self, text: &str) -> Result<Vec<TokenSpan>, Error> {
        (self.vocabulary.tokenise)(text).map_err(|source| Error::Model { probe: self.index, source })
    }
}

#[cfg(test)]
mod tests;
