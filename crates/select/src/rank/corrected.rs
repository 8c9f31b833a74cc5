//! `corrected`: what influence says beyond its nuisances, greatest first.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_record::selection::Correction;

use super::key::{Rank, ordered_bits};
use crate::Result;
use crate::correction::{COLUMNS, Fit, Fits, Nuisances, Observation, diagnose, fits, observations};
use crate::population::Population;
use crate::rows::UnitRows;
use crate::scan::Scores;

/// A correction of every domain.
#[derive(Debug)]
pub(crate) struct Corrected {
    /// What it corrects for.
    pub(crate) nuisances: Nuisances,
    fits: Fits,
    /// What each correction does, where there are enough documents to say.
    corrections: BTreeMap<Arc<str>, Correction>,
}

impl Corrected {
    pub(crate) fn fit(scores: &Scores<'_>, population: &Population, nuisances: Nuisances) -> Result<Self> {
        let (fits, samples) = fits(scores, population, nuisances)?;
        let diagnosed =
            fits.iter().filter_map(|(domain, fit)| Some((domain.clone(), diagnose(fit, &samples.get(domain)?.drawn)?)));
        let corrections = diagnosed.collect();
        Ok(Self { nuisances, fits, corrections })
    }

    /// The corrected influence of a document of `domain`; NaN if the domain has no fit.
    pub(crate) fn of(&self, domain: &str, observation: &Observation) -> f64 {
        self.fits.get(domain).map_or(f64::NAN, |fit| fit.corrected(observation))
    }

    /// What `measure` says of each row; NaN where there is no fit or no observation.
    fn each(&self, rows: &UnitRows<'_>, measure: impl Fn(&Fit, &Observation) -> f64) -> Result<Vec<f32>> {
        let (domains, observations) = (rows.domains()?, observations(rows, self.nuisances)?);
        let fits: Vec<Option<&Fit>> = domains.names.iter().map(|name| self.fits.get(name)).collect();
        let measured = domains.of.iter().zip(&observations).map(|(domain, observation)| {
            let both = fits[*domain as usize].zip(observation.as_ref());
            #[expect(clippy::cast_possible_truncation, reason = "a rank is by 32-bit floats")]
            let value = both.map_or(f32::NAN, |(fit, observation)| measure(fit, observation) as f32);
            value
        });
        Ok(measured.collect())
    }
}

impl Rank for Corrected {
    fn columns(&self) -> Vec<&'static str> {
        COLUMNS.to_vec()
    }

    fn keys(&self, rows: &UnitRows<'_>) -> Result<Vec<Option<u32>>> {
        Ok(self.each(rows, Fit::corrected)?.into_iter().map(ordered_bits).collect())
    }

    fn stderr_columns(&self) -> Vec<&'static str> {
        self.columns()
    }

    fn stderrs(&self, rows: &UnitRows<'_>) -> Result<Vec<f32>> {
        self.each(rows, Fit::stderr)
    }

    fn correction(&self, domain: &str) -> Option<&Correction> {
        self.corrections.get(domain)
    }
}
