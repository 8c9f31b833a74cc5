//! Fitting a student, and what it says of a document.

use std::collections::{BTreeMap, BTreeSet};

use headwater_record::run::ScoringInputs;
use headwater_record::statistics::spearman;
use headwater_record::student::{CurvePoint, HeldOut, SplineRidge, StudentFidelity, StudentFile, StudentLabels};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::Error;
use crate::cascade;
use crate::features::{self, Features};
use crate::fidelity::{Held, domain_fidelity};
use crate::folds::Folds;
use crate::interval::{COVERAGE, Residual, half_width_of, intervals};
use crate::labels::{Group, Label, Sample, groups, log_influence, stderrs, weights};
use crate::ridge;
use crate::sampling;

/// Folds by which a student is tested.
const FOLDS: usize = 8;

/// Groups that a domain needs at least, so that a student can be tested on others than it is fitted to.
const MIN_GROUPS: usize = 3;

/// Labels that a domain needs at least.
const MIN_LABELS: usize = 24;

/// Shares of the labels at which the learning curve is measured, besides all.
const CURVE: [f64; 3] = [0.125, 0.25, 0.5];

/// The features that the baseline sees.
const BASELINE: [&str; 2] = ["compression", "log_tokens"];

/// How a student is made.
pub struct FitOptions<'a> {
    /// What the labels were made with.
    pub teacher: ScoringInputs,
    /// Tokens of a window that the pipeline asked for.
    pub window_tokens: usize,
    /// The share that the user's cut keeps of a domain.
    pub fraction: &'a dyn Fn(&str) -> f64,
    /// Seed of what is simulated.
    pub seed: u64,
}

/// What a student says of a document.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// Nats per target, intact.
    pub loss_base: f64,
    /// (masked − base) / base.
    pub influence: f64,
    /// Half the width of the interval that two thirds of the teacher's values lie in.
    pub influence_stderr: f64,
}

/// Fits a student to `labels` and tests it on groups that it was not fitted to.
///
/// # Errors
/// [`Error::FewLabels`] or [`Error::FewGroups`] if a domain has too few to be tested, and [`Error::NoLabels`] if there are none.
///
/// # Determinism
/// The same labels in the same order give the same student.
pub fn fit(labels: &[Label], options: &FitOptions<'_>) -> Result<StudentFile, Error> {
    let (groups, folds_by) = groups(labels);
    check(labels, &groups)?;
    let targets: Vec<f64> = labels.iter().map(|label| log_influence(label.influence)).collect();
    let losses: Vec<f64> = labels.iter().map(|label| libm::log(label.loss_base.max(f64::MIN_POSITIVE))).collect();
    let stderrs = stderrs(labels);
    let weights = weights(&stderrs);
    let baseline_features: Vec<Features> = labels.iter().map(baseline).collect();
    let student = held_out(labels, (&groups, &targets, &weights), &|at| &labels[at].features, 1.0, options.seed);
    let baseline = held_out(labels, (&groups, &targets, &weights), &|at| &baseline_features[at], 1.0, options.seed);
    let mut by_domain: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    (0..labels.len()).for_each(|at| by_domain.entry(&labels[at].domain).or_default().push(at));
    let pick = |values: &[f64], at: &[usize]| at.iter().map(|at| values[*at]).collect::<Vec<_>>();
    let residuals: Vec<Residual<'_>> = labels
        .iter()
        .zip(targets.iter().zip(&student))
        .map(|(label, (target, predicted))| Residual { label, residual: target - predicted })
        .collect();
    let half_widths = held_out_half_widths(&residuals, &groups);
    let held = by_domain.iter().map(|(domain, at)| {
        let held = Held {
            labels: at.iter().map(|at| &labels[*at]).collect(),
            groups: at.iter().map(|at| groups[*at]).collect(),
            teacher: pick(&targets, at),
            stderrs: pick(&stderrs, at),
            student: pick(&student, at),
            half_widths: pick(&half_widths, at),
            baseline: pick(&baseline, at),
        };
        (held, (options.fraction)(domain))
    });
    let held: Vec<(Held<'_>, f64)> = held.collect();
    let seeds = (0_u64..).map(|number| options.seed.wrapping_add(number));
    let domains = by_domain.keys().zip(&held).zip(seeds);
    let domains = domains.map(|((domain, (held, fraction)), seed)| domain_fidelity(domain, held, *fraction, seed));
    let domains: Vec<_> = domains.collect();
    let mean_correlation = |predictions: &[f64]| {
        let of_domains = by_domain.values().map(|at| spearman(&pick(predictions, at), &pick(&targets, at)));
        of_domains.sum::<f64>() / by_domain.len() as f64
    };
    let point = |share: f64, predictions: &[f64]| CurvePoint {
        documents: drawn(share, labels.len()) as u64,
        correlation: mean_correlation(predictions),
    };
    let mut curve: Vec<CurvePoint> = CURVE
        .into_iter()
        .map(|share| {
            let fewer =
                held_out(labels, (&groups, &targets, &weights), &|at| &labels[at].features, share, options.seed);
            point(share, &fewer)
        })
        .collect();
    curve.push(point(1.0, &student));
    let all = |targets: &[f64]| {
        ridge::fit(&samples(labels, (&groups, targets, &weights), &|at| &labels[at].features, &|_| true))
    };
    Ok(StudentFile {
        headwater: env!("CARGO_PKG_VERSION").to_owned(),
        features_version: features::VERSION,
        features: features::names(),
        teacher: options.teacher.clone(),
        labels: StudentLabels {
            documents: labels.len() as u64,
            tokens: labels.iter().map(|label| u64::from(label.tokens)).sum(),
            window_tokens: options.window_tokens,
            folds_by: folds_by.to_owned(),
            groups: groups.iter().collect::<BTreeSet<_>>().len() as u64,
        },
        influence: all(&targets),
        loss: all(&losses),
        intervals: intervals(&residuals),
        fidelity: StudentFidelity {
            domains,
            curve,
            coverage: coverage(&residuals, &half_widths),
            cascade: cascade::curve(&held),
            samples: if options.teacher.long_documents == "all" {
                sampling::curve(labels, options.fraction, options.seed)
            } else {
                Vec::new()
            },
            held_out: held_outs(labels, &student, &targets),
        },
    })
}

/// What `student` says of a document of `domain` with `tokens`.
#[must_use]
pub fn predict(student: &StudentFile, domain: &str, tokens: u32, features: &[f32]) -> Prediction {
    let log_influence = ridge::predict(&student.influence, domain, features);
    let influence = libm::expm1(log_influence);
    Prediction {
        loss_base: libm::exp(ridge::predict(&student.loss, domain, features)),
        influence,
        // the derivative of the influence by its logarithm
        influence_stderr: half_width_of(&student.intervals, domain, tokens) * (1.0 + influence),
    }
}

/// Checks that every domain can be fitted and tested.
fn check(labels: &[Label], group_of: &[Group<'_>]) -> Result<(), Error> {
    let mut domains: BTreeMap<&str, (usize, BTreeSet<Group<'_>>)> = BTreeMap::new();
    for (label, group) in labels.iter().zip(group_of) {
        let (count, groups) = domains.entry(&label.domain).or_default();
        *count += 1;
        groups.insert(*group);
    }
    if domains.is_empty() {
        return Err(Error::NoLabels);
    }
    for (domain, (labels, groups)) in domains {
        let domain = domain.to_owned();
        if labels < MIN_LABELS {
            return Err(Error::FewLabels { domain, labels, needed: MIN_LABELS });
        }
        if groups.len() < MIN_GROUPS {
            return Err(Error::FewGroups { domain, groups: groups.len(), needed: MIN_GROUPS });
        }
    }
    Ok(())
}

/// The features of the baseline.
fn baseline(label: &Label) -> Features {
    let named = features::names().into_iter().zip(&label.features);
    named.filter(|(name, _)| BASELINE.contains(&name.as_str())).map(|(_, feature)| *feature).collect()
}

fn samples<'l>(
    labels: &'l [Label],
    (groups, targets, weights): (&[Group<'l>], &[f64], &[f64]),
    features: &dyn Fn(usize) -> &'l [f32],
    is_in: &dyn Fn(usize) -> bool,
) -> Vec<Sample<'l>> {
    let sample = |at: usize| Sample {
        domain: &labels[at].domain,
        group: groups[at],
        features: features(at),
        target: targets[at],
        weight: weights[at],
    };
    (0..labels.len()).filter(|at| is_in(*at)).map(sample).collect()
}

/// How many of `labels` a share is.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a list is no longer than the list"
)]
fn drawn(share: f64, labels: usize) -> usize {
    (share * labels as f64).round() as usize
}

/// Predicts each label by a ridge that was fitted to a `share` of the labels of other folds.
fn held_out<'l>(
    labels: &'l [Label],
    (groups, targets, weights): (&[Group<'l>], &[f64], &[f64]),
    features: &dyn Fn(usize) -> &'l [f32],
    share: f64,
    seed: u64,
) -> Vec<f64> {
    let folds = Folds::new(groups.iter().copied(), FOLDS);
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut is_drawn = vec![false; labels.len()];
    order.into_iter().take(drawn(share, labels.len())).for_each(|at| is_drawn[at] = true);
    let mut predictions = vec![0.0; labels.len()];
    for fold in 0..folds.count() {
        let fitted_to =
            samples(labels, (groups, targets, weights), features, &|at| folds.of(at) != fold && is_drawn[at]);
        let ridge: Option<SplineRidge> = (!fitted_to.is_empty()).then(|| ridge::fit(&fitted_to));
        let of_fold = (0..labels.len()).filter(|at| folds.of(*at) == fold);
        for (at, ridge) in of_fold.filter_map(|at| Some((at, ridge.as_ref()?))) {
            predictions[at] = ridge::predict(ridge, &labels[at].domain, features(at));
        }
    }
    predictions
}

/// Half the width of the interval of each label, made from other folds.
fn held_out_half_widths(residuals: &[Residual<'_>], groups: &[Group<'_>]) -> Vec<f64> {
    let folds = Folds::new(groups.iter().copied(), FOLDS);
    let mut half_widths = vec![0.0; residuals.len()];
    for fold in 0..folds.count() {
        let (held, others): (Vec<usize>, Vec<usize>) = (0..residuals.len()).partition(|at| folds.of(*at) == fold);
        let intervals = intervals(&others.into_iter().map(|at| residuals[at]).collect::<Vec<_>>());
        for at in held {
            let label = residuals[at].label;
            half_widths[at] = half_width_of(&intervals, &label.domain, label.tokens);
        }
    }
    half_widths
}

/// Each label with its held-out prediction.
#[expect(clippy::cast_possible_truncation, reason = "for pictures, in float32")]
fn held_outs(labels: &[Label], student: &[f64], teacher: &[f64]) -> Vec<HeldOut> {
    let held_out = |(label, (student, teacher)): (&Label, (&f64, &f64))| HeldOut {
        domain: label.domain.clone(),
        student: *student as f32,
        teacher: *teacher as f32,
    };
    labels.iter().zip(student.iter().zip(teacher)).map(held_out).collect()
}

/// The share of values inside their intervals.
fn coverage(residuals: &[Residual<'_>], half_widths: &[f64]) -> f64 {
    let is_inside = |(residual, half_width): &(&Residual<'_>, &f64)| residual.residual.abs() <= **half_width;
    residuals.iter().zip(half_widths).filter(is_inside).count() as f64 / residuals.len().max(1) as f64
}

/// What the interval promises to cover.
pub const PROMISED_COVERAGE: f64 = COVERAGE;

#[cfg(test)]
mod tests;
