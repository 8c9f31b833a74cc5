//! Cuts against a naive sort on random scores.

use std::collections::{BTreeMap, BTreeSet};

use headwater_record::DocumentAddress;
use proptest::prelude::*;

use super::{InMemory, Line, Shard, kept, no_progress, score};
use crate::{By, DomainOverride, Error, Guards, ImportedColumn, Order, RankBy, Rule, SelectConfig, cut};

fn value() -> impl Strategy<Value = Option<f32>> {
    prop_oneof![
        6 => prop::sample::select(vec![0.5_f32, 0.25, 0.0, -0.0, -0.5, 0.500_000_06]).prop_map(Some),
        6 => (0.0_f32..1.0).prop_map(Some),
        1 => any::<f32>().prop_map(Some),
        1 => prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]).prop_map(Some),
        1 => Just(None),
    ]
}

fn line() -> impl Strategy<Value = Line> {
    let domain = prop::sample::select(vec!["prose", "prose", "prose", "code", "code", "(none)"]);
    (domain, value(), value(), 0_u32..50).prop_map(|(domain, influence, loss, tokens)| Line {
        domain: domain.to_owned(),
        influence,
        stderr: Some(0.1),
        loss,
        compression: 1.0 + (tokens % 7) as f32 / 2.0,
        tokens,
        status: if influence.is_some() { "scored" } else { "short" },
    })
}

fn corpus() -> impl Strategy<Value = Vec<Shard>> {
    let units = || prop::collection::vec(prop::collection::vec(line(), 1..12), 0..4);
    let lone = Line::scored("lone", 0.5, 7);
    (units(), units(), units(), units()).prop_map(move |(a, b, c, d)| {
        let places = [("web", "b/x.parquet"), ("web", "a.parquet"), ("books", "a.parquet"), ("web", "b-x.parquet")];
        let shards = places.into_iter().zip([a, b, c, d]);
        let mut shards: Vec<Shard> =
            shards.map(|((source, path), units)| Shard { source: source.into(), path: path.into(), units }).collect();
        shards[0].units.push(vec![lone.clone()]);
        shards
    })
}

fn fraction() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(1.0), Just(0.2), Just(0.5), Just(0.3), 0.0..=1.0]
}

fn config() -> impl Strategy<Value = SelectConfig> {
    let column = |order| RankBy::Column(ImportedColumn { name: "score".to_owned(), order });
    let ranks = [
        RankBy::Influence,
        RankBy::Loss,
        RankBy::Compression,
        RankBy::Random,
        column(Order::Ascending),
        column(Order::Descending),
    ];
    let rank = prop::sample::select(ranks.to_vec());
    let by = prop::sample::select(vec![By::Documents, By::Tokens, By::TokenBudget]);
    let rule = prop_oneof![
        2 => Just(None),
        1 => fraction().prop_map(|fraction| Some(DomainOverride { fraction: Some(fraction), ..DomainOverride::default() })),
        1 => (1_u32..300).prop_map(|tokens| Some(DomainOverride { tokens: Some(f64::from(tokens)), ..DomainOverride::default() })),
    ];
    // some document of every domain passes: 7 tokens are those of the lone one
    let guards = prop_oneof![Just(None), (0_u32..=7).prop_map(Some)];
    (rank, by, fraction(), 1_u32..3000, (rule, guards)).prop_map(|(rank, by, fraction, tokens, (rule, least))| {
        SelectConfig {
            rank,
            by,
            fraction,
            tokens: (by == By::TokenBudget).then_some(f64::from(tokens)),
            guards: Guards { min_tokens: least, ..Guards::default() },
            domains: rule.map(|rule| ("lone".to_owned(), rule)).into_iter().collect(),
            ..SelectConfig::default()
        }
    })
}

/// What ranks a line, greater first; `None` if it cannot be ranked.
fn rank_value(config: &SelectConfig, line: &Line, address: &DocumentAddress, seed: u64) -> Option<f64> {
    let influence = line.influence.filter(|value| value.is_finite())?;
    if config.guards.min_tokens.is_some_and(|least| line.tokens < least) {
        return None;
    }
    match &config.rank {
        RankBy::Influence => Some(f64::from(influence) + 0.0),
        RankBy::Loss => line.loss.filter(|value| value.is_finite()).map(|loss| 0.0 - f64::from(loss)),
        RankBy::Compression => Some(f64::from(line.compression)),
        RankBy::Random => Some(random_value(seed, address)),
        RankBy::Column(ImportedColumn { order: Order::Descending, .. }) => Some(f64::from(score(address.row))),
        RankBy::Column(ImportedColumn { order: Order::Ascending, .. }) => Some(0.0 - f64::from(score(address.row))),
        RankBy::Corrected | RankBy::Copied | RankBy::RankSum => unreachable!("not drawn"),
    }
}

/// `fraction` of `count` in decimal, as hundredths of a millionth: (rounded half up, rounded down).
fn portion(fraction: f64, count: u64) -> (u64, u64) {
    let text = format!("{fraction}");
    let (whole, places) = text.split_once('.').unwrap_or((&text, "0"));
    let scale = 10_u128.pow(u32::try_from(places.len().min(19)).unwrap());
    let places = &places[..places.len().min(19)];
    let numerator = whole.parse::<u128>().unwrap() * scale + places.parse::<u128>().unwrap();
    let product = numerator * u128::from(count);
    (u64::try_from((2 * product + scale) / (2 * scale)).unwrap(), u64::try_from(product / scale).unwrap())
}

type Documents<'a> = Vec<(f64, DocumentAddress, u32)>;

/// The addresses that a sort keeps, by domain.
fn naive(config: &SelectConfig, seed: u64, shards: &[Shard]) -> BTreeMap<String, BTreeSet<DocumentAddress>> {
    let mut domains: BTreeMap<String, Documents> = BTreeMap::new();
    for shard in shards {
        for (address, line) in shard.lines() {
            let documents = domains.entry(line.domain.clone()).or_default();
            documents.extend(rank_value(config, line, &address, seed).map(|value| (value, address, line.tokens)));
        }
    }
    let tokens = |documents: &Documents| documents.iter().map(|(.., tokens)| u64::from(*tokens)).sum::<u64>();
    let total: u64 = domains.values().map(tokens).sum();
    let keep = |(name, mut documents): (String, Documents)| {
        documents.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let own = tokens(&documents);
        let rule = config.domains.get(&name).cloned().unwrap_or_default();
        let by_documents = config.by == By::Documents && rule.tokens.is_none();
        let share = rule.fraction.unwrap_or(config.fraction);
        let whole = |tokens: f64| tokens.to_string().parse::<u64>().expect("whole by construction");
        let limit = match (rule.tokens.or(config.tokens), rule) {
            (Some(limit), DomainOverride { tokens: Some(_), .. }) => whole(limit),
            (Some(budget), DomainOverride { fraction: None, .. }) => {
                if whole(budget) >= total {
                    own
                } else {
                    whole(budget) * own / total
                }
            }
            _ => portion(share, own).1,
        };
        let count = portion(share, documents.len() as u64).0;
        let mut spent = 0;
        let kept = documents.into_iter().enumerate().take_while(|(place, (.., tokens))| {
            spent += u64::from(*tokens);
            if by_documents { (*place as u64) < count } else { spent <= limit }
        });
        (name, kept.map(|(_, (_, address, _))| address).collect())
    };
    domains.into_iter().map(keep).collect()
}

/// The random value of a document, from a selection of it alone.
fn random_value(seed: u64, address: &DocumentAddress) -> f64 {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};
    use sha2::{Digest, Sha256};
    let mut bytes = seed.to_le_bytes().to_vec();
    for field in [&address.source, &address.path] {
        bytes.extend((field.len() as u64).to_le_bytes());
        bytes.extend(field.as_bytes());
    }
    let mut stream = ChaCha8Rng::from_seed(Sha256::digest(&bytes).into());
    let word = (0..=address.row).map(|_| stream.next_u32()).last().expect("at least one");
    f64::from(word) / 4_294_967_296.0
}

/// Whether a domain with scored documents has lost all of them to the guards and for lack of a value, which is an error of its own.
fn is_emptied(config: &SelectConfig, shards: &[Shard]) -> bool {
    let mut left: BTreeMap<&str, bool> = BTreeMap::new();
    for (_, line) in shards.iter().flat_map(Shard::lines) {
        if line.influence.is_some_and(f32::is_finite) {
            let has_value = config.rank != RankBy::Loss || line.loss.is_some_and(f32::is_finite);
            let passes = has_value && config.guards.min_tokens.is_none_or(|least| line.tokens >= least);
            *left.entry(&line.domain).or_default() |= passes;
        }
    }
    left.values().any(|passes| !passes)
}

proptest! {
    #[test]
    fn keeps_what_a_sort_keeps(shards in corpus(), config in config(), seed: u64) {
        prop_assume!(!is_emptied(&config, &shards));
        let sidecars = InMemory::new(shards.clone()).unwrap();
        let selection = cut(&sidecars, Rule { config: &config, seed }, &no_progress).unwrap();
        let expected = naive(&config, seed, &shards);
        let mut found = kept(&selection, &sidecars);
        let selection = selection.file;
        for domain in &selection.domains {
            let found = found.remove(&domain.domain).and_then(|mut buckets| buckets.remove(&0)).unwrap_or_default();
            prop_assert_eq!(&found, &expected[&domain.domain]);
            let lines: Vec<_> = shards.iter().flat_map(Shard::lines).filter(|(_, line)| line.domain == domain.domain).collect();
            let kept = &expected[&domain.domain];
            let tokens: u64 = lines.iter().filter(|(at, _)| kept.contains(at)).map(|(_, line)| u64::from(line.tokens)).sum();
            prop_assert_eq!(domain.documents, lines.len() as u64);
            prop_assert_eq!(domain.kept_documents, kept.len() as u64);
            prop_assert_eq!(domain.kept_tokens.0, tokens);
            for named in [&domain.cut, &domain.highest, &domain.lowest].into_iter().flatten() {
                prop_assert_eq!(named.id.clone(), Some(named.address.to_string()));
            }
            let rises = config.rank == RankBy::Loss
                || matches!(&config.rank, RankBy::Column(column) if column.order == Order::Ascending);
            let sign = if rises { 1.0 } else { -1.0 };
            let order = |document: &headwater_record::selection::RankedDocument| (sign * document.value, document.address.clone());
            if let (Some(cut), Some(highest), Some(lowest)) = (&domain.cut, &domain.highest, &domain.lowest) {
                prop_assert!(order(highest) <= order(cut) && order(cut) <= order(lowest));
            }
        }
        prop_assert_eq!(selection.statuses.values().sum::<u64>(), selection.domains.iter().map(|d| d.documents).sum::<u64>());
    }

    #[test]
    fn listing_order_and_unit_size_leave_no_trace(shards in corpus(), config in config(), seed: u64) {
        prop_assume!(!is_emptied(&config, &shards));
        let bytes = |shards: Vec<Shard>| {
            let selection = cut(&InMemory::new(shards).unwrap(), Rule { config: &config, seed }, &no_progress).unwrap().file;
            (serde_json::to_vec(&selection).unwrap(), selection)
        };
        let reversed = shards.iter().rev().cloned().collect();
        let (first, selection) = bytes(shards.clone());
        prop_assert_eq!(&first, &bytes(reversed).0);
        let whole = shards.iter().map(|shard| Shard {
            units: Some(shard.units.concat()).filter(|lines| !lines.is_empty()).into_iter().collect(),
            ..shard.clone()
        });
        prop_assert_eq!(selection.domains, bytes(whole.collect()).1.domains);
    }

    #[test]
    fn budgets_are_not_exceeded(shards in corpus(), tokens in 1_u32..3000, rank in 0..2) {
        let rank = if rank == 0 { RankBy::Influence } else { RankBy::Random };
        let budget = Some(f64::from(tokens));
        let config = SelectConfig { rank, by: By::TokenBudget, tokens: budget, ..SelectConfig::default() };
        let selection = cut(&InMemory::new(shards).unwrap(), Rule { config: &config, seed: 0 }, &no_progress).unwrap().file;
        prop_assert!(selection.kept_tokens().0 <= u64::from(tokens));
    }
}

fn one_shard(domains: impl Iterator<Item = String>) -> Vec<Shard> {
    let lines = domains.map(|domain| Line::scored(&domain, 0.5, 10));
    vec![Shard { source: "web".into(), path: "a.parquet".into(), units: vec![lines.collect()] }]
}

/// All documents equal: addresses alone decide, over more domains than get 12-bit histograms.
#[test]
fn many_domains_of_ties_are_cut_by_address() {
    let shards = one_shard((0..20_000).map(|row| format!("domain {}", row % 5_000)));
    let config = SelectConfig { fraction: 0.5, ..SelectConfig::default() };
    let selection = cut(&InMemory::new(shards).unwrap(), Rule { config: &config, seed: 0 }, &no_progress).unwrap().file;
    assert_eq!(selection.domains.len(), 5_000);
    for domain in &selection.domains {
        let number: u64 = domain.domain["domain ".len()..].parse().unwrap();
        assert_eq!(domain.cut.as_ref().map(|cut| cut.address.row), Some(number + 5_000));
        assert_eq!(domain.kept_documents, 2);
    }
}

#[test]
fn one_domain_too_many_is_named() {
    let shards = one_shard((0..=65_536).map(|row| format!("domain {row}")));
    let error = cut(&InMemory::new(shards).unwrap(), Rule { config: &SelectConfig::default(), seed: 0 }, &no_progress);
    assert!(matches!(error, Err(Error::TooManyDomains { limit: 65_536, domain, .. }) if domain == "domain 65536"));
}

#[test]
fn an_override_of_nothing_lists_what_is_there() {
    let shards = one_shard(["code", "prose"].into_iter().map(str::to_owned));
    let rule = DomainOverride { fraction: Some(0.5), ..DomainOverride::default() };
    let config = SelectConfig { domains: [("cod".to_owned(), rule)].into(), ..SelectConfig::default() };
    let error = cut(&InMemory::new(shards).unwrap(), Rule { config: &config, seed: 0 }, &no_progress).unwrap_err();
    assert!(matches!(&error, Error::UnknownDomain { domain, present } if domain == "cod" && present == "code, prose"));
}

#[test]
fn the_hash_follows_the_rule() {
    let hash = |config: &SelectConfig, seed| {
        let shards = one_shard((0..10).map(|_| "prose".to_owned()));
        cut(&InMemory::new(shards).unwrap(), Rule { config, seed }, &no_progress).unwrap().file.hash
    };
    let config = SelectConfig::default();
    assert_eq!(hash(&config, 0), hash(&config, 1), "the seed matters to the random rank alone");
    let random = SelectConfig { rank: RankBy::Random, ..config.clone() };
    assert_ne!(hash(&random, 0), hash(&random, 1));
    assert_ne!(
        hash(&config, 0),
        hash(&SelectConfig { influence_column: crate::InfluenceColumn::Yes, ..config.clone() }, 0)
    );
    assert_ne!(hash(&config, 0), hash(&SelectConfig { fraction: 0.21, ..config.clone() }, 0));
}

#[test]
fn shared_rows_are_refused() {
    let twice = [one_shard(["a".to_owned()].into_iter()), one_shard(["a".to_owned()].into_iter())].concat();
    assert!(matches!(InMemory::new(twice), Err(Error::Run(headwater_run::Error::Overlap { row: 0, .. }))));
}
