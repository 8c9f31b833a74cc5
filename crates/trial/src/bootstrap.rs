//! The mean difference over other seeds and other held-out documents: a bootstrap over both.
//!
//! Seeds are redrawn with replacement, and documents independently of them, as each document is measured under every seed. Its limits:
//!
//! - A few redrawn seeds never leave the range of the seeds that there are, which misses the truth in one trial of four with three seeds and
//!   one of sixteen with five. So percentiles are of no use: the interval is the mean ± t times the standard deviation of the resamples.
//!   That takes the mean to be about normal.
//! - No bootstrap of two crossed factors is exact (McCullagh 2000, "Resampling and exchangeable arrays"). This one counts the noise of a single
//!   run on a single document three times (Owen 2007, "The pigeonhole bootstrap", §4): where nothing else varies, the interval is wide.
//! - It knows the documents that it has. If they are few or of one kind, it says nothing of others.
//!
//! `docs/trials.md` has the coverage in simulations.

use headwater_record::statistics::mean_and_stderr;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::comparison::OUTSIDE;
use crate::distribution::t_critical;
use crate::random::{Draws, generator};
use crate::{DocumentLosses, Error, Interval};

/// Resamples of a bootstrap; their standard deviation is right to some 1.6 %.
const RESAMPLES: u32 = 2_000;

/// The mean difference of two arms, resampled over seeds and documents.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resampled {
    /// Mean over seeds of arm − control, bits per byte over all documents; below 0 the arm is better.
    pub mean_difference: f64,
    /// Interval that is meant to hold the true difference in 95 of 100 trials with other seeds and other documents, bits per byte.
    pub interval: Interval,
    /// Standard error of the mean difference, bits per byte: the standard deviation of the resampled means, made larger by what redrawing a few
    /// loses.
    pub stderr: f64,
    /// Degrees of freedom of the spread: between seeds − 1, where seeds make all of it, and the sum of both less two.
    pub freedom: usize,
    /// Seeds.
    pub seeds: usize,
    /// Held-out documents.
    pub documents: usize,
    /// Resamples.
    pub resamples: u32,
    /// The seed of ChaCha8 that they are drawn under.
    pub seed: u64,
}

impl DocumentLosses {
    /// Compares `arm` with `control` over resampled seeds and documents.
    ///
    /// Documents count by their bytes, in resamples too.
    ///
    /// # Errors
    /// [`Error::NoRuns`], [`Error::Unpaired`], [`Error::TooFew`] with fewer than two seeds or documents.
    ///
    /// # Determinism
    /// The same `seed` gives the same bits.
    ///
    /// # Source
    /// Owen (2007), "The pigeonhole bootstrap", of a ratio of sums. The interval is t times the standard error, with the degrees of freedom of
    /// the sum of both variances (Satterthwaite 1946); where redrawing n things divides by n, n − 1 is put right.
    pub fn bootstrap(&self, control: &str, arm: &str, seed: u64) -> Result<Resampled, Error> {
        let differences = self.bit_differences(control, arm)?;
        let bytes: Vec<f64> = self.bytes().iter().map(|bytes| *bytes as f64).collect();
        let (seeds, documents) = (differences.len(), bytes.len());
        Error::unless_enough("seeds", 2, seeds)?;
        Error::unless_enough("held-out documents", 2, documents)?;

        let mut random = generator(seed, Draws::Resamples);
        let means: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let counts = (redraw(seeds, &mut random), redraw(documents, &mut random));
                weighted_mean(&differences, &bytes, &counts.0, &counts.1)
            })
            .collect();
        let mean = means.iter().sum::<f64>() / f64::from(RESAMPLES);
        let variance = means.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / f64::from(RESAMPLES - 1);

        let spread = Spread::of(&differences, &bytes);
        let stderr = variance.sqrt() * spread.widening();
        let half = t_critical(OUTSIDE, spread.freedom()) * stderr;
        let mean_difference = weighted_mean(&differences, &bytes, &vec![1.0; seeds], &vec![1.0; documents]);
        Ok(Resampled {
            mean_difference,
            interval: Interval { low: mean_difference - half, high: mean_difference + half },
            stderr,
            freedom: spread.freedom(),
            seeds,
            documents,
            resamples: RESAMPLES,
            seed,
        })
    }
}

/// Estimates of what seeds and documents each add to the variance of the mean difference.
struct Spread {
    seeds: usize,
    documents: usize,
    of_seeds: f64,
    of_documents: f64,
}

impl Spread {
    /// Of `differences`, `(seed, document)`, in bits, over documents of `bytes`. Of documents, by residuals of the ratio of bits to bytes.
    fn of(differences: &[Vec<f64>], bytes: &[f64]) -> Self {
        let (seeds, documents) = (differences.len(), bytes.len());
        let total: f64 = bytes.iter().sum();
        let by_seed: Vec<f64> = differences.iter().map(|bits| bits.iter().sum::<f64>() / total).collect();
        let (mean, stderr) = mean_and_stderr(&by_seed);
        let residual = |document: usize| {
            let bits = differences.iter().map(|bits| bits[document]).sum::<f64>() / seeds as f64;
            (bits - mean * bytes[document]) / total
        };
        let squares: f64 = (0..documents).map(|document| residual(document).powi(2)).sum();
        let of_documents = squares * documents as f64 / (documents - 1) as f64;
        Self { seeds, documents, of_seeds: stderr.unwrap_or(0.0).powi(2), of_documents }
    }

    /// Degrees of freedom of the sum, rounded down; those of seeds where nothing varies.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most seeds and documents together")]
    fn freedom(&self) -> usize {
        let (of_seeds, of_documents) = ((self.seeds - 1) as f64, (self.documents - 1) as f64);
        let squares = self.of_seeds.powi(2) / of_seeds + self.of_documents.powi(2) / of_documents;
        let freedom = (self.of_seeds + self.of_documents).powi(2) / squares;
        if freedom.is_finite() { (freedom as usize).max(1) } else { self.seeds - 1 }
    }

    /// By what the standard deviation of resamples, which divide by n and not by n − 1, is too small.
    fn widening(&self) -> f64 {
        let shrunk = |variance: f64, count: usize| variance * (count - 1) as f64 / count as f64;
        let resampled = shrunk(self.of_seeds, self.seeds) + shrunk(self.of_documents, self.documents);
        if resampled > 0.0 { ((self.of_seeds + self.of_documents) / resampled).sqrt() } else { 1.0 }
    }
}

/// How often each of `count` things is drawn in `count` draws, `(thing,)`.
fn redraw(count: usize, random: &mut ChaCha8Rng) -> Vec<f64> {
    let mut counts = vec![0.0; count];
    (0..count).for_each(|_| counts[random.random_range(0..count)] += 1.0);
    counts
}

/// The mean over counted seeds of bits by bytes of counted documents. `differences` is `(seed, document)`, in bits.
fn weighted_mean(differences: &[Vec<f64>], bytes: &[f64], seeds: &[f64], documents: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let drawn = differences.iter().zip(seeds).filter(|(_, count)| **count > 0.0);
    let bits: f64 = drawn.map(|(bits, count)| count * dot(bits, documents)).sum();
    bits / dot(bytes, documents) / seeds.iter().sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two arms whose difference is `difference(seed, document)`, in bits per byte.
    fn losses(bytes: &[u64], seeds: u32, difference: impl Fn(u32, u32) -> f64) -> DocumentLosses {
        let mut losses = DocumentLosses::new(bytes.to_vec()).unwrap();
        for seed in 0..seeds {
            losses.record("random", seed.into(), vec![1.0; bytes.len()]).unwrap();
            let arm = (0..).zip(bytes).map(|(document, _)| 1.0 + difference(seed, document)).collect();
            losses.record("influence", seed.into(), arm).unwrap();
        }
        losses
    }

    #[test]
    fn what_varies_neither_by_seed_nor_by_document_is_certain() {
        let sure = losses(&[10, 20, 30], 4, |_, _| -0.25).bootstrap("random", "influence", 1).unwrap();
        let near = |value: f64| (value + 0.25).abs() < 1e-12;
        assert!(near(sure.mean_difference) && near(sure.interval.low) && near(sure.interval.high), "{sure:?}");
    }

    #[test]
    fn documents_count_by_their_bytes() {
        let by_document = losses(&[100, 300], 3, |_, document| if document == 0 { 0.4 } else { 0.0 });
        let resampled = by_document.bootstrap("random", "influence", 1).unwrap();
        assert!((resampled.mean_difference - 0.1).abs() < 1e-12);
        // by hand: resamples are 0.4 and 0 in a quarter of cases each, 0.1 in half: mean 0.15, variance 0.045 − 0.0225, twice that with n − 1
        assert!((resampled.stderr - 0.045_f64.sqrt()).abs() < 0.05 * 0.045_f64.sqrt(), "{resampled:?}");
        assert_eq!(resampled.freedom, 1);
    }

    #[test]
    fn the_spread_is_that_of_seeds_and_documents() {
        let signed = |at: u32, size: f64| if at.is_multiple_of(2) { size } else { -size };
        let both = losses(&[50; 100], 4, |seed, document| signed(seed, 0.1) + signed(document, 0.2));
        let resampled = both.bootstrap("random", "influence", 1).unwrap();
        let expected = (0.01_f64 / 3.0 + 0.04 / 99.0).sqrt();
        assert!((resampled.stderr - expected).abs() < 0.05 * expected, "{} {expected}", resampled.stderr);
        // by hand: variances with n − 1 of 0.01/3 and 0.04/99; (0.003333 + 0.000404)² / (0.003333²/3 + 0.000404²/99) = 3.77
        assert_eq!(resampled.freedom, 3);
    }

    #[test]
    fn where_documents_make_the_spread_seeds_hardly_widen_it() {
        let mostly = losses(&[50; 100], 4, |seed, document| {
            0.001 * f64::from(seed % 2) + if document.is_multiple_of(2) { 0.2 } else { -0.2 }
        });
        let resampled = mostly.bootstrap("random", "influence", 1).unwrap();
        assert!((95..=102).contains(&resampled.freedom), "{resampled:?}");
    }

    #[test]
    fn a_seed_repeats_and_arms_swap() {
        let some = losses(&[7, 30, 12], 5, |seed, document| 0.01 * f64::from(seed) - 0.02 * f64::from(document));
        let there = some.bootstrap("random", "influence", 3).unwrap();
        assert_eq!(there, some.bootstrap("random", "influence", 3).unwrap());
        assert_ne!(there.stderr, some.bootstrap("random", "influence", 4).unwrap().stderr);
        let back = some.bootstrap("influence", "random", 3).unwrap();
        assert_eq!(there.mean_difference, -back.mean_difference);
        assert!((there.interval.low + back.interval.high).abs() < 1e-12, "{there:?} {back:?}");
    }

    #[test]
    fn one_seed_or_document_is_not_resampled() {
        let refused = |bytes: &[u64], seeds| losses(bytes, seeds, |_, _| 0.0).bootstrap("random", "influence", 1);
        assert!(matches!(refused(&[10, 20], 1), Err(Error::TooFew { what: "seeds", .. })));
        assert!(matches!(refused(&[10], 4), Err(Error::TooFew { what: "held-out documents", .. })));
    }
}
