//! Which documents an audit draws, and that an unchanged one stays where it is.

use std::collections::BTreeMap;

use headwater_record::ScoreOf;
use headwater_run::SidecarRow;

use super::correcting::planted;
use super::{InMemory, no_progress};
use crate::audit::Audit;
use crate::{NamedRule, RankBy, SelectConfig};

fn rules() -> Vec<NamedRule> {
    let rule =
        |rank: RankBy| NamedRule { name: rank.to_string(), config: SelectConfig { rank, ..SelectConfig::default() } };
    [RankBy::Influence, RankBy::Corrected, RankBy::Loss].map(rule).to_vec()
}

#[test]
fn an_unchanged_document_stays_and_a_changed_one_crosses() {
    let (mut shards, _) = planted(4_000, 0.5, 0.5);
    for (at, line) in shards.iter_mut().flat_map(|shard| &mut shard.units).flatten().enumerate() {
        line.domain = ["web", "code"][at % 2].to_owned();
    }
    let sidecars = InMemory::new(shards).unwrap();
    let audit = Audit::draw(&sidecars, &rules(), (7, 20), &no_progress).unwrap();
    assert_eq!(audit.rules().collect::<Vec<_>>(), ["influence", "corrected", "loss"]);
    let mut sides: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    for document in &audit.documents {
        *sides.entry((&document.domain, document.kept[0])).or_default() += 1;
        // the row as its sidecar has it
        let line = sidecars.shards[0].units.iter().flatten().find(|line| line.influence == Some(document.influence));
        let line = line.unwrap();
        let row = SidecarRow {
            compression: line.compression,
            tokens: line.tokens,
            scored_tokens: line.tokens - 1,
            loss_base: line.loss,
            loss_masked: line.loss,
            influence: line.influence,
            influence_stderr: line.stderr,
            ..SidecarRow::new(0, document.domain.clone(), ScoreOf::Student)
        };
        assert_eq!(audit.keeps(document, &row).unwrap(), document.kept);
        let least = SidecarRow { influence: Some(-0.5), loss_base: Some(0.01), ..row.clone() };
        assert_eq!(audit.keeps(document, &least).unwrap(), [false, false, true]);
        let most = SidecarRow { influence: Some(50.0), loss_base: Some(9.0), ..row };
        let kept = audit.keeps(document, &most).unwrap();
        assert_eq!((kept[0], kept[2]), (true, false));
    }
    assert_eq!(sides.into_values().collect::<Vec<_>>(), [20; 4]);
    let again = Audit::draw(&sidecars, &rules(), (7, 20), &no_progress).unwrap();
    let texts = |audit: &Audit<'_>| audit.documents.iter().map(|document| document.text.clone()).collect::<Vec<_>>();
    assert_eq!(texts(&again), texts(&audit));
    let other = Audit::draw(&sidecars, &rules(), (8, 20), &no_progress).unwrap();
    assert_ne!(texts(&other), texts(&audit));
}
