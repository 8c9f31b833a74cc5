//! Ridge regression on natural cubic splines, in closed form.
//!
//! Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning (2nd edition), §5.2.1 (the basis) and §3.4.1 (the ridge).

use headwater_record::student::{DomainIntercept, SplineRidge};

use crate::folds::Folds;
use crate::labels::Sample;

/// Quantiles of a feature that its knots lie at.
const QUANTILES: [f64; 4] = [0.05, 0.35, 0.65, 0.95];

/// Standard deviations beyond which a column of the basis is cut, so that no document far outside those seen is given an absurd score.
const MOST_DEVIATIONS: f64 = 6.0;

/// Penalties that are tried, in units of the labels' mean weight.
const PENALTIES: [f64; 10] = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0];

/// Folds that choose the penalty.
const INNER_FOLDS: usize = 4;

/// A penalty on intercepts that keeps the equations solvable and changes nothing else.
const INTERCEPT_PENALTY: f64 = 1e-6;

/// Fits a ridge to `samples`; the penalty is the one of least error on held-out groups.
///
/// # Panics
/// If there are no samples.
pub(crate) fn fit(samples: &[Sample<'_>]) -> SplineRidge {
    let mut domains: Vec<&str> = samples.iter().map(|sample| sample.domain).collect();
    domains.sort_unstable();
    domains.dedup();
    let features = samples[0].features.len();
    let knots: Vec<Vec<f64>> = (0..features).map(|feature| knots(samples, feature)).collect();
    let mut rows: Vec<Vec<f64>> = samples.iter().map(|sample| basis(&knots, sample.features)).collect();
    let weights: Vec<f64> = samples.iter().map(|sample| sample.weight).collect();
    let (means, deviations) = standardise(&mut rows, &weights);
    // intercepts come first
    let rows: Vec<Vec<f64>> = rows
        .into_iter()
        .zip(samples)
        .map(|(row, sample)| {
            let of_domain = domains.iter().map(|domain| f64::from(u8::from(*domain == sample.domain)));
            of_domain.chain(row).collect()
        })
        .collect();
    let targets: Vec<f64> = samples.iter().map(|sample| sample.target).collect();
    let folds = Folds::new(samples.iter().map(|sample| sample.group), INNER_FOLDS);
    let mean_weight = weights.iter().sum::<f64>() / weights.len() as f64;
    let design = Design { rows: &rows, targets: &targets, weights: &weights, intercepts: domains.len() };
    let penalty = design.best_penalty(&folds) * mean_weight;
    let mut solution = design.solve(penalty, |_| true);
    let weights = solution.split_off(domains.len());
    let intercepts = domains.iter().zip(solution);
    SplineRidge {
        knots,
        means,
        deviations,
        weights,
        intercepts: intercepts
            .map(|(domain, intercept)| DomainIntercept { domain: (*domain).to_owned(), intercept })
            .collect(),
        penalty,
    }
}

/// Predicts the target of a document; one of a domain that is not known gets the mean intercept.
pub(crate) fn predict(ridge: &SplineRidge, domain: &str, features: &[f32]) -> f64 {
    let own = ridge.intercepts.iter().find(|known| known.domain == domain).map(|known| known.intercept);
    let mean = || {
        let sum: f64 = ridge.intercepts.iter().map(|known| known.intercept).sum();
        sum / ridge.intercepts.len().max(1) as f64
    };
    let columns =
        basis(&ridge.knots, features).into_iter().zip(&ridge.means).zip(&ridge.deviations).zip(&ridge.weights);
    let sum: f64 =
        columns.map(|(((column, mean), deviation), weight)| weight * standardised(column, *mean, *deviation)).sum();
    own.unwrap_or_else(mean) + sum
}

/// The knots of a feature: its quantiles, each value once.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
fn knots(samples: &[Sample<'_>], feature: usize) -> Vec<f64> {
    let mut values: Vec<f64> = samples.iter().map(|sample| f64::from(sample.features[feature])).collect();
    values.sort_unstable_by(f64::total_cmp);
    let at = |quantile: f64| values[(quantile * (values.len() - 1) as f64).round() as usize];
    let mut knots = QUANTILES.map(at).to_vec();
    knots.dedup();
    knots
}

/// The basis of all features: each one itself, then its curves between knots, which are straight beyond the outermost.
fn basis(knots: &[Vec<f64>], features: &[f32]) -> Vec<f64> {
    let mut columns = Vec::with_capacity(features.len() * (QUANTILES.len() - 1));
    for (knots, feature) in knots.iter().zip(features) {
        let x = f64::from(*feature);
        columns.push(x);
        if let [inner @ .., a, b] = &knots[..]
            && let Some(first) = inner.first()
        {
            let cube = |knot: f64| (x - knot).max(0.0).powi(3);
            let scale = (b - first).powi(2);
            columns.extend(
                inner.iter().map(|knot| {
                    (cube(*knot) - cube(*a) * (b - knot) / (b - a) + cube(*b) * (a - knot) / (b - a)) / scale
                }),
            );
        }
    }
    columns
}

/// Standardises the columns of `rows`; returns their means and standard deviations.
fn standardise(rows: &mut [Vec<f64>], weights: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let columns = rows.first().map_or(0, Vec::len);
    let total: f64 = weights.iter().sum();
    let mean = |value: &dyn Fn(&[f64]) -> f64| {
        rows.iter().zip(weights).map(|(row, weight)| weight * value(row)).sum::<f64>() / total
    };
    let means: Vec<f64> = (0..columns).map(|column| mean(&|row| row[column])).collect();
    let deviation = |column: usize| mean(&|row| (row[column] - means[column]).powi(2)).sqrt();
    let deviations: Vec<f64> = (0..columns).map(deviation).collect();
    for row in rows {
        for ((column, mean), deviation) in row.iter_mut().zip(&means).zip(&deviations) {
            *column = standardised(*column, *mean, *deviation);
        }
    }
    (means, deviations)
}

/// A column that is the same in all labels says nothing.
fn standardised(column: f64, mean: f64, deviation: f64) -> f64 {
    if deviation > f64::EPSILON * mean.abs().max(f64::MIN_POSITIVE) {
        ((column - mean) / deviation).clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)
    } else {
        0.0
    }
}

/// The equations of a ridge.
struct Design<'a> {
    rows: &'a [Vec<f64>],
    targets: &'a [f64],
    weights: &'a [f64],
    /// Columns that are not penalised, the first ones.
    intercepts: usize,
}

impl Design<'_> {
    /// The penalty of least weighted squared error on held-out folds, in units of the mean weight.
    fn best_penalty(&self, folds: &Folds) -> f64 {
        let mean_weight = self.weights.iter().sum::<f64>() / self.weights.len() as f64;
        let equations: Vec<Equations> =
            (0..folds.count()).map(|fold| self.equations(|at| folds.of(at) != fold)).collect();
        let error = |penalty: f64| {
            let of_fold = |(fold, equations): (usize, &Equations)| {
                let solution = equations.solve(penalty * mean_weight, self.intercepts);
                let held_out = (0..self.rows.len()).filter(|at| folds.of(*at) == fold);
                let squares =
                    held_out.map(|at| self.weights[at] * (self.targets[at] - dot(&self.rows[at], &solution)).powi(2));
                squares.sum::<f64>()
            };
            equations.iter().enumerate().map(of_fold).sum::<f64>()
        };
        let errors = PENALTIES.map(|penalty| (error(penalty), penalty));
        errors.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).map_or(PENALTIES[0], |(_, penalty)| penalty)
    }

    fn solve(&self, penalty: f64, is_in: impl Fn(usize) -> bool) -> Vec<f64> {
        self.equations(is_in).solve(penalty, self.intercepts)
    }

    fn equations(&self, is_in: impl Fn(usize) -> bool) -> Equations {
        let columns = self.rows.first().map_or(0, Vec::len);
        let mut equations = Equations { matrix: vec![0.0; columns * columns], right: vec![0.0; columns] };
        for at in (0..self.rows.len()).filter(|at| is_in(*at)) {
            let row = &self.rows[at];
            for (i, value) in row.iter().enumerate() {
                let weighted = self.weights[at] * value;
                if weighted != 0.0 {
                    equations.right[i] += weighted * self.targets[at];
                    // the upper triangle is that of the lower
                    let of_row = &mut equations.matrix[i * columns..=i * columns + i];
                    of_row.iter_mut().zip(row).for_each(|(sum, other)| *sum += weighted * other);
                }
            }
        }
        equations
    }
}

/// Normal equations: a symmetric matrix, of which the lower triangle is kept, and a right side.
struct Equations {
    matrix: Vec<f64>,
    right: Vec<f64>,
}

impl Equations {
    /// Solves them with `penalty` on the diagonal, by Cholesky's decomposition.
    fn solve(&self, penalty: f64, intercepts: usize) -> Vec<f64> {
        let n = self.right.len();
        let mut lower = self.matrix.clone();
        for i in 0..n {
            lower[i * n + i] += if i < intercepts { INTERCEPT_PENALTY * penalty } else { penalty };
        }
        for i in 0..n {
            for j in 0..=i {
                let (above, row) = lower.split_at_mut(i * n);
                let known = if i == j { dot(&row[..j], &row[..j]) } else { dot(&row[..j], &above[j * n..j * n + j]) };
                let rest = row[j] - known;
                row[j] = if i == j { rest.max(f64::MIN_POSITIVE).sqrt() } else { rest / above[j * n + j] };
            }
        }
        let mut solution = self.right.clone();
        for i in 0..n {
            let known = dot(&lower[i * n..i * n + i], &solution[..i]);
            solution[i] = (solution[i] - known) / lower[i * n + i];
        }
        for i in (0..n).rev() {
            let known: f64 = (i + 1..n).map(|j| lower[j * n + i] * solution[j]).sum();
            solution[i] = (solution[i] - known) / lower[i * n + i];
        }
        solution
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_solved() {
        let rows = vec![vec![1.0, 2.0], vec![1.0, -1.0], vec![1.0, 0.5], vec![1.0, 4.0]];
        let targets: Vec<f64> = rows.iter().map(|row| 3.0 * row[0] - 0.5 * row[1]).collect();
        let design = Design { rows: &rows, targets: &targets, weights: &[1.0, 2.0, 1.0, 0.5], intercepts: 1 };
        let solution = design.solve(1e-9, |_| true);
        assert!((solution[0] - 3.0).abs() < 1e-6 && (solution[1] + 0.5).abs() < 1e-6, "{solution:?}");
        let shrunk = design.solve(1e9, |_| true);
        assert!(shrunk[1].abs() < 1e-6, "{shrunk:?}");
    }

    #[test]
    fn a_spline_is_straight_beyond_its_knots() {
        let knots = vec![vec![0.0, 1.0, 2.0, 3.0]];
        let at = |x: f32| basis(&knots, &[x]);
        assert_eq!(at(-5.0), [-5.0, 0.0, 0.0]);
        for column in 0..3 {
            let steps = [10.0, 11.0, 12.0].map(|x| at(x)[column]);
            assert!((steps[2] - 2.0 * steps[1] + steps[0]).abs() < 1e-9, "{steps:?}");
        }
        assert_eq!(basis(&[vec![0.0, 1.0]], &[0.5]), [0.5], "two knots make no curve");
    }

    #[test]
    fn a_curve_is_learnt_and_a_constant_feature_ignored() {
        let features: Vec<[f32; 2]> = (0..300).map(|at| [at as f32 / 100.0, 7.0]).collect();
        let groups: Vec<String> = (0..300).map(|at| format!("g{}", at % 10)).collect();
        let sample = |at: usize| Sample {
            domain: if at.is_multiple_of(2) { "even" } else { "odd" },
            group: (&groups[at], ""),
            features: &features[at],
            target: f64::from(features[at][0]).sin() + if at.is_multiple_of(2) { 1.0 } else { 0.0 },
            weight: 1.0,
        };
        let ridge = fit(&(0..300).map(sample).collect::<Vec<_>>());
        for at in [10, 100, 201] {
            let sample = sample(at);
            let predicted = predict(&ridge, sample.domain, sample.features);
            assert!((predicted - sample.target).abs() < 0.05, "{at}: {predicted}, not {}", sample.target);
        }
        let stranger = predict(&ridge, "neither", &features[0]);
        let both = ["even", "odd"].map(|domain| predict(&ridge, domain, &features[0]));
        assert!((stranger - (both[0] + both[1]) / 2.0).abs() < 1e-9);
    }
}
