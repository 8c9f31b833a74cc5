//! What a student is fitted to: documents that the teacher scored.

use std::collections::{BTreeMap, BTreeSet};

use headwater_record::sidecar::WindowScore;

use crate::features::Features;

/// A document and its score by the teacher.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// Its domain.
    pub domain: String,
    /// The source that it is from.
    pub source: String,
    /// Its file, relative to the source.
    pub file: String,
    /// Its features.
    pub features: Features,
    /// Its tokens.
    pub tokens: u32,
    /// Targets that were scored.
    pub scored_tokens: u32,
    /// Nats per target, intact.
    pub loss_base: f64,
    /// (masked − base) / base.
    pub influence: f64,
    /// Its standard error; none for documents too short to have one.
    pub influence_stderr: Option<f64>,
    /// Its windows, if it has more than one.
    pub windows: Vec<WindowScore>,
}

/// What folds keep together: a source, or a file of one. Documents of one group are never both fitted to and tested on.
pub(crate) type Group<'l> = (&'l str, &'l str);

/// Sources of every domain from which on folds keep sources together, and files below.
const FOLD_SOURCES: usize = 5;

/// The group of each label, and what groups are.
pub(crate) fn groups(labels: &[Label]) -> (Vec<Group<'_>>, &'static str) {
    let mut sources: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for label in labels {
        sources.entry(&label.domain).or_default().insert(&label.source);
    }
    if sources.values().all(|sources| sources.len() >= FOLD_SOURCES) {
        (labels.iter().map(|label| (label.source.as_str(), "")).collect(), "source")
    } else {
        (labels.iter().map(|label| (label.source.as_str(), label.file.as_str())).collect(), "file")
    }
}

/// Influence below which its logarithm is cut: masking that more than halves the loss is noise of very short documents.
const LEAST_INFLUENCE: f64 = -0.5;

/// The target that influence is predicted as.
pub(crate) fn log_influence(influence: f64) -> f64 {
    libm::log1p(influence.max(LEAST_INFLUENCE))
}

/// What is fitted: one document with one target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample<'l> {
    pub(crate) domain: &'l str,
    pub(crate) group: Group<'l>,
    pub(crate) features: &'l [f32],
    pub(crate) target: f64,
    pub(crate) weight: f64,
}

/// Standard errors of log(1 + influence). A document without one gets that of its length: the others' variance is averaged per target.
pub(crate) fn stderrs(labels: &[Label]) -> Vec<f64> {
    let known = |label: &Label| Some(label.influence_stderr? / (1.0 + label.influence.max(LEAST_INFLUENCE)));
    let per_target: Vec<f64> =
        labels.iter().filter_map(|label| Some(known(label)?.powi(2) * f64::from(label.scored_tokens))).collect();
    let mean = per_target.iter().sum::<f64>() / per_target.len().max(1) as f64;
    labels
        .iter()
        .map(|label| known(label).unwrap_or_else(|| (mean / f64::from(label.scored_tokens.max(1))).sqrt()))
        .collect()
}

/// Weights by standard errors: noisy labels count for less, and the most precise not for much more than the median one.
pub(crate) fn weights(stderrs: &[f64]) -> Vec<f64> {
    let mut sorted = stderrs.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0).max(f64::MIN_POSITIVE.sqrt());
    stderrs.iter().map(|stderr| 2.0 / (1.0 + (stderr / median).powi(2))).collect()
}
