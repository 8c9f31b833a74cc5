use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::fake::{FakeEngine, Role, vocabulary};
use crate::{Weakness, validate_heads};

const COPYING: [((u16, u16), Role); 2] = [((1, 0), Role::Copies), ((3, 2), Role::Copies)];

fn config() -> HeadsConfig {
    HeadsConfig { probes: 5, context_tokens: 1500, fraction: 0.1, ..HeadsConfig::default() }
}

fn search(engine: &FakeEngine, config: &HeadsConfig, options: &FindOptions<'_>) -> Result<(HeadsFile, u64), Error> {
    let subject = Subject { engine, vocabulary: vocabulary(Some(3)), weights: ContentHash::of(b"weights") };
    let passes = AtomicU64::new(0);
    let file = subject.search(config, options, &|more| {
        passes.fetch_add(more, Ordering::Relaxed);
    })?;
    Ok((file, passes.into_inner()))
}

#[test]
fn the_copying_heads_are_found() -> Result<(), Error> {
    let engine = FakeEngine::new(&COPYING);
    let (file, passes) = search(&engine, &config(), &FindOptions { seed: 4, ..FindOptions::default() })?;
    assert_eq!(file.heads.as_slice().iter().map(|id| (id.layer, id.head)).collect::<Vec<_>>(), [(1, 0), (3, 2)]);
    assert_eq!(passes, forward_passes(&config()));
    assert_eq!(passes, engine.passes.load(Ordering::Relaxed));
    assert!(file.health.as_ref().is_some_and(|health| health.healthy && health.probes == 5));
    let again = search(&FakeEngine::new(&COPYING), &config(), &FindOptions { seed: 4, ..FindOptions::default() })?;
    let json = |file: &HeadsFile| serde_json::to_string(file).expect("serializes");
    assert_eq!(json(&file), json(&again.0));
    let read: HeadsFile = serde_json::from_str(&json(&file)).expect("reads back");
    assert_eq!(read, file);
    Ok(())
}

#[test]
fn weak_heads_are_refused_with_their_numbers_unless_allowed() -> Result<(), Error> {
    let engine = FakeEngine { answers: false, ..FakeEngine::new(&COPYING) };
    let error = search(&engine, &config(), &FindOptions::default());
    let Err(Error::WeakHeads { weakness: Weakness::CannotRetrieve { intact, .. }, file }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(intact, 0.0);
    let text =
        Error::WeakHeads { weakness: Weakness::CannotRetrieve { intact, needed: 0.5 }, file: file.clone() }.to_string();
    assert!(text.contains("--allow-weak-heads") && text.contains("0.000"), "{text}");
    let (allowed, _) = search(&engine, &config(), &FindOptions { allow_weak: true, ..FindOptions::default() })?;
    assert_eq!(allowed, *file);
    assert!(allowed.health.is_some_and(|health| !health.healthy));
    Ok(())
}

#[test]
fn sentences_of_the_corpus_are_used() -> Result<(), Error> {
    let engine = FakeEngine::new(&COPYING);
    let corpus = HeadsConfig { sentences: Sentences::Corpus, ..config() };
    assert!(matches!(search(&engine, &corpus, &FindOptions::default()), Err(Error::NoCorpusSentences)));
    let sentences: Vec<String> = bundled_sentences().take(40).map(str::to_owned).collect();
    let options = FindOptions { corpus_sentences: &sentences, ..FindOptions::default() };
    let (file, _) = search(&engine, &corpus, &options)?;
    assert_eq!(file.search.map(|search| search.sentences), Some("corpus".to_owned()));
    Ok(())
}

#[test]
fn a_context_beyond_the_model_is_refused() {
    let beyond = HeadsConfig { context_tokens: 5000, ..config() };
    let error = search(&FakeEngine::new(&[]), &beyond, &FindOptions::default());
    assert!(matches!(error, Err(Error::BeyondModel { context_tokens: 5000, model: 4096 })), "{error:?}");
}

#[test]
fn pinned_heads_must_belong_to_the_model() {
    let engine = FakeEngine::new(&[]);
    let file: HeadsFile = serde_json::from_str(r#"{"heads": [[3, 4]]}"#).expect("a pinned set");
    let (ours, other) = (ContentHash::of(b"ours"), ContentHash::of(b"other"));
    assert!(validate_heads(&file, engine.shape(), &ours).is_ok());
    let named = HeadsFile { weights: Some(ours), ..file };
    assert!(validate_heads(&named, engine.shape(), &ours).is_ok());
    assert!(matches!(validate_heads(&named, engine.shape(), &other), Err(Error::OtherModel { .. })));
    let outside: HeadsFile = serde_json::from_str(r#"{"heads": [[4, 0]]}"#).expect("a pinned set");
    assert!(matches!(validate_heads(&outside, engine.shape(), &ours), Err(Error::HeadSet(_))));
}
