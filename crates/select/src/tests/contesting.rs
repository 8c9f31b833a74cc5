//! Which documents a cascade asks the teacher about, against the definition.

use std::collections::BTreeSet;

use headwater_run::Contested;

use super::correcting::planted;
use super::{InMemory, Line, no_progress};
use crate::{Contest, Error, MostTokens, RankBy, Rule, SelectConfig, cut};

/// Values and errors of three domains by a lot of documents.
fn sidecars() -> InMemory {
    let (mut shards, _) = planted(6_000, 0.5, 2.0);
    for (at, line) in shards.iter_mut().flat_map(|shard| &mut shard.units).flatten().enumerate() {
        line.domain = ["web", "code", "books"][at % 3].to_owned();
    }
    InMemory::new(shards).unwrap()
}

fn rows(contested: &Contested) -> BTreeSet<u64> {
    contested.rows("web", "a.parquet", 0..u64::MAX).collect()
}

/// The contested documents by the definition: row, tokens, probability of the other side by tokens.
fn by_definition(sidecars: &InMemory, config: &SelectConfig) -> Vec<(u64, u64, f64)> {
    let selection = cut(sidecars, Rule { config, seed: 1 }, &no_progress).unwrap().file;
    let cut_of = |domain: &str| {
        let of = selection.domains.iter().find(|of| of.domain == domain).unwrap();
        let is_whole = of.kept_documents == of.ranked_documents;
        of.cut.as_ref().filter(|_| !is_whole).map(|cut| cut.value)
    };
    let cuts = ["web", "code", "books"].map(|domain| (domain, cut_of(domain)));
    let lines: Vec<&Line> = sidecars.shards[0].units.iter().flatten().collect();
    let mut contested = Vec::new();
    for (row, line) in (0..).zip(lines) {
        let Some(cut) = cuts.iter().find(|(domain, _)| *domain == line.domain).unwrap().1 else { continue };
        let (value, stderr) = (f64::from(line.influence.unwrap()), f64::from(line.stderr.unwrap()));
        let away = (value - cut).abs() / stderr;
        if away <= 2.0 {
            let on_the_other_side = 0.5 * libm::erfc(away / 2.0_f64.sqrt());
            contested.push((row, u64::from(line.tokens), on_the_other_side / f64::from(line.tokens)));
        }
    }
    contested
}

#[test]
fn without_a_limit_all_documents_within_two_errors_of_the_cut_are_chosen() {
    let sidecars = sidecars();
    let mut config = SelectConfig::default();
    for fraction in [0.2, 0.7, 1.0] {
        config.fraction = fraction;
        let contest =
            Contest { rule: Rule { config: &config, seed: 1 }, most: MostTokens::Tokens(f64::from(u32::MAX)) };
        let chosen = rows(&contest.contested(&sidecars, &no_progress).unwrap());
        let expected: BTreeSet<u64> = by_definition(&sidecars, &config).into_iter().map(|(row, ..)| row).collect();
        assert_eq!(chosen, expected);
        assert_eq!(chosen.is_empty(), fraction == 1.0, "what is kept whole is not contested");
    }
}

#[test]
fn a_limit_is_kept_to_and_spent_on_the_most_urgent() {
    let (sidecars, config) = (sidecars(), SelectConfig::default());
    let all = by_definition(&sidecars, &config);
    let rule = Rule { config: &config, seed: 1 };
    for share in [0.0, 0.01, 0.05] {
        let tokens: u64 = sidecars.shards[0].units.iter().flatten().map(|line| u64::from(line.tokens)).sum();
        let most = share * tokens as f64;
        let contested = Contest { rule, most: MostTokens::Share(share) }.contested(&sidecars, &no_progress).unwrap();
        let same = Contest { rule, most: MostTokens::Tokens(most) }.contested(&sidecars, &no_progress).unwrap();
        assert_eq!(contested, same);
        assert!(contested.tokens().0 as f64 <= most);
        assert!(contested.tokens().0 as f64 > most - 0.003 * tokens as f64, "{} of {most}", contested.tokens());
        let chosen = rows(&contested);
        let is_chosen = |document: &&(u64, u64, f64)| chosen.contains(&document.0);
        let least = all.iter().filter(is_chosen).map(|(.., urgency)| *urgency).fold(f64::INFINITY, f64::min);
        let left = all.iter().filter(|document| !is_chosen(document)).map(|(.., urgency)| *urgency);
        assert!(left.fold(0.0, f64::max) <= least, "no document that is left out is more urgent");
    }
}

#[test]
fn a_choice_depends_on_rule_limit_and_units() {
    let sidecars = sidecars();
    let (config, other) = (SelectConfig::default(), SelectConfig { fraction: 0.3, ..SelectConfig::default() });
    let choice = |config: &SelectConfig, most, units: &[headwater_run::Unit]| {
        Contest { rule: Rule { config, seed: 1 }, most: MostTokens::Tokens(most) }.choice(units).unwrap()
    };
    let units = &sidecars.units;
    let first = choice(&config, 9.0, units);
    assert_eq!(choice(&config, 9.0, units), first);
    assert_ne!(choice(&other, 9.0, units), first);
    assert_ne!(choice(&config, 8.0, units), first);
    assert_ne!(choice(&config, 9.0, &units[1..]), first);
}

#[test]
fn a_rank_without_errors_is_refused() {
    let config = SelectConfig { rank: RankBy::Loss, ..SelectConfig::default() };
    let contest = Contest { rule: Rule { config: &config, seed: 1 }, most: MostTokens::Share(0.1) };
    let refused = contest.contested(&sidecars(), &no_progress);
    assert!(matches!(refused, Err(Error::NoNoise { rank }) if rank == "loss"));
}
