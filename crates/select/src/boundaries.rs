//! Where every goal ends: the later readings of a cut.

use crate::census::{Census, Contender, GROUP_LIMIT, Ranking};
use crate::goals::DomainGoal;
use crate::search::{FIRST_BITS, Goal, Outcome, Refused, Search, later_bits};
use crate::{Error, Result};

/// A goal and how far it is settled.
enum Quest {
    Settled(Outcome),
    Searching(Search),
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
    let mut quests = begin(census, goals)?;
    search(ranking, census, &mut quests)?;
    let settled = |quest: &Quest| match quest {
        Quest::Settled(outcome) => *outcome,
        Quest::Searching(search) => search.outcome(),
    };
    let mut outcomes: Vec<Vec<Outcome>> = quests.iter().map(|group| group.iter().map(settled).collect()).collect();
    for (domain, goal) in goals.iter().enumerate() {
        if let Some(tokens) = goal.tokens
            && goal.groups.len() > 1
        {
            fill(&mut outcomes[census.groups_of(domain)], tokens);
        }
    }
    Ok(outcomes)
}

fn begin(census: &mut Census, goals: &[DomainGoal]) -> Result<Vec<Vec<Quest>>> {
    let names =
        census.domains.iter().zip(goals).flat_map(|(domain, goal)| goal.groups.iter().map(|_| domain.name.clone()));
    let names: Vec<_> = names.collect();
    let groups = goals.iter().flat_map(|goal| &goal.groups).zip(&mut census.groups).zip(names);
    let quests = groups.map(|((goals, group), domain)| {
        let buckets = std::mem::take(&mut group.buckets);
        let quest = |goal: &Goal| {
            let everything = match *goal {
                Goal::Documents(documents) => documents >= group.ranked.documents,
                Goal::Tokens(tokens) => tokens >= group.ranked.tokens,
            };
            if everything {
                return Ok(Quest::Settled(Outcome { kept: group.ranked, cut: group.lowest, refused: None }));
            }
            if *goal == Goal::Documents(0) {
                return Ok(Quest::Settled(Outcome::default()));
            }
            let begun = Search::begin(*goal, buckets.clone());
            begun.map(Quest::Searching).map_err(|_| Error::Changed { domain: domain.to_string() })
        };
        goals.iter().map(quest).collect()
    });
    quests.collect()
}

/// The searches of a group that go on.
fn searches(group: &mut [Quest]) -> impl Iterator<Item = &mut Search> {
    group.iter_mut().filter_map(|quest| match quest {
        Quest::Settled(_) => None,
        Quest::Searching(search) => Some(search),
    })
}

fn search(ranking: &Ranking<'_>, census: &Census, quests: &mut [Vec<Quest>]) -> Result<()> {
    let open = quests.iter_mut().map(|group| searches(group).count()).sum();
    if open == 0 {
        return Ok(());
    }
    let width = later_bits(open);
    let mut wanted: Vec<usize> = (0..ranking.scores.sidecars.units().len()).collect();
    for _ in 0..(u32::BITS - FIRST_BITS) / width {
        quests.iter_mut().flat_map(|group| searches(group)).for_each(|search| search.widen(width));
        let mut next = Vec::new();
        ranking.visit(census, &wanted, |&Contender { group, ranked, tokens }| {
            for search in searches(&mut quests[group]) {
                if search.count(ranked, tokens) && next.last() != Some(&ranked.unit) {
                    next.push(ranked.unit);
                }
            }
        })?;
        let strata = ranking.strata.count();
        for (at, group) in quests.iter_mut().enumerate() {
            let changed = |_| Error::Changed { domain: census.domains[at / strata].name.to_string() };
            searches(group).try_for_each(|search| search.descend().map_err(changed))?;
        }
        wanted = next;
    }
    ranking.visit(census, &wanted, |&Contender { group, ranked, tokens }| {
        searches(&mut quests[group]).for_each(|search| search.settle(ranked, tokens));
    })
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
