//! The match model: where the last n tokens of a window stood before, and whether what followed then follows now.
//!
//! What a retrieval head does, a table does, too: it finds the last place where the same tokens stood and says what came next. The share of
//! positions at which that is right explains most of a document's influence inside its domain.

/// Numbers of tokens that are looked for.
pub(super) const LENGTHS: [usize; 10] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32];

/// Lengths of which far matches are counted, and whose distances are averaged: indices of [`LENGTHS`].
pub(super) const FAR: [usize; 3] = [1, 3, 5];

/// A match further back than this is far.
const FAR_TOKENS: usize = 64;

/// Orders of contexts: none, and the last one to three tokens, which the first of [`LENGTHS`] count.
const ORDERS: usize = 4;

/// [`MULTIPLIER`] to the power of each of [`LENGTHS`].
const POWERS: [u64; LENGTHS.len()] = {
    let mut powers = [1_u64; LENGTHS.len()];
    let mut at = 0;
    while at < LENGTHS.len() {
        let mut left = LENGTHS[at];
        while left > 0 {
            powers[at] = MULTIPLIER.wrapping_mul(powers[at]);
            left -= 1;
        }
        at += 1;
    }
    powers
};

/// The multiplier of the hash of a run of tokens; odd, and of no other meaning.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// What was seen in the windows of a document.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Matches {
    /// Positions that have a position before them: the targets of a window without BOS.
    pub(super) targets: u64,
    /// Targets whose last n tokens stood before.
    pub(super) hits: [u64; LENGTHS.len()],
    /// Targets of these that are what followed then.
    pub(super) rights: [u64; LENGTHS.len()],
    /// Targets for which n is the longest of [`LENGTHS`] that hits, and is right.
    pub(super) longest_rights: [u64; LENGTHS.len()],
    /// Right targets of [`FAR`] whose match is further back than 64 tokens.
    pub(super) far_rights: [u64; FAR.len()],
    /// Sums of log₂ of the distance of the right targets of [`FAR`].
    pub(super) distances: [f64; FAR.len()],
    /// Tokens that did not stand in the window before.
    pub(super) new: u64,
    /// Bits of the targets by the counts of contexts in the window.
    pub(super) context_bits: Bits,
    /// The same with the match model mixed in.
    pub(super) match_bits: Bits,
}

/// A sum of −log₂ of probabilities, kept as a product, so that logarithms are taken rarely and sums do not depend on the machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bits {
    bits: f64,
    product: f64,
}

impl Default for Bits {
    fn default() -> Self {
        Self { bits: 0.0, product: 1.0 }
    }
}

impl Bits {
    /// Below this the logarithm is taken: a probability more cannot underflow.
    const LEAST: f64 = 1e-200;

    fn add(&mut self, probability: f64) {
        self.product *= probability;
        if self.product < Self::LEAST {
            self.bits -= libm::log2(self.product);
            self.product = 1.0;
        }
    }

    pub(super) fn total(self) -> f64 {
        self.bits - libm::log2(self.product)
    }
}

/// Where a run of tokens ended last, and how often it stood. An entry of an earlier window is as good as empty, so tables are not cleared.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// Position after its last token, counted over all windows; below what a window counts from if the entry is of an earlier one.
    end: u32,
    /// Some bits of its hash, so that most other runs are told apart without a look at their tokens.
    tag: u16,
    /// How often it stood; saturates.
    count: u16,
}

/// Whether two runs of one length are the same; most are of a few tokens, for which a call of the library's comparison takes longer.
#[inline]
fn equal(one: &[u32], other: &[u32]) -> bool {
    one.iter().zip(other).all(|(one, other)| one == other)
}

/// The table's answer about the run of one length that ends at a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Found {
    /// How often the run stood before.
    count: u32,
    /// Position after its last token, the last time it stood.
    end: u32,
}

/// Finds matches; keeps its tables between windows.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    tables: [Vec<Entry>; LENGTHS.len()],
    /// Slots of each table that this window uses: a power of two, at least twice its tokens.
    slots: usize,
    /// Hash of the tokens before each position.
    prefixes: Vec<u64>,
    /// What the positions of this window are counted from.
    base: u32,
    /// How often the longest match of each length was right in this document, and how often it was looked at.
    trust: [(f64, f64); LENGTHS.len()],
}

impl Matcher {
    /// Forgets how far matches can be trusted: another document begins.
    pub(super) fn begin(&mut self) {
        // as if seen once, half right
        self.trust = [(0.5, 1.0); LENGTHS.len()];
    }

    /// Adds the matches of one window, whose tokens are below `vocabulary`.
    pub(super) fn window(&mut self, window: &[u32], vocabulary: usize, matches: &mut Matches) {
        self.prepare(window);
        let uniform = 1.0 / vocabulary as f64;
        let mut before = [Found::default(); LENGTHS.len()];
        for at in 0..window.len() {
            let after = self.runs(window, at + 1);
            matches.new += u64::from(after[0].count == 0);
            if at > 0 {
                matches.targets += 1;
                self.target((window, at), [&before, &after], uniform, matches);
            }
            before = after;
        }
        // `prepare` made sure that this is in range
        self.base += u32::try_from(window.len()).unwrap_or(u32::MAX) + 1;
    }

    /// Makes room for the runs of `window`, and hashes its beginnings.
    fn prepare(&mut self, window: &[u32]) {
        self.slots = (2 * window.len()).next_power_of_two();
        let is_out_of_range =
            u32::try_from(window.len() + 1).ok().and_then(|length| self.base.checked_add(length)).is_none();
        for table in &mut self.tables {
            if is_out_of_range {
                table.clear();
            }
            if table.len() < self.slots {
                table.resize(self.slots, Entry::default());
            }
        }
        // an entry of 0 is empty
        self.base = if is_out_of_range { 1 } else { self.base.max(1) };
        let hashes = window.iter().scan(0_u64, |hash, token| {
            *hash = hash.wrapping_mul(MULTIPLIER).wrapping_add(u64::from(*token) + 1);
            Some(*hash)
        });
        self.prefixes.clear();
        self.prefixes.push(0);
        self.prefixes.extend(hashes);
    }

    /// Looks up the runs of every length that end at `end`, and enters them.
    ///
    /// A run can only have stood before if the next shorter one has. So a run is entered when its shorter one has come twice: first where that
    /// stood the first time, then here.
    #[inline]
    fn runs(&mut self, window: &[u32], end: usize) -> [Found; LENGTHS.len()] {
        let mut found = [Found::default(); LENGTHS.len()];
        let Some(shortest) = self.enter::<0>(window, end) else { return found };
        found[0] = shortest;
        // written out for each length, so that its numbers are constants
        macro_rules! longer {
            ($($number:literal)*) => { $(
                let shorter = found[$number - 1];
                if shorter.count == 0 {
                    return found;
                }
                if shorter.count == 1 {
                    self.enter::<$number>(window, shorter.end as usize);
                }
                let Some(now) = self.enter::<$number>(window, end) else { return found };
                found[$number] = now;
            )* };
        }
        const { assert!(LENGTHS.len() == 10, "all lengths are looked for") }
        longer!(1 2 3 4 5 6 7 8 9);
        found
    }

    /// Enters the run of the length of this number that ends at `end`; returns what was known of it, or `None` if the window begins after it.
    #[expect(clippy::cast_possible_truncation, reason = "`prepare` made sure that positions are in range")]
    #[inline(always)]
    fn enter<const NUMBER: usize>(&mut self, window: &[u32], end: usize) -> Option<Found> {
        let (length, slots, base) = (LENGTHS[NUMBER], self.slots, self.base);
        let start = end.checked_sub(length)?;
        let hash = self.prefixes[end].wrapping_sub(self.prefixes[start].wrapping_mul(POWERS[NUMBER]));
        // the high bits of a product depend on all bits of the hash
        let mixed = hash.wrapping_mul(MULTIPLIER);
        let (tag, mut slot) = ((mixed >> 48) as u16, (mixed >> 16) as usize & (slots - 1));
        let run = &window[start..end];
        let table = &mut self.tables[NUMBER][..slots];
        loop {
            let entry = &mut table[slot];
            let Some(place) = entry.end.checked_sub(base).map(|place| place as usize) else {
                *entry = Entry { end: base + end as u32, tag, count: 1 };
                return Some(Found::default());
            };
            if entry.tag == tag && equal(&window[place - length..place], run) {
                let found = Found { count: u32::from(entry.count), end: place as u32 };
                *entry = Entry { end: base + end as u32, tag, count: entry.count.saturating_add(1) };
                return Some(found);
            }
            slot = (slot + 1) & (slots - 1);
        }
    }

    /// Counts the target at `at`, by the runs that end before and after it.
    #[expect(clippy::cast_possible_truncation, reason = "`prepare` made sure that positions are in range")]
    #[inline(always)]
    fn target(
        &mut self,
        (window, at): (&[u32], usize),
        [before, after]: [&[Found; LENGTHS.len()]; 2],
        uniform: f64,
        matches: &mut Matches,
    ) {
        let is_right = |found: &Found| window[found.end as usize] == window[at];
        // a run that stood before has ends that stood before
        let mut depth = 0;
        for (number, found) in before.iter().enumerate().take_while(|(_, found)| found.count > 0) {
            matches.hits[number] += 1;
            matches.rights[number] += u64::from(is_right(found));
            depth += 1;
        }
        let far = FAR.iter().zip(&mut matches.far_rights).zip(&mut matches.distances);
        for ((number, far), distances) in far.take_while(|((number, _), _)| **number < depth) {
            let found = before[*number];
            if is_right(&found) {
                let distance = at - found.end as usize;
                *far += u64::from(distance > FAR_TOKENS);
                *distances += f64::from(usize::BITS - distance.leading_zeros());
            }
        }
        let contexts = [at as u32].into_iter().chain(before.iter().map(|found| found.count));
        let following = after.iter().map(|found| found.count);
        // each order is (following + order below) / (context + 1), written as one fraction
        let (mut numerator, mut denominator) = (uniform, 1.0);
        for (context, following) in contexts.zip(following).take(ORDERS) {
            numerator += f64::from(following) * denominator;
            denominator *= f64::from(context) + 1.0;
        }
        let mut probability = numerator / denominator;
        matches.context_bits.add(probability);
        if let Some(longest) = depth.checked_sub(1) {
            let right = is_right(&before[longest]);
            matches.longest_rights[longest] += u64::from(right);
            let (rights, seen) = &mut self.trust[longest];
            let trust = *rights / *seen;
            // what the match does not claim is left to the contexts
            probability = trust * f64::from(u8::from(right)) + (1.0 - trust) * probability;
            *rights += f64::from(u8::from(right));
            *seen += 1.0;
        }
        matches.match_bits.add(probability);
    }
}
