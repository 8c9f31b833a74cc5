//! Weights of corpus and subset.

use std::collections::BTreeMap;

use headwater_record::selection::{Bucket, DomainBucket, DomainSelection};
use headwater_record::{ContentHash, SelectionFile, TokenCount};

use crate::{Error, Mixture, MixtureConfig, Mixtures, SelectedWeight};

fn selection(domains: &[(&str, u64, u64)]) -> SelectionFile {
    let domains = domains.iter().map(|&(domain, tokens, kept)| DomainSelection {
        domain: domain.to_owned(),
        documents: 10,
        tokens: TokenCount(tokens),
        ranked_documents: 10,
        ranked_tokens: TokenCount(tokens),
        fraction: 0.2,
        kept_documents: 2,
        kept_tokens: TokenCount(kept),
        ..DomainSelection::default()
    });
    SelectionFile {
        hash: ContentHash::of(b""),
        rank: "influence".into(),
        by: "documents".into(),
        buckets: Vec::new(),
        domains: domains.collect(),
        statuses: BTreeMap::new(),
        guarded: BTreeMap::new(),
    }
}

#[test]
fn concatenation_weighs_by_tokens() {
    let selection = selection(&[("code", 100, 25), ("prose", 300, 75)]);
    let mixture = Mixture::new(&selection, SelectedWeight::Concatenate).unwrap();
    assert_eq!((mixture.corpus_weight, mixture.selected_weight), (0.8, 0.2));
    assert_eq!(mixture.arithmetic, "100 selected / (400 corpus + 100 selected) tokens = 0.200000");
    let total: f64 = mixture.domains.iter().map(|domain| domain.corpus_weight + domain.selected_weight).sum();
    assert!((total - 1.0).abs() < 1e-12);
    assert!((mixture.domains[1].selected_weight - 0.15).abs() < 1e-12);
}

/// A selection of two buckets: each domain's tokens in either, and how often they are read.
fn repeated(repeats: [f64; 2], domains: &[(&str, u64, [u64; 2])]) -> SelectionFile {
    let kept: Vec<_> = domains.iter().map(|(domain, tokens, own)| (*domain, *tokens, own.iter().sum())).collect();
    let mut selection = selection(&kept);
    selection.buckets = Vec::from([0, 1].map(|index| Bucket {
        from: [0.0, 0.1][index],
        to: [0.1, 0.2][index],
        repeat: repeats[index],
        documents: 1,
        tokens: domains.iter().map(|(_, _, own)| TokenCount(own[index])).sum(),
    }));
    for (domain, (_, _, own)) in selection.domains.iter_mut().zip(domains) {
        domain.buckets = own.map(|tokens| DomainBucket { documents: 1, tokens: TokenCount(tokens), cut: None }).into();
    }
    selection
}

#[test]
fn repetitions_count_as_often_as_they_are_read() {
    let selection = repeated([4.0, 0.5], &[("code", 100, [20, 40]), ("prose", 300, [0, 40])]);
    let mixture = Mixture::new(&selection, SelectedWeight::Concatenate).unwrap();
    // 20 × 4 + 80 × 0.5
    assert_eq!(mixture.selected_weight, 120.0 / 520.0);
    assert_eq!(
        mixture.arithmetic,
        "100 selected × repeats = 120 trained; 120 trained / (400 corpus + 120 trained) tokens = 0.230769"
    );
    let prose = &mixture.domains[1];
    assert!(
        (prose.selected_weight - 20.0 / 520.0).abs() < 1e-12 && (prose.corpus_weight - 300.0 / 520.0).abs() < 1e-12
    );
    let total: f64 = mixture.domains.iter().map(|domain| domain.corpus_weight + domain.selected_weight).sum();
    assert!((total - 1.0).abs() < 1e-12);
    // what is never read is as good as nothing
    let unread = repeated([0.0, 0.0], &[("code", 100, [20, 40])]);
    assert_eq!(Mixture::new(&unread, SelectedWeight::Concatenate).unwrap().selected_weight, 0.0);
    assert!(matches!(Mixture::new(&unread, SelectedWeight::Weight(1.0)), Err(Error::NothingSelected { .. })));
}

#[test]
fn a_weight_is_taken_as_it_is() {
    let weight = SelectedWeight::Weight(0.3);
    let mixture = Mixture::new(&selection(&[("code", 100, 25)]), weight).unwrap();
    assert_eq!((mixture.corpus_weight, mixture.selected_weight), (0.7, 0.3));
    assert!(matches!(Mixture::new(&selection(&[("code", 100, 0)]), weight), Err(Error::NothingSelected { .. })));
    let nothing = Mixture::new(&selection(&[("code", 100, 0)]), SelectedWeight::Concatenate).unwrap();
    assert_eq!((nothing.corpus_weight, nothing.selected_weight), (1.0, 0.0));
    assert!(matches!(Mixture::new(&selection(&[]), SelectedWeight::Concatenate), Err(Error::EmptyCorpus)));
    for wrong in [
        MixtureConfig { selected: SelectedWeight::Weight(1.5), decay: None },
        MixtureConfig { selected: weight, decay: Some(SelectedWeight::Weight(f64::NAN)) },
    ] {
        assert!(matches!(wrong.validate(), Err(Error::Fraction { .. })));
    }
}

#[test]
fn the_decay_may_have_a_mixture_of_its_own() {
    let config: MixtureConfig = serde_json::from_str(r#"{"decay": 0.6}"#).unwrap();
    let mixtures = Mixtures::new(&selection(&[("code", 100, 25)]), config).unwrap();
    assert_eq!((mixtures.stable.selected_weight, mixtures.decay.unwrap().selected_weight), (0.2, 0.6));
    assert_eq!(Mixtures::new(&selection(&[("code", 100, 25)]), MixtureConfig::default()).unwrap().decay, None);
}

#[test]
fn the_table_is_a_word_or_a_number() {
    let read = |text: &str| serde_json::from_str::<MixtureConfig>(text).map(|config| config.selected);
    assert_eq!(read(r#"{"selected": "concatenate"}"#).unwrap(), SelectedWeight::Concatenate);
    assert_eq!(read(r#"{"selected": 1}"#).unwrap(), SelectedWeight::Weight(1.0));
    assert!(read(r#"{"selected": "concat"}"#).is_err());
    assert!(read(r#"{"selectd": 1}"#).is_err());
}
