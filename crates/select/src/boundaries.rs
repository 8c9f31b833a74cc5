//! Where every goal ends: the later readings of a cut.

use std::sync::Arc;

use crate::census::{Census, Contender, GROUP_LIMIT, GroupCensus, Ranking};
use crate::goals::DomainGoal;
use crate::search::{CutSearch, Goal, GroupSearch, LostCut, MOST_COLLECTED, Outcome, Ranked, Refused, later_bits};
use crate::{Error, Result};

/// The goals of a group: what the settled ones keep, and the search for the others.
struct GroupGoals {
    outcomes: Vec<Outcome>,
    search: GroupSearch,
}

/// Finds what every goal keeps: by group, then goal.
pub(crate) fn boundaries(
    ranking: &Ranking<'_>,
    census: &mut Census,
    goals: &[DomainGoal],
) -> Result<Vec<Vec<Outcome>>> {
    let (domains, cuts) =
        (census.domains.len(), goals.iter().flat_map(|goal| &goal.groups).map(Vec::len).sum::<usize>());
    if cuts > GROUP_LIMIT {
        return Err(Error::TooManyBuckets { domains, buckets: cuts / domains.max(1), limit: GROUP_LIMIT });
    }
    let mut groups = begin(census, goals)?;
    search(ranking, census, &mut groups)?;
    let mut outcomes: Vec<Vec<Outcome>> = groups.into_iter().map(GroupGoals::outcomes).collect();
    for (domain, goal) in goals.iter().enumerate().filter(|(_, goal)| goal.groups.len() > 1) {
        for (at, tokens) in goal.tokens.iter().enumerate() {
            let of_goal = outcomes[census.groups_of(domain)].iter_mut().filter_map(|group| group.get_mut(at));
            if let Some(tokens) = *tokens {
                fill(of_goal.collect(), tokens);
            }
        }
    }
    Ok(outcomes)
}

fn begin(census: &mut Census, goals: &[DomainGoal]) -> Result<Vec<GroupGoals>> {
    let domains = census.domains.iter().zip(goals);
    let names = domains.flat_map(|(domain, goal)| std::iter::repeat_n(domain.name.clone(), goal.groups.len()));
    let names: Vec<_> = names.collect();
    let groups = goals.iter().flat_map(|goal| &goal.groups).zip(&mut census.groups).zip(names);
    let begin = |((goals, group), domain): ((&Vec<Goal>, &mut GroupCensus), Arc<str>)| {
        let buckets = std::mem::take(&mut group.buckets);
        let outcome = |goal: &Goal| match *goal {
            Goal::Documents(documents) if documents >= group.ranked.documents => Some(group.everything()),
            Goal::Tokens(tokens) if tokens >= group.ranked.tokens => Some(group.everything()),
            Goal::Documents(0) => Some(Outcome::default()),
            Goal::Documents(_) | Goal::Tokens(_) => None,
        };
        let outcomes: Vec<Option<Outcome>> = goals.iter().map(outcome).collect();
        let open = goals.iter().copied().enumerate().filter(|(place, _)| outcomes[*place].is_none());
        let search = GroupSearch::begin(open, &buckets);
        let search = search.map_err(|LostCut| Error::Changed { domain: domain.to_string() })?;
        Ok(GroupGoals { outcomes: outcomes.into_iter().map(Option::unwrap_or_default).collect(), search })
    };
    groups.map(begin).collect()
}

impl GroupGoals {
    fn outcomes(mut self) -> Vec<Outcome> {
        self.search.outcomes().for_each(|(place, outcome)| self.outcomes[place] = outcome);
        self.outcomes
    }
}

/// Every search that goes on.
fn open(groups: &mut [GroupGoals]) -> impl Iterator<Item = &mut CutSearch> {
    groups.iter_mut().flat_map(|group| group.search.each())
}

fn search(ranking: &Ranking<'_>, census: &Census, groups: &mut [GroupGoals]) -> Result<()> {
    let mut wanted: Vec<usize> = (0..ranking.scores.sidecars.units().len()).collect();
    loop {
        let (mut count, mut inside, mut unknown_bits) = (0, 0, 0);
        for search in open(groups) {
            count += 1;
            inside += search.inside();
            unknown_bits = search.unknown_bits();
        }
        if count == 0 {
            return Ok(());
        }
        if inside <= MOST_COLLECTED {
            read(ranking, census, groups, &wanted, CutSearch::collect)?;
            open(groups).for_each(CutSearch::settle_collected);
            return Ok(());
        }
        if unknown_bits == 0 {
            return read(ranking, census, groups, &wanted, CutSearch::settle).map(drop);
        }
        let width = later_bits(count, unknown_bits);
        open(groups).for_each(|search| search.widen(width));
        wanted = read(ranking, census, groups, &wanted, CutSearch::count)?;
        let strata = ranking.strata.count();
        for (at, group) in groups.iter_mut().enumerate() {
            let changed = |LostCut| Error::Changed { domain: census.domains[at / strata].name.to_string() };
            group.search.descend().map_err(changed)?;
        }
    }
}

/// Reads some units, and hands every ranked document to the searches whose boundary bucket holds it; gives the units that hold one.
fn read(
    ranking: &Ranking<'_>,
    census: &Census,
    groups: &mut [GroupGoals],
    wanted: &[usize],
    inside: impl Fn(&mut CutSearch, Ranked, u32),
) -> Result<Vec<usize>> {
    let mut holding = Vec::new();
    ranking.visit(census, wanted, |&Contender { group, ranked, tokens }| {
        let is_inside = groups[group].search.meet(ranked, |search| inside(search, ranked, tokens));
        if is_inside && holding.last() != Some(&ranked.unit) {
            holding.push(ranked.unit);
        }
    })?;
    groups.iter_mut().for_each(|group| group.search.end_reading());
    Ok(holding)
}

/// Keeps the next document of strata whose goals ended before it, the longest first, while all strata together have room: each falls
/// short by less than a document, and so then does the domain.
fn fill(groups: Vec<&mut Outcome>, tokens: u64) {
    let kept: u64 = groups.iter().map(|outcome| outcome.kept.tokens).sum();
    let mut room = tokens.saturating_sub(kept);
    let mut short: Vec<&mut Outcome> = groups.into_iter().filter(|outcome| outcome.refused.is_some()).collect();
    short.sort_by_key(|outcome| std::cmp::Reverse(outcome.refused.map_or(0, |refused| refused.tokens)));
    for outcome in short {
        if let Some(Refused { document, tokens }) = outcome.refused
            && u64::from(tokens) <= room
        {
            room -= u64::from(tokens);
            outcome.kept.count(tokens);
            outcome.cut = Some(document);
            outcome.refused = None;
        }
    }
}
