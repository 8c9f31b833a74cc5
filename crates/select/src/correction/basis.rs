//! The terms of the fit: a constant, the standardised nuisances, their products, and the bends of natural cubic splines.
//!
//! Sets of terms are nested. The last one adds what only many documents can place: knots between those of the splines, squares and cubes,
//! with which the splines may bend beyond their outer knots, too, and products of three.

use std::ops::Deref;

use super::{NUISANCES, Nuisances, Observation};
use crate::statistics::{mean, quantile};

/// Terms of the largest fit.
const MOST_TERMS: usize = sets(NUISANCES.len())[SETS - 1].1;

/// How many nested sets of terms there are.
pub(crate) const SETS: usize = 5;

/// The nested sets of terms of so many nuisances, each with its name and size.
pub(crate) const fn sets(nuisances: usize) -> [(&'static str, usize); SETS] {
    let pairs = nuisances * nuisances.saturating_sub(1) / 2;
    let triples = pairs * nuisances.saturating_sub(2) / 3;
    let linear = 1 + nuisances;
    let interactions = linear + pairs;
    let splines = interactions + BENDS * nuisances;
    let fine = splines + (FINE_KNOTS.len() + 2) * nuisances + 2 * pairs + triples;
    [("constant", 1), ("linear", linear), ("interactions", interactions), ("splines", splines), ("fine splines", fine)]
}

/// Shares of a domain's documents below each knot.
const KNOTS: [f64; 5] = [0.05, 0.275, 0.5, 0.725, 0.95];

/// The same of the knots between them.
const FINE_KNOTS: [f64; 4] = [0.1625, 0.3875, 0.6125, 0.8375];

/// Bends of one spline: the last two knots have none.
const BENDS: usize = KNOTS.len() - 2;

/// Knots closer than this, in standard deviations, are one.
const LEAST_GAP: f64 = 1e-3;

/// The scale and knots of one nuisance in a domain.
#[derive(Clone, Debug, PartialEq)]
struct Scale {
    /// Index in [`NUISANCES`].
    nuisance: usize,
    centre: f64,
    spread: f64,
    /// Over the standardised nuisance; empty where it has too few distinct values to bend.
    knots: Vec<f64>,
    /// Those between them; empty likewise.
    fine: Vec<f64>,
}

/// The scales of the nuisances that a domain is corrected for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Basis {
    scales: Vec<Scale>,
}

/// The terms at a document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    values: [f64; MOST_TERMS],
    count: usize,
}

impl Terms {
    fn push(&mut self, value: f64) {
        self.values[self.count] = value;
        self.count += 1;
    }

    /// Room for so many more.
    fn more(&mut self, count: usize) -> &mut [f64] {
        let from = self.count;
        self.count += count;
        &mut self.values[from..self.count]
    }
}

impl Deref for Terms {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.values[..self.count]
    }
}

impl Scale {
    fn of(sample: &[Observation], nuisance: usize) -> Self {
        let mut values: Vec<f64> = sample.iter().map(|observation| observation.nuisances[nuisance]).collect();
        let centre = mean(&values);
        let spread = mean(&values.iter().map(|value| (value - centre) * (value - centre)).collect::<Vec<_>>()).sqrt();
        // a nuisance that does not vary explains nothing
        let spread = if spread > 1e-9 { spread } else { f64::INFINITY };
        values.iter_mut().for_each(|value| *value = (*value - centre) / spread);
        values.sort_unstable_by(f64::total_cmp);
        let at_shares = |shares: &[f64]| shares.iter().map(|share| quantile(&values, *share)).collect::<Vec<f64>>();
        let (knots, fine) = (at_shares(&KNOTS), at_shares(&FINE_KNOTS));
        let mut all = [knots.as_slice(), &fine].concat();
        all.sort_unstable_by(f64::total_cmp);
        let bends = are_apart(&knots);
        let fine = if bends && are_apart(&all) { fine } else { Vec::new() };
        Self { nuisance, centre, spread, knots: if bends { knots } else { Vec::new() }, fine }
    }
}

impl Basis {
    /// Takes scale and knots from a sample.
    pub(crate) fn of(sample: &[Observation], nuisances: Nuisances) -> Self {
        Self { scales: nuisances.indices().map(|nuisance| Scale::of(sample, nuisance)).collect() }
    }

    /// The nuisances, as indices of [`NUISANCES`].
    pub(crate) fn nuisances(&self) -> impl Iterator<Item = usize> {
        self.scales.iter().map(|scale| scale.nuisance)
    }

    /// The sets of terms.
    pub(crate) fn sets(&self) -> [(&'static str, usize); SETS] {
        sets(self.scales.len())
    }

    /// The knots of each nuisance, as an observation has it.
    pub(crate) fn knots(&self) -> impl Iterator<Item = Vec<f64>> {
        self.scales.iter().map(|scale| scale.knots.iter().map(|knot| scale.centre + scale.spread * knot).collect())
    }

    /// Nuisances less their mean, in standard deviations; those that the fit is not for are left out.
    pub(crate) fn standardised(&self, nuisances: &[f64; NUISANCES.len()]) -> impl Iterator<Item = f64> {
        self.scales.iter().map(|scale| (nuisances[scale.nuisance] - scale.centre) / scale.spread)
    }

    /// The terms at a document.
    pub(crate) fn terms(&self, nuisances: &[f64; NUISANCES.len()]) -> Terms {
        let mut terms = Terms { values: [0.0; MOST_TERMS], count: 0 };
        terms.push(1.0);
        self.standardised(nuisances).for_each(|z| terms.push(z));
        let mut all = [0.0; NUISANCES.len()];
        let count = self.scales.len();
        all[..count].copy_from_slice(&terms[1..]);
        let z = &all[..count];
        each_pair(count, |one, other| terms.push(z[one] * z[other]));
        for (z, scale) in z.iter().zip(&self.scales) {
            bends(&scale.knots, &scale.knots, *z, terms.more(BENDS));
        }
        for (z, scale) in z.iter().zip(&self.scales) {
            bends(&scale.fine, &scale.knots, *z, terms.more(FINE_KNOTS.len()));
        }
        z.iter().for_each(|z| terms.push(z * z));
        z.iter().for_each(|z| terms.push(z * z * z));
        for one in 0..count {
            (0..count).filter(|other| *other != one).for_each(|other| terms.push(z[one] * z[one] * z[other]));
        }
        each_pair(count, |one, other| (other + 1..count).for_each(|third| terms.push(z[one] * z[other] * z[third])));
        terms
    }
}

/// Calls every pair of different numbers below `count`, the lesser one first.
pub(crate) fn each_pair(count: usize, mut call: impl FnMut(usize, usize)) {
    for one in 0..count {
        (one + 1..count).for_each(|other| call(one, other));
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
    use crate::correction::Nuisance;

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

    fn observation(nuisances: [f64; 4]) -> Observation {
        Observation { influence: 0.0, nuisances, targets: 1, variance: f64::NAN }
    }

    #[test]
    fn what_does_not_vary_or_has_few_values_gets_no_spline() {
        let at = |at: u32| observation([1.0, f64::from(at % 2), f64::from(at), f64::NAN]);
        let basis = Basis::of(&(0..100).map(at).collect::<Vec<_>>(), Nuisances::default());
        let knots: Vec<usize> = basis.knots().map(|knots| knots.len()).collect();
        assert_eq!(knots, [0, 0, 5]);
        let terms = basis.terms(&[1.0, 1.0, 50.0, f64::NAN]);
        assert_eq!((terms[1], &terms[7..13], &terms[16..24]), (0.0, &[0.0; 6][..], &[0.0; 8][..]));
        assert!(terms.iter().all(|term| term.is_finite()));
    }

    #[test]
    fn every_set_of_nuisances_has_the_terms_that_its_sets_count() {
        let at = |at: u32| {
            let at = f64::from(at);
            observation([at, at * at, at.sin(), (7.0 * at).cos()])
        };
        let sample: Vec<Observation> = (0..200).map(at).collect();
        for of in 1_u8..16 {
            let nuisances: Vec<_> =
                Nuisance::ALL.into_iter().enumerate().filter(|(at, _)| of >> at & 1 == 1).map(|(_, of)| of).collect();
            let basis = Basis::of(&sample, Nuisances::of(&nuisances));
            let terms = basis.terms(&sample[17].nuisances);
            assert_eq!(terms.len(), basis.sets()[SETS - 1].1);
            // at the largest of all, no bend is straight
            let largest = basis.terms(&[1e6; 4]);
            assert!(largest.iter().all(|term| *term != 0.0), "{largest:?}");
        }
        assert_eq!(sets(3).map(|(_, terms)| terms), [1, 4, 7, 16, 41]);
        assert_eq!(MOST_TERMS, 63);
    }
}
