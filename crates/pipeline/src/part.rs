//! Parts of a plan, for arrays of jobs.

use std::str::FromStr;

/// One of `of` parts of a plan, `index` from 0. The default is the whole plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub(crate) index: usize,
    pub(crate) of: usize,
}

impl Default for Part {
    fn default() -> Self {
        Self::WHOLE
    }
}

/// A text that is no part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not I/N with 0 ≤ I < N, such as 0/8")]
pub struct NoPart(String);

impl FromStr for Part {
    type Err = NoPart;

    fn from_str(text: &str) -> Result<Self, NoPart> {
        let numbers = text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        let part = numbers.map(|(index, of)| Self { index, of }).filter(|part| part.index < part.of);
        part.ok_or_else(|| NoPart(text.to_owned()))
    }
}

impl Part {
    /// The whole plan.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Whether a unit belongs to this part: one of `weight`, with `before` of `all` before it in the plan.
    ///
    /// A part is a stretch of the plan, so that units of one row group mostly have one worker, which reads the row group once.
    pub(crate) fn holds(self, before: u64, weight: u64, all: u64) -> bool {
        let middle = u128::from(before) * 2 + u128::from(weight);
        let part = middle * self.of as u128 / (u128::from(all) * 2).max(1);
        part.min(self.of as u128 - 1) == self.index as u128
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_a_partition_into_stretches_of_equal_weight() {
        let parts: Vec<Part> = ["0/3", "1/3", "2/3"].iter().map(|text| text.parse().expect("a part")).collect();
        for weights in [vec![1; 10], vec![5, 1, 1, 1, 100, 1, 1, 1], vec![7], vec![0, 0, 0], vec![u64::MAX / 4; 3]] {
            let all = weights.iter().sum();
            let mut before = 0;
            let mut owners = Vec::new();
            for weight in &weights {
                let holders: Vec<usize> = (0..3).filter(|part| parts[*part].holds(before, *weight, all)).collect();
                assert_eq!(holders.len(), 1, "{weights:?}");
                owners.push(holders[0]);
                before += weight;
            }
            assert!(owners.is_sorted(), "{weights:?}: {owners:?}");
        }
        let tenth = |part: &Part| (0..30).filter(|unit| part.holds(*unit, 1, 30)).count();
        assert!(parts.iter().all(|part| tenth(part) == 10));
        assert!(["3/3", "0/0", "1", "-1/2", "a/b"].iter().all(|text| text.parse::<Part>().is_err()));
    }
}
