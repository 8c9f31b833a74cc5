//! The fit of one domain: what is subtracted, and how residuals are shrunk.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::basis::Basis;
use super::normal::Normal;
use super::{COLUMNS, Nuisances, Observation, observations};
use crate::Result;
use crate::population::Population;
use crate::reservoir::{Sample, Samples, sample};
use crate::rows::UnitRows;
use crate::scan::Scores;
use crate::statistics::mean;

/// Documents there must be for each term.
const DOCUMENTS_PER_TERM: u64 = 5;

/// Documents that scale, knots and variances are taken from, at most.
const MOST_FITTED: usize = 8_192;

/// Rounds in which fit and signal variance are brought to agree.
const ROUNDS: u32 = 10;

/// The least signal variance, as a share of the variance of influence: without any, nothing could be ranked.
const LEAST_SIGNAL: f64 = 1e-4;

/// The correction of one domain.
#[derive(Clone, Debug)]
pub(crate) struct Fit {
    pub(crate) basis: Basis,
    /// Index in [`Basis::sets`].
    pub(crate) set: usize,
    pub(crate) coefficients: Vec<f64>,
    /// τ².
    pub(crate) signal: f64,
    /// Noise variance of a document with one target.
    pub(crate) per_target: f64,
    pub(crate) documents: u64,
}

impl Fit {
    /// Fits a sample in random order, of which the first few thousand settle the variances.
    pub(crate) fn of(sample: &[Observation], nuisances: Nuisances) -> Self {
        let sample = &sample[..sample.len().min(MOST_FITTED)];
        let influence: Vec<f64> = sample.iter().map(|observation| observation.influence).collect();
        let centre = mean(&influence);
        let spread = mean(&influence.iter().map(|value| (value - centre) * (value - centre)).collect::<Vec<_>>());
        let mut fit = Self {
            basis: Basis::of(sample, nuisances),
            set: 0,
            coefficients: vec![centre],
            signal: spread.max(f64::MIN_POSITIVE),
            per_target: per_target(sample),
            documents: sample.len() as u64,
        };
        let least = (LEAST_SIGNAL * spread).max(f64::MIN_POSITIVE);
        for _ in 0..ROUNDS {
            let mut normal = fit.normal();
            sample.iter().for_each(|observation| fit.add_to(&mut normal, observation));
            fit.settle(&normal);
            fit.signal = fit.signal_of(sample).max(least);
        }
        fit
    }

    /// The normal equations of the next fit, still empty.
    fn normal(&self) -> Normal {
        Normal::new(self.basis.sets().map(|(_, terms)| terms).into_iter().max().unwrap_or(0))
    }

    /// Adds a document to the normal equations of the next fit.
    fn add_to(&self, normal: &mut Normal, observation: &Observation) {
        let weight = 1.0 / (self.signal + observation.noise(self.per_target));
        normal.add(&self.basis.terms(&observation.nuisances), observation.influence, weight);
    }

    /// Takes the coefficients that the normal equations give, of the set of terms with the least cross-validation error.
    fn settle(&mut self, normal: &Normal) {
        self.documents = normal.documents;
        let sets = self.basis.sets();
        let solutions = normal.solve(sets.map(|(_, terms)| terms));
        let mut least = f64::INFINITY;
        for (set, ((_, terms), solution)) in sets.iter().zip(solutions).enumerate() {
            if set > 0 && normal.documents < DOCUMENTS_PER_TERM * *terms as u64 {
                break;
            }
            let freedom = 1.0 - *terms as f64 / normal.documents.max(2) as f64;
            let error = solution.residual / (freedom * freedom);
            if error < least {
                least = error;
                self.set = set;
                self.coefficients = solution.coefficients;
            }
        }
    }

    /// The variance of what the fit leaves over beside noise.
    fn signal_of(&self, sample: &[Observation]) -> f64 {
        let lost = self.coefficients.len().min(sample.len().saturating_sub(1));
        let inflation = sample.len() as f64 / sample.len().saturating_sub(lost).max(1) as f64;
        let (mut excess, mut weights) = (0.0, 0.0);
        for observation in sample {
            let noise = observation.noise(self.per_target);
            let weight = 1.0 / (self.signal + noise);
            let residual = self.residual(observation);
            excess += weight * (residual * residual * inflation - noise);
            weights += weight;
        }
        if weights > 0.0 { excess / weights } else { 0.0 }
    }

    fn residual(&self, observation: &Observation) -> f64 {
        let terms = self.basis.terms(&observation.nuisances);
        let explained: f64 = self.coefficients.iter().zip(&*terms).map(|(coefficient, term)| coefficient * term).sum();
        observation.influence - explained
    }

    /// How much of a document's residual is trusted, in (0, 1).
    fn trust(&self, observation: &Observation) -> f64 {
        self.signal / (self.signal + observation.noise(self.per_target))
    }

    /// Corrected influence.
    pub(crate) fn corrected(&self, observation: &Observation) -> f64 {
        self.trust(observation) * self.residual(observation)
    }

    /// The standard error of corrected influence, from the document's noise.
    pub(crate) fn stderr(&self, observation: &Observation) -> f64 {
        self.trust(observation) * observation.noise(self.per_target).sqrt()
    }

    /// The name of the set of terms.
    pub(crate) fn terms(&self) -> &'static str {
        self.basis.sets()[self.set].0
    }
}

/// The usual noise variance of one target; 0 where no document knows its own.
fn per_target(sample: &[Observation]) -> f64 {
    let known = sample.iter().filter(|observation| observation.variance.is_finite());
    let each: Vec<f64> = known.map(|observation| observation.variance * f64::from(observation.targets)).collect();
    mean(&each)
}

/// The fits of all domains by name.
pub(crate) type Fits = BTreeMap<Arc<str>, Fit>;

/// Fits every domain: scale, knots and variances from its sample, coefficients over all of its documents. Gives the samples, too.
pub(crate) fn fits(
    scores: &Scores<'_>,
    population: &Population,
    nuisances: Nuisances,
) -> Result<(Fits, Samples<Observation>)> {
    let observations = |rows: &UnitRows<'_>| observations(rows, nuisances);
    let samples = sample(scores, population, COLUMNS.to_vec(), observations)?;
    let fit = |(domain, sample): (&Arc<str>, &Sample<Observation>)| (domain.clone(), Fit::of(&sample.drawn, nuisances));
    let mut fits: Fits = samples.iter().map(fit).collect();
    let mut sums: BTreeMap<Arc<str>, Normal> = BTreeMap::new();
    let digest = |rows: &UnitRows<'_>| Ok((population.rows(rows)?, observations(rows)?));
    // added up in the order of addresses, whatever the units
    scores.scan_all(
        population.columns().into_iter().chain(COLUMNS),
        digest,
        |_, (population_rows, observations)| {
            for (row, domain) in population_rows.ranked() {
                if let (Some(observation), Some(fit)) = (&observations[row], fits.get(domain)) {
                    fit.add_to(sums.entry(domain.clone()).or_insert_with(|| fit.normal()), observation);
                }
            }
            Ok(())
        },
    )?;
    for (domain, sum) in sums {
        if let Some(fit) = fits.get_mut(&domain) {
            fit.settle(&sum);
        }
    }
    Ok((fits, samples))
}
