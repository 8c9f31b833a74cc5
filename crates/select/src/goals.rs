//! How much of each group is asked for: the shares of a domain, of its strata, of its buckets.

use crate::census::Census;
use crate::config::{By, RankBy, SelectConfig, Share};
use crate::fraction::floor_share;
use crate::search::{Goal, Tally};
use crate::upsample::UpsampleConfig;
use crate::{Error, Result, guards};

/// Domains that an error lists.
const LISTED_DOMAINS: usize = 20;

/// What one domain is to keep.
pub(crate) struct DomainGoal {
    /// For each of its groups, nested goals, the least first.
    pub(crate) groups: Vec<Vec<Goal>>,
    /// The fraction of it that was asked for, to be shown.
    pub(crate) fraction: f64,
    /// For each of the nested goals, the tokens that all groups together may keep, where tokens are counted.
    pub(crate) tokens: Vec<Option<u64>>,
}

/// What every domain is to keep.
pub(crate) fn goals(census: &Census, config: &SelectConfig) -> Result<Vec<DomainGoal>> {
    validate_overrides(census, config)?;
    let total = census.ranked_tokens();
    let goals = (0..census.domains.len()).map(|at| {
        let groups = census.ranked_groups(at);
        let ranked = census.ranked(at);
        if config.by == By::Upsample {
            return nested(&groups, &config.upsample.clone().unwrap_or_default());
        }
        let name = &census.domains[at].name;
        let written = config.domains.get(&**name).and_then(|rule| rule.fraction).unwrap_or(config.fraction);
        let share = config.share(name)?;
        if written > 0.0 || matches!(share, Share::TokenCount(_) | Share::Budget(_)) {
            refuse_empty(census, at, &config.rank)?;
        }
        let fraction = match share {
            Share::Documents(_) | Share::Tokens(_) => written,
            Share::TokenCount(part) => ratio(part, ranked.tokens),
            Share::Budget(part) => ratio(part, total),
        };
        let mut goal = DomainGoal { groups: vec![Vec::new(); groups.len()], fraction, tokens: Vec::new() };
        goal.ask(share, &groups, total);
        Ok(goal)
    });
    goals.collect()
}

impl DomainGoal {
    /// Asks for a share of the domain, of whose groups these could be ranked, beside what was asked before; `total` is the tokens of
    /// all domains.
    pub(crate) fn ask(&mut self, share: Share, groups: &[Tally], total: u64) {
        let domain_tokens: u64 = groups.iter().map(|group| group.tokens).sum();
        let (parts, tokens) = match share {
            Share::Documents(part) => {
                let parts = split(groups, |tally| tally.documents, &|count| part.round_half_up(count));
                (parts.into_iter().map(Goal::Documents).collect(), None)
            }
            Share::Tokens(part) => of_tokens(groups, &|count| part.floor(count)),
            Share::TokenCount(part) => of_tokens(groups, &|count| floor_share(part, count, domain_tokens)),
            Share::Budget(part) => of_tokens(groups, &|count| floor_share(part, count, total)),
        };
        self.groups.iter_mut().zip(parts).for_each(|(goals, part): (_, Goal)| goals.push(part));
        self.tokens.push(tokens);
    }
}

/// What each group is asked for, and all of them together, where tokens are counted.
fn of_tokens(groups: &[Tally], of: &dyn Fn(u64) -> u64) -> (Vec<Goal>, Option<u64>) {
    let parts = split(groups, |tally| tally.tokens, of);
    let sum = parts.iter().sum();
    (parts.into_iter().map(Goal::Tokens).collect(), Some(sum))
}

/// Refuses overrides of domains that are not there.
fn validate_overrides(census: &Census, config: &SelectConfig) -> Result<()> {
    let Some(domain) = config.domains.keys().find(|domain| !census.index.contains_key(domain.as_str())) else {
        return Ok(());
    };
    let mut present: Vec<&str> = census.index.keys().take(LISTED_DOMAINS).map(|name| &**name).collect();
    if census.index.len() > LISTED_DOMAINS {
        present.push("…");
    }
    Err(Error::UnknownDomain { domain: domain.clone(), present: present.join(", ") })
}

/// Refuses guards that leave nothing of a domain, and a rank that has no value for what they leave.
fn refuse_empty(census: &Census, at: usize, rank: &RankBy) -> Result<()> {
    let domain = &census.domains[at];
    let may_lack = matches!(rank, RankBy::Column(_) | RankBy::RankSum);
    if may_lack && domain.valueless > 0 && census.ranked(at).documents == 0 {
        let (domain, ranked) = (domain.name.to_string(), domain.valueless);
        return Err(Error::NoValues { domain, rank: rank.to_string(), ranked });
    }
    let guarded: u64 = domain.guarded.iter().sum();
    if guarded == 0 || census.ranked(at).documents > 0 {
        return Ok(());
    }
    let each = guards::NAMES.iter().zip(domain.guarded).filter(|(_, count)| *count > 0);
    let by_guard: Vec<String> = each.map(|(name, count)| format!("{name}: {count}")).collect();
    Err(Error::EmptyDomain { domain: domain.name.to_string(), scored: guarded, by_guard: by_guard.join(", ") })
}

/// Cuts what `of` asks of a whole into what it asks of each part, so that the parts add up to it and each is off by less than one.
fn split(groups: &[Tally], size: impl Fn(&Tally) -> u64, of: &dyn Fn(u64) -> u64) -> Vec<u64> {
    let (mut before, mut asked) = (0, 0);
    let part = |group| {
        before += size(group);
        let up_to = of(before);
        let part = up_to - asked;
        asked = up_to;
        part
    };
    groups.iter().map(part).collect()
}

/// The goals of a domain whose bottom is dropped and whose rest is cut into buckets.
fn nested(groups: &[Tally], config: &UpsampleConfig) -> Result<DomainGoal> {
    let goals = |group: &Tally| Ok(config.goals(group.tokens)?.into_iter().map(Goal::Tokens).collect());
    let groups = groups.iter().map(goals).collect::<Result<_>>()?;
    Ok(DomainGoal { groups, fraction: 1.0 - config.drop, tokens: Vec::new() })
}

/// `part / whole`, at most 1, to be shown.
fn ratio(part: u64, whole: u64) -> f64 {
    if part >= whole { 1.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fraction::Fraction;

    proptest! {
        #[test]
        fn parts_add_up_and_are_off_by_less_than_one(sizes in prop::collection::vec(0_u64..1000, 1..30), share in 0.0_f64..=1.0) {
            let fraction = Fraction::new("select.fraction", share).unwrap();
            let groups: Vec<Tally> = sizes.iter().map(|documents| Tally { documents: *documents, tokens: 0 }).collect();
            let parts = split(&groups, |tally| tally.documents, &|count| fraction.round_half_up(count));
            prop_assert_eq!(parts.iter().sum::<u64>(), fraction.round_half_up(sizes.iter().sum()));
            for (part, size) in parts.iter().zip(&sizes) {
                prop_assert!(part <= size);
                prop_assert!((*part as f64 - share * *size as f64).abs() <= 1.0 + 1e-9);
            }
        }
    }
}
