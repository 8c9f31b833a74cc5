//! What a trial of so many seeds and arms can see: the power of the test that decides.
//!
//! The sign-flip test at a level that allows m of the 2^n assignments calls an arm higher where its effect is beyond the m-th greatest
//! of −(mean noise of a subset of seeds), over all subsets. So one simulation of the noise gives the power at every effect at once.
//!
//! Source: Hartigan (1969), "Using subsample values as typical values", for subset means. The rest is derived here.

use serde::{Deserialize, Serialize};

use crate::distribution::{noncentral_t_above, normal_cdf, solve, t_critical};
use crate::flips::{FAMILY_LEVEL, MOST_ENUMERATED, least_p, seeds_needed};
use crate::random::{Draws, generator, normal};
use crate::{Comparison, Error};

/// The probability by which the smallest detectable effect is found.
pub const TARGET_POWER: f64 = 0.8;
/// The most seeds for which power is simulated; beyond, that of the t test is close.
const MOST_SIMULATED: usize = 12;
/// Trials simulated. The standard error of a power is at most half a point.
const TRIALS: u32 = 10_000;
/// The seed of their noise.
const TRIALS_SEED: u64 = 17;
/// The greatest effect that is looked for, in standard deviations.
const GREATEST_EFFECT: f64 = 100.0;

/// How the power of the sign-flip test was found. Each way takes the seeds' differences to be normal; the test itself does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum PowerMethod {
    /// No outcome of so few seeds leads to a verdict, so the power is 0.
    NoVerdict,
    /// Only differences that all have one sign lead to a verdict; the probability of that is exact.
    Unanimous,
    /// Trials were simulated.
    Simulated {
        /// How many.
        trials: u32,
        /// The seed of ChaCha8.
        seed: u64,
    },
    /// More than 12 seeds: the t test at the level that the sign-flip test attains, by the noncentral t. With 12 seeds and up to 4 arms it is at
    /// most two points higher; with more arms the gap was not measured.
    NoncentralT,
}

/// What a trial of `seeds` seeds and `arms` arms, each against one control, can see.
///
/// It is known before anything is trained, and belongs in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// Seeds, n.
    pub seeds: usize,
    /// Arms that are judged, k; neither the control nor a second random arm counts.
    pub arms: usize,
    /// The least p of the sign-flip test on so many seeds.
    pub least_p: f64,
    /// That p after Holm's adjustment, where the arm comes first of k: above 0.05 no arm can be told from the control.
    pub least_holm_p: f64,
    /// The fewest seeds by which an arm can be told from the control at all. `None` with more arms than any number of seeds serves.
    pub seeds_needed: Option<usize>,
    /// The greatest p that the sign-flip test can give and that leads to a verdict at Holm's first step; 0 if there is none.
    pub level: f64,
    /// The smallest effect that is found with a probability of 80 %, in standard deviations of the paired difference. `None` if no outcome
    /// leads to a verdict.
    pub detectable_sd: Option<f64>,
    /// The same of a t test of one arm at 5 %, which assumes normal differences and does not decide here.
    pub detectable_sd_by_t: f64,
    /// How the power was found.
    pub method: PowerMethod,
}

impl Sensitivity {
    /// Returns the smallest effect that is found with a probability of 80 % if differences have the standard deviation `sd`.
    ///
    /// # Units
    /// That of `sd`: bits per byte.
    #[must_use]
    pub fn smallest_detectable(&self, sd: f64) -> Option<f64> {
        self.detectable_sd.map(|effect| effect * sd)
    }
}

impl Comparison {
    /// Returns the smallest effect, bits per byte, that this comparison would have found with a probability of 80 %, if its standard deviation
    /// is the true one. `None` if no outcome leads to a verdict.
    #[must_use]
    pub fn smallest_detectable(&self, sensitivity: &Sensitivity) -> Option<f64> {
        sensitivity.smallest_detectable(self.sd_difference)
    }
}

/// The power of the sign-flip test for one of several arms.
#[derive(Clone, Debug)]
pub struct Power {
    seeds: usize,
    arms: usize,
    /// The level attained.
    level: f64,
    curve: Curve,
}

/// Effect, in standard deviations, to power.
#[derive(Clone, Debug)]
enum Curve {
    NoVerdict,
    Unanimous,
    /// For each simulated trial the effect beyond which it leads to a verdict, ascending.
    Simulated(Vec<f64>),
    NoncentralT,
}

impl Power {
    /// Finds the power of a trial of `seeds` seeds and `arms` arms.
    ///
    /// # Errors
    /// [`Error::TooFew`] with fewer than two seeds or without arms.
    ///
    /// # Determinism
    /// Simulations have a fixed seed.
    pub fn new(seeds: usize, arms: usize) -> Result<Self, Error> {
        Error::unless_enough("seeds", 2, seeds)?;
        Error::unless_enough("arms", 1, arms)?;
        let step = FAMILY_LEVEL / arms as f64;
        let least = least_p(seeds);
        // one part in a thousand million, as 0.05 has no exact f64
        let most = (step / least * (1.0 + 1e-9)).floor();
        let level = if seeds <= MOST_ENUMERATED { most * least } else { step };
        let curve = if most < 1.0 {
            Curve::NoVerdict
        } else if most < 2.0 && seeds <= MOST_ENUMERATED {
            Curve::Unanimous
        } else if seeds <= MOST_SIMULATED {
            Curve::Simulated(critical_effects(seeds, most))
        } else {
            Curve::NoncentralT
        };
        Ok(Self { seeds, arms, level: if most < 1.0 { 0.0 } else { level }, curve })
    }

    /// Returns the probability that an arm whose true effect is `effect_sd` leads to a verdict of the right direction.
    ///
    /// The other arms are taken not to help: where another arm is found first, Holm's next step is easier and the power greater.
    ///
    /// # Units
    /// `effect_sd` counts true standard deviations of the paired difference.
    #[must_use]
    pub fn at(&self, effect_sd: f64) -> f64 {
        match &self.curve {
            Curve::NoVerdict => 0.0,
            // all differences have the effect's sign
            Curve::Unanimous => (0..self.seeds).fold(1.0, |power, _| power * normal_cdf(effect_sd)),
            Curve::Simulated(effects) => {
                effects.partition_point(|critical| *critical < effect_sd) as f64 / effects.len() as f64
            }
            Curve::NoncentralT => t_power(self.seeds, self.level, effect_sd),
        }
    }

    /// Returns the smallest effect, in standard deviations of the paired difference, that is found with probability `power`. `None` if no
    /// outcome leads to a verdict.
    #[must_use]
    pub fn detectable(&self, power: f64) -> Option<f64> {
        let possible = !matches!(self.curve, Curve::NoVerdict);
        possible.then(|| solve(0.0, GREATEST_EFFECT, |effect| self.at(effect) - power))
    }

    /// Returns what the plan says of it.
    #[must_use]
    pub fn sensitivity(&self) -> Sensitivity {
        let least_p = least_p(self.seeds);
        Sensitivity {
            seeds: self.seeds,
            arms: self.arms,
            least_p,
            least_holm_p: (self.arms as f64 * least_p).min(1.0),
            seeds_needed: seeds_needed(self.arms),
            level: self.level,
            detectable_sd: self.detectable(TARGET_POWER),
            detectable_sd_by_t: detectable_by_t(self.seeds),
            method: match &self.curve {
                Curve::NoVerdict => PowerMethod::NoVerdict,
                Curve::Unanimous => PowerMethod::Unanimous,
                Curve::Simulated(_) => PowerMethod::Simulated { trials: TRIALS, seed: TRIALS_SEED },
                Curve::NoncentralT => PowerMethod::NoncentralT,
            },
        }
    }
}

/// For each of [`TRIALS`] trials without effect, the effect beyond which at most `most` assignments, the seen one among them, have a mean of
/// noise + effect at least as high as the seen one; ascending.
///
/// Flipping the signs of a subset of the seeds lowers the mean unless the mean of the subset's own differences is at most 0: its mean of noise
/// is at most −effect.
fn critical_effects(seeds: usize, most: f64) -> Vec<f64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of at most 2^12 assignments")]
    let place = most as usize - 1; // at most − 1 subsets, as the empty one, the seen assignment, is always among them
    let mut random = generator(TRIALS_SEED, Draws::Trials);
    // a subset's number counts in binary which seeds are in it; the empty one has no mean
    let sizes: Vec<f64> = (0_u32..1 << seeds).map(|subset| f64::from(subset.count_ones())).collect();
    let mut sums: Vec<f64> = Vec::with_capacity(sizes.len());
    let mut means: Vec<f64> = Vec::with_capacity(sizes.len());
    let mut effects: Vec<f64> = (0..TRIALS)
        .map(|_| {
            sums.clear();
            sums.push(0.0);
            for _ in 0..seeds {
                let noise = normal(&mut random);
                sums.extend_from_within(..);
                let half = sums.len() / 2;
                sums[half..].iter_mut().for_each(|sum| *sum += noise);
            }
            means.clear();
            means.extend(sums.iter().zip(&sizes).skip(1).map(|(sum, size)| -sum / size));
            let (_, mean, _) = means.select_nth_unstable_by(place, |a, b| b.total_cmp(a));
            *mean
        })
        .collect();
    effects.sort_unstable_by(f64::total_cmp);
    effects
}

/// The probability that a two-sided t test at `level` on `seeds` pairs is significant in the direction of an effect, in standard deviations.
fn t_power(seeds: usize, level: f64, effect_sd: f64) -> f64 {
    noncentral_t_above(t_critical(level, seeds - 1), seeds - 1, effect_sd * (seeds as f64).sqrt())
}

/// The smallest effect, in standard deviations, that a t test of one arm finds with a probability of 80 %.
fn detectable_by_t(seeds: usize) -> f64 {
    solve(0.0, GREATEST_EFFECT, |effect| t_power(seeds, FAMILY_LEVEL, effect) - TARGET_POWER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn power(seeds: usize, arms: usize) -> Power {
        Power::new(seeds, arms).unwrap()
    }

    /// `scipy.optimize.brentq` over `scipy.stats.nct.sf`, scipy 1.17. Rules of thumb from the normal distribution give some 0.02 less.
    #[test]
    fn the_t_test_sees_what_scipy_says() {
        for (seeds, expected) in [(5, 1.681_997_28), (8, 1.156_035_49), (34, 0.495_028_69)] {
            let detectable = detectable_by_t(seeds);
            assert!((detectable - expected).abs() < 1e-7, "{seeds}: {detectable}");
        }
    }

    #[test]
    fn too_few_seeds_see_nothing() {
        for (seeds, arms) in [(5, 1), (6, 2), (7, 4), (8, 7)] {
            let power = power(seeds, arms);
            assert_eq!((power.at(50.0), power.detectable(0.8)), (0.0, None), "{seeds} seeds, {arms} arms");
            let sensitivity = power.sensitivity();
            assert_eq!((sensitivity.level, sensitivity.method), (0.0, PowerMethod::NoVerdict));
            assert!(sensitivity.least_holm_p > FAMILY_LEVEL && sensitivity.seeds_needed.unwrap() > seeds);
        }
    }

    #[test]
    fn where_all_signs_must_agree_the_power_is_a_power_of_the_normal() {
        let (six, eight) = (power(6, 1), power(8, 4));
        assert!((six.at(1.0) - 0.841_344_746_f64.powi(6)).abs() < 1e-9);
        assert!((eight.at(0.0) - 1.0 / 256.0).abs() < 1e-12, "one side of the level");
        assert_eq!(eight.sensitivity().level, 2.0 / 256.0);
        // by hand: 0.8^(1/6) = 0.963492, which is Φ(1.793)
        assert!((six.detectable(0.8).unwrap() - 1.793).abs() < 0.001);
    }

    /// The same trials, once by the rule of unanimity and once by subset means.
    #[test]
    fn subset_means_agree_with_unanimity_and_with_the_test() {
        let seeds = 6;
        let mut random = generator(TRIALS_SEED, Draws::Trials);
        let noise: Vec<Vec<f64>> = (0..200).map(|_| (0..seeds).map(|_| normal(&mut random)).collect()).collect();
        for most in [2.0, 5.0] {
            let level = most * least_p(seeds);
            // the trials of the noise above are the first of those simulated
            let effects = critical_effects(seeds, most);
            for noise in &noise {
                let verdict = |effect: f64| {
                    let differences: Vec<f64> = noise.iter().map(|noise| noise + effect).collect();
                    let mean = differences.iter().sum::<f64>();
                    mean > 0.0 && crate::sign_flip(&differences).unwrap().p <= level
                };
                let critical = solve(0.0, 10.0, |effect| if verdict(effect) { 1.0 } else { -1.0 });
                let known = effects.iter().any(|effect| (effect - critical).abs() < 1e-9) || critical < 1e-9;
                assert!(known, "{critical} of {noise:?}");
            }
        }
    }

    #[test]
    fn beyond_the_simulated_the_t_test_is_close() {
        for arms in [1, 2, 4] {
            let simulated = power(MOST_SIMULATED, arms);
            for effect in [0.4, 0.6, 0.8, 1.0, 1.2] {
                let by_t = t_power(MOST_SIMULATED, simulated.level, effect);
                println!("{arms} arms, {effect} sd: {:.4} by flips, {by_t:.4} by t", simulated.at(effect));
                assert!((simulated.at(effect) - by_t).abs() < 0.02, "{arms} {effect}: {} {by_t}", simulated.at(effect));
            }
        }
    }

    #[test]
    fn more_seeds_see_more_and_more_arms_less() {
        let detectable = |seeds, arms| power(seeds, arms).detectable(0.8).unwrap();
        let one_arm: Vec<f64> = (6..=14).chain([20, 21, 40]).map(|seeds| detectable(seeds, 1)).collect();
        assert!(one_arm.is_sorted_by(|a, b| a > b), "{one_arm:?}");
        let twelve: Vec<f64> = [1, 2, 3, 4, 8].map(|arms| detectable(12, arms)).to_vec();
        assert!(twelve.is_sorted_by(|a, b| a < b), "{twelve:?}");
    }

    #[test]
    fn no_trial_is_refused() {
        assert!(matches!(Power::new(1, 1), Err(Error::TooFew { .. })));
        assert!(matches!(Power::new(8, 0), Err(Error::TooFew { .. })));
    }
}
