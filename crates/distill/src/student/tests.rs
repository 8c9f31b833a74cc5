//! Signals that are planted in labels, and what the student makes of them.

use headwater_record::run::{Numerics, SEMANTICS};
use headwater_record::{ContentHash, HeadSet};
use rand::RngExt;

use super::*;

fn teacher() -> ScoringInputs {
    ScoringInputs {
        weights: ContentHash::of(b"weights"),
        model_config: None,
        tokenizer: ContentHash::of(b"tokenizer"),
        heads: HeadSet::default(),
        mask: "causal-uniform".to_owned(),
        window_tokens: 4096,
        long_documents: "all".to_owned(),
        min_tokens: 32,
        numerics: Numerics {
            engine: "native".to_owned(),
            device: "cpu".to_owned(),
            precision: "int8".to_owned(),
            instructions: "avx2".to_owned(),
        },
        semantics: SEMANTICS,
        student: None,
        cascade: None,
    }
}

fn fitted(labels: &[Label]) -> StudentFile {
    let options = FitOptions { teacher: teacher(), window_tokens: 4096, fraction: &|_| 0.2, seed: 7 };
    fit(labels, &options).expect("there are labels enough")
}

/// Documents in two domains and ten sources, whose tokens repeat more or less, with the influence that `influence` gives.
fn labels(influence: impl Fn(&Label, &mut ChaCha8Rng) -> f64) -> Vec<Label> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut extractor = features::Extractor::new(512, 1000);
    (0..400_usize)
        .map(|number| {
            let copied: f64 = random.random();
            let mut tokens: Vec<u32> = Vec::new();
            while tokens.len() < 200 + number {
                if tokens.len() > 40 && random.random::<f64>() < copied {
                    let start = random.random_range(0..tokens.len() - 12);
                    tokens.extend_from_within(start..start + 12);
                } else {
                    tokens.extend((0..12).map(|_| random.random_range(0..1000_u32)));
                }
            }
            let document = features::DocumentTokens { text: "some text", tokens: &tokens, compression: 2.0 };
            let count = u32::try_from(tokens.len()).expect("documents are short");
            let mut label = Label {
                domain: if number.is_multiple_of(2) { "even" } else { "odd" }.to_owned(),
                source: format!("source {}", number % 10),
                file: "file".to_owned(),
                features: extractor.features(document),
                tokens: count,
                scored_tokens: count - 1,
                loss_base: 3.0,
                influence: 0.0,
                influence_stderr: Some(0.01),
                windows: Vec::new(),
            };
            label.influence = influence(&label, &mut random);
            label
        })
        .collect()
}

fn feature(label: &Label, wanted: &str) -> f64 {
    let at = features::names().iter().position(|name| name == wanted).expect("there is such a feature");
    f64::from(label.features[at])
}

#[test]
fn influence_that_is_a_function_of_copying_is_recovered() {
    let student = fitted(&labels(|label, _| (2.0 * feature(label, "right_2")).exp() - 1.0));
    for domain in &student.fidelity.domains {
        assert!(domain.correlation >= 0.98, "{domain:?}");
        assert!(domain.within_correlation >= 0.98 && domain.overlap >= 0.9, "{domain:?}");
        assert!((domain.slope - 1.0).abs() < 0.1, "{domain:?}");
    }
    let curve: Vec<f64> = student.fidelity.curve.iter().map(|point| point.correlation).collect();
    assert!(curve.windows(2).all(|pair| pair[1] >= pair[0] - 0.02), "more labels do not hurt: {curve:?}");
}

#[test]
fn noise_is_not_predicted() {
    let student = fitted(&labels(|_, random| random.random::<f64>()));
    for domain in &student.fidelity.domains {
        assert!(domain.correlation.abs() < 0.25, "{domain:?}");
    }
}

#[test]
fn a_signal_of_the_source_alone_is_not_one_of_documents() {
    let student = fitted(&labels(|label, random| {
        let number: f64 = label.source.trim_start_matches("source ").parse().expect("it is a number");
        number / 5.0 + 0.05 * random.random::<f64>()
    }));
    for domain in &student.fidelity.domains {
        assert!(domain.source_correlation > 0.9, "{domain:?}");
        assert!(domain.within_correlation.abs() < 0.25, "{domain:?}");
    }
}

#[test]
fn intervals_cover_what_they_promise() {
    let labels = labels(|label, random| feature(label, "right_1") + 0.2 * random.random::<f64>());
    let student = fitted(&labels);
    assert!((student.fidelity.coverage - PROMISED_COVERAGE).abs() < 0.07, "{}", student.fidelity.coverage);
    let label = &labels[0];
    let prediction = predict(&student, &label.domain, label.tokens, &label.features);
    assert!((prediction.loss_base - 3.0).abs() < 1e-6, "{prediction:?}");
    assert!(prediction.influence_stderr > 0.0 && prediction.influence_stderr < 0.2, "{prediction:?}");
}

#[test]
fn too_few_labels_or_sources_are_named() {
    let options = FitOptions { teacher: teacher(), window_tokens: 4096, fraction: &|_| 0.2, seed: 7 };
    let all = labels(|_, random| random.random());
    assert!(matches!(fit(&[], &options), Err(Error::NoLabels)));
    let few = fit(&all[..45], &options);
    assert!(matches!(few, Err(Error::FewLabels { ref domain, labels: 23, .. }) if domain == "even"), "{few:?}");
    let mut one_source = all;
    one_source.iter_mut().for_each(|label| label.source = "a".to_owned());
    let few = fit(&one_source, &options);
    assert!(matches!(few, Err(Error::FewGroups { ref domain, groups: 1, .. }) if domain == "even"), "{few:?}");
}
