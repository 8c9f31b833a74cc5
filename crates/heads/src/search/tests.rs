use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater_record::heads::Rule;
use headwater_record::stability::{Decision, Stability, Until};

use super::*;
use crate::fake::{FakeEngine, Role, vocabulary};
use crate::{Weakness, validate_heads};

const COPYING: [((u16, u16), Role); 2] = [((1, 0), Role::Copies), ((3, 2), Role::Copies)];

fn config() -> HeadsConfig {
    HeadsConfig { probes: 5, context_tokens: 1500, fraction: 0.1, ..HeadsConfig::default() }
}

fn subject(engine: &FakeEngine) -> Subject<'_> {
    Subject { engine, vocabulary: vocabulary(&[3]), weights: ContentHash::of(b"weights") }
}

/// The head set, and the forward passes; checks that those spared make up for the most.
fn search(engine: &FakeEngine, config: &HeadsConfig, options: &FindOptions<'_>) -> Result<(HeadsFile, u64), Error> {
    let memory = Memory { most: usize::MAX, ..Memory::default() };
    let file = subject(engine).search(config, options, &memory)?;
    let (passes, spared) = (memory.passes.into_inner(), memory.spared.into_inner());
    assert_eq!(passes + spared, *forward_passes(config).end());
    assert!(passes >= *forward_passes(config).start(), "{passes}");
    Ok((file, passes))
}

/// How the search ended, and the probes of its looks.
fn ending(file: &HeadsFile) -> (Decision, Vec<usize>) {
    let stability: &Stability = file.search.as_ref().and_then(|search| search.stability.as_ref()).expect("it is told");
    (stability.decision, stability.looks.iter().map(|look| look.probes).collect())
}

/// Remembers what is measured and stops after `most` measurements.
#[derive(Default)]
struct Memory {
    most: usize,
    kept: Mutex<BTreeMap<ContentHash, Vec<f64>>>,
    passes: AtomicU64,
    spared: AtomicU64,
}

impl Watch for Memory {
    fn advance(&self, passes: u64) {
        self.passes.fetch_add(passes, Ordering::Relaxed);
    }

    fn spare(&self, passes: u64) {
        self.spared.fetch_add(passes, Ordering::Relaxed);
    }

    fn find(&self, name: &ContentHash) -> Option<Vec<f64>> {
        self.kept.lock().expect("no search panics").get(name).cloned()
    }

    fn keep(&self, name: ContentHash, measured: &[f64]) {
        self.kept.lock().expect("no search panics").insert(name, measured.to_vec());
    }

    fn is_over(&self) -> bool {
        self.kept.lock().expect("no search panics").len() >= self.most
    }
}

#[test]
fn a_search_that_was_stopped_measures_only_the_rest() -> Result<(), Error> {
    let engine = FakeEngine::new(&COPYING);
    let options = FindOptions { seed: 4, ..FindOptions::default() };
    let (whole, all) = search(&engine, &config(), &options)?;
    let mut memory = Memory { most: 2, ..Memory::default() };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread can be had");
    let stopped = pool.install(|| subject(&engine).search(&config(), &options, &memory));
    assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
    let kept = memory.kept.lock().expect("no search panics").len();
    assert_eq!(kept, 2);
    // the rest, and then nothing: health measures each probe five times in one go
    for (most, left) in [(usize::MAX, all - 2), (0, 0)] {
        memory = Memory { most, passes: AtomicU64::new(0), ..memory };
        let before = engine.passes.load(Ordering::Relaxed);
        assert_eq!(subject(&engine).search(&config(), &options, &memory)?, whole);
        assert_eq!(engine.passes.load(Ordering::Relaxed) - before, left);
        assert_eq!(memory.passes.load(Ordering::Relaxed), all, "progress counts what was found");
    }
    // another mask, rule or seed shares nothing that depends on it
    for (rule, mask, seed) in [
        (Rule::Visible, MaskKind::CausalUniform, 4),
        (Rule::NeedleSpan, MaskKind::Zero, 4),
        (Rule::NeedleSpan, MaskKind::CausalUniform, 5),
    ] {
        let (config, options) = (HeadsConfig { rule, ..config() }, FindOptions { mask, seed, ..options });
        let search = subject(&engine).search(&config, &options, &memory);
        assert!(matches!(search, Err(Error::Stopped)), "{rule:?} {mask:?} {seed}: {search:?}");
    }
    Ok(())
}

#[test]
fn the_copying_heads_are_found() -> Result<(), Error> {
    let engine = FakeEngine::new(&COPYING);
    let (file, passes) = search(&engine, &config(), &FindOptions { seed: 4, ..FindOptions::default() })?;
    assert_eq!(file.heads.as_slice().iter().map(|id| (id.layer, id.head)).collect::<Vec<_>>(), [(1, 0), (3, 2)]);
    assert_eq!(forward_passes(&config()), passes..=passes, "five probes are too few to stop earlier");
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

/// Four heads of equal strength, of which two are to be chosen.
const TIED: [((u16, u16), Role); 4] = [
    ((0, 2), Role::Sometimes(60)),
    ((1, 0), Role::Sometimes(60)),
    ((2, 4), Role::Sometimes(60)),
    ((3, 2), Role::Sometimes(60)),
];

#[test]
fn heads_far_above_the_others_are_settled_at_the_first_look() -> Result<(), Error> {
    let config = HeadsConfig { probes: 64, ..config() };
    let engine = FakeEngine::new(&COPYING);
    let (file, passes) = search(&engine, &config, &FindOptions::default())?;
    assert_eq!(ending(&file), (Decision::Stable, vec![16]));
    assert_eq!(file.search.as_ref().map(|search| search.probes), Some(16));
    let health = file.health.as_ref().expect("measured");
    assert!(health.healthy && health.probes == 6, "{health:?}");
    assert_eq!((passes, forward_passes(&config)), (46, 46..=144));
    assert_eq!(engine.passes.load(Ordering::Relaxed), passes);
    let all = HeadsConfig { until: Until::All, ..config };
    let (fixed, passes) = search(&FakeEngine::new(&COPYING), &all, &FindOptions::default())?;
    assert_eq!(ending(&fixed), (Decision::All, vec![64]));
    assert_eq!((passes, forward_passes(&all), fixed.health.map(|health| health.probes)), (144, 144..=144, Some(16)));
    assert_eq!(fixed.heads, file.heads);
    Ok(())
}

#[test]
fn tied_heads_take_all_probes_and_are_not_stable() -> Result<(), Error> {
    let options = FindOptions { allow_weak: true, ..FindOptions::default() };
    let (file, _) = search(&FakeEngine::new(&TIED), &HeadsConfig { probes: 64, ..config() }, &options)?;
    assert_eq!(ending(&file), (Decision::NotStable, vec![16, 24, 32, 48, 64]));
    assert_eq!(file.search.map(|search| search.probes), Some(64));
    let (few, _) = search(&FakeEngine::new(&COPYING), &HeadsConfig { probes: 15, ..config() }, &options)?;
    assert_eq!(ending(&few), (Decision::NotStable, vec![15]), "too few to say");
    Ok(())
}

#[test]
fn a_search_that_grows_is_the_same_in_pieces_and_on_any_number_of_threads() -> Result<(), Error> {
    let mut roles = TIED.to_vec();
    // settled only by the later looks
    roles[0].1 = Role::Sometimes(68);
    roles[3].1 = Role::Sometimes(68);
    let (config, engine) = (HeadsConfig { probes: 200, ..config() }, FakeEngine::new(&roles));
    let options = FindOptions { allow_weak: true, ..FindOptions::default() };
    let (whole, passes) = search(&engine, &config, &options)?;
    let (decision, looks) = ending(&whole);
    assert!(decision == Decision::Stable && looks.len() > 2, "{looks:?}");
    let json = |file: &HeadsFile| serde_json::to_string(file).expect("serializes");
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be had");
        let (again, _) = pool.install(|| search(&engine, &config, &options))?;
        assert_eq!(json(&again), json(&whole), "{threads} threads");
        // stopped again and again, between looks and inside them
        let mut memory = Memory { most: 7, ..Memory::default() };
        let file = loop {
            memory.passes = AtomicU64::new(0);
            match pool.install(|| subject(&engine).search(&config, &options, &memory)) {
                Err(Error::Stopped) => memory.most += 7,
                ended => break ended?,
            }
        };
        assert_eq!(json(&file), json(&whole), "stopped, {threads} threads");
        assert_eq!(memory.passes.into_inner(), passes);
    }
    Ok(())
}
