//! The search for one domain's boundary: a radix descent over 32-bit keys.
//!
//! A histogram of the key's highest bits says in which bucket the last kept document lies. If the buckets of all searches hold few
//! documents together, these are collected and sorted; else a histogram of the next bits, over that bucket's documents alone, says in
//! which of its buckets it lies, and so on. Where many documents share the whole key, they are met in the order of their addresses,
//! which settles the rest. Beside the histogram, only the lowest document known to be kept is held: it is the cut when the boundary's
//! first document overshoots.
//!
//! Several goals of one group are searched for together ([`GroupSearch`]): a document is handed to those whose boundary bucket holds
//! it, found by bisection, so that a hundred goals take little more time than one.
//!
//! Memory: the first histogram counts 16 bits, 1 MiB a group, for up to 64 groups and 8 bits, 4 KiB, for more. Later ones take 12 or 8
//! bits and stay within 256 MiB together up to the limit of 65,536 groups. What is collected takes 32 MiB.

use std::cmp::Ordering;

/// Bits of the key counted by the first reading, of few groups.
pub(crate) const FINE_BITS: u32 = 16;

/// Bits of the key counted by the first reading, of many groups.
pub(crate) const COARSE_BITS: u32 = 8;

/// Groups that are counted by [`FINE_BITS`], at most; few in tests, so that they come to more.
pub(crate) const MOST_FINE: usize = if cfg!(test) { 2 } else { 64 };

/// Documents that are collected for all searches together, at most; few in tests, so that they come to more.
pub(crate) const MOST_COLLECTED: u64 = if cfg!(test) { 3 } else { 1 << 20 };

/// Up to so many searches, later readings count 12 bits at once.
const FEW_SEARCHES: usize = 4_096;

/// Bits that a later reading counts when `open` searches go on and `left` bits of the key are not known.
pub(crate) const fn later_bits(open: usize, left: u32) -> u32 {
    if open <= FEW_SEARCHES && left.is_multiple_of(12) { 12 } else { 8 }
}

/// Documents and their tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) documents: u64,
    pub(crate) tokens: u64,
}

impl Tally {
    /// Adds one document.
    pub(crate) fn count(&mut self, tokens: u32) {
        self.documents += 1;
        self.tokens += u64::from(tokens);
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.documents += other.documents;
        self.tokens += other.tokens;
    }
}

/// How much of the ranking may still be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    Documents(u64),
    Tokens(u64),
}

impl Goal {
    /// Whether the ranking's cut falls inside or before the end of documents that make up `next`.
    fn ends_in(self, next: Tally) -> bool {
        match self {
            Self::Documents(left) => next.documents >= left,
            Self::Tokens(left) => next.tokens > left,
        }
    }

    /// Whether one more document of `tokens` tokens may be kept.
    fn allows(self, tokens: u32) -> bool {
        match self {
            Self::Documents(left) => left > 0,
            Self::Tokens(left) => u64::from(tokens) <= left,
        }
    }

    fn spend(&mut self, kept: Tally) {
        match self {
            Self::Documents(left) => *left -= kept.documents,
            Self::Tokens(left) => *left -= kept.tokens,
        }
    }
}

/// A document's place in a ranking: key, unit (index in address order) and row inside the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ranked {
    pub(crate) key: u32,
    pub(crate) unit: usize,
    pub(crate) offset: u64,
}

impl Ranked {
    /// Whether `self` comes after `other` in the ranking.
    pub(crate) fn is_after(&self, other: &Self) -> bool {
        (other.key, self.unit, self.offset) > (self.key, other.unit, other.offset)
    }

    /// Puts `self` into `slot` if it comes after what is there.
    pub(crate) fn keep_last(self, slot: &mut Option<Self>) {
        if slot.as_ref().is_none_or(|held| self.is_after(held)) {
            *slot = Some(self);
        }
    }

    /// Puts `self` into `slot` if it comes before what is there.
    pub(crate) fn keep_first(self, slot: &mut Option<Self>) {
        if slot.as_ref().is_none_or(|held| held.is_after(&self)) {
            *slot = Some(self);
        }
    }
}

/// What a goal keeps.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) kept: Tally,
    /// The last document kept.
    pub(crate) cut: Option<Ranked>,
    /// The next one, if a goal of tokens ended before it.
    pub(crate) refused: Option<Refused>,
}

/// A histogram in which the ranking's cut cannot be: the rows are not those that were counted before.
#[derive(Debug)]
pub(crate) struct LostCut;

/// The search for one domain's boundary.
#[derive(Debug)]
pub(crate) struct CutSearch {
    goal: Goal,
    kept: Tally,
    prefix: u32,
    known_bits: u32,
    width: u32,
    buckets: Vec<Tally>,
    /// Documents in the boundary bucket.
    inside: u64,
    collected: Vec<(Ranked, u32)>,
    /// The lowest document above the boundary bucket.
    lowest_above: Option<Ranked>,
    /// The lowest document kept of the boundary bucket.
    lowest_inside: Option<Ranked>,
    refused: Option<Refused>,
}

/// The first document that a goal of tokens did not allow: the next in the ranking.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) document: Ranked,
    pub(crate) tokens: u32,
}

impl CutSearch {
    /// Begins with the histogram of the key's highest bits, as many as its length tells. The goal must end inside it.
    pub(crate) fn begin(goal: Goal, buckets: &[Tally]) -> Result<Self, LostCut> {
        let mut search = Self {
            goal,
            kept: Tally::default(),
            prefix: 0,
            known_bits: 0,
            width: buckets.len().ilog2(),
            buckets: Vec::new(),
            inside: 0,
            collected: Vec::new(),
            lowest_above: None,
            lowest_inside: None,
            refused: None,
        };
        search.take_digit(buckets)?;
        Ok(search)
    }

    /// Bits of the boundary key that are not known.
    pub(crate) const fn unknown_bits(&self) -> u32 {
        u32::BITS - self.known_bits
    }

    /// Documents in the boundary bucket.
    pub(crate) const fn inside(&self) -> u64 {
        self.inside
    }

    /// Makes an empty histogram of the next `width` bits.
    pub(crate) fn widen(&mut self, width: u32) {
        self.width = width;
        self.buckets = vec![Tally::default(); 1 << width];
    }

    /// Where the boundary bucket lies for a document: it is kept if above, dropped if below.
    fn place(&self, key: u32) -> Ordering {
        (key >> (u32::BITS - self.known_bits)).cmp(&self.prefix)
    }

    /// Counts a document of the boundary bucket.
    pub(crate) fn count(&mut self, document: Ranked, tokens: u32) {
        let digit = document.key >> (u32::BITS - self.known_bits - self.width);
        let digit = digit & ((1 << self.width) - 1);
        self.buckets[digit as usize].count(tokens);
    }

    /// Takes the digit in which the cut falls off the histogram.
    fn descend(&mut self) -> Result<(), LostCut> {
        let buckets = std::mem::take(&mut self.buckets);
        self.take_digit(&buckets)
    }

    fn take_digit(&mut self, buckets: &[Tally]) -> Result<(), LostCut> {
        for (digit, tally) in (0_u32..1 << self.width).rev().zip(buckets.iter().rev()) {
            if self.goal.ends_in(*tally) {
                self.prefix = (self.prefix << self.width) | digit;
                self.known_bits += self.width;
                self.inside = tally.documents;
                return Ok(());
            }
            self.goal.spend(*tally);
            self.kept.add(*tally);
        }
        Err(LostCut)
    }

    /// Collects a document of the boundary bucket.
    pub(crate) fn collect(&mut self, document: Ranked, tokens: u32) {
        self.collected.push((document, tokens));
    }

    /// Keeps what the goal allows of the documents that were collected, in the order of the ranking.
    pub(crate) fn settle_collected(&mut self) {
        let mut collected = std::mem::take(&mut self.collected);
        collected
            .sort_unstable_by_key(|(document, _)| (std::cmp::Reverse(document.key), document.unit, document.offset));
        for (document, tokens) in collected {
            self.settle(document, tokens);
        }
    }

    /// Keeps a document of the boundary bucket if the goal still allows it. Documents must come in the order of the ranking.
    pub(crate) fn settle(&mut self, document: Ranked, tokens: u32) {
        if self.refused.is_some() {
            return;
        }
        if self.goal.allows(tokens) {
            self.keep(document, tokens);
        } else {
            self.refused = Some(Refused { document, tokens });
        }
    }

    fn keep(&mut self, document: Ranked, tokens: u32) {
        let one = Tally { documents: 1, tokens: u64::from(tokens) };
        self.goal.spend(one);
        self.kept.add(one);
        self.lowest_inside = Some(document);
    }

    /// What is kept, the last document kept, and the next one.
    fn outcome(&self) -> Outcome {
        Outcome { kept: self.kept, cut: self.lowest_inside.or(self.lowest_above), refused: self.refused }
    }
}

/// The searches for the goals of one group that are not settled yet, each with its place among the goals.
#[derive(Debug, Default)]
pub(crate) struct GroupSearch {
    /// By boundary bucket, the highest first.
    searches: Vec<(usize, CutSearch)>,
}

impl GroupSearch {
    /// Begins all searches with the histogram of the key's highest bits.
    pub(crate) fn begin(goals: impl IntoIterator<Item = (usize, Goal)>, buckets: &[Tally]) -> Result<Self, LostCut> {
        let begun = goals.into_iter().map(|(place, goal)| Ok((place, CutSearch::begin(goal, buckets)?)));
        let mut group = Self { searches: begun.collect::<Result<_, _>>()? };
        group.order();
        Ok(group)
    }

    /// The searches, in no order that means anything.
    pub(crate) fn each(&mut self) -> impl Iterator<Item = &mut CutSearch> {
        self.searches.iter_mut().map(|(_, search)| search)
    }

    /// Hands a document to the searches whose boundary bucket holds it, and tells the others if it is above theirs; says whether any
    /// bucket holds it.
    pub(crate) fn meet(&mut self, document: Ranked, mut inside: impl FnMut(&mut CutSearch)) -> bool {
        let place = |(_, search): &(usize, CutSearch)| search.place(document.key);
        let first = self.searches.partition_point(|search| place(search) == Ordering::Less);
        let holding = self.searches[first..].partition_point(|search| place(search) == Ordering::Equal);
        self.searches[first..first + holding].iter_mut().for_each(|(_, search)| inside(search));
        // the rest of them learn of it at the end of the reading
        if let Some((_, below)) = self.searches.get_mut(first + holding) {
            document.keep_last(&mut below.lowest_above);
        }
        holding > 0
    }

    /// Ends a reading: what is above a boundary bucket is above all lower ones.
    pub(crate) fn end_reading(&mut self) {
        let mut lowest: Option<Ranked> = None;
        for (_, search) in &mut self.searches {
            if let Some(document) = lowest {
                document.keep_last(&mut search.lowest_above);
            }
            lowest = search.lowest_above;
        }
    }

    /// Takes the next digit of every boundary.
    pub(crate) fn descend(&mut self) -> Result<(), LostCut> {
        self.each().try_for_each(CutSearch::descend)?;
        self.order();
        Ok(())
    }

    /// What each goal keeps, with its place.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (usize, Outcome)> {
        self.searches.iter().map(|(place, search)| (*place, search.outcome()))
    }

    fn order(&mut self) {
        self.searches.sort_by_key(|(_, search)| std::cmp::Reverse(search.prefix));
    }
}
