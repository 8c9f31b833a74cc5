//! What the teacher would reach against itself: how alike two measurements of the same documents rank them.

use headwater_record::statistics::{box_muller, spearman, top_overlap};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Pairs of measurements that are simulated.
const REPEATS: usize = 100;

/// The teacher against itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Repeatability {
    /// Spearman's correlation of two measurements.
    pub(crate) correlation: f64,
    /// Share of the documents above the cut that two measurements have in common.
    pub(crate) overlap: f64,
}

/// Simulates two measurements of `values`, of which each has a standard error.
///
/// The true values are not known: those measured lie wider apart by their noise, so they are drawn together by the share of their variance
/// that is noise before new noise is added (Spearman 1904; Lord and Novick 1968, §3).
pub(crate) fn repeatability(values: &[f64], stderrs: &[f64], fraction: f64, seed: u64) -> Repeatability {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    let noise = stderrs.iter().map(|stderr| stderr.powi(2)).sum::<f64>() / count;
    let reliability = if variance > 0.0 { (1.0 - noise / variance).max(0.0) } else { 0.0 };
    // so that the variance of the truth is that share of the variance measured
    let narrowed = reliability.sqrt();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut measured = || -> Vec<f64> {
        let truth = values.iter().map(|value| mean + narrowed * (value - mean));
        truth.zip(stderrs).map(|(truth, stderr)| truth + stderr * normal(&mut random)).collect()
    };
    let (mut correlation, mut common) = (0.0, 0.0);
    for _ in 0..REPEATS {
        let (one, other) = (measured(), measured());
        correlation += spearman(&one, &other);
        common += overlap(&one, &other, fraction);
    }
    Repeatability { correlation: correlation / REPEATS as f64, overlap: common / REPEATS as f64 }
}

/// The share of the `fraction` of highest values, at least one, that two lists have in common.
pub(crate) fn overlap(one: &[f64], other: &[f64], fraction: f64) -> f64 {
    top_overlap(one, other, kept(one.len(), fraction))
}

/// How many of `documents` a cut keeps; at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a list is no longer than the list"
)]
pub(crate) fn kept(documents: usize, fraction: f64) -> usize {
    ((fraction * documents as f64).round() as usize).clamp(1, documents.max(1))
}

/// A standard normal number.
fn normal(random: &mut ChaCha8Rng) -> f64 {
    box_muller(random.random(), random.random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_values_repeat_and_noise_does_not() {
        let values: Vec<f64> = (0..200).map(f64::from).collect();
        let exact = repeatability(&values, &[0.0; 200], 0.2, 1);
        assert_eq!((exact.correlation, exact.overlap), (1.0, 1.0));
        // all of the variance of 0..200 is noise
        let noise = repeatability(&values, &[58.0; 200], 0.2, 1);
        assert!(noise.correlation.abs() < 0.05 && (noise.overlap - 0.2).abs() < 0.05, "{noise:?}");
        let half = repeatability(&values, &[41.0; 200], 0.2, 1);
        assert!((half.correlation - 0.5).abs() < 0.05, "half of the variance is noise: {half:?}");
    }
}
