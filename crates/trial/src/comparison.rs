//! One arm against its control, paired by seed.

use headwater_record::statistics::{mean_and_stderr, pearson};
use serde::{Deserialize, Serialize};

use crate::distribution::{chi_squared_critical, t_critical};
use crate::{Error, Losses, Outcomes, SignFlip, sign_flip};

/// One minus the probability by which intervals are meant to hold the truth.
pub(crate) const OUTSIDE: f64 = 0.05;

/// A range that is meant to hold the truth in 95 of 100 trials.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its lower end, in the unit of what it is of.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Interval {
    /// Tells whether `value` lies within.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// An arm against its control, both under the same seeds. Only these two arms' runs are used: variances are never pooled over arms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Seeds, n: pairs of runs.
    pub seeds: usize,
    /// Mean loss of the control, bits per byte.
    pub control_mean: f64,
    /// Mean loss of the arm, bits per byte.
    pub arm_mean: f64,
    /// Mean of arm − control, bits per byte; below 0 the arm is better.
    pub mean_difference: f64,
    /// Standard deviation of the differences over seeds (n − 1), bits per byte.
    pub sd_difference: f64,
    /// 95 % interval of that standard deviation, bits per byte, by the chi-squared distribution. From few seeds it is wide, and everything
    /// that is counted in standard deviations is as uncertain.
    pub sd_interval: Interval,
    /// 95 % interval of the mean difference, bits per byte, by Student's t with n − 1 degrees of freedom. The verdict does not come from it.
    pub t_interval: Interval,
    /// The sign-flip test, which the verdict comes from.
    pub sign_flip: SignFlip,
    /// Correlation over seeds of the two arms' losses, in [−1, 1]; 0 where one of them does not vary.
    pub seed_correlation: f64,
    /// What pairing bought: the variance that the difference of means would have were the seeds unrelated, by the one it has. Above 1 pairing
    /// helped. `None` where the differences do not vary.
    pub variance_saved: Option<f64>,
}

/// Compares `arm` with `control`, each by seed in bits per byte.
///
/// # Errors
/// [`Error::Unpaired`] if their seeds differ, [`Error::TooFew`] with fewer than two.
///
/// # Determinism
/// Sums in ascending order of seeds: the order of recording does not matter.
///
/// # Source
/// Student (1908), §VII, for paired differences; the interval of a normal variance for `sd_interval`.
pub fn compare(control: &Losses, arm: &Losses) -> Result<Comparison, Error> {
    let mut outcomes = Outcomes::new();
    for (name, losses) in [("control", control), ("arm", arm)] {
        losses.iter().try_for_each(|(seed, loss)| outcomes.record(name, *seed, *loss))?;
    }
    outcomes.compare("control", "arm")
}

impl Outcomes {
    /// Compares the arm named `arm` with the one named `control`, as [`compare`].
    ///
    /// # Errors
    /// [`Error::NoRuns`] if one of them has none, else as [`compare`].
    pub fn compare(&self, control: &str, arm: &str) -> Result<Comparison, Error> {
        let (control, arm) = self.paired(control, arm)?;
        Error::unless_enough("seeds", 2, control.len())?;
        let differences: Vec<f64> = control.iter().zip(&arm).map(|(control, arm)| arm - control).collect();
        let (mean, sd) = mean_and_sd(&differences);
        let (control_mean, control_sd) = mean_and_sd(&control);
        let (arm_mean, arm_sd) = mean_and_sd(&arm);

        let seeds = differences.len();
        let half = t_critical(OUTSIDE, seeds - 1) * sd / (seeds as f64).sqrt();
        let freedom = (seeds - 1) as f64;
        let sd_end = |level| sd * (freedom / chi_squared_critical(level, seeds - 1)).sqrt();
        Ok(Comparison {
            seeds,
            control_mean,
            arm_mean,
            mean_difference: mean,
            sd_difference: sd,
            sd_interval: Interval { low: sd_end(OUTSIDE / 2.0), high: sd_end(1.0 - OUTSIDE / 2.0) },
            t_interval: Interval { low: mean - half, high: mean + half },
            sign_flip: sign_flip(&differences)?,
            seed_correlation: pearson(&control, &arm),
            variance_saved: (sd > 0.0).then(|| (control_sd.powi(2) + arm_sd.powi(2)) / sd.powi(2)),
        })
    }
}

/// The mean and the standard deviation (n − 1) of at least two `values`.
fn mean_and_sd(values: &[f64]) -> (f64, f64) {
    let (mean, stderr) = mean_and_stderr(values);
    (mean, stderr.unwrap_or(0.0) * (values.len() as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn losses(values: &[f64]) -> Losses {
        (0..).zip(values.iter().copied()).collect()
    }

    /// Student (1908), §IX, table of Cushny and Peebles: hours of sleep that ten patients gained by two drugs. The differences have mean 1.58 and
    /// sd 1.23 (n − 1); the interval is that of R's documentation of the same data, `?sleep`: 0.70 to 2.46.
    #[test]
    fn sleep_as_published() {
        // hours gained plus 2, as losses are not negative
        let one = losses(&[2.7, 0.4, 1.8, 0.8, 1.9, 5.4, 5.7, 2.8, 2.0, 4.0]);
        let other = losses(&[3.9, 2.8, 3.1, 2.1, 1.9, 6.4, 7.5, 3.6, 6.6, 5.4]);
        let comparison = compare(&one, &other).unwrap();
        let near = |got: f64, expected: f64, within: f64| assert!((got - expected).abs() < within, "{got}, {expected}");
        near(comparison.mean_difference, 1.58, 1e-9);
        near(comparison.sd_difference, 1.229_995_48, 1e-7);
        near(comparison.t_interval.low, 0.700_114_24, 1e-7);
        near(comparison.t_interval.high, 2.459_885_76, 1e-7);
        near(comparison.seed_correlation, 0.795_170_2, 1e-6);
        // nine differences are above 0, one is 0: only all signs alike is as far from 0, with both signs of the zero
        assert_eq!(comparison.sign_flip.p, 4.0 / 1024.0);
    }

    #[test]
    fn pairing_saves_what_the_seeds_share() {
        // by hand: variances (n − 1) of 1, 3.04/3 and 0.04/3, so (3 + 3.04) / 0.04
        let comparison = compare(&losses(&[1.0, 2.0, 3.0]), &losses(&[1.1, 1.9, 3.1])).unwrap();
        assert!((comparison.variance_saved.unwrap() - 151.0).abs() < 1e-9, "{comparison:?}");
        assert!((comparison.seed_correlation - 1.0 / (3.04_f64 / 3.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn arms_that_never_differ_are_equal_without_doubt() {
        let control = losses(&[1.0, 1.5]);
        let comparison = compare(&control, &control).unwrap();
        assert_eq!(comparison.t_interval, Interval { low: 0.0, high: 0.0 });
        assert_eq!((comparison.sign_flip.p, comparison.variance_saved), (1.0, None));
    }

    #[test]
    fn one_seed_has_no_spread_and_other_seeds_no_pair() {
        assert!(matches!(compare(&losses(&[1.0]), &losses(&[2.0])), Err(Error::TooFew { least: 2, got: 1, .. })));
        assert!(matches!(compare(&losses(&[1.0, 1.0]), &losses(&[2.0])), Err(Error::Unpaired { seed: 1, .. })));
        assert!(matches!(compare(&losses(&[1.0, f64::NAN]), &losses(&[2.0, 2.0])), Err(Error::Loss { .. })));
    }

    proptest! {
        #[test]
        fn the_other_way_round_is_the_opposite(pairs in prop::collection::vec((0.5..2.0, 0.5..2.0), 2..9)) {
            let (one, other): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let (there, back) =
                (compare(&losses(&one), &losses(&other)).unwrap(), compare(&losses(&other), &losses(&one)).unwrap());
            prop_assert_eq!(there.mean_difference, -back.mean_difference);
            prop_assert_eq!(there.sd_difference, back.sd_difference);
            prop_assert_eq!((there.t_interval.low, there.t_interval.high), (-back.t_interval.high, -back.t_interval.low));
            prop_assert_eq!(there.sign_flip, back.sign_flip);
            prop_assert_eq!((there.seed_correlation, there.variance_saved.is_some()), (back.seed_correlation, true));
        }

        #[test]
        fn which_seed_a_pair_has_does_not_matter(
            pairs in prop::collection::vec((0.5..2.0, 0.5..2.0), 2..9), turn in 0_usize..9, shift in 0_u64..1000,
        ) {
            let (one, other): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let turned = |values: &[f64]| {
                let mut values = values.to_vec();
                let length = values.len();
                values.rotate_left(turn % length);
                (shift..).zip(values).collect::<Losses>()
            };
            let straight = compare(&losses(&one), &losses(&other)).unwrap();
            let turned = compare(&turned(&one), &turned(&other)).unwrap();
            prop_assert!((straight.mean_difference - turned.mean_difference).abs() < 1e-12);
            prop_assert!((straight.sd_difference - turned.sd_difference).abs() < 1e-12);
            prop_assert_eq!(straight.sign_flip, turned.sign_flip);
        }
    }
}
