//! The terms of the fit: a constant, the standardised nuisances, their products, and the bends of natural cubic splines.
//!
//! Sets of terms are nested. The last one adds what only many documents can place: knots between those of the splines, squares and cubes,
//! with which the splines may bend beyond their outer knots, too, and products of three.

use headwater_record::sidecar::column;

use super::Observation;
use crate::statistics::{mean, quantile};

/// What influence is corrected for, as sidecars name it; all by their logarithms.
pub(crate) const NUISANCES: [&str; 3] = [column::LOSS_BASE, column::COMPRESSION, column::SCORED_TOKENS];

/// Terms of the largest fit.
pub(crate) const TERMS: usize = 41;

/// Nested sets of terms, each with its name and size.
pub(crate) const SETS: [(&str, usize); 5] =
    [("constant", 1), ("linear", 4), ("interactions", 7), ("splines", 16), ("fine splines", TERMS)];

/// Shares of a domain's documents below each knot.
const KNOTS: [f64; 5] = [0.05, 0.275, 0.5, 0.725, 0.95];

/// The same of the knots between them.
const FINE_KNOTS: [f64; 4] = [0.1625, 0.3875, 0.6125, 0.8375];

/// Bends of one spline: the last two knots have none.
const BENDS: usize = KNOTS.len() - 2;

/// Knots closer than this, in standard deviations, are one.
const LEAST_GAP: f64 = 1e-3;

/// The scale and knots of one domain's nuisances.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Basis {
    centre: [f64; 3],
    spread: [f64; 3],
    /// Over standardised nuisances; empty where a nuisance has too few distinct values to bend.
    knots: [Vec<f64>; 3],
    /// Those between them; empty likewise.
    fine: [Vec<f64>; 3],
}

impl Basis {
    /// Takes scale and knots from a sample.
    pub(crate) fn of(sample: &[Observation]) -> Self {
        let mut basis =
            Self { centre: [0.0; 3], spread: [1.0; 3], knots: Default::default(), fine: Default::default() };
        for at in 0..3 {
            let mut values: Vec<f64> = sample.iter().map(|observation| observation.nuisances[at]).collect();
            let centre = mean(&values);
            let spread =
                mean(&values.iter().map(|value| (value - centre) * (value - centre)).collect::<Vec<_>>()).sqrt();
            // a nuisance that does not vary explains nothing
            let spread = if spread > 1e-9 { spread } else { f64::INFINITY };
            values.iter_mut().for_each(|value| *value = (*value - centre) / spread);
            values.sort_unstable_by(f64::total_cmp);
            let at_shares = |shares: &[f64]| shares.iter().map(|share| quantile(&values, *share)).collect::<Vec<f64>>();
            let (knots, fine) = (at_shares(&KNOTS), at_shares(&FINE_KNOTS));
            basis.centre[at] = centre;
            basis.spread[at] = spread;
            if are_apart(&knots) {
                let mut all = [knots.as_slice(), &fine].concat();
                all.sort_unstable_by(f64::total_cmp);
                basis.fine[at] = if are_apart(&all) { fine } else { Vec::new() };
                basis.knots[at] = knots;
            }
        }
        basis
    }

    /// The knots of a nuisance, over its logarithm.
    pub(crate) fn knots(&self, at: usize) -> Vec<f64> {
        self.knots[at].iter().map(|knot| self.centre[at] + self.spread[at] * knot).collect()
    }

    /// Nuisances less their mean, in standard deviations.
    pub(crate) fn standardised(&self, nuisances: &[f64; 3]) -> [f64; 3] {
        [0, 1, 2].map(|at| (nuisances[at] - self.centre[at]) / self.spread[at])
    }

    /// The terms at a document.
    pub(crate) fn terms(&self, nuisances: &[f64; 3]) -> [f64; TERMS] {
        let mut terms = [0.0; TERMS];
        let z = self.standardised(nuisances);
        terms[0] = 1.0;
        terms[1..4].copy_from_slice(&z);
        terms[4..7].copy_from_slice(&[z[0] * z[1], z[0] * z[2], z[1] * z[2]]);
        for (at, (z, (knots, fine))) in z.into_iter().zip(self.knots.iter().zip(&self.fine)).enumerate() {
            let first = 7 + BENDS * at;
            bends(knots, knots, z, &mut terms[first..first + BENDS]);
            let first = 16 + FINE_KNOTS.len() * at;
            bends(fine, knots, z, &mut terms[first..first + FINE_KNOTS.len()]);
        }
        let [a, b, c] = z;
        terms[28..34].copy_from_slice(&[a * a, b * b, c * c, a * a * a, b * b * b, c * c * c]);
        terms[34..].copy_from_slice(&[a * a * b, a * a * c, b * b * a, b * b * c, c * c * a, c * c * b, a * b * c]);
        terms
    }
}

/// Whether knots are far enough apart to bend at each.
fn are_apart(knots: &[f64]) -> bool {
    knots.windows(2).all(|pair| pair[1] - pair[0] > LEAST_GAP)
}

/// The terms beside the linear one of a natural cubic spline, one for each of `knots`, between the first and last of `outer`: Harrell
/// (2015), §2.4.5, eq. 2.25.
fn bends(knots: &[f64], outer: &[f64], x: f64, out: &mut [f64]) {
    let [first, .., last_but_one, last] = outer else { return };
    let cube = |t: f64| {
        let beyond = (x - t).max(0.0);
        beyond * beyond * beyond
    };
    let (scale, gap) = ((last - first) * (last - first), last - last_but_one);
    for (term, knot) in out.iter_mut().zip(knots) {
        let ends = cube(*last_but_one) * (last - knot) / gap - cube(*last) * (last_but_one - knot) / gap;
        *term = (cube(*knot) - ends) / scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splines_are_straight_beyond_the_outer_knots_and_smooth_between() {
        let knots = [-1.5, -0.5, 0.0, 0.6, 1.4];
        let at = |x: f64| {
            let mut terms = [0.0; BENDS];
            bends(&knots, &knots, x, &mut terms);
            terms
        };
        assert_eq!(at(-2.0), [0.0; BENDS]);
        for term in 0..BENDS {
            let second = |x: f64| at(x + 0.1)[term] - 2.0 * at(x)[term] + at(x - 0.1)[term];
            assert!(second(3.0).abs() < 1e-9, "straight at the right");
            assert!(second(0.3).abs() > 1e-4, "bent inside");
            let slope = |x: f64| (at(x + 1e-6)[term] - at(x - 1e-6)[term]) / 2e-6;
            knots.iter().for_each(|knot| assert!((slope(knot + 1e-4) - slope(knot - 1e-4)).abs() < 2e-3));
        }
    }

    #[test]
    fn what_does_not_vary_or_has_few_values_gets_no_spline() {
        let observation = |at: u32| Observation {
            influence: 0.0,
            nuisances: [1.0, f64::from(at % 2), f64::from(at)],
            targets: 1,
            variance: f64::NAN,
        };
        let basis = Basis::of(&(0..100).map(observation).collect::<Vec<_>>());
        assert!(basis.knots(0).is_empty() && basis.knots(1).is_empty());
        assert_eq!(basis.knots(2).len(), 5);
        let terms = basis.terms(&[1.0, 1.0, 50.0]);
        assert_eq!((terms[1], &terms[7..13], &terms[16..24]), (0.0, &[0.0; 6][..], &[0.0; 8][..]));
        assert!(terms.iter().all(|term| term.is_finite()));
    }
}
