//! How well a student ranks documents of sources that it was not fitted to.

use std::collections::BTreeMap;

use headwater_record::statistics::{pearson, spearman};
use headwater_record::student::DomainFidelity;

use crate::labels::{Group, Label};
use crate::noise::{overlap, repeatability};

/// One domain's labels and what is predicted of them.
pub(crate) struct Held<'l> {
    pub(crate) labels: Vec<&'l Label>,
    pub(crate) groups: Vec<Group<'l>>,
    /// Values of the teacher, log(1 + influence).
    pub(crate) teacher: Vec<f64>,
    pub(crate) stderrs: Vec<f64>,
    /// Predictions by a student that was not fitted to the group.
    pub(crate) student: Vec<f64>,
    /// Half the widths of their intervals, made from other folds.
    pub(crate) half_widths: Vec<f64>,
    /// Predictions by a student that sees compression and length only.
    pub(crate) baseline: Vec<f64>,
}

/// Compares student and teacher in `domain`, of which the cut keeps `fraction`.
pub(crate) fn domain_fidelity(domain: &str, held: &Held<'_>, fraction: f64, seed: u64) -> DomainFidelity {
    let Held { labels, groups, teacher, stderrs, student, half_widths: _, baseline } = held;
    let (teacher_means, student_means) = (group_means(groups, teacher), group_means(groups, student));
    let less =
        |values: &[f64], means: &[f64]| values.iter().zip(means).map(|(value, mean)| value - mean).collect::<Vec<_>>();
    let residuals = less(teacher, student);
    let itself = repeatability(teacher, stderrs, fraction, seed);
    let correlation = spearman(student, teacher);
    let spread = deviation(teacher);
    let in_spreads = |value: f64| if spread > 0.0 { value / spread } else { 0.0 };
    let mut distinct = groups.clone();
    distinct.sort_unstable();
    distinct.dedup();
    DomainFidelity {
        domain: domain.to_owned(),
        documents: labels.len() as u64,
        groups: distinct.len() as u64,
        fraction,
        correlation,
        disattenuated: if itself.correlation > 0.0 { (correlation / itself.correlation.sqrt()).min(1.0) } else { 0.0 },
        teacher_correlation: itself.correlation,
        overlap: overlap(student, teacher, fraction),
        teacher_overlap: itself.overlap,
        baseline_correlation: spearman(baseline, teacher),
        baseline_overlap: overlap(baseline, teacher, fraction),
        source_correlation: spearman(&teacher_means, teacher),
        within_correlation: spearman(&less(student, &student_means), &less(teacher, &teacher_means)),
        slope: pearson(student, teacher) * spread / deviation(student).max(f64::MIN_POSITIVE),
        drift_by_length: drift_by_length(labels, &residuals).map(in_spreads),
        drift_by_source: in_spreads(deviation_of_groups(groups, &residuals)),
    }
}

/// The mean of each value's group.
fn group_means(groups: &[Group<'_>], values: &[f64]) -> Vec<f64> {
    let mut sums: BTreeMap<Group<'_>, (f64, f64)> = BTreeMap::new();
    for (group, value) in groups.iter().zip(values) {
        let (sum, count) = sums.entry(*group).or_default();
        *sum += value;
        *count += 1.0;
    }
    groups.iter().map(|group| sums[group].0 / sums[group].1).collect()
}

fn deviation_of_groups(groups: &[Group<'_>], values: &[f64]) -> f64 {
    let mut means: BTreeMap<Group<'_>, f64> = BTreeMap::new();
    for (group, mean) in groups.iter().zip(group_means(groups, values)) {
        means.insert(*group, mean);
    }
    deviation(&means.into_values().collect::<Vec<_>>())
}

/// Mean residuals of the shortest, middle and longest third.
fn drift_by_length(labels: &[&Label], residuals: &[f64]) -> [f64; 3] {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by_key(|at| labels[*at].tokens);
    let third = |number: usize| &order[number * order.len() / 3..(number + 1) * order.len() / 3];
    [0, 1, 2].map(|number| {
        let third = third(number);
        third.iter().map(|at| residuals[*at]).sum::<f64>() / third.len().max(1) as f64
    })
}

fn deviation(values: &[f64]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
}
