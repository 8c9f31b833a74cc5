//! Predictive intervals: how far the teacher's value lies from the student's, by domain and length.
//!
//! Split conformal prediction on held-out predictions: an interval's half width is a quantile of the absolute residuals of documents like it,
//! so that it covers as promised whatever the errors' distribution. Source: Lei, G'Sell, Rinaldo, Tibshirani, Wasserman (2018), §2.2.

use std::collections::BTreeMap;

use headwater_record::student::StudentInterval;

use crate::labels::Label;

/// Share of the teacher's values that lie in the interval: that of one standard deviation of a normal distribution, so that half its width
/// stands where a standard error does.
pub(crate) const COVERAGE: f64 = 0.682_689_492;

/// Labels that an interval rests on, at least.
const MIN_LABELS: usize = 30;

/// Stretches of length of a domain, each of as many labels.
const STRETCHES: usize = 3;

/// A document with the residual of its held-out prediction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Residual<'l> {
    pub(crate) label: &'l Label,
    pub(crate) residual: f64,
}

/// Makes the intervals of every domain that has labels enough, by length where there are more, and one for all other documents.
pub(crate) fn intervals(residuals: &[Residual<'_>]) -> Vec<StudentInterval> {
    let mut domains: BTreeMap<&str, Vec<Residual<'_>>> = BTreeMap::new();
    residuals.iter().for_each(|residual| domains.entry(&residual.label.domain).or_default().push(*residual));
    let mut intervals = Vec::new();
    for (domain, mut residuals) in domains {
        residuals.sort_by_key(|residual| residual.label.tokens);
        let stretches = if residuals.len() >= STRETCHES * MIN_LABELS { STRETCHES } else { 1 };
        if residuals.len() < MIN_LABELS {
            continue;
        }
        for number in 0..stretches {
            let stretch = &residuals[number * residuals.len() / stretches..(number + 1) * residuals.len() / stretches];
            let last = stretch.last().map(|residual| residual.label.tokens);
            intervals.push(StudentInterval {
                domain: Some(domain.to_owned()),
                most_tokens: last.filter(|_| number + 1 < stretches),
                half_width: half_width(stretch),
            });
        }
    }
    intervals.push(StudentInterval { domain: None, most_tokens: None, half_width: half_width(residuals) });
    intervals
}

/// The half width for a document: of the first interval that is for it.
pub(crate) fn half_width_of(intervals: &[StudentInterval], domain: &str, tokens: u32) -> f64 {
    let is_for = |interval: &&StudentInterval| {
        let of_domain = interval.domain.as_deref().is_none_or(|of| of == domain);
        of_domain && interval.most_tokens.is_none_or(|most| tokens <= most)
    };
    intervals.iter().find(is_for).map_or(f64::INFINITY, |interval| interval.half_width)
}

/// The ⌈(n + 1) · coverage⌉-th smallest absolute residual.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a list is hardly longer than the list"
)]
fn half_width(residuals: &[Residual<'_>]) -> f64 {
    let mut sizes: Vec<f64> = residuals.iter().map(|residual| residual.residual.abs()).collect();
    sizes.sort_unstable_by(f64::total_cmp);
    let wanted = ((sizes.len() + 1) as f64 * COVERAGE).ceil() as usize;
    sizes.get(wanted.clamp(1, sizes.len().max(1)) - 1).copied().unwrap_or(f64::INFINITY)
}
