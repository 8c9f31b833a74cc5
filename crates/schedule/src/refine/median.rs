//! A sliding median in O(n log n) for any width of the window.

/// The median of `values`, which are not empty: of an even number the upper of the two in the middle.
pub(super) fn of(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// Median filter of odd width `window`, at most as wide as `values`, at least two of them.
///
/// # Source
/// arXiv 2310.07831, the authors' program: the right end is mirrored without repeating the last value, the left end repeats the
/// first.
pub(super) fn filter(values: &[f64], window: usize) -> Vec<f64> {
    let half = window / 2;
    let last = values.len() - 1;
    let mirrored = (1..=half).map(|beyond| values[last - beyond]);
    let padded: Vec<f64> = std::iter::repeat_n(values[0], half).chain(values.iter().copied()).chain(mirrored).collect();
    let mut order: Vec<(u64, usize)> = padded.iter().map(|value| value.to_bits()).zip(0..).collect();
    // finite values that are not negative order as their bits do
    order.sort_unstable();
    let mut ranks = vec![0; padded.len()];
    for (rank, (_, at)) in order.iter().enumerate() {
        ranks[*at] = rank;
    }
    let mut members = RankSet::new(padded.len());
    ranks[..window].iter().for_each(|rank| members.insert(*rank));
    let (mut middle, mut below) = (ranks[0], ranks[1..window].iter().filter(|rank| **rank < ranks[0]).count());
    let mut medians = Vec::with_capacity(values.len());
    for at in 0..values.len() {
        if at > 0 {
            let (out, new) = (ranks[at - 1], ranks[at - 1 + window]);
            members.insert(new);
            below += usize::from(new < middle);
            if out == middle {
                (middle, below) = match members.after(middle) {
                    Some(next) => (next, below + 1),
                    None => (members.before(middle).unwrap_or(middle), below - 1),
                };
            }
            members.remove(out);
            below -= usize::from(out < middle);
        }
        while below < half
            && let Some(next) = members.after(middle)
        {
            (middle, below) = (next, below + 1);
        }
        while below > half
            && let Some(next) = members.before(middle)
        {
            (middle, below) = (next, below - 1);
        }
        medians.push(padded[order[middle].1]);
    }
    medians
}

/// A set of numbers below a limit that finds neighbours: bits, and above every 64 words a word that says which are not empty.
#[derive(Debug)]
struct RankSet {
    levels: Vec<Vec<u64>>,
}

impl RankSet {
    fn new(limit: usize) -> Self {
        let mut levels = vec![vec![0; limit.div_ceil(64)]];
        while let Some(words) = levels.last().map(Vec::len).filter(|words| *words > 1) {
            levels.push(vec![0; words.div_ceil(64)]);
        }
        Self { levels }
    }

    fn insert(&mut self, rank: usize) {
        let mut at = rank;
        for level in &mut self.levels {
            level[at / 64] |= 1 << (at % 64);
            at /= 64;
        }
    }

    fn remove(&mut self, rank: usize) {
        let mut at = rank;
        for level in &mut self.levels {
            level[at / 64] &= !(1 << (at % 64));
            if level[at / 64] != 0 {
                return;
            }
            at /= 64;
        }
    }

    /// The least member above `rank`.
    fn after(&self, rank: usize) -> Option<usize> {
        let mut at = rank + 1;
        for (height, level) in self.levels.iter().enumerate() {
            let word = level.get(at / 64)? & (u64::MAX << (at % 64));
            if word != 0 {
                let found = at / 64 * 64 + word.trailing_zeros() as usize;
                return Some(self.descend(height, found, |word| word.trailing_zeros()));
            }
            at = at / 64 + 1;
        }
        None
    }

    /// The greatest member below `rank`.
    fn before(&self, rank: usize) -> Option<usize> {
        let mut end = rank;
        for (height, level) in self.levels.iter().enumerate() {
            let within = end % 64;
            let word = if within == 0 { 0 } else { level[end / 64] & (u64::MAX >> (64 - within)) };
            if word != 0 {
                let found = end / 64 * 64 + 63 - word.leading_zeros() as usize;
                return Some(self.descend(height, found, |word| 63 - word.leading_zeros()));
            }
            end /= 64;
        }
        None
    }

    /// From a member of the level at `height` to one of the lowest level, by `pick` in each word.
    fn descend(&self, height: usize, found: usize, pick: impl Fn(u64) -> u32) -> usize {
        self.levels[..height].iter().rev().fold(found, |at, level| at * 64 + pick(level[at]) as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(values: &[f64], window: usize) -> Vec<f64> {
        let (half, last) = (window / 2, values.len() - 1);
        let at = |position: usize| match position.checked_sub(half) {
            None => values[0],
            Some(inside) if inside <= last => values[inside],
            Some(beyond) => values[2 * last - beyond],
        };
        (0..values.len()).map(|start| of(&(start..start + window).map(at).collect::<Vec<_>>())).collect()
    }

    proptest! {
        #[test]
        fn is_the_median_of_every_window(values in prop::collection::vec(0_u8..20, 2..300), width in 0.0..1.0) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let window = super::super::window(width, values.len());
            prop_assert_eq!(filter(&values, window), naive(&values, window));
        }
    }

    #[test]
    fn wide_windows_cross_words() {
        let values: Vec<f64> = (0..20_000_u32).map(|at| f64::from(at.wrapping_mul(2_654_435_761) % 10_007)).collect();
        assert_eq!(filter(&values, 4097)[..40], naive(&values[..5000], 4097)[..40]);
    }

    #[test]
    fn edges_differ() {
        // width 3: left window is (5, 5, 1), right window (2, 9, 2)
        assert_eq!(filter(&[5.0, 1.0, 2.0, 9.0], 3), [5.0, 2.0, 2.0, 2.0]);
    }
}
