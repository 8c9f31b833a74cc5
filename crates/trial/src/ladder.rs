//! A ladder of sizes: the order of arms at each, and where orders cross.
//!
//! An order that changes from one size to the next warns that the trial's verdicts may not hold at sizes that were not run. An order that
//! does not change is no promise. Nothing is fitted over sizes or extrapolated.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::flips::FAMILY_LEVEL;
use crate::{Error, Outcomes, holm};

/// By how much tokens a parameter may differ between rungs: batches are whole.
const MOST_APART: f64 = 0.02;

/// The runs of one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// Parameters of the model.
    pub parameters: u64,
    /// Tokens that each run is trained on.
    pub tokens: u64,
    /// What the runs measured; every arm under the same seeds.
    pub outcomes: Outcomes,
}

/// The arms at one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RungOrder {
    /// Parameters of the model.
    pub parameters: u64,
    /// Tokens that each run is trained on.
    pub tokens: u64,
    /// The arms by mean loss, the lowest first; equal ones by name.
    pub order: Vec<RankedArm>,
    /// Pairs of arms that can be told apart at this size: Holm's p over all pairs of this size is at most 5 %.
    pub distinguishable: Vec<OrderedPair>,
}

/// An arm and its mean loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankedArm {
    /// The arm.
    pub arm: String,
    /// Mean loss over seeds, bits per byte.
    pub bits_per_byte: f64,
}

/// Two arms in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderedPair {
    /// The arm of lower mean loss.
    pub lower: String,
    /// The arm of higher mean loss.
    pub higher: String,
}

/// Two arms whose order differs between two sizes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crossing {
    /// The pair, in its order at the smaller size.
    pub pair: OrderedPair,
    /// Parameters of the smaller size.
    pub smaller: u64,
    /// Parameters of the larger size.
    pub larger: u64,
    /// How sure it is.
    pub certainty: Certainty,
}

/// How sure a crossing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// The pair can be told apart at both sizes, so the orders do differ.
    Distinguishable,
    /// At one of the sizes it cannot: the order of means differs, which happens by chance.
    MeansOnly,
}

/// The arms at every size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ladder {
    /// The sizes, in ascending order of parameters.
    pub rungs: Vec<RungOrder>,
    /// Pairs of arms whose order differs between two sizes, for every two sizes; in the order of sizes, then of names.
    pub crossings: Vec<Crossing>,
}

/// Sets sizes side by side.
///
/// # Errors
/// [`Error::TooFew`] with fewer than two rungs, arms or seeds; [`Error::Ladder`] if rungs are empty, have the same size, other arms, or
/// tokens a parameter that differ by more than 2 %; [`Error::Unpaired`] if an arm lacks a seed.
pub fn ladder(rungs: &[Rung]) -> Result<Ladder, Error> {
    Error::unless_enough("sizes", 2, rungs.len())?;
    let mut rungs: Vec<&Rung> = rungs.iter().collect();
    rungs.sort_by_key(|rung| rung.parameters);
    if let Some(empty) = rungs.iter().find(|rung| rung.parameters == 0 || rung.tokens == 0) {
        return Err(Error::Ladder { parameters: empty.parameters, rule: "parameters and tokens must be above 0" });
    }
    for pair in rungs.windows(2) {
        comparable(pair[0], rungs[0], pair[1])?;
    }
    let orders = rungs.iter().map(|rung| rung.order()).collect::<Result<Vec<_>, _>>()?;
    let mut crossings = Vec::new();
    for (at, smaller) in orders.iter().enumerate() {
        for larger in &orders[at + 1..] {
            crossings.extend(smaller.crossings(larger));
        }
    }
    Ok(Ladder { rungs: orders, crossings })
}

/// Makes sure that `rung` can stand above the rung `below`, on a ladder that starts at `lowest`.
fn comparable(below: &Rung, lowest: &Rung, rung: &Rung) -> Result<(), Error> {
    let a_parameter = |rung: &Rung| rung.tokens as f64 / rung.parameters as f64;
    let apart = (a_parameter(rung) / a_parameter(lowest) - 1.0).abs();
    let rule = if below.parameters == rung.parameters {
        "two rungs have this size"
    } else if !rung.outcomes.arms().eq(lowest.outcomes.arms()) {
        "its arms are not those of the smallest size"
    } else if apart > MOST_APART {
        "its tokens a parameter differ from those of the smallest size by more than 2 %"
    } else {
        return Ok(());
    };
    Err(Error::Ladder { parameters: rung.parameters, rule })
}

impl Rung {
    /// Orders the arms, and finds the pairs that can be told apart.
    fn order(&self) -> Result<RungOrder, Error> {
        let arms: Vec<&str> = self.outcomes.arms().collect();
        Error::unless_enough("arms", 2, arms.len())?;
        let mut order = Vec::with_capacity(arms.len());
        let (mut pairs, mut p) = (Vec::new(), Vec::new());
        for (at, arm) in arms.iter().enumerate() {
            let losses = self.outcomes.arm(arm)?;
            let bits_per_byte = losses.values().sum::<f64>() / losses.len() as f64;
            order.push(RankedArm { arm: (*arm).to_owned(), bits_per_byte });
            for other in &arms[at + 1..] {
                let comparison = self.outcomes.compare(arm, other)?;
                let (lower, higher) = if comparison.mean_difference < 0.0 { (other, arm) } else { (arm, other) };
                pairs.push(OrderedPair { lower: (*lower).to_owned(), higher: (*higher).to_owned() });
                p.push(comparison.sign_flip.p);
            }
        }
        order.sort_by(|a, b| a.bits_per_byte.total_cmp(&b.bits_per_byte).then_with(|| a.arm.cmp(&b.arm)));
        let told_apart = pairs.into_iter().zip(holm(&p)).filter(|(_, p)| *p <= FAMILY_LEVEL);
        let distinguishable = told_apart.map(|(pair, _)| pair).collect();
        Ok(RungOrder { parameters: self.parameters, tokens: self.tokens, order, distinguishable })
    }
}

impl RungOrder {
    /// Pairs of other order at the size `larger`, by the names of the arms.
    fn crossings(&self, larger: &Self) -> Vec<Crossing> {
        let mut arms: Vec<&str> = self.order.iter().map(|ranked| ranked.arm.as_str()).collect();
        arms.sort_unstable();
        let mut crossings = Vec::new();
        for (at, one) in arms.iter().enumerate() {
            for other in &arms[at + 1..] {
                let (lower, higher) = match (self.compares(one, other), larger.compares(one, other)) {
                    (Ordering::Less, Ordering::Greater) => (one, other),
                    (Ordering::Greater, Ordering::Less) => (other, one),
                    _ => continue,
                };
                let pair = OrderedPair { lower: (*lower).to_owned(), higher: (*higher).to_owned() };
                let turned = OrderedPair { lower: pair.higher.clone(), higher: pair.lower.clone() };
                let sure = self.distinguishable.contains(&pair) && larger.distinguishable.contains(&turned);
                let certainty = if sure { Certainty::Distinguishable } else { Certainty::MeansOnly };
                crossings.push(Crossing { pair, smaller: self.parameters, larger: larger.parameters, certainty });
            }
        }
        crossings
    }

    /// How the mean losses of two arms compare.
    fn compares(&self, one: &str, other: &str) -> Ordering {
        let loss = |arm: &str| {
            self.order.iter().find(|ranked| ranked.arm == arm).map_or(f64::INFINITY, |ranked| ranked.bits_per_byte)
        };
        loss(one).total_cmp(&loss(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rung of 20 tokens a parameter: arms with a mean, and `noise` that differs by arm and seed.
    fn rung(parameters: u64, arms: &[(&str, f64)], noise: f64) -> Rung {
        let mut outcomes = Outcomes::new();
        for (at, (arm, mean)) in (0_u32..).zip(arms) {
            for seed in 0..8_u32 {
                let noise = if (seed / (1 + at)) % 2 == 0 { noise } else { -noise };
                outcomes.record(arm, seed.into(), mean + 0.01 * f64::from(seed) + noise).unwrap();
            }
        }
        Rung { parameters, tokens: 20 * parameters, outcomes }
    }

    #[test]
    fn crossings_are_sure_or_of_means_only() {
        let small = rung(1_000, &[("a", 1.0), ("b", 1.5), ("c", 2.0)], 0.001);
        let middle = rung(3_000, &[("a", 1.2), ("b", 1.1), ("c", 1.3)], 0.5);
        let large = rung(9_000, &[("a", 0.9), ("b", 0.8), ("c", 1.2)], 0.001);
        // any order of rungs
        let ladder = ladder(&[large, small, middle]).unwrap();
        let names: Vec<Vec<&str>> =
            ladder.rungs.iter().map(|rung| rung.order.iter().map(|ranked| ranked.arm.as_str()).collect()).collect();
        assert_eq!(names, [["a", "b", "c"], ["b", "a", "c"], ["b", "a", "c"]]);
        assert_eq!([0, 1, 2].map(|at| ladder.rungs[at].distinguishable.len()), [3, 0, 3]);
        let crossing = |smaller, larger, certainty| Crossing {
            pair: OrderedPair { lower: "a".to_owned(), higher: "b".to_owned() },
            smaller,
            larger,
            certainty,
        };
        let expected =
            [crossing(1_000, 3_000, Certainty::MeansOnly), crossing(1_000, 9_000, Certainty::Distinguishable)];
        assert_eq!(ladder.crossings, expected);
    }

    #[test]
    fn equal_losses_cross_nothing() {
        let arms = [("a", 1.0), ("b", 1.0)];
        let ladder = ladder(&[rung(10, &arms, 0.0), rung(20, &[("a", 1.1), ("b", 1.0)], 0.0)]).unwrap();
        assert!(ladder.crossings.is_empty() && ladder.rungs[0].distinguishable.is_empty());
    }

    #[test]
    fn rungs_must_be_comparable() {
        let arms = [("a", 1.0), ("b", 2.0)];
        let low = rung(1_000, &arms, 0.0);
        let refused = |high: Rung| match ladder(&[low.clone(), high]) {
            Err(Error::Ladder { parameters, rule }) => (parameters, rule),
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(rung(1_000, &arms, 0.0)), (1_000, "two rungs have this size"));
        assert_eq!(refused(rung(2_000, &[("a", 1.0), ("c", 2.0)], 0.0)).0, 2_000);
        let longer = Rung { tokens: 45_000, ..rung(2_000, &arms, 0.0) };
        assert!(refused(longer).1.contains("tokens a parameter"));
        assert!(refused(Rung { tokens: 0, ..rung(2_000, &arms, 0.0) }).1.contains("above 0"));
        assert!(matches!(ladder(std::slice::from_ref(&low)), Err(Error::TooFew { what: "sizes", .. })));
        assert!(ladder(&[low.clone(), Rung { tokens: 40_700, ..rung(2_000, &arms, 0.0) }]).is_ok());
    }
}
