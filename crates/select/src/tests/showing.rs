//! Comparisons and profiles against sets and counts of their own.

#![expect(clippy::cast_possible_truncation, reason = "made-up numbers and few rows")]

use std::collections::BTreeSet;

use headwater_record::DocumentAddress;
use proptest::prelude::*;

use super::correcting::planted;
use super::{InMemory, Line, Shard, kept, no_progress};
use crate::{By, NamedRule, RankBy, Rule, SelectConfig, compare, cut, overlap, profile};

fn ranked_by(rank: RankBy, fraction: f64) -> SelectConfig {
    SelectConfig { rank, fraction, ..SelectConfig::default() }
}

#[test]
fn what_selections_share_is_what_their_sets_share() {
    let (shards, _) = planted(3_000, 0.5, 0.1);
    let lines: Vec<Line> = shards[0].units.concat();
    let sidecars = InMemory::new(shards).unwrap();
    let configs = [
        ranked_by(RankBy::Influence, 0.2),
        ranked_by(RankBy::Corrected, 0.2),
        SelectConfig { by: By::Tokens, ..ranked_by(RankBy::Loss, 0.5) },
    ];
    let sets = configs.clone().map(|config| {
        let selection = cut(&sidecars, Rule { config: &config, seed: 3 }, &no_progress).unwrap();
        kept(&selection, &sidecars)["web"][&0].clone()
    });
    let names = ["a", "b", "c"].map(str::to_owned);
    let rules: Vec<NamedRule> =
        names.into_iter().zip(configs).map(|(name, config)| NamedRule { name, config }).collect();
    let comparison = compare(&sidecars, &rules, 3, &no_progress).unwrap();
    let domain = &comparison.domains[0];
    let tokens = |set: &BTreeSet<DocumentAddress>| -> u64 {
        set.iter().map(|address| u64::from(lines[address.row as usize].tokens)).sum()
    };
    for (at, one) in sets.iter().enumerate() {
        for (with, other) in sets.iter().enumerate() {
            let both: BTreeSet<DocumentAddress> = one.intersection(other).cloned().collect();
            assert_eq!(domain.shared_documents[at][with], both.len() as u64);
            assert_eq!(domain.shared_tokens[at][with], tokens(&both));
        }
        let others = sets.iter().enumerate().filter(|(with, _)| *with != at).flat_map(|(_, set)| set);
        let others: BTreeSet<&DocumentAddress> = others.collect();
        let alone = one.iter().filter(|address| !others.contains(address)).count();
        assert_eq!(domain.kept[at].alone, alone as u64);
        let mean = tokens(one) as f64 / one.len() as f64;
        assert!((domain.kept[at].mean_tokens.unwrap() - mean).abs() < 1e-9);
        let is_loss = comparison.arms[at].rank == "loss";
        let is_in_order = |one: f64, other: f64| if is_loss { 0.0 <= one && one <= other } else { one >= other };
        assert!(domain.alone[at].windows(2).all(|pair| is_in_order(pair[0].value, pair[1].value)));
        for example in &domain.alone[at] {
            assert!(one.contains(&example.address) && !others.contains(&example.address));
            assert_eq!(example.first_line, Some(format!("row {}", example.address.row)));
        }
    }
}

#[test]
fn a_profile_counts_every_document_once() {
    let (shards, _) = planted(3_000, 0.5, 0.1);
    let sidecars = InMemory::new(shards).unwrap();
    let config = SelectConfig::default();
    let selection = cut(&sidecars, Rule { config: &config, seed: 3 }, &no_progress).unwrap().file;
    let profile = profile(&sidecars, 7, Rule { config: &config, seed: 3 }, &no_progress).unwrap();
    assert_eq!((profile.planned_units, profile.scored_units), (7, 3));
    let domain = &profile.domains[0];
    for histogram in domain.controls.iter().chain([&domain.value]) {
        assert_eq!(histogram.edges.len(), histogram.all.len() + 1);
        assert_eq!(histogram.all.iter().sum::<u64>(), 3_000);
        assert_eq!(histogram.kept.iter().sum::<u64>(), 600);
    }
    for density in domain.densities.iter().flatten() {
        assert_eq!(density.counts.iter().flatten().sum::<u64>(), 3_000);
        assert_eq!(
            (density.x_edges.len(), density.y_edges.len()),
            (density.counts[0].len() + 1, density.counts.len() + 1)
        );
    }
    let [raw, corrected] = domain.densities.as_slice() else { panic!("raw and corrected") };
    assert!(raw[0].r2 > 0.5 && raw[0].spearman < -0.5, "influence follows base loss: {:?}", raw[0]);
    assert!(corrected.iter().all(|density| density.r2 < 0.01 && density.spearman.abs() < 0.05));
    let [influence, corrected] = domain.samples.as_slice() else { panic!("two rankings to look at") };
    assert_eq!([&influence.rank, &corrected.rank], ["influence", "corrected"]);
    let of =
        |document: &Option<headwater_record::selection::RankedDocument>| document.as_ref().unwrap().address.clone();
    let cut = &selection.domains[0];
    assert_eq!(influence.top[0].address, of(&cut.highest));
    assert_eq!(influence.above.last().unwrap().address, of(&cut.cut));
    assert_eq!(influence.bottom.last().unwrap().address, of(&cut.lowest));
    assert!(influence.below[0].value <= cut.cut.as_ref().unwrap().value);
    assert!(influence.top[0].text.as_ref().unwrap().contains("row "));
    assert_eq!(profile.comparison.arms.len(), 4);
}

#[test]
fn the_largest_domains_are_shown() {
    // domain 0 has 30 documents, domain 19 has 11
    let lines: Vec<Line> = (0..20_u32)
        .flat_map(|domain| (0..30 - domain).map(move |at| (domain, at)))
        .map(|(domain, at)| Line::scored(&format!("domain {domain:02}"), at as f32 / 100.0, 50 + at))
        .collect();
    let shards = vec![Shard { source: "web".into(), path: "a.parquet".into(), units: vec![lines] }];
    let profile =
        profile(&InMemory::new(shards).unwrap(), 1, Rule { config: &SelectConfig::default(), seed: 0 }, &no_progress)
            .unwrap();
    let shown: Vec<&str> = profile.domains.iter().map(|domain| domain.domain.as_str()).collect();
    let expected: Vec<String> = (0..12).map(|domain| format!("domain {domain:02}")).collect();
    assert_eq!((shown, profile.left_out), (expected.iter().map(String::as_str).collect(), 8));
    assert_eq!(profile.comparison.domains.len(), 12);
}

proptest! {
    #[test]
    fn explored_fractions_keep_what_selections_at_them_keep(
        lines in prop::collection::vec((0_u32..2, prop_oneof![Just(0.5_f32), 0.0_f32..1.0], 1_u32..50), 1..60),
        by in prop::sample::select(vec![By::Documents, By::Tokens]),
        length_strata in prop::sample::select(vec![1, 3]),
        percent in prop::sample::select(vec![0_u32, 1, 2, 5, 10, 29, 50, 57, 99, 100]),
    ) {
        let lines: Vec<Line> = lines
            .into_iter()
            .map(|(domain, influence, tokens)| Line::scored(&format!("domain {domain}"), influence, tokens))
            .collect();
        let units = lines.chunks(7).map(<[Line]>::to_vec).collect();
        let sidecars = InMemory::new(vec![Shard { source: "web".into(), path: "a.parquet".into(), units }]).unwrap();
        let config = SelectConfig { by, length_strata, ..SelectConfig::default() };
        let profile = profile(&sidecars, 1, Rule { config: &config, seed: 3 }, &no_progress).unwrap();
        let config = SelectConfig { fraction: f64::from(percent) / 100.0, ..config };
        let selection = cut(&sidecars, Rule { config: &config, seed: 3 }, &no_progress).unwrap();
        let kept = kept(&selection, &sidecars);
        for (shown, selected) in profile.domains.iter().zip(&selection.file.domains) {
            prop_assert_eq!(&shown.domain, &selected.domain);
            let point = shown.cuts[percent as usize];
            prop_assert_eq!((point.documents, point.tokens), (selected.kept_documents, selected.kept_tokens));
            prop_assert_eq!(point.value, selected.cut.as_ref().map(|cut| cut.value));
            let kept = kept.get(&shown.domain).and_then(|buckets| buckets.get(&0)).cloned().unwrap_or_default();
            if length_strata > 1 {
                prop_assert!(shown.samples.iter().flat_map(|set| &set.top).all(|sample| sample.kept_from.is_none()));
                continue;
            }
            let sets = shown.samples.iter();
            let samples = sets.flat_map(|set| [&set.top, &set.above, &set.below, &set.bottom, &set.spread]).flatten();
            for sample in samples {
                let is_kept = sample.kept_from.is_some_and(|from| from <= percent as usize);
                prop_assert_eq!(is_kept, kept.contains(&sample.address));
            }
        }
    }
}

proptest! {
    #[test]
    fn what_two_runs_share_is_what_their_sets_share(
        influences in prop::collection::vec((0.0_f32..1.0, 0.0_f32..1.0, 1_u32..50), 1..300),
        units in (1_usize..90, 1_usize..90),
        fractions in (0.0_f64..=1.0, 0.0_f64..=1.0),
    ) {
        let run = |influence: &dyn Fn(&(f32, f32, u32)) -> f32, rows: usize| {
            let lines: Vec<Line> = influences.iter().map(|line| Line::scored("web", influence(line), line.2)).collect();
            let units = lines.chunks(rows).map(<[Line]>::to_vec).collect();
            InMemory::new(vec![Shard { source: "web".into(), path: "a.parquet".into(), units }]).unwrap()
        };
        let runs = [run(&|line| line.0, units.0), run(&|line| line.1, units.1)];
        let configs = [fractions.0, fractions.1].map(|fraction| ranked_by(RankBy::Influence, fraction));
        let sets = [0, 1].map(|at| {
            let selection = cut(&runs[at], Rule { config: &configs[at], seed: 3 }, &no_progress).unwrap();
            kept(&selection, &runs[at]).remove("web").and_then(|mut buckets| buckets.remove(&0)).unwrap_or_default()
        });
        let rule = |at: usize| (&runs[at] as &dyn crate::Sidecars, Rule { config: &configs[at], seed: 3 });
        let found = overlap([rule(0), rule(1)], &no_progress).unwrap();
        let both: Vec<&DocumentAddress> = sets[0].intersection(&sets[1]).collect();
        let tokens: u64 = both.iter().map(|address| u64::from(influences[address.row as usize].2)).sum();
        let counted = found.first().map_or((0, 0), |domain| (domain.shared_documents, domain.shared_tokens.0));
        prop_assert_eq!(counted, (both.len() as u64, tokens));
    }
}
