//! Correlations and standard errors, which several crates report of heads, scores and their causes, and normal numbers to simulate them.

use std::collections::BTreeSet;

/// Ranks `values` from 1; equal values share the mean of their ranks.
#[must_use]
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for tied in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let shared = first as f64 + (tied.len() + 1) as f64 / 2.0;
        tied.iter().for_each(|at| ranks[*at] = shared);
        first += tied.len();
    }
    ranks
}

/// Returns Pearson's correlation of two lists of equal length, in [−1, 1]; 0 where one of them does not vary.
///
/// # Determinism
/// Sums in f64, in the order of the lists.
#[must_use]
pub fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / (values.len().max(1) as f64);
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut both, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        both += a * b;
        of_a += a * a;
        of_b += b * b;
    }
    if of_a > 0.0 && of_b > 0.0 { both / (of_a * of_b).sqrt() } else { 0.0 }
}

/// Returns Spearman's rank correlation of two lists of equal length, in [−1, 1]; 0 where one of them does not vary.
///
/// # Source
/// Spearman (1904): [`pearson`] of the [`ranks`], which is right under ties too.
#[must_use]
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    pearson(&ranks(a), &ranks(b))
}

/// Returns the share of the `kept` greatest values that two lists of equal length have in common, in [0, 1]; of equal values the first is the
/// greater.
#[must_use]
pub fn top_overlap(a: &[f64], b: &[f64], kept: usize) -> f64 {
    let top = |values: &[f64]| {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|x, y| values[*y].total_cmp(&values[*x]));
        order.into_iter().take(kept).collect::<BTreeSet<usize>>()
    };
    top(a).intersection(&top(b)).count() as f64 / kept.max(1) as f64
}

/// Returns the mean of `values` and its standard error, sd(n − 1)/√n. The mean of nothing is 0; fewer than two values have no standard error.
///
/// # Determinism
/// Sums in f64, in the order of the list.
#[must_use]
pub fn mean_and_stderr(values: &[f64]) -> (f64, Option<f64>) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (values.len() > 1).then(|| (squares / (count - 1.0) / count).sqrt()))
}

/// Returns a standard normal number made of two that were drawn evenly from [0, 1).
///
/// # Determinism
/// The same bits on every processor: logarithm and cosine are those of `libm`.
///
/// # Source
/// Box and Muller (1958), "A note on the generation of random normal deviates"; of the two numbers it gives, the first.
#[must_use]
pub fn box_muller(radius: f64, angle: f64) -> f64 {
    (-2.0 * libm::log(1.0 - radius)).sqrt() * libm::cos(std::f64::consts::TAU * angle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_their_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        assert_eq!(ranks(&[0.0, -0.0, -1.0]), [2.5, 2.5, 1.0]);
        assert_eq!(ranks(&[]), [0.0; 0]);
    }

    #[test]
    fn spearman_sees_order_alone() {
        assert!((spearman(&[1.0, 2.0, 3.0], &[10.0, 100.0, 1000.0]) - 1.0).abs() < 1e-12);
        assert!((spearman(&[1.0, 2.0, 3.0], &[3.0, 0.0, -9.0]) + 1.0).abs() < 1e-12);
        // by hand: ranks 3.5 1 3.5 2 and 4 1 3 2, covariance 4.5, variances 4.5 and 5
        let expected = 4.5 / (4.5_f64 * 5.0).sqrt();
        assert!((spearman(&[3.0, 1.0, 3.0, 2.0], &[9.0, 1.0, 4.0, 2.0]) - expected).abs() < 1e-12);
    }

    #[test]
    fn what_does_not_vary_has_no_correlation() {
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), 0.0);
        assert_eq!(pearson(&[], &[]), 0.0);
    }

    #[test]
    fn the_standard_error_is_that_of_the_mean() {
        // by hand: mean 3, squares 4 + 1 + 1 + 4, variance 10/3, over 4
        let (mean, stderr) = mean_and_stderr(&[1.0, 2.0, 4.0, 5.0]);
        assert!(mean == 3.0 && stderr.is_some_and(|stderr| (stderr - (10.0_f64 / 12.0).sqrt()).abs() < 1e-12));
        assert_eq!(mean_and_stderr(&[0.5, 0.5]), (0.5, Some(0.0)));
        assert_eq!(mean_and_stderr(&[7.0]), (7.0, None));
        assert_eq!(mean_and_stderr(&[]), (0.0, None));
    }

    #[test]
    fn normal_numbers_on_a_grid_have_the_moments_of_a_normal() {
        let middle = |at: u32| (f64::from(at) + 0.5) / 500.0;
        let numbers: Vec<f64> =
            (0..500).flat_map(|radius| (0..500).map(move |angle| box_muller(middle(radius), middle(angle)))).collect();
        let moment = |power| numbers.iter().map(|number| number.powi(power)).sum::<f64>() / numbers.len() as f64;
        let errors = [moment(1), moment(2) - 1.0, moment(3), moment(4) - 3.0].map(f64::abs);
        assert!(errors.iter().zip([1e-12, 0.01, 1e-12, 0.1]).all(|(error, bound)| *error < bound), "{errors:?}");
        assert_eq!(box_muller(0.0, 0.3), 0.0);
    }
}
