//! How much of influence, and of corrected influence, its nuisances explain.
//!
//! Measured on the domain's sample and by other terms than the fit's, of which it leaves nothing by construction: steps at the quintiles of
//! each nuisance and at the medians of pairs. Powers up to the third and products are tried, too; the greater share counts.

use headwater_record::selection::{Correction, Nuisance};
use headwater_record::statistics::spearman;

use super::basis::Basis;
use super::normal::Normal;
use super::{Fit, NUISANCES, Observation};
use crate::statistics::{mean, quantile};

/// Terms of the check by powers: a constant, three powers of each of three nuisances, three products.
const POWERS: usize = 13;

/// Terms of the check by steps: a constant, four steps for each nuisance, three products of halves.
const STEPS: usize = 16;

/// Shares of documents below each step.
const QUINTILES: [f64; 4] = [0.2, 0.4, 0.6, 0.8];

/// The fewest documents that a share of variance is stated for.
const LEAST_DOCUMENTS: usize = 2 * STEPS;

/// How something depends on one nuisance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Finding {
    /// Share of its variance that powers of the nuisance explain.
    pub(crate) r2: f64,
    /// Spearman correlation.
    pub(crate) spearman: f64,
}

/// What a correction does, for people; `None` with too few documents to say.
pub(crate) fn diagnose(fit: &Fit, sample: &[Observation]) -> Option<Correction> {
    if sample.len() < LEAST_DOCUMENTS {
        return None;
    }
    let before: Vec<f64> = sample.iter().map(|observation| observation.influence).collect();
    let after: Vec<f64> = sample.iter().map(|observation| fit.corrected(observation)).collect();
    let nuisance = |at: usize| {
        let values: Vec<f64> = sample.iter().map(|observation| observation.nuisances[at]).collect();
        Nuisance {
            name: NUISANCES[at].to_owned(),
            knots: fit.basis.knots(at),
            spearman_before: spearman(&before, &values),
            spearman_after: spearman(&after, &values),
        }
    };
    Some(Correction {
        documents: fit.documents,
        terms: fit.terms().to_owned(),
        nuisances: (0..NUISANCES.len()).map(nuisance).collect(),
        coefficients: fit.coefficients.clone(),
        signal_variance: fit.signal,
        noise_per_target: fit.per_target,
        r2_before: explained(&fit.basis, sample, &before),
        r2_after: explained(&fit.basis, sample, &after),
    })
}

/// Share of the variance of `values` that all nuisances explain, adjusted for the number of terms; at least 0.
fn explained(basis: &Basis, sample: &[Observation], values: &[f64]) -> f64 {
    let centre = mean(values);
    let (mut powers, mut steps) = (Normal::<POWERS>::new(), Normal::<STEPS>::new());
    let step_at = step_terms(sample);
    for (observation, value) in sample.iter().zip(values) {
        powers.add(&power_terms(basis, observation), value - centre, 1.0);
        steps.add(&step_at(observation), value - centre, 1.0);
    }
    adjusted(&powers).max(adjusted(&steps))
}

fn power_terms(basis: &Basis, observation: &Observation) -> [f64; POWERS] {
    let [a, b, c] = basis.standardised(&observation.nuisances);
    [1.0, a, b, c, a * a, b * b, c * c, a * a * a, b * b * b, c * c * c, a * b, a * c, b * c]
}

/// The steps of a sample, to be asked for the terms of its documents.
fn step_terms(sample: &[Observation]) -> impl Fn(&Observation) -> [f64; STEPS] {
    let steps = [0, 1, 2].map(|at| {
        let mut values: Vec<f64> = sample.iter().map(|observation| observation.nuisances[at]).collect();
        values.sort_unstable_by(f64::total_cmp);
        (QUINTILES.map(|share| quantile(&values, share)), quantile(&values, 0.5))
    });
    move |observation| {
        let above = |at: usize, step: f64| f64::from(u8::from(observation.nuisances[at] > step));
        let mut terms = [1.0; STEPS];
        for at in 0..3 {
            for (place, step) in steps[at].0.iter().enumerate() {
                terms[1 + QUINTILES.len() * at + place] = above(at, *step);
            }
        }
        for (place, (one, other)) in [(0, 1), (0, 2), (1, 2)].into_iter().enumerate() {
            terms[STEPS - 3 + place] = above(one, steps[one].1) * above(other, steps[other].1);
        }
        terms
    }
}

/// How `values` depend on one nuisance of their documents.
pub(crate) fn finding(values: &[f64], nuisance: &[f64]) -> Finding {
    let (centre, middle) = (mean(values), mean(nuisance));
    let spread = mean(&nuisance.iter().map(|x| (x - middle) * (x - middle)).collect::<Vec<_>>()).sqrt().max(1e-9);
    let mut normal = Normal::<4>::new();
    for (value, x) in values.iter().zip(nuisance) {
        let z = (x - middle) / spread;
        normal.add(&[1.0, z, z * z, z * z * z], value - centre, 1.0);
    }
    Finding { r2: adjusted(&normal), spearman: spearman(values, nuisance) }
}

/// Adjusted R² of all terms, for values whose mean was taken off.
fn adjusted<const N: usize>(normal: &Normal<N>) -> f64 {
    let [none, all] = normal.solve([0, N]);
    let documents = normal.documents as f64;
    if none.residual <= 0.0 || documents <= N as f64 {
        return 0.0;
    }
    (1.0 - all.residual / none.residual * (documents - 1.0) / (documents - N as f64)).max(0.0)
}
