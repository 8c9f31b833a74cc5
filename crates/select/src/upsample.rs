//! Dropping the bottom and repeating the top, by a smooth curve.
//!
//! A domain's ranked tokens are cut into stretches of equal size, best first; the lowest are dropped. A document at quality
//! *u* — 1 for the best, 0 where dropping begins — is read *r(u) = c · u^p* times on average. A bucket has the mean of its stretch,
//! and *p* is what makes all buckets together reach the token target while the best bucket is read `cap` times; where even the
//! steepest curve reads more than that, *c* is lowered.
//!
//! # Source
//! The policy, the share dropped, the cap and the vigintiles are those of Olmo 3 (arXiv 2512.13961), which bounds the mean of the
//! best bucket, too. Departs: its curve has two more parameters, a power times an exponential; one exponent meets cap and target.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fraction::Fraction;
use crate::{Error, Result};

/// The `[select.upsample]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpsampleConfig {
    /// Share of each domain's tokens that is dropped, from the bottom of the ranking; 0 to below 1.
    pub drop: f64,
    /// How often the best documents are read, 1 or more.
    pub cap: f64,
    /// Parts of equal size that the rest is cut into, 1 to 100; the documents of one are read equally often.
    pub buckets: u32,
}

impl Default for UpsampleConfig {
    fn default() -> Self {
        Self { drop: 0.4, cap: 7.0, buckets: 12 }
    }
}

/// The most parts; each is a folder and a source of every trainer's mixture.
const MOST_BUCKETS: u32 = 100;

/// The steepest curve: half of the reading goes to the best twentieth.
const STEEPEST: f64 = 16.0;

/// Bisections of the exponent: as many as an f64 has bits to tell apart.
const HALVINGS: u32 = 64;

impl UpsampleConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        let wrong = |name: &str, got, expected| Err(Error::number(&format!("select.upsample.{name}"), got, expected));
        if !(0.0..1.0).contains(&self.drop) {
            return wrong("drop", self.drop, "a share from 0 to below 1");
        }
        if !(self.cap >= 1.0 && self.cap.is_finite()) {
            return wrong("cap", self.cap, "1 or more: how often a document is read at most");
        }
        if !(1..=MOST_BUCKETS).contains(&self.buckets) {
            return wrong("buckets", f64::from(self.buckets), "a whole number from 1 to 100");
        }
        Ok(())
    }

    /// The shares of the ranked tokens, best first, at which each bucket ends, to be shown.
    pub(crate) fn ends(&self) -> Vec<f64> {
        (1..=self.buckets).map(|bucket| (1.0 - self.drop) * f64::from(bucket) / f64::from(self.buckets)).collect()
    }

    /// How many of `tokens` rank before the end of each bucket: whole parts of what is left above the drop.
    ///
    /// # Errors
    /// [`Error::Fraction`] if `drop` is no share.
    pub(crate) fn goals(&self, tokens: u64) -> Result<Vec<u64>> {
        let dropped = Fraction::new("select.upsample.drop", self.drop)?.floor(tokens);
        let left = u128::from(tokens - dropped);
        let end = |bucket: u32| u64::try_from(left * u128::from(bucket) / u128::from(self.buckets)).unwrap_or(tokens);
        Ok((1..=self.buckets).map(end).collect())
    }

    /// How often each bucket, which hold these numbers of tokens, is read so that `target` tokens are read in all.
    ///
    /// # Errors
    /// [`Error::OutOfReach`] if reading everything as often as the cap allows is not enough.
    pub(crate) fn repeats(&self, tokens: &[u64], target: u64) -> Result<Vec<f64>> {
        let total: u64 = tokens.iter().sum();
        let (target, kept) = (target as f64, total as f64);
        if target > self.cap * kept {
            let most = self.cap * kept;
            return Err(Error::OutOfReach { target, kept: total, drop: self.drop, cap: self.cap, most });
        }
        let read = |exponent: f64| -> (Vec<f64>, f64) {
            let repeats = self.curve(exponent);
            let sum = repeats.iter().zip(tokens).map(|(repeat, tokens)| repeat * *tokens as f64).sum();
            (repeats, sum)
        };
        // the sum falls as the curve gets steeper
        let (mut flat, mut steep) = (0.0, STEEPEST);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(flat, steep);
            if read(middle).1 > target {
                flat = middle;
            } else {
                steep = middle;
            }
        }
        let (repeats, sum) = read(steep);
        if sum == 0.0 {
            return Ok(repeats);
        }
        // What is left of the difference; beyond the steepest curve, all of it.
        let scale = (target / sum).min(self.cap / repeats.first().copied().unwrap_or(1.0));
        Ok(repeats.into_iter().map(|repeat| repeat * scale).collect())
    }

    /// The mean of *u^p* over each bucket, scaled so that the best has the cap.
    fn curve(&self, exponent: f64) -> Vec<f64> {
        let buckets = f64::from(self.buckets);
        // ∫ u^p over a bucket, but for the factor that all share
        let mean = |bucket: u32| {
            let (high, low) = (1.0 - f64::from(bucket) / buckets, 1.0 - f64::from(bucket + 1) / buckets);
            libm::pow(high, exponent + 1.0) - libm::pow(low.max(0.0), exponent + 1.0)
        };
        let best = mean(0);
        (0..self.buckets).map(|bucket| self.cap * mean(bucket) / best).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_target_is_met_and_no_bucket_is_above_the_cap(
            tokens in prop::collection::vec(0_u64..1_000_000, 1..40),
            cap in 1.0_f64..20.0,
            drop in 0.0_f64..0.9,
            share in 0.0_f64..=1.0,
        ) {
            let config = UpsampleConfig { drop, cap, buckets: u32::try_from(tokens.len()).unwrap() };
            let total: u64 = tokens.iter().sum();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
            let target = (share * cap * total as f64) as u64;
            let repeats = config.repeats(&tokens, target).unwrap();
            let read: f64 = repeats.iter().zip(&tokens).map(|(repeat, tokens)| repeat * *tokens as f64).sum();
            prop_assert!((read - target as f64).abs() <= 1e-9 * target as f64 + 1e-6, "{read} of {target}");
            prop_assert!(repeats.iter().all(|repeat| (0.0..=cap * (1.0 + 1e-12)).contains(repeat)));
            prop_assert!(repeats.windows(2).all(|pair| pair[0] >= pair[1] * (1.0 - 1e-12)), "better is read more: {repeats:?}");
        }
    }

    #[test]
    fn the_best_bucket_is_read_as_often_as_the_cap_allows() {
        let repeats = UpsampleConfig::default().repeats(&[50; 12], 1_000).unwrap();
        assert!((repeats[0] - 7.0).abs() < 1e-9, "{repeats:?}");
        assert!(repeats[11] < 0.1);
    }

    #[test]
    fn buckets_end_at_whole_shares_of_tokens() {
        let goals = UpsampleConfig::default().goals(3_000).unwrap();
        assert_eq!((goals[4], goals[8], goals[11]), (750, 1_350, 1_800));
        for buckets in [1, 49, 98] {
            let goals = UpsampleConfig { drop: 0.0, cap: 7.0, buckets }.goals(12_345).unwrap();
            assert_eq!(goals.last(), Some(&12_345));
        }
    }

    #[test]
    fn more_than_the_cap_allows_is_refused() {
        let error = UpsampleConfig::default().repeats(&[50; 12], 4_201).unwrap_err();
        assert!(matches!(error, Error::OutOfReach { kept: 600, .. }), "{error}");
    }

    #[test]
    fn numbers_are_checked() {
        let with = |drop, cap, buckets| UpsampleConfig { drop, cap, buckets }.validate();
        assert!(with(0.0, 1.0, 1).is_ok());
        for (drop, cap, buckets) in
            [(1.0, 7.0, 12), (-0.1, 7.0, 12), (0.4, 0.9, 12), (0.4, f64::NAN, 12), (0.4, 7.0, 0)]
        {
            assert!(matches!(with(drop, cap, buckets), Err(Error::Number { .. })));
        }
    }
}
