//! The nearest warm-up and polynomial decay to a refined schedule.

use serde::Serialize;

use crate::{Kind, Length, ScheduleConfig};

/// Places at which schedules are compared.
pub(super) const SAMPLES: usize = 501;

/// Exponents that are searched.
const EXPONENTS: (f64, f64) = (0.1, 10.0);

/// Rounds of the search for an exponent; each narrows it to 0.62 of what it was.
const ROUNDS: u32 = 40;

/// The nearest linear warm-up and polynomial decay to 0, by least squares.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Approximation {
    /// Share of the run that warms up.
    pub warmup: f64,
    /// Exponent of the decay, (1 − p)^exponent.
    pub exponent: f64,
    /// Root of the mean squared difference, as a fraction of the peak.
    pub rms: f64,
    /// Largest difference, as a fraction of the peak.
    pub worst: f64,
}

impl Approximation {
    /// Returns the `[schedule]` table that follows it.
    #[must_use]
    pub fn config(&self) -> ScheduleConfig {
        ScheduleConfig {
            kind: Kind::Polynomial,
            warmup: Some(Length::Fraction(self.warmup)),
            exponent: Some(self.exponent),
            ..ScheduleConfig::default()
        }
    }

    fn multiplier(warmup: f64, exponent: f64, at: f64) -> f64 {
        if at < warmup { at / warmup } else { ((1.0 - at) / (1.0 - warmup)).powf(exponent) }
    }
}

/// Fits multipliers that are evenly spaced over a run.
pub(super) fn fit(multipliers: &[f64]) -> Approximation {
    let last = (multipliers.len() - 1) as f64;
    let differences = |warmup: f64, exponent: f64| {
        multipliers
            .iter()
            .enumerate()
            .map(move |(at, multiplier)| multiplier - Approximation::multiplier(warmup, exponent, at as f64 / last))
    };
    let squares = |warmup: f64, exponent: f64| differences(warmup, exponent).map(|gap| gap * gap).sum::<f64>();
    let best_exponent = |warmup: f64| {
        let exponent = least(EXPONENTS, |exponent| squares(warmup, exponent));
        (squares(warmup, exponent), warmup, exponent)
    };
    let better = |a: (f64, f64, f64), b: (f64, f64, f64)| if b.0 < a.0 { b } else { a };
    let coarse = (0..=98_u32).map(|percent| best_exponent(f64::from(percent) / 100.0));
    let (_, near, _) = coarse.reduce(better).unwrap_or((0.0, 0.0, 1.0));
    let fine = (-9..=9_i32).map(|part| near + f64::from(part) / 1000.0).filter(|warmup| (0.0..1.0).contains(warmup));
    let (sum, warmup, exponent) = fine.map(best_exponent).reduce(better).unwrap_or((0.0, 0.0, 1.0));
    let exponent = (exponent * 1000.0).round() / 1000.0;
    let warmup = (warmup * 1000.0).round() / 1000.0;
    let worst = differences(warmup, exponent).map(f64::abs).fold(0.0, f64::max);
    Approximation { warmup, exponent, rms: (sum / multipliers.len() as f64).sqrt(), worst }
}

/// Where `value` is least between two bounds, by golden section; it must fall and then rise.
fn least((mut low, mut high): (f64, f64), value: impl Fn(f64) -> f64) -> f64 {
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    for _ in 0..ROUNDS {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if value(left) <= value(right) {
            high = right;
        } else {
            low = left;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_it_can_express() {
        for (warmup, exponent) in [(0.0, 1.0), (0.28, 1.0), (0.45, 0.8), (0.01, 3.0)] {
            let exact: Vec<f64> = (0..SAMPLES)
                .map(|at| Approximation::multiplier(warmup, exponent, at as f64 / (SAMPLES - 1) as f64))
                .collect();
            let found = fit(&exact);
            assert!((found.warmup - warmup).abs() < 2e-3 && (found.exponent - exponent).abs() < 5e-3, "{found:?}");
            assert!(found.worst < 5e-3, "{found:?}");
        }
    }
}
