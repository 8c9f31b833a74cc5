//! The texts of an arm as tokens, and the sequences that a run trains on.

use headwater_record::ContentHash;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use crate::Error;

/// Tokens of documents of one domain, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainText {
    tokens: Vec<u16>,
    /// Where each document ends.
    ends: Vec<usize>,
}

impl DomainText {
    /// Adds a document, which is its tokens and the one that ends documents.
    pub fn push(&mut self, document: &[u16]) {
        self.tokens.extend_from_slice(document);
        self.ends.push(self.tokens.len());
    }

    /// Its tokens.
    #[must_use]
    pub const fn tokens(&self) -> usize {
        self.tokens.len()
    }

    /// Its documents.
    #[must_use]
    pub const fn documents(&self) -> usize {
        self.ends.len()
    }

    /// Drops documents from the end as long as `most` tokens are left; the last one may be cut.
    pub fn truncate(&mut self, most: usize) {
        if most >= self.tokens.len() {
            return;
        }
        self.tokens.truncate(most);
        let whole = self.ends.partition_point(|end| *end <= most);
        self.ends.truncate(whole);
        if self.ends.last().copied().unwrap_or(0) < most {
            self.ends.push(most);
        }
    }

    fn document(&self, at: usize) -> &[u16] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.tokens[start..self.ends[at]]
    }
}

/// The texts of one arm by domain, in the order of the trial's domains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArmText {
    /// Each domain's.
    pub domains: Vec<DomainText>,
}

impl ArmText {
    /// A hash of all tokens.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        let mut hasher = Sha256::new();
        for domain in &self.domains {
            hasher.update((domain.tokens.len() as u64).to_le_bytes());
            domain.tokens.iter().for_each(|token| hasher.update(token.to_le_bytes()));
        }
        ContentHash::of(&hasher.finalize())
    }
}

/// Cuts the texts of all arms so that each domain has as many tokens in every arm: so it is repeated as often, too.
///
/// # Errors
/// [`Error::EmptyArm`] if an arm has no text in a domain.
pub fn equalise(mut arms: Vec<(&str, &mut ArmText)>, domains: &[&str]) -> Result<(), Error> {
    for (at, domain) in domains.iter().enumerate() {
        let least = arms.iter().min_by_key(|(_, arm)| arm.domains[at].tokens());
        let Some((name, text)) = least else { return Ok(()) };
        let most = text.domains[at].tokens();
        if most == 0 {
            return Err(Error::EmptyArm { arm: (*name).to_owned(), domain: (*domain).to_owned() });
        }
        arms.iter_mut().for_each(|(_, arm)| arm.domains[at].truncate(most));
    }
    Ok(())
}

/// How the sequences of a run are made: the same for every arm.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    /// The share of each domain.
    pub shares: Vec<f64>,
    /// Sequences of the run.
    pub sequences: usize,
    /// Tokens that are predicted in a sequence, which has one more.
    pub length: usize,
}

/// Successive multiples of it, less their whole parts, spread evenly at every length.
///
/// # Source
/// Knuth, The Art of Computer Programming 3 (2nd edition), §6.4, theorem S: the inverse of the golden ratio.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

impl Mixture {
    /// The domain of each sequence: every stretch of the run has the domains by their shares.
    #[must_use]
    pub fn domains(&self) -> Vec<usize> {
        let all: f64 = self.shares.iter().sum();
        let domain = |number: usize| {
            let mut place = (0.5 + number as f64 * GOLDEN).fract() * all;
            let is_past = |share: &f64| {
                place -= share;
                place < 0.0
            };
            self.shares.iter().position(is_past).unwrap_or(self.shares.len().saturating_sub(1))
        };
        (0..self.sequences).map(domain).collect()
    }

    /// The sequences of a run on `arm`, `(sequence, length + 1)`. Documents come one after the other, in an order that the seed and the pass over
    /// the domain's text decide; a sequence begins with the last token of the one before it in its domain.
    ///
    /// # Panics
    /// If a domain has no text, which [`equalise`] refuses.
    #[must_use]
    pub fn sequences(&self, arm: &ArmText, seed: u64) -> Vec<u16> {
        assert!(arm.domains.iter().all(|text| text.tokens() > 0), "a domain without text has no sequences");
        let mut streams: Vec<Stream<'_>> =
            (0..).zip(&arm.domains).map(|(domain, text)| Stream::new(text, seed, domain)).collect();
        let mut sequences = Vec::with_capacity(self.sequences * (self.length + 1));
        for domain in self.domains() {
            streams[domain].sequence(self.length, &mut sequences);
        }
        sequences
    }
}

/// The text of a domain, read again and again, in another order each time.
struct Stream<'t> {
    text: &'t DomainText,
    random: ChaCha8Rng,
    order: Vec<usize>,
    /// The next document of the order, and what was read of it.
    next: usize,
    read: usize,
    /// The last token of the sequence before.
    last: Option<u16>,
}

impl<'t> Stream<'t> {
    fn new(text: &'t DomainText, seed: u64, domain: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(domain);
        let order: Vec<usize> = (0..text.documents()).collect();
        Self { text, random, next: order.len(), order, read: 0, last: None }
    }

    fn token(&mut self) -> u16 {
        loop {
            if self.next == self.order.len() {
                self.order.shuffle(&mut self.random);
                self.next = 0;
            }
            let document = self.text.document(self.order[self.next]);
            if let Some(token) = document.get(self.read) {
                self.read += 1;
                return *token;
            }
            self.next += 1;
            self.read = 0;
        }
    }

    fn sequence(&mut self, length: usize, sequences: &mut Vec<u16>) {
        let first = match self.last {
            Some(last) => last,
            None => self.token(),
        };
        sequences.push(first);
        (0..length).for_each(|_| {
            let token = self.token();
            sequences.push(token);
        });
        self.last = sequences.last().copied();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Documents of three tokens: the document's number, twice, and 0.
    fn text(documents: std::ops::Range<u16>) -> DomainText {
        let mut text = DomainText::default();
        documents.for_each(|number| text.push(&[number, number, 0]));
        text
    }

    #[test]
    fn every_arm_gets_as_many_tokens_of_a_domain_and_an_empty_one_is_named() {
        let arm = |a, b| ArmText { domains: vec![text(1..a), text(1..b)] };
        let (mut one, mut two) = (arm(5, 9), arm(7, 3));
        two.domains[0].truncate(11);
        equalise(vec![("one", &mut one), ("two", &mut two)], &["a", "b"]).expect("none is empty");
        for arm in [&one, &two] {
            assert_eq!(arm.domains.iter().map(DomainText::tokens).collect::<Vec<_>>(), [11, 6]);
            assert_eq!(arm.domains.iter().map(DomainText::documents).collect::<Vec<_>>(), [4, 2]);
        }
        assert_eq!(one.hash(), two.hash());
        let mut none = arm(2, 1);
        let error =
            equalise(vec![("one", &mut one), ("none", &mut none)], &["a", "b"]).expect_err("it has nothing of b");
        assert!(matches!(&error, Error::EmptyArm { arm, domain } if arm == "none" && domain == "b"), "{error}");
    }

    #[test]
    fn domains_come_by_their_shares_in_every_stretch() {
        let mixture = Mixture { shares: vec![0.5, 0.3, 0.2], sequences: 1000, length: 8 };
        let domains = mixture.domains();
        for stretch in domains.chunks(100) {
            for (at, share) in mixture.shares.iter().enumerate() {
                let count = stretch.iter().filter(|domain| **domain == at).count() as f64;
                assert!((count - 100.0 * share).abs() <= 4.0, "{at} {count}");
            }
        }
    }

    #[test]
    fn sequences_read_every_document_once_a_pass_and_go_on_where_the_last_one_ended() {
        let arm = ArmText { domains: vec![text(1..11)] };
        let mixture = Mixture { shares: vec![1.0], sequences: 10, length: 6 };
        let sequences = mixture.sequences(&arm, 3);
        assert_eq!(sequences.len(), 70);
        let pairs = sequences.chunks(7).collect::<Vec<_>>();
        assert!(pairs.windows(2).all(|pair| pair[0].last() == pair[1].first()));
        // two passes of 30 tokens, and one token of a third
        let stream: Vec<u16> =
            std::iter::once(sequences[0]).chain(pairs.iter().flat_map(|of| of[1..].to_vec())).collect();
        let mut passes: Vec<Vec<u16>> = stream[..60].chunks(30).map(<[u16]>::to_vec).collect();
        assert_ne!(passes[0], passes[1], "each pass has its own order");
        passes.iter_mut().for_each(|pass| pass.sort_unstable());
        assert_eq!(passes[0], passes[1]);
        assert_eq!(passes[0].iter().filter(|token| **token == 4).count(), 2);
        assert_ne!(sequences, mixture.sequences(&arm, 4));
        assert_eq!(sequences, mixture.sequences(&arm, 3));
    }
}
