//! The sign-flip test of paired differences.
//!
//! If an arm is no better than its control, each seed's difference is as likely to have had the other sign. The test counts how many of all
//! assignments of signs give a mean at least as far from 0 as the one that was seen. It assumes that, and no shape of distribution. It is so of two
//! arms that are made alike. Of an arm whose losses have the control's mean but are skewed otherwise, p is approximate.

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::random::{Draws, generator};

/// The family-wise share of trials without any difference in which some arm may be called better or worse.
pub const FAMILY_LEVEL: f64 = 0.05;
/// The most seeds of which all assignments of signs are tried: half a million up to the common sign.
pub const MOST_ENUMERATED: usize = 20;
/// Assignments that are drawn where there are too many.
const DRAWN: u32 = 99_999;
/// The seed of their draws.
const DRAWN_SEED: u64 = 17;

/// What a sign-flip test says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignFlip {
    /// Two-sided p, in (0, 1]: the share of assignments whose mean is at least as far from 0. Ties count.
    pub p: f64,
    /// The least p that so many seeds can reach, whatever the losses.
    pub least_p: f64,
    /// How the assignments were gone through.
    pub method: FlipMethod,
}

/// How the assignments of signs were gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum FlipMethod {
    /// All of them: p is exact.
    Exact {
        /// Assignments up to the common sign, 2^(n − 1).
        assignments: u64,
    },
    /// Random ones, and the one that was seen: p is valid, and its standard error is about √(p / draws).
    Drawn {
        /// Assignments drawn.
        draws: u32,
        /// The seed of ChaCha8.
        seed: u64,
    },
}

/// Tests whether paired `differences`, `(seed,)`, lie around 0.
///
/// # Units
/// Any; p does not depend on it.
///
/// # Errors
/// [`Error::TooFew`] without differences, [`Error::Setting`] for one that is not finite.
///
/// # Determinism
/// Independent of the order of up to [`MOST_ENUMERATED`] differences. Beyond, signs are drawn under a fixed seed.
///
/// # Source
/// Fisher (1935), *The Design of Experiments*, §21, with the mean as its statistic. Drawn assignments: Phipson and Smyth (2010), "Permutation
/// p-values should never be zero", eq. 2.
pub fn sign_flip(differences: &[f64]) -> Result<SignFlip, Error> {
    Error::unless_enough("differences", 1, differences.len())?;
    if let Some(wrong) = differences.iter().find(|difference| !difference.is_finite()) {
        return Err(Error::Setting { name: "difference", value: wrong.to_string(), rule: "must be finite" });
    }
    let size: f64 = differences.iter().map(|difference| difference.abs()).sum();
    // sums of the same numbers in another order differ by less than this
    let rounding = 2.0 * differences.len() as f64 * f64::EPSILON * size;
    let seen = differences.iter().sum::<f64>().abs() - rounding;
    Ok(if differences.len() <= MOST_ENUMERATED { exact(differences, seen) } else { drawn(differences, seen) })
}

/// Goes through all assignments; the first difference keeps its sign, as the opposite of an assignment is as far from 0.
fn exact(differences: &[f64], seen: f64) -> SignFlip {
    let mut sums = vec![differences[0]];
    for difference in &differences[1..] {
        for at in 0..sums.len() {
            let sum = sums[at];
            sums[at] = sum + difference;
            sums.push(sum - difference);
        }
    }
    let extreme = sums.iter().filter(|sum| sum.abs() >= seen).count();
    let p = extreme as f64 / sums.len() as f64;
    SignFlip { p, least_p: least_p(differences.len()), method: FlipMethod::Exact { assignments: sums.len() as u64 } }
}

/// Draws assignments.
fn drawn(differences: &[f64], seen: f64) -> SignFlip {
    let mut random = generator(DRAWN_SEED, Draws::Signs);
    let mut extreme = 1;
    for _ in 0..DRAWN {
        let mut sum = 0.0;
        for differences in differences.chunks(64) {
            let signs = random.next_u64();
            for (at, difference) in differences.iter().enumerate() {
                sum += if signs >> at & 1 == 1 { *difference } else { -difference };
            }
        }
        extreme += u32::from(sum.abs() >= seen);
    }
    let p = f64::from(extreme) / f64::from(DRAWN + 1);
    SignFlip { p, least_p: least_p(differences.len()), method: FlipMethod::Drawn { draws: DRAWN, seed: DRAWN_SEED } }
}

/// Returns the least two-sided p that `seeds` pairs can reach: 2 / 2^n, where all assignments are tried, else 1 / (draws + 1).
#[must_use]
pub fn least_p(seeds: usize) -> f64 {
    match seeds {
        0 => 1.0,
        1..=MOST_ENUMERATED => (1..seeds).fold(1.0, |p, _| p / 2.0),
        _ => 1.0 / f64::from(DRAWN + 1),
    }
}

/// Returns the fewest seeds by which one of `arms` arms can be told from the control at all: the least p, times the arms for Holm's first
/// step, is at most [`FAMILY_LEVEL`]. `None` where no number of seeds does, as so many assignments are drawn, not tried.
#[must_use]
pub fn seeds_needed(arms: usize) -> Option<usize> {
    (2..=MOST_ENUMERATED + 1).find(|seeds| arms as f64 * least_p(*seeds) <= FAMILY_LEVEL)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn p(differences: &[f64]) -> f64 {
        sign_flip(differences).unwrap().p
    }

    #[test]
    fn by_hand() {
        // sums of ±1 ±2 ±3: ±6 ±4 ±2 0 0; at least 4 from 0 are 4 of 8
        assert_eq!(p(&[-1.0, 2.0, 3.0]), 0.5);
        assert_eq!(p(&[1.0, 2.0, 3.0]), 0.25);
        assert_eq!(p(&[1.0, 2.0, -3.0]), 1.0);
        // a pair without difference has no sign: all assignments of the others count twice
        assert_eq!(p(&[1.0, 2.0, 3.0, 0.0]), 0.25);
        assert_eq!(p(&[0.0, 0.0]), 1.0);
        assert_eq!(p(&[5.0]), 1.0);
    }

    /// Fisher (1935), §21, on Darwin's 15 pairs of plants: 863 of 32,768 assignments give a total of 314 or more, and as many its opposite.
    #[test]
    fn darwins_plants() {
        let eighths = [49.0, -67.0, 8.0, 16.0, 6.0, 23.0, 28.0, 41.0, 14.0, 29.0, 56.0, 24.0, 75.0, 60.0, -48.0];
        let test = sign_flip(&eighths).unwrap();
        assert_eq!(test.p, 2.0 * 863.0 / 32_768.0);
        assert_eq!(test.method, FlipMethod::Exact { assignments: 16_384 });
        // drawn, the same test is within four standard errors
        let drawn = drawn(&eighths, 314.0 - 1e-9);
        assert!((drawn.p - test.p).abs() < 4.0 * (test.p / f64::from(DRAWN)).sqrt(), "{drawn:?}");
    }

    #[test]
    fn many_seeds_are_drawn() {
        let all_better = sign_flip(&[-0.01; 40]).unwrap();
        assert_eq!((all_better.p, all_better.least_p), (1e-5, 1e-5));
        assert!(matches!(all_better.method, FlipMethod::Drawn { .. }));
        let even: Vec<f64> = (0..70).map(|at| if at % 2 == 0 { 1.0 } else { -1.0 }).collect();
        assert_eq!(p(&even), 1.0);
    }

    #[test]
    fn what_seeds_can_reach() {
        assert_eq!([2, 5, 6, 8].map(least_p), [0.5, 0.0625, 0.03125, 0.0078125]);
        assert_eq!([1, 2, 3, 4, 5, 8, 9].map(seeds_needed), [6, 7, 7, 8, 8, 9, 9].map(Some));
        assert_eq!(seeds_needed(10_000), Some(19));
        assert_eq!(seeds_needed(1_000_000), None);
    }

    #[test]
    fn what_is_not_a_difference_is_refused() {
        assert!(matches!(sign_flip(&[]), Err(Error::TooFew { .. })));
        assert!(matches!(sign_flip(&[1.0, f64::NAN]), Err(Error::Setting { .. })));
    }

    proptest! {
        #[test]
        fn neither_order_nor_scale_nor_the_sides_matter(
            differences in prop::collection::vec(-1.0..1.0_f64, 2..10), turn in 0_usize..10, scale in 1e-6..1e6_f64,
        ) {
            let mut other: Vec<f64> = differences.iter().map(|difference: &f64| -scale * difference).collect();
            let length = other.len();
            other.rotate_left(turn % length);
            prop_assert_eq!(p(&differences), p(&other));
        }

        #[test]
        fn no_p_is_below_the_least(differences in prop::collection::vec(-1.0..1.0, 1..12)) {
            prop_assert!(p(&differences) >= least_p(differences.len()));
        }
    }
}
