//! Refinement: a schedule from the gradient norms of an earlier run.
//!
//! Norms G_t are median-filtered; the weights are w_t = G_t⁻² (SGD, l2 norms) or G_t⁻¹ (Adam-type, l1 norms), and
//! η_t = w_t · Σ_{p>t} w_p, normalised to a highest multiplier of 1. Constant norms give linear decay to 0. The peak is still to be
//! tuned, and the earlier run's own schedule leaks into its norms.
//!
//! It helps on some language-model problems with Adam and loses on others (in the paper's tables on ViT and R-CNN), and where norms
//! collapse at the end it degenerates: never the default.
//!
//! # Source
//! Defazio, Cutkosky, Mehta, Mishchenko 2023, "Optimal Linear Decay Learning Rate Schedules and Further Refinements"
//! (arXiv 2310.07831), theorem 3 and algorithm 1. Departs: the filter's width is τ of the number of norms
//! (the authors' program takes τ of 10,000 for any run), and norms are kept above a floor.

mod approximate;
mod files;
mod median;
mod points;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::norms::NormLog;

pub use approximate::Approximation;
pub use files::RefineSummary;
pub use points::Points;

/// Norms needed at least.
const LEAST_NORMS: usize = 3;

/// The last share of a run whose norms are looked at for a collapse.
const TAIL: f64 = 0.1;

/// Norms below this share of their median at the end are a collapse.
const COLLAPSED: f64 = 0.5;

/// Norms are kept below this multiple of their median, so that no sum of them overflows.
const CEILING: f64 = 1e12;

/// A multiplier below this, half a window after a peak at the start, is a sign that the start is an artefact.
const EARLY_PEAK: f64 = 0.75;

/// What the gradient norms are, which decides how they weigh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GradientNorm {
    /// Sum of magnitudes, for Adam-type optimisers: w = G⁻¹.
    L1,
    /// Euclidean, for SGD: w = G⁻².
    L2,
}

/// How to refine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RefineOptions {
    /// What the norms are.
    pub norm: GradientNorm,
    /// Width of the median filter as a share of the norms, in [0, 1).
    pub tau: f64,
    /// What norms are kept above, as a share of their median, in (0, 1].
    pub floor: f64,
    /// Norms that are left out at each end, which logs often spoil; at most half of all.
    pub edges: usize,
}

/// Norms at each end of a log that are usually spoilt.
pub const SPOILT_EDGES: usize = 2;

impl RefineOptions {
    /// Returns the paper's filter, τ = 0.1, a floor of a hundredth of the median, and no edges.
    #[must_use]
    pub const fn new(norm: GradientNorm) -> Self {
        Self { norm, tau: 0.1, floor: 0.01, edges: 0 }
    }

    /// Returns how many of `count` norms are left out at each end.
    #[must_use]
    pub fn edges_of(&self, count: usize) -> usize {
        self.edges.min(count / 2)
    }

    fn validate(&self) -> Result<(), Error> {
        let wrong = |key, got: f64, expected| Err(Error::Value { key, got: got.to_string(), expected });
        if !(0.0..1.0).contains(&self.tau) {
            return wrong("tau", self.tau, "a share of the norms in [0, 1)");
        }
        if !(self.floor > 0.0 && self.floor <= 1.0) {
            return wrong("floor", self.floor, "a share of the median norm in (0, 1]");
        }
        Ok(())
    }
}

/// A refined schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Refined {
    /// The filtered norms, kept above the floor, relative to their median.
    norms: Vec<f64>,
    /// Where in the run they were logged, as shares of it, ascending; absent if they are evenly spaced over it.
    places: Option<Vec<f64>>,
    /// Steps of the run, if the log tells.
    pub steps: Option<u64>,
    options: RefineOptions,
    /// Norms that were given.
    pub read: usize,
    /// Norms that were left out at each end.
    pub edges: usize,
    /// Width of the median filter, odd.
    pub window: usize,
    /// Infinite norms that were left out.
    pub infinite: usize,
    /// Norms that were raised to the floor.
    pub floored: usize,
    /// The lowest norm of the last tenth of the run relative to the median of all, if so low that the schedule follows it
    /// more than the problem.
    pub collapse: Option<f64>,
    /// The multiplier half a window after the start, if the peak lies before it and is much higher: there the filter repeats the
    /// first norm, so that one norm decides the peak.
    pub early_peak: Option<f64>,
}

/// Refines a schedule from the gradient norms of a run, in order; infinite norms are left out.
///
/// # Errors
/// [`Error::Norm`] for a norm that is negative or no number, [`Error::FewNorms`] below three, [`Error::NoGradient`] if all are 0,
/// [`Error::Value`] for options out of range.
///
/// # Determinism
/// O(n log n); the same norms give the same bits.
pub fn refine(norms: &[f64], options: &RefineOptions) -> Result<Refined, Error> {
    refine_at(norms, None, options)
}

/// Refines a schedule from a log, whose steps say how long the run was and where in it each norm belongs.
///
/// # Errors
/// As [`refine`].
pub fn refine_log(log: &NormLog, options: &RefineOptions) -> Result<Refined, Error> {
    let places = log.run.as_ref().map(|run| run.places.as_slice()).filter(|places| places.len() == log.norms.len());
    let mut refined = refine_at(&log.norms, places, options)?;
    refined.steps = log.run.as_ref().and_then(|run| run.steps);
    Ok(refined)
}

fn refine_at(norms: &[f64], places: Option<&[f64]>, options: &RefineOptions) -> Result<Refined, Error> {
    options.validate()?;
    let edges = options.edges_of(norms.len());
    let kept = &norms[edges..norms.len() - edges];
    if let Some(index) = kept.iter().position(|norm| norm.is_nan() || *norm < 0.0) {
        return Err(Error::Norm { index: edges + index, got: kept[index] });
    }
    let finite: Vec<f64> = kept.iter().map(|norm| norm.abs()).filter(|norm| norm.is_finite()).collect();
    let places = places.map(|places| {
        let placed = places[edges..norms.len() - edges].iter().zip(kept);
        placed.filter(|(_, norm)| norm.is_finite()).map(|(place, _)| *place).collect()
    });
    if finite.len() < LEAST_NORMS {
        return Err(Error::FewNorms { got: finite.len(), least: LEAST_NORMS });
    }
    let window = window(options.tau, finite.len());
    let mut filtered = median::filter(&finite, window);
    let middle = median::of(&filtered);
    let highest = filtered.iter().copied().fold(0.0, f64::max);
    if highest == 0.0 {
        return Err(Error::NoGradient);
    }
    // more than half may be 0; then the highest is the scale
    let scale = if middle > 0.0 { middle } else { highest };
    let mut floored = 0;
    for norm in &mut filtered {
        let relative = *norm / scale;
        floored += usize::from(relative < options.floor);
        *norm = relative.clamp(options.floor, CEILING);
    }
    let tail = filtered.len() - share_of(TAIL, filtered.len()).max(1);
    let lowest = filtered[tail..].iter().copied().fold(f64::INFINITY, f64::min);
    let mut refined = Refined {
        options: *options,
        read: norms.len(),
        edges,
        window,
        infinite: kept.len() - finite.len(),
        floored,
        collapse: (lowest < COLLAPSED).then_some(lowest),
        early_peak: None,
        norms: filtered,
        places,
        steps: None,
    };
    let multipliers = refined.multipliers();
    let half = multipliers.get(window / 2).copied().unwrap_or_default();
    let is_early = multipliers.iter().take(window / 2).any(|multiplier| *multiplier >= 1.0);
    refined.early_peak = (is_early && half < EARLY_PEAK).then_some(half);
    Ok(refined)
}

/// The odd width of a filter of `tau` of `count` norms.
fn window(tau: f64, count: usize) -> usize {
    2 * share_of(tau / 2.0, count) + 1
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count is a count")]
fn share_of(share: f64, count: usize) -> usize {
    (share * count as f64).floor() as usize
}

impl Refined {
    /// Returns multipliers of the peak for a run of as many steps as there were norms; the last is 0.
    #[must_use]
    pub fn multipliers(&self) -> Vec<f64> {
        multipliers(&self.norms, self.options.norm)
    }

    /// Returns multipliers of the peak for a run of `steps`, from the filtered norms interpolated to that length; before the first
    /// and after the last norm these hold.
    #[must_use]
    pub fn resampled(&self, steps: usize) -> Vec<f64> {
        let last = steps.saturating_sub(1).max(1) as f64;
        let norms: Vec<f64> = match &self.places {
            None => {
                (0..steps).map(|step| self.norm_between((self.norms.len() - 1) as f64 * step as f64 / last)).collect()
            }
            Some(places) => {
                let mut right = 0;
                (0..steps).map(|step| self.norm_at(places, step as f64 / last, &mut right)).collect()
            }
        };
        multipliers(&norms, self.options.norm)
    }

    /// The norm at a position between two of evenly spaced ones.
    fn norm_between(&self, position: f64) -> f64 {
        let left = share_of(position, 1).min(self.norms.len() - 1);
        let right = (left + 1).min(self.norms.len() - 1);
        self.norms[left] + (self.norms[right] - self.norms[left]) * (position - left as f64)
    }

    /// The norm at a share of the run; `right`, the first norm not before it, only grows.
    fn norm_at(&self, places: &[f64], share: f64, right: &mut usize) -> f64 {
        while places.get(*right).is_some_and(|place| *place < share) {
            *right += 1;
        }
        match (right.checked_sub(1), places.get(*right)) {
            (_, Some(place)) if *place <= share => self.norms[*right],
            (Some(left), Some(place)) => {
                let part = (share - places[left]) / (place - places[left]);
                self.norms[left] + (self.norms[*right] - self.norms[left]) * part
            }
            (None, _) => self.norms[0],
            (Some(left), None) => self.norms[left],
        }
    }

    /// Returns multipliers for the run that the log tells of: of as many steps as it says, or else as there are norms.
    #[must_use]
    pub fn logged(&self) -> Vec<f64> {
        match (self.steps, &self.places) {
            (Some(steps), _) => self.resampled(usize::try_from(steps).unwrap_or(usize::MAX)),
            (None, Some(_)) => self.resampled(self.norms.len()),
            (None, None) => self.multipliers(),
        }
    }

    /// Returns the nearest schedule that most trainers know: linear warm-up, then a polynomial decay to 0.
    #[must_use]
    pub fn approximation(&self) -> Approximation {
        approximate::fit(&self.resampled(approximate::SAMPLES))
    }

    /// Returns the schedule at few places between which straight lines run, for kind `points`.
    #[must_use]
    pub fn points(&self) -> Points {
        points::fit(&self.logged())
    }
}

/// η_t = w_t · Σ_{p>t} w_p, divided by the greatest.
fn multipliers(norms: &[f64], norm: GradientNorm) -> Vec<f64> {
    let weight = |norm_at: f64| match norm {
        GradientNorm::L1 => norm_at.recip(),
        GradientNorm::L2 => (norm_at * norm_at).recip(),
    };
    let mut multipliers = vec![0.0; norms.len()];
    let (mut after, mut highest) = (0.0, 0.0_f64);
    for (multiplier, norm_at) in multipliers.iter_mut().zip(norms).rev() {
        let weight = weight(*norm_at);
        *multiplier = weight * after;
        after += weight;
        highest = highest.max(*multiplier);
    }
    if highest > 0.0 {
        multipliers.iter_mut().for_each(|multiplier| *multiplier /= highest);
    }
    multipliers
}

#[cfg(test)]
mod tests;
