//! How much of influence, and of corrected influence, its nuisances explain.
//!
//! Measured on the domain's sample and by other terms than the fit's, of which it leaves nothing by construction: steps at the quintiles of
//! each nuisance and at the medians of pairs. Powers up to the third and products are tried, too; the greater share counts.

use headwater_record::selection::{Correction, Nuisance};
use headwater_record::statistics::spearman;

use super::basis::{Basis, each_pair};
use super::normal::Normal;
use super::{Fit, NUISANCES, Observation};
use crate::statistics::{mean, quantile};

/// Shares of documents below each step.
const QUINTILES: [f64; 4] = [0.2, 0.4, 0.6, 0.8];

/// Terms of the check by powers: a constant, three powers of each nuisance, products of two.
const fn powers(nuisances: usize) -> usize {
    1 + 3 * nuisances + nuisances * nuisances.saturating_sub(1) / 2
}

/// Terms of the check by steps: a constant, four steps for each nuisance, products of two halves.
const fn steps(nuisances: usize) -> usize {
    1 + QUINTILES.len() * nuisances + nuisances * nuisances.saturating_sub(1) / 2
}

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
    // fewer say nothing of a share of variance
    if sample.len() < 2 * steps(fit.basis.nuisances().count()) {
        return None;
    }
    let before: Vec<f64> = sample.iter().map(|observation| observation.influence).collect();
    let after: Vec<f64> = sample.iter().map(|observation| fit.corrected(observation)).collect();
    let nuisance = |(at, knots): (usize, Vec<f64>)| {
        let values: Vec<f64> = sample.iter().map(|observation| observation.nuisances[at]).collect();
        Nuisance {
            name: NUISANCES[at].to_owned(),
            knots,
            spearman_before: spearman(&before, &values),
            spearman_after: spearman(&after, &values),
        }
    };
    Some(Correction {
        documents: fit.documents,
        terms: fit.terms().to_owned(),
        nuisances: fit.basis.nuisances().zip(fit.basis.knots()).map(nuisance).collect(),
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
    let count = basis.nuisances().count();
    let (mut by_powers, mut by_steps) = (Normal::new(powers(count)), Normal::new(steps(count)));
    let step_at = step_terms(basis, sample);
    for (observation, value) in sample.iter().zip(values) {
        by_powers.add(&power_terms(basis, observation), value - centre, 1.0);
        by_steps.add(&step_at(observation), value - centre, 1.0);
    }
    adjusted(&by_powers).max(adjusted(&by_steps))
}

fn power_terms(basis: &Basis, observation: &Observation) -> Vec<f64> {
    let z: Vec<f64> = basis.standardised(&observation.nuisances).collect();
    let mut terms = vec![1.0];
    terms.extend(&z);
    terms.extend(z.iter().map(|z| z * z));
    terms.extend(z.iter().map(|z| z * z * z));
    each_pair(z.len(), |one, other| terms.push(z[one] * z[other]));
    terms
}

/// The steps of a sample, to be asked for the terms of its documents.
fn step_terms(basis: &Basis, sample: &[Observation]) -> impl Fn(&Observation) -> Vec<f64> {
    let steps = basis.nuisances().map(|at| {
        let mut values: Vec<f64> = sample.iter().map(|observation| observation.nuisances[at]).collect();
        values.sort_unstable_by(f64::total_cmp);
        (at, QUINTILES.map(|share| quantile(&values, share)), quantile(&values, 0.5))
    });
    let steps: Vec<_> = steps.collect();
    move |observation| {
        let above = |at: usize, step: f64| f64::from(u8::from(observation.nuisances[at] > step));
        let mut terms = vec![1.0];
        terms.extend(steps.iter().flat_map(|(at, quintiles, _)| quintiles.iter().map(|step| above(*at, *step))));
        let half = |at: usize| above(steps[at].0, steps[at].2);
        each_pair(steps.len(), |one, other| terms.push(half(one) * half(other)));
        terms
    }
}

/// How `values` depend on one nuisance of their documents.
pub(crate) fn finding(values: &[f64], nuisance: &[f64]) -> Finding {
    let (centre, middle) = (mean(values), mean(nuisance));
    let spread = mean(&nuisance.iter().map(|x| (x - middle) * (x - middle)).collect::<Vec<_>>()).sqrt().max(1e-9);
    let mut normal = Normal::new(4);
    for (value, x) in values.iter().zip(nuisance) {
        let z = (x - middle) / spread;
        normal.add(&[1.0, z, z * z, z * z * z], value - centre, 1.0);
    }
    Finding { r2: adjusted(&normal), spearman: spearman(values, nuisance) }
}

/// Adjusted R² of all terms, for values whose mean was taken off.
fn adjusted(normal: &Normal) -> f64 {
    let terms = normal.terms();
    let [none, all] = normal.solve([0, terms]);
    let documents = normal.documents as f64;
    if none.residual <= 0.0 || documents <= terms as f64 {
        return 0.0;
    }
    (1.0 - all.residual / none.residual * (documents - 1.0) / (documents - terms as f64)).max(0.0)
}
