use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::fake::{tokenise, vocabulary};
use crate::layout::tests::parse;
use crate::{bundled_sentences, retrieval_scores};

#[path = "../../../../tests/skipped.rs"]
mod skipped;

/// The text of token ids of the tiny tokenizer, for texts made of `sentences`.
fn rebuild(settings: &ProbeSettings, index: usize, pairs: usize) -> String {
    let all: Vec<&str> = bundled_sentences().collect();
    let vocabulary = vocabulary(&[]);
    let usable = usable(&all, &vocabulary).unwrap_or_default();
    let mut draft = Draft::new(&usable, &vocabulary, settings, index);
    while draft.pairs.len() < pairs && draft.draw() {}
    draft.text(pairs).text
}

fn pairs_that_fit(settings: &ProbeSettings, index: usize, probe: &Probe) -> usize {
    let length = |pairs: usize| tokenise(&rebuild(settings, index, pairs)).map_or(0, |spans| spans.len());
    let pairs = (settings.shots + 1..200).find(|&pairs| length(pairs) == probe.ids.len()).unwrap_or(0);
    assert!(length(pairs + 1) > settings.context_tokens, "one more pair would have fitted");
    pairs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn probes_are_as_documented(seed: u64, shots in 0usize..6, context_tokens in 1000usize..2600, leading in proptest::collection::vec(Just(7u32), 0..3)) {
        let all: Vec<&str> = bundled_sentences().collect();
        let settings = ProbeSettings { probes: 2, shots, context_tokens, seed };
        let probes = build_probes(&all, &vocabulary(&leading), &settings).expect("a context of this size fits");
        prop_assert_eq!(probes.len(), 2);
        for (index, probe) in probes.iter().enumerate() {
            prop_assert!(probe.ids.len() <= context_tokens);
            let without = ProbeSettings { context_tokens: context_tokens - leading.len(), ..settings };
            let bare = build_probes(&all, &vocabulary(&[]), &ProbeSettings { probes: index + 1, ..without }).expect("fits");
            let bare = bare.last().expect("two probes");
            let shift = leading.len();
            prop_assert_eq!(&probe.ids[shift..], &bare.ids[..]);
            prop_assert_eq!(probe.answer_start, bare.answer_start + shift);
            prop_assert_eq!(&probe.needle, &(bare.needle.start + shift..bare.needle.end + shift));

            let pairs = pairs_that_fit(&without, index, bare);
            let text = rebuild(&without, index, pairs);
            let (parsed, asked) = parse(&text).expect("the text has the layout");
            prop_assert_eq!(parsed.len(), pairs);
            prop_assert_eq!(asked.len(), shots + 1);
            prop_assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), shots + 1);
            prop_assert_eq!(parsed.iter().map(|pair| pair.value).collect::<BTreeSet<_>>().len(), pairs);
            prop_assert_eq!(parsed.iter().map(|pair| &pair.key).collect::<BTreeSet<_>>().len(), pairs);
            prop_assert!(parsed.iter().all(|pair| pair.key.len() == KEY_CHARACTERS));

            let value = parsed[asked[shots]].value;
            let spans = tokenise(&text).expect("tokenises");
            let answer = format!(" {value}");
            prop_assert_eq!(&text[spans[bare.answer_start].start..], &answer[..]);
            let needle = &text[spans[bare.needle.start].start..spans[bare.needle.end - 1].end];
            prop_assert!(needle.contains(value) && needle.len() <= value.len() + 4, "{} / {}", needle, value);
        }
    }
}

#[test]
fn a_longer_list_begins_like_a_shorter_one() -> Result<(), Error> {
    let all: Vec<&str> = bundled_sentences().collect();
    let settings = ProbeSettings { probes: 3, shots: 3, context_tokens: 1500, seed: 11 };
    let few = build_probes(&all, &vocabulary(&[]), &settings)?;
    let many = build_probes(&all, &vocabulary(&[]), &ProbeSettings { probes: 5, ..settings })?;
    assert_eq!(few[..], many[..3]);
    assert_ne!(many[3], many[4]);
    let other = build_probes(&all, &vocabulary(&[]), &ProbeSettings { seed: 12, ..settings })?;
    assert_ne!(few, other);
    Ok(())
}

#[test]
fn a_short_list_of_sentences_is_used_up() -> Result<(), Error> {
    let settings = ProbeSettings { probes: 1, shots: 1, context_tokens: 4096, seed: 0 };
    let probes = build_probes(&["One is here.", "Two is here.", "Three is here."], &vocabulary(&[]), &settings)?;
    let all = tokenise(&rebuild(&settings, 0, 3)).map_or(0, |spans| spans.len());
    assert!(probes[0].ids.len() < all);
    Ok(())
}

#[test]
fn settings_that_do_not_work_out_are_named() {
    let settings = ProbeSettings { probes: 1, shots: 3, context_tokens: 1024, seed: 0 };
    let sentences = ["One.", "One.", "Two.", "A \"quote\".", "A\ttab.", "Three."];
    let error = build_probes(&sentences, &vocabulary(&[]), &settings);
    assert!(matches!(error, Err(Error::TooFewSentences { usable: 3, given: 6, needed: 4, .. })), "{error:?}");
    let all: Vec<&str> = bundled_sentences().collect();
    let error = build_probes(&all, &vocabulary(&[]), &ProbeSettings { context_tokens: 300, ..settings });
    assert!(matches!(error, Err(Error::ContextTooSmall { context_tokens: 300, pairs: 4, .. })), "{error:?}");
}

#[test]
fn a_token_across_the_answers_start_is_refused() {
    let merged = |text: &str| {
        let mut spans = tokenise(text)?;
        if let Some(colon) = text.rfind("answer:").map(|at| at + 6) {
            spans.retain(|span| span.start != colon);
            spans.iter_mut().filter(|span| span.start == colon + 1).for_each(|span| span.start = colon);
        }
        Ok(spans)
    };
    let settings = ProbeSettings { probes: 1, shots: 1, context_tokens: 4096, seed: 0 };
    let vocabulary = Vocabulary { tokenise: &merged, leading: &[] };
    let error = build_probes(&["One is here.", "Two is here."], &vocabulary, &settings);
    assert!(matches!(error, Err(Error::AnswerBoundary { probe: 0 })), "{error:?}");
}

/// The golden probes, if the shared folder lies beside the repository.
fn golden() -> Option<serde_json::Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/goldens/probes.json");
    match std::fs::read_to_string(path) {
        Ok(json) => Some(serde_json::from_str(&json).expect("probes.json is JSON")),
        Err(_) => {
            skipped::skip(&format!("{path} is not there"));
            None
        }
    }
}

fn golden_probe(value: &serde_json::Value) -> Probe {
    let number = |value: &serde_json::Value| usize::try_from(value.as_u64().expect("a number")).expect("small");
    let ids =
        value["ids"].as_array().expect("ids").iter().map(|id| u32::try_from(number(id)).expect("an id")).collect();
    let span = &value["needle_span"];
    Probe { ids, answer_start: number(&value["answer_start"]), needle: number(&span[0])..number(&span[1]) }
}

#[test]
fn the_golden_probes_have_our_layout() {
    let Some(golden) = golden() else { return };
    let vocabulary: BTreeMap<u32, String> =
        serde_json::from_str(include_str!("../../tests/fixtures/golden_vocabulary.json")).expect("a map");
    for value in golden["probes"].as_array().expect("probes") {
        let probe = golden_probe(value);
        let decode = |ids: &[u32]| ids.iter().map(|id| vocabulary[id].as_str()).collect::<String>();
        let text = decode(&probe.ids);
        let (pairs, asked) = parse(&text).expect("the golden text has the layout");
        assert_eq!(Some(pairs.len() as u64), value["pairs"].as_u64());
        assert_eq!(asked.len(), 4);
        let order: Vec<usize> = (0..pairs.len()).collect();
        let ours = render(&pairs, &order, &asked);
        assert_eq!(ours.text, text);
        assert_eq!(decode(&probe.ids[probe.answer()]), ours.text[ours.answer_start..]);
        // With golden spans as the tokenizer, our needle and answer positions are the golden ones.
        let mut end = 0;
        let spans: Vec<TokenSpan> = probe
            .ids
            .iter()
            .map(|&id| {
                let start = end;
                end += vocabulary[&id].len();
                TokenSpan { id, start, end }
            })
            .collect();
        let golden_spans = |_: &str| Ok(spans.clone());
        let settings = ProbeSettings { probes: 1, shots: 3, context_tokens: 1024, seed: 0 };
        let order_of =
            |drawn: usize| asked.iter().copied().chain((0..pairs.len()).filter(|p| !asked.contains(p))).nth(drawn);
        let drawn: Vec<Pair<'_>> = (0..pairs.len()).filter_map(order_of).map(|pair| pairs[pair].clone()).collect();
        let vocabulary = Vocabulary { tokenise: &golden_spans, leading: &[] };
        let mut draft = Draft::new(&[], &vocabulary, &settings, 0);
        let place = |at: usize| (0..at).filter(|&other| order_of(other) < order_of(at)).count();
        draft.places = (0..pairs.len()).map(place).collect();
        draft.pairs = drawn;
        assert_eq!(draft.text(pairs.len()).text, text);
        assert_eq!(draft.tokens(pairs.len()).expect("a probe"), probe);
    }
}

#[test]
fn a_head_that_copies_the_golden_probes_reaches_what_is_reachable() -> Result<(), Error> {
    let Some(golden) = golden() else { return Ok(()) };
    let probes: Vec<Probe> = golden["probes"].as_array().expect("probes").iter().map(golden_probe).collect();
    let engine = crate::fake::FakeEngine::new(&[((1, 2), crate::fake::Role::Copies)]);
    let scores = retrieval_scores(&engine, &probes, headwater_record::heads::Rule::NeedleSpan, &())?;
    // Two tokens of each answer differ from the JSON's: the first, by its space, and the last, by the quote after it.
    let expected = probes.iter().map(|probe| 1.0 - 2.0 / probe.answer().len() as f64).sum::<f64>() / 6.0;
    assert!((scores.mean()[1][2] - expected).abs() < 1e-12);
    assert!((scores.reachable() - expected).abs() < 1e-12);
    let best = golden["retrieval_score_needle_span"]
        .as_array()
        .expect("layers")
        .iter()
        .flat_map(|row| row.as_array().expect("heads"));
    assert!(best.filter_map(serde_json::Value::as_f64).all(|score| score <= expected));
    Ok(())
}
