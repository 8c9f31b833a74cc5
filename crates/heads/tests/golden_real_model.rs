//! The golden probes on the real model: tokens, retrieval scores and accuracy against an independent implementation, and the CPU preset's health.
//!
//! Needs the model's GGUF file, whose path is in `HEADWATER_TEST_MODEL`, and the golden values in `../shared/goldens`; without either
//! each test is skipped.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater_heads::{
    FindOptions, HeadsConfig, HealthOptions, Probe, ProbeSettings, RetrievalScores, Vocabulary, Watch, build_probes,
    bundled_sentences, find_heads, forward_passes, health, retrieval_scores,
};
use headwater_model::{EngineOptions, HeadMask, MaskKind, Model, ModelPaths, Precision};
use headwater_record::heads::Rule;
use headwater_record::stability::Until;
use headwater_record::{ContentHash, HeadId, HeadSet};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

#[path = "../../../tests/skipped.rs"]
mod skipped;

const MODEL_VARIABLE: &str = "HEADWATER_TEST_MODEL";
/// Probes that each draw of other heads is measured on: few, since the median is over sixteen draws.
const DRAWN_PROBES: usize = 3;

const GOLDENS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/goldens/probes.json");

#[derive(Deserialize)]
struct Golden {
    probes: Vec<GoldenProbe>,
    retrieval_score_needle_span: Vec<Vec<f64>>,
    retrieval_score_visible: Vec<Vec<f64>>,
    teacher_forced_accuracy: f64,
}

#[derive(Deserialize)]
struct GoldenProbe {
    ids: Vec<u32>,
    answer_start: usize,
    needle_span: [usize; 2],
}

impl Golden {
    fn probes(&self) -> Vec<Probe> {
        let probe = |golden: &GoldenProbe| Probe {
            ids: golden.ids.clone(),
            answer_start: golden.answer_start,
            needle: golden.needle_span[0]..golden.needle_span[1],
        };
        self.probes.iter().map(probe).collect()
    }
}

/// The model at the precision, and the golden values; skips the test if either is absent.
fn inputs(precision: Precision) -> Option<(Model, Golden)> {
    #[expect(clippy::disallowed_methods, reason = "a test is told by the environment where the model lies")]
    let Ok(path) = std::env::var(MODEL_VARIABLE) else {
        skipped::skip(&format!("{MODEL_VARIABLE} does not name the GGUF file of SmolLM2-135M-Instruct"));
        return None;
    };
    let Ok(json) = std::fs::read_to_string(GOLDENS) else {
        skipped::skip(&format!("{GOLDENS} is not there"));
        return None;
    };
    let paths = ModelPaths {
        weights: vec![PathBuf::from(path)],
        config: None,
        tokenizer: None,
        weights_hash: ContentHash::of(b"not hashed in this test"),
    };
    let model = Model::load(&paths, &EngineOptions { precision, ..EngineOptions::default() }).expect("the model loads");
    Some((model, serde_json::from_str(&json).expect("the goldens are of the known shape")))
}

fn differences(scores: &RetrievalScores, golden: &[Vec<f64>]) -> Vec<f64> {
    let ours = scores.mean().into_iter().flatten();
    ours.zip(golden.iter().flatten()).map(|(ours, golden)| (ours - golden).abs()).collect()
}

/// In float32 no head is off by more than one answer token of one probe.
#[test]
fn float32_agrees_within_one_answer_token() {
    let Some((model, golden)) = inputs(Precision::F32) else { return };
    let probes = golden.probes();
    let shortest = probes.iter().map(|probe| probe.answer().len()).min().expect("probes");
    let mut needle_span = None;
    let one_token = 1.0 / (shortest as f64 * probes.len() as f64) + 1e-6;
    for (rule, expected) in
        [(Rule::NeedleSpan, &golden.retrieval_score_needle_span), (Rule::Visible, &golden.retrieval_score_visible)]
    {
        let scores = retrieval_scores(model.engine(), &probes, rule, &()).expect("scores");
        let worst = differences(&scores, expected).into_iter().fold(0.0, f64::max);
        println!("{rule:?}: worst difference {worst:.2e}");
        assert!(worst <= one_token, "{rule:?}: {worst} > {one_token}");
        needle_span.get_or_insert(scores);
    }
    let scores = needle_span.expect("scored under both rules");
    let set = HeadSet::default();
    let options = HealthOptions { set: &set, mask: MaskKind::CausalUniform, seed: 0, until: Until::All };
    let measured = health(model.engine(), &probes, &scores, &options, &()).expect("health");
    // The golden value was averaged in float32.
    let difference = (measured.intact_accuracy - golden.teacher_forced_accuracy).abs();
    assert!(difference < 1e-6, "{} against {}", measured.intact_accuracy, golden.teacher_forced_accuracy);
}

/// In bf16 no head differs by more than 0.045, the mean by no more than 0.002.
#[test]
fn bf16_agrees_within_its_tolerance() {
    let Some((model, golden)) = inputs(Precision::Bf16) else { return };
    let probes = golden.probes();
    let scores = retrieval_scores(model.engine(), &probes, Rule::NeedleSpan, &()).expect("scores");
    let differences = differences(&scores, &golden.retrieval_score_needle_span);
    let worst = differences.iter().copied().fold(0.0, f64::max);
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    println!("worst {worst:.4}, mean {mean:.5}");
    assert!(worst <= 0.045 && mean <= 0.002, "worst {worst}, mean {mean}");
}

/// The model's tokenizer gives the golden ids back from the golden probes' text.
#[test]
fn the_golden_text_has_the_golden_tokens() {
    let Some((model, golden)) = inputs(Precision::F32) else { return };
    let vocabulary: BTreeMap<u32, String> =
        serde_json::from_str(include_str!("fixtures/golden_vocabulary.json")).expect("a map");
    assert_eq!(model.tokenizer().leading(), [0_u32; 0]);
    for probe in golden.probes() {
        let text: String = probe.ids.iter().map(|id| vocabulary[id].as_str()).collect();
        let spans = model.tokenizer().encode_with_spans(&text).expect("tokenises");
        assert_eq!(spans.iter().map(|span| span.id).collect::<Vec<_>>(), probe.ids);
        assert!(spans.iter().all(|span| text[span.start..span.end] == vocabulary[&span.id]));
    }
}

/// Counts forward passes that are done or spared.
#[derive(Default)]
struct Passes(AtomicU64);

impl Watch for Passes {
    fn advance(&self, passes: u64) {
        self.0.fetch_add(passes, Ordering::Relaxed);
    }

    fn spare(&self, passes: u64) {
        self.0.fetch_add(passes, Ordering::Relaxed);
    }
}

/// The CPU preset finds heads that carry retrieval: intact ≥ 0.9, masked ≤ 0.35, and as many other heads of the same layers do not: the median
/// of 16 draws ≥ 0.8.
#[test]
fn the_cpu_preset_is_healthy() {
    let Some((model, _)) = inputs(Precision::Bf16) else { return };
    let config = HeadsConfig::default();
    let passes = Passes::default();
    let file = find_heads(&model, &config, &FindOptions::default(), &passes).expect("a healthy head set");
    assert_eq!(passes.0.into_inner(), *forward_passes(&config).end());
    let (health, search) = (file.health.expect("measured"), file.search.expect("found"));
    println!("{:?}\n{health:?}\n{:?}\nreachable {}", file.heads, search.stability, search.reachable);
    assert_eq!(file.heads.as_slice().len(), 14);
    assert!(health.healthy && health.intact_accuracy >= 0.9 && health.masked_accuracy <= 0.35, "{health:?}");

    let draws: Vec<HeadMask> = (0..16).map(|seed| other_heads(&file.heads, model.shape().heads, seed)).collect();
    let sentences: Vec<&str> = bundled_sentences().collect();
    let tokenise = |text: &str| model.tokenizer().encode_with_spans(text);
    let vocabulary = Vocabulary { tokenise: &tokenise, leading: model.tokenizer().leading() };
    let settings = ProbeSettings { probes: DRAWN_PROBES, ..ProbeSettings::new(&config, 0) };
    let probes = build_probes(&sentences, &vocabulary, &settings).expect("probes");
    let mut accuracies = vec![0.0; draws.len()];
    for probe in &probes {
        let predicted = model.engine().predictions(&probe.ids, probe.query_rows(), &draws).expect("predictions");
        for (accuracy, predicted) in accuracies.iter_mut().zip(predicted) {
            let right =
                predicted.iter().zip(&probe.ids[probe.answer()]).filter(|(got, expected)| got == expected).count();
            *accuracy += right as f64 / probe.answer().len() as f64 / probes.len() as f64;
        }
    }
    accuracies.sort_by(f64::total_cmp);
    let median = (accuracies[7] + accuracies[8]) / 2.0;
    println!("16 draws of other heads in the same layers: median {median:.3}, {accuracies:.3?}");
    assert!(median >= 0.8, "{accuracies:?}");
}

/// As many heads outside `set`, layer by layer, as it has there.
fn other_heads(set: &HeadSet, heads: usize, seed: u64) -> HeadMask {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn = Vec::new();
    for layer in set.as_slice().chunk_by(|a, b| a.layer == b.layer) {
        let ids = (0..u16::try_from(heads).expect("few heads")).map(|head| HeadId { layer: layer[0].layer, head });
        let mut others: Vec<HeadId> = ids.filter(|id| !layer.contains(id)).collect();
        others.shuffle(&mut rng);
        drawn.extend(&others[..layer.len()]);
    }
    HeadMask { set: HeadSet::new(drawn).expect("distinct heads"), kind: MaskKind::CausalUniform }
}
