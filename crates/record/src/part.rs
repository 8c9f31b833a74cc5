//! Parts of a plan, by which several machines share a run.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// One of several parts of a plan, written `index/of` with 0 ≤ index < of.
///
/// A part is a stretch of the plan, so that one worker has most units of a row group and reads the row group once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    index: usize,
    of: usize,
}

impl Part {
    /// The one part of a plan that is not divided.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Makes the part `index` of `of` parts.
    ///
    /// # Errors
    /// [`Error::Part`] unless `index` is below `of`.
    pub fn new(index: usize, of: usize) -> Result<Self, Error> {
        if index < of { Ok(Self { index, of }) } else { Err(Error::Part { text: format!("{index}/{of}") }) }
    }

    /// Which part this is, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index
    }

    /// How many parts there are.
    #[must_use]
    pub const fn of(self) -> usize {
        self.of
    }

    /// Whether a unit of `weight`, with a weight of `before` ahead of it in a plan of weight `all`, belongs to this part. The parts
    /// have about the same weight, and each unit belongs to exactly one.
    #[must_use]
    pub fn holds(self, before: u64, weight: u64, all: u64) -> bool {
        let middle = u128::from(before) * 2 + u128::from(weight);
        let part = middle * self.of as u128 / (u128::from(all) * 2).max(1);
        part.min(self.of as u128 - 1) == self.index as u128
    }
}

impl Default for Part {
    /// [`Part::WHOLE`].
    fn default() -> Self {
        Self::WHOLE
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Part {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Part { text: text.to_owned() };
        let (index, of) = text.split_once('/').ok_or_else(wrong)?;
        let (index, of) = (index.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?);
        Self::new(index, of).map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_they_are_written() {
        for (index, of) in [(0, 1), (0, 3), (2, 3), (999, 1000)] {
            let part = Part::new(index, of).expect("the index is below");
            assert_eq!((part.index(), part.of(), part.to_string().parse::<Part>().ok()), (index, of, Some(part)));
        }
        assert!(["3/3", "0/0", "1", "-1/2", "a/b", ""].iter().all(|text| text.parse::<Part>().is_err()));
        assert_eq!(
            "3/3".parse::<Part>().map_err(|error| error.to_string()),
            Err("`3/3` is not I/N with 0 ≤ I < N, such as 0/8".to_owned())
        );
    }

    #[test]
    fn parts_are_a_partition_into_stretches_of_equal_weight() {
        let parts: Vec<Part> = (0..3).map(|index| Part::new(index, 3).expect("the index is below")).collect();
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
    }
}
