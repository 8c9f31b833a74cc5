//! What other fractions would keep of the largest domains: exact counts at every whole per cent.
//!
//! The fractions are further goals of the search that finds the cut, so that they follow the same rule and cost no reading of their own
//! unless the documents near all of them are very many.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_record::TokenCount;
use headwater_record::profile::CutPoint;

use crate::Result;
use crate::census::{Census, GROUP_LIMIT, Ranking};
use crate::certainty::CutErrors;
use crate::config::{By, SelectConfig, Share};
use crate::fraction::Fraction;
use crate::goals::DomainGoal;
use crate::membership::Cut;
use crate::search::{Outcome, Ranked, Tally};

/// Fractions that are explored, but for that of nothing.
const STEPS: u32 = 100;

/// Every how many of them the last document kept is shown.
const SHOWN_EVERY: usize = 5;

/// The domains to be explored, and what is asked of them.
pub(crate) struct Exploration {
    /// Indices of domains.
    domains: Vec<usize>,
}

/// What fractions would keep.
#[derive(Debug, Default)]
pub(crate) struct Explored {
    /// What each fraction keeps, from nothing to everything, by domain.
    pub(crate) points: BTreeMap<Arc<str>, Vec<CutPoint>>,
    /// Documents at even distances along the ranking, by domain; none where a domain has several cuts.
    pub(crate) spread: BTreeMap<Arc<str>, Vec<Ranked>>,
    /// The last document kept by every fraction: by group, then fraction; none where a domain has several cuts, as then what a fraction
    /// keeps a greater one may drop.
    pub(crate) cuts: Vec<Vec<Option<Cut>>>,
}

impl Exploration {
    /// Adds a goal for each fraction to those of the `most` domains with the most documents, as far as there may be so many goals; to
    /// none where documents are repeated by quality, as no fraction says how often.
    pub(crate) fn begin(goals: &mut [DomainGoal], census: &Census, config: &SelectConfig, most: usize) -> Result<Self> {
        if config.by == By::Upsample {
            return Ok(Self { domains: Vec::new() });
        }
        let mut room = GROUP_LIMIT.saturating_sub(goals.iter().map(|goal| goal.groups.len()).sum());
        let fits = |domain: &usize| {
            let added = goals[*domain].groups.len() * (1 + STEPS as usize);
            let fits = added <= room;
            room = room.saturating_sub(added);
            fits
        };
        let domains: Vec<usize> = census.largest(most).into_iter().take_while(fits).collect();
        let total = census.ranked_tokens();
        for step in 0..=STEPS {
            let fraction = Fraction::new("select.fraction", fraction(step))?;
            let share = if config.by == By::Documents { Share::Documents(fraction) } else { Share::Tokens(fraction) };
            domains.iter().for_each(|&domain| goals[domain].ask(share, &census.ranked_groups(domain), total));
        }
        Ok(Self { domains })
    }

    /// Takes what the fractions keep out of `outcomes`, by group and goal, and leaves what the rule keeps.
    pub(crate) fn end(&self, ranking: &Ranking<'_>, census: &Census, outcomes: &mut [Vec<Outcome>]) -> Explored {
        let mut explored = Explored { cuts: vec![Vec::new(); outcomes.len()], ..Explored::default() };
        let units = ranking.scores.sidecars.units();
        for &domain in &self.domains {
            let groups = census.groups_of(domain);
            let own: Vec<Vec<Outcome>> = outcomes[groups.clone()]
                .iter_mut()
                .map(|goals| goals.split_off(goals.len().saturating_sub(1 + STEPS as usize)))
                .collect();
            let name = census.domains[domain].name.clone();
            if let [only] = own.as_slice() {
                let mut spread: Vec<Ranked> =
                    only.iter().skip(SHOWN_EVERY).step_by(SHOWN_EVERY).filter_map(|outcome| outcome.cut).collect();
                spread.dedup();
                // the last of all ends the list of the bottom
                spread.pop();
                explored.spread.insert(name.clone(), spread);
                explored.cuts[groups.start] = only.iter().map(|outcome| Cut::of(outcome, units)).collect();
            }
            explored.points.insert(name, points(ranking, census, domain, &own));
        }
        explored
    }
}

/// What each fraction keeps of a domain, from what it keeps of its groups.
fn points(ranking: &Ranking<'_>, census: &Census, domain: usize, groups: &[Vec<Outcome>]) -> Vec<CutPoint> {
    let single = groups.len() == 1;
    let errors = CutErrors::of(ranking, census, &census.domains[domain].name).filter(|_| single);
    let ranked = census.ranked(domain).documents;
    let point = |step: u32| {
        let mut kept = Tally::default();
        let of_step = || groups.iter().filter_map(|goals| goals.get(step as usize));
        of_step().for_each(|outcome| kept.add(outcome.kept));
        let cut = of_step().find_map(|outcome| outcome.cut).filter(|_| single);
        let share = kept.documents as f64 / ranked.max(1) as f64;
        CutPoint {
            fraction: fraction(step),
            documents: kept.documents,
            tokens: TokenCount(kept.tokens),
            value: cut.map(|cut| ranking.rank.shown_value(cut.key)),
            stderr: cut.and(errors.as_ref()).and_then(|errors| errors.at(share)),
        }
    };
    (0..=STEPS).map(point).collect()
}

/// The fraction of a step, as it would be written.
fn fraction(step: u32) -> f64 {
    f64::from(step) / f64::from(STEPS)
}
