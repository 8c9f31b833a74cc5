//! Fractions as people write them, exactly.
//!
//! `0.3` is no binary number: in floating point 0.29 · 100 is below 29. A fraction is therefore taken as the shortest decimal
//! that reads back as the given f64, which is what stands in the pipeline, and multiplied in integers.

use crate::{Error, Result};

/// Decimal places kept. A fraction has at most 17 significant digits, so one that needs more places is below 1e-17 and keeps
/// nothing of fewer than 10^16 documents; the rest of its digits are dropped.
const PLACES: usize = 19;

/// A number in [0, 1]: `numerator / 10^19`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fraction {
    numerator: u64,
}

const DENOMINATOR: u64 = 10_000_000_000_000_000_000;

impl Fraction {
    /// Reads `value`, which `key` of the pipeline gave.
    pub(crate) fn new(key: &str, value: f64) -> Result<Self> {
        let wrong = || Error::Fraction { key: key.to_owned(), got: value };
        if !(0.0..=1.0).contains(&value) {
            return Err(wrong());
        }
        // Display writes the shortest decimal that reads back as `value`, without an exponent; abs() turns -0.0 into 0.
        let text = value.abs().to_string();
        let (whole, places) = text.split_once('.').unwrap_or((&text, ""));
        let places: String = places.chars().chain(std::iter::repeat('0')).take(PLACES).collect();
        let digits = if whole == "1" { DENOMINATOR } else { places.parse().map_err(|_| wrong())? };
        Ok(Self { numerator: digits })
    }

    /// Half-up rounding of the fraction of `count`.
    pub(crate) fn round_half_up(self, count: u64) -> u64 {
        self.scaled(count, u128::from(DENOMINATOR / 2))
    }

    /// The fraction of `count`, rounded down.
    pub(crate) fn floor(self, count: u64) -> u64 {
        self.scaled(count, 0)
    }

    /// `floor((fraction · count · 10^19 + add) / 10^19)`; at most `count`, so it fits.
    fn scaled(self, count: u64, add: u128) -> u64 {
        let product = u128::from(self.numerator) * u128::from(count);
        u64::try_from((product + add) / u128::from(DENOMINATOR)).unwrap_or(count)
    }
}

/// `floor(part · count / whole)`, at most `count`: a domain's part of a budget.
pub(crate) fn floor_share(part: u64, count: u64, whole: u64) -> u64 {
    if part >= whole {
        return count;
    }
    u64::try_from(u128::from(part) * u128::from(count) / u128::from(whole)).unwrap_or(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fraction(value: f64) -> Fraction {
        Fraction::new("select.fraction", value).unwrap()
    }

    #[test]
    fn decimals_mean_what_is_written() {
        assert_eq!(fraction(0.29).floor(100), 29);
        assert_eq!(fraction(0.3).round_half_up(5), 2);
        assert_eq!(fraction(0.7).round_half_up(5), 4);
        assert_eq!(fraction(0.1).round_half_up(4), 0);
        assert_eq!(fraction(0.1).round_half_up(5), 1);
        assert_eq!(fraction(1e-300).round_half_up(1_000_000), 0);
        for count in [0, 1, 7, u64::MAX] {
            assert_eq!(fraction(1.0).round_half_up(count), count);
            assert_eq!(fraction(1.0).floor(count), count);
            assert_eq!(fraction(-0.0).round_half_up(count), 0);
        }
    }

    #[test]
    fn budgets_are_shared_exactly() {
        assert_eq!(floor_share(10, 7, 20), 3);
        assert_eq!(floor_share(20, 7, 20), 7);
        assert_eq!(floor_share(u64::MAX - 1, u64::MAX, u64::MAX), u64::MAX - 1);
        assert_eq!(floor_share(5, 0, 0), 0);
    }
}
