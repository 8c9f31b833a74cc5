//! Where every goal ends: the later readings of a cut.

use crate::census::{Census, Contender, GROUP_LIMIT, Ranking};
use crate::goals::DomainGoal;
use crate::search::{CutSearch, Goal, MOST_COLLECTED, Outcome, Refused, later_bits};
use crate::{Error, Result};

/// A goal and how far it is settled.
enum GoalSearch {
    Settled(Outcome),
    Searching(CutSearch),
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
    let mut searches = begin(census, goals)?;
    search(ranking, census, &mut searches)?;
    let settled = |search: &GoalSearch| match search {
        GoalSearch::Settled(outcome) => *outcome,
        GoalSearch::Searching(search) => search.outcome(),
    };
    let mut outcomes: Vec<Vec<Outcome>> = searches.iter().map(|group| group.iter().map(settled).collect()).collect();
    for (domain, goal) in goals.iter().enumerate() {
        if let Some(tokens) = goal.tokens
            && goal.groups.len() > 1
        {
            fill(&mut outcomes[census.groups_of(domain)], tokens);
        }
    }
    Ok(outcomes)
}

fn begin(census: &mut Census, goals: &[DomainGoal]) -> Result<Vec<Vec<GoalSearch>>> {
    let names =
        census.domains.iter().zip(goals).flat_map(|(domain, goal)| goal.groups.iter().map(|_| domain.name.clone()));
    let names: Vec<_> = names.collect();
    let groups = goals.iter().flat_map(|goal| &goal.groups).zip(&mut census.groups).zip(names);
    let searches = groups.map(|((goals, group), domain)| {
        let buckets = std::mem::take(&mut group.buckets);
        let search = |goal: &Goal| {
            let everything = match *goal {
                Goal::Documents(documents) => documents >= group.ranked.documents,
                Goal::Tokens(tokens) => tokens >= group.ranked.tokens,
            };
            if everything {
                return Ok(GoalSearch::Settled(Outcome { kept: group.ranked, cut: group.lowest, refused: None }));
            }
            if *goal == Goal::Documents(0) {
                return Ok(GoalSearch::Settled(Outcome::default()));
            }
            let begun = CutSearch::begin(*goal, buckets.clone());
            begun.map(GoalSearch::Searching).map_err(|_| Error::Changed { domain: domain.to_string() })
        };
        goals.iter().map(search).collect()
    });
    searches.collect()
}

/// The searches of a group that go on.
fn open(group: &mut [GoalSearch]) -> impl Iterator<Item = &mut CutSearch> {
    group.iter_mut().filter_map(|search| match search {
        GoalSearch::Settled(_) => None,
        GoalSearch::Searching(search) => Some(search),
    })
}

fn search(ranking: &Ranking<'_>, census: &Census, searches: &mut [Vec<GoalSearch>]) -> Result<()> {
    let mut wanted: Vec<usize> = (0..ranking.scores.sidecars.units().len()).collect();
    loop {
        let (mut count, mut inside, mut unknown_bits) = (0, 0, 0);
        for search in searches.iter_mut().flat_map(|group| open(group)) {
            count += 1;
            inside += search.inside();
            unknown_bits = search.unknown_bits();
        }
        if count == 0 {
            return Ok(());
        }
        if inside <= MOST_COLLECTED {
            ranking.visit(census, &wanted, |&Contender { group, ranked, tokens }| {
                open(&mut searches[group]).for_each(|search| search.collect(ranked, tokens));
            })?;
            searches.iter_mut().flat_map(|group| open(group)).for_each(CutSearch::settle_collected);
            return Ok(());
        }
        if unknown_bits == 0 {
            return ranking.visit(census, &wanted, |&Contender { group, ranked, tokens }| {
                open(&mut searches[group]).for_each(|search| search.settle(ranked, tokens));
            });
        }
        let width = later_bits(count, unknown_bits);
        wanted = descend(ranking, census, searches, &wanted, width)?;
    }
}

/// Takes the next `width` bits of every boundary key; gives the units that hold a document of a boundary bucket.
fn descend(
    ranking: &Ranking<'_>,
    census: &Census,
    searches: &mut [Vec<GoalSearch>],
    wanted: &[usize],
    width: u32,
) -> Result<Vec<usize>> {
    searches.iter_mut().flat_map(|group| open(group)).for_each(|search| search.widen(width));
    let mut next = Vec::new();
    ranking.visit(census, wanted, |&Contender { group, ranked, tokens }| {
        for search in open(&mut searches[group]) {
            if search.count(ranked, tokens) && next.last() != Some(&ranked.unit) {
                next.push(ranked.unit);
            }
        }
    })?;
    let strata = ranking.strata.count();
    for (at, group) in searches.iter_mut().enumerate() {
        let changed = |_| Error::Changed { domain: census.domains[at / strata].name.to_string() };
        open(group).try_for_each(|search| search.descend().map_err(changed))?;
    }
    Ok(next)
}

/// Keeps the next document of strata whose goals ended before it, the longest first, while all strata together have room: each falls
/// short by less than a document, and so then does the domain.
fn fill(groups: &mut [Vec<Outcome>], tokens: u64) {
    let kept: u64 = groups.iter().flatten().map(|outcome| outcome.kept.tokens).sum();
    let mut room = tokens.saturating_sub(kept);
    let mut short: Vec<&mut Outcome> =
        groups.iter_mut().flatten().filter(|outcome| outcome.refused.is_some()).collect();
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
