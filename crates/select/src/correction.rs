//! What influence says beyond base loss, compression and length, and beyond copying if that is asked for.
//!
//! In each domain, log(1 + influence) is regressed on smooth functions of the logarithms of base loss, compression and scored tokens, and of
//! the share of copied targets (see [`basis`]); what is left over, shrunk by how noisy the document is, is its *corrected influence*.
//!
//! **Weights.** A document's residual varies by τ², how much documents truly differ, plus s², its own noise. The fit weighs by
//! 1 / (τ² + s²), and the residual is shrunk by τ² / (τ² + s²): short documents neither bend the fit nor win by noise. As both factors
//! are the same up to a constant, shrunk residuals are exactly uncorrelated with every term of the fit.
//!
//! **Noise.** s is the standard error of influence / (1 + influence). As few batches estimate it badly, its square is averaged with
//! what a document of as many targets has in the domain (degrees of freedom as weights); without batches, that alone stands in.
//!
//! **How many terms** is settled by generalised cross-validation among nested sets: constant, linear, interactions, splines.
//!
//! Knots, scale, τ² and noise come from the domain's sample; the fit is over all of its documents.
//!
//! # Source
//! Natural cubic splines with knots at fixed quantiles: Harrell, *Regression Modeling Strategies* (2015), §2.4. Generalised
//! cross-validation: Craven and Wahba (1978). Shrinkage: the posterior mean of a normal effect, as in empirical Bayes; moderated
//! variances: Smyth (2004). The method paper (arXiv 2505.07293) corrects for nothing.

mod basis;
mod diagnosis;
mod fit;
mod normal;

use headwater_record::sidecar::column;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::rows::UnitRows;

pub(crate) use diagnosis::{Finding, diagnose, finding};
pub(crate) use fit::{Fit, Fits, fits};

/// Targets of one batch behind a standard error of influence.
const BATCH_TARGETS: u32 = 16;

/// Degrees of freedom that the domain's usual noise has against a document's own.
const PRIOR_FREEDOM: f64 = 8.0;

/// What nuisances and influence are cut off at before their logarithm is taken.
const TINY: f64 = 1e-6;

/// Something that influence follows and can be corrected for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Nuisance {
    /// Base loss.
    LossBase,
    /// Bytes of text by bytes of zstd.
    Compression,
    /// Length.
    ScoredTokens,
    /// The share of the targets that a match of the two tokens before them predicts.
    Copied,
}

impl Nuisance {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::LossBase, Self::Compression, Self::ScoredTokens, Self::Copied];

    /// What `corrected` corrects for unless it is told otherwise.
    pub const USUAL: [Self; 3] = [Self::LossBase, Self::Compression, Self::ScoredTokens];
}

/// What influence can be corrected for, as sidecars name it.
pub(crate) const NUISANCES: [&str; 4] = [column::LOSS_BASE, column::COMPRESSION, column::SCORED_TOKENS, column::COPIED];

/// The place of [`Nuisance::Copied`] among them, the last.
pub(crate) const COPIED: usize = 3;

/// A set of nuisances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nuisances([bool; NUISANCES.len()]);

impl Default for Nuisances {
    fn default() -> Self {
        Self::of(&Nuisance::USUAL)
    }
}

impl Nuisances {
    pub(crate) fn of(nuisances: &[Nuisance]) -> Self {
        Self(Nuisance::ALL.map(|nuisance| nuisances.contains(&nuisance)))
    }

    /// Indices in [`NUISANCES`].
    pub(crate) fn indices(self) -> impl Iterator<Item = usize> {
        (0..NUISANCES.len()).filter(move |at| self.0[*at])
    }
}

/// A document as the correction sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Observation {
    /// log(1 + influence).
    pub(crate) influence: f64,
    /// Logarithms of the nuisances, in the order of [`NUISANCES`]; of copying the share itself, NaN where it is not known.
    pub(crate) nuisances: [f64; NUISANCES.len()],
    /// Targets that were scored.
    pub(crate) targets: u32,
    /// Variance of `influence` as its own batches show it; NaN with too few of them.
    pub(crate) variance: f64,
}

/// The sidecar columns that observations are made of.
pub(crate) const COLUMNS: [&str; 6] = [
    column::INFLUENCE,
    column::INFLUENCE_STDERR,
    column::LOSS_BASE,
    column::COMPRESSION,
    column::SCORED_TOKENS,
    column::COPIED,
];

/// The rows of a unit as observations; `None` where influence or one of `nuisances` is not finite.
pub(crate) fn observations(rows: &UnitRows<'_>, nuisances: Nuisances) -> Result<Vec<Option<Observation>>> {
    let [influence, stderr, loss, compression] =
        [COLUMNS[0], COLUMNS[1], COLUMNS[2], COLUMNS[3]].map(|name| rows.floats(name));
    let (influence, stderr, loss, compression) = (influence?, stderr?, loss?, compression?);
    let targets = rows.counts(column::SCORED_TOKENS)?;
    let is_known = rows.batches.iter().all(|batch| batch.column_by_name(column::COPIED).is_some());
    let copied = if is_known || nuisances.0[COPIED] { rows.copied()? } else { vec![f32::NAN; targets.len()] };
    let observation = |row: usize| {
        let (influence, stderr) = (f64::from(influence[row]), f64::from(stderr[row]));
        let [loss, compression, copied] = [loss[row], compression[row], copied[row]].map(f64::from);
        let length = f64::from(targets[row]);
        let values = [loss, compression, length, copied];
        let is_whole = nuisances.indices().all(|at| values[at].is_finite());
        let grown = (1.0 + influence).max(TINY);
        let [loss, compression, length] = [loss, compression, length].map(|value| libm::log(value.max(TINY)));
        (influence.is_finite() && is_whole).then(|| Observation {
            influence: libm::log(grown),
            nuisances: [loss, compression, length, copied],
            targets: targets[row],
            variance: (stderr / grown) * (stderr / grown),
        })
    };
    Ok((0..targets.len()).map(observation).collect())
}

impl Observation {
    /// Variance of its noise, with `per_target` the usual noise of one target in its domain.
    fn noise(&self, per_target: f64) -> f64 {
        let usual = per_target / f64::from(self.targets.max(1));
        if !self.variance.is_finite() {
            return usual;
        }
        let freedom = f64::from((self.targets / BATCH_TARGETS).saturating_sub(1).max(1));
        (freedom * self.variance + PRIOR_FREEDOM * usual) / (freedom + PRIOR_FREEDOM)
    }
}
