//! Features against their definitions, written out without tables.

use proptest::prelude::*;

use super::*;

/// The last place before `at` where the `length` tokens before `at` stood, as the position after them, and how often they stood.
fn stood(window: &[u32], at: usize, length: usize) -> Option<(usize, u64)> {
    let run = at.checked_sub(length).map(|start| &window[start..at])?;
    let ends = (length..at).filter(|end| &window[end - length..*end] == run);
    let ends: Vec<usize> = ends.collect();
    Some((*ends.last()?, ends.len() as u64))
}

/// [`Matches`] by their definition.
fn defined(windows: &[&[u32]], vocabulary: usize) -> Vec<f64> {
    let (mut hits, mut rights, mut longest, mut far) = ([0.0; 10], [0.0; 10], [0.0; 10], [0.0; 3]);
    let (mut targets, mut context_bits, mut match_bits, mut new) = (0.0, 0.0, 0.0, 0.0);
    let mut trust = [(0.5, 1.0); 10];
    for window in windows {
        for at in 0..window.len() {
            new += f64::from(u8::from(!window[..at].contains(&window[at])));
            if at == 0 {
                continue;
            }
            targets += 1.0;
            let mut probability = 1.0 / vocabulary as f64;
            for order in 0..4 {
                let context = stood(window, at, order).map_or(0, |(_, count)| count);
                let context = if order == 0 { at as u64 } else { context };
                let following = stood(window, at + 1, order + 1).map_or(0, |(_, count)| count);
                probability = (following as f64 + probability) / (context as f64 + 1.0);
            }
            context_bits -= probability.log2();
            let mut deepest = None;
            for (number, length) in LENGTHS.into_iter().enumerate() {
                let Some((end, _)) = stood(window, at, length) else { continue };
                let right = f64::from(u8::from(window[end] == window[at]));
                hits[number] += 1.0;
                rights[number] += right;
                if let Some(place) = FAR.iter().position(|far| *far == number) {
                    far[place] += if at - end > 64 { right } else { 0.0 };
                }
                deepest = Some((number, right));
            }
            if let Some((number, right)) = deepest {
                longest[number] += right;
                let share = trust[number].0 / trust[number].1;
                trust[number] = (trust[number].0 + right, trust[number].1 + 1.0);
                probability = share * right + (1.0 - share) * probability;
            }
            match_bits -= probability.log2();
        }
    }
    let sums = [hits.as_slice(), &rights, &longest, &far, &[context_bits, match_bits]].concat();
    let tokens = windows.iter().map(|window| window.len()).sum::<usize>().max(1) as f64;
    let mut shares: Vec<f64> = sums.into_iter().map(|sum| sum / f64::max(targets, 1.0)).collect();
    shares.push(new / tokens);
    shares
}

/// The features that [`defined`] gives, out of all.
fn counted(features: &[f32]) -> Vec<f64> {
    let is_counted = |name: &String| {
        ["hit_", "right_", "longest_right_", "far_right_"].iter().any(|start| name.starts_with(start))
            || ["context_bits", "match_bits", "new"].contains(&name.as_str())
    };
    let all = names().into_iter().zip(features);
    all.filter(|(name, _)| is_counted(name)).map(|(_, feature)| f64::from(*feature)).collect()
}

fn agrees(extractor: &mut Extractor, tokens: &[u32]) {
    let windows: Vec<&[u32]> = tokens.chunks(extractor.window_tokens).collect();
    let want = defined(&windows, extractor.vocabulary);
    let got = counted(&extractor.features(DocumentTokens { text: "text", tokens, compression: 1.0 }));
    assert_eq!(got.len(), want.len());
    for ((got, want), number) in got.iter().zip(&want).zip(0..) {
        assert!((got - want).abs() < 1e-5 * want.abs().max(1.0), "{number}: {got}, by definition {want}");
    }
}

#[test]
fn names_and_features_are_as_many_and_no_name_comes_twice() {
    let features = Extractor::new(8, 4).features(DocumentTokens { text: "a", tokens: &[1], compression: 1.0 });
    assert_eq!(features.len(), names().len());
    assert!(features.iter().all(|feature| feature.is_finite()));
    let distinct: std::collections::BTreeSet<String> = names().into_iter().collect();
    assert_eq!(distinct.len(), features.len());
}

#[test]
fn a_repeated_text_is_copied_and_a_random_one_is_not() {
    let feature = |tokens: &[u32], wanted: &str| {
        let features = Extractor::new(4096, 1000).features(DocumentTokens { text: "a", tokens, compression: 1.0 });
        names().iter().position(|name| name == wanted).map(|at| features[at])
    };
    let repeated: Vec<u32> = (0..100).cycle().take(1000).collect();
    assert_eq!(feature(&repeated, "right_1"), Some(899.0 / 999.0));
    assert_eq!(feature(&repeated, "right_32"), Some(868.0 / 999.0));
    assert_eq!(feature(&repeated, "far_right_2"), Some(898.0 / 999.0));
    assert_eq!(feature(&repeated, "distance_2"), Some(7.0), "100 has seven binary digits");
    let distinct: Vec<u32> = (0..1000).collect();
    assert_eq!((feature(&distinct, "hit_1"), feature(&distinct, "new")), (Some(0.0), Some(1.0)));
    assert!(feature(&repeated, "saved_bits") > Some(0.0));
}

#[test]
fn an_extractor_gives_the_same_after_any_other_document() {
    let tokens: Vec<u32> = (0..700).map(|at| at * at % 37).collect();
    let document = DocumentTokens { text: "a b", tokens: &tokens, compression: 1.5 };
    let fresh = Extractor::new(256, 50).features(document);
    let mut used = Extractor::new(256, 50);
    for other in [&tokens[..3], &tokens[5..500], &[], &tokens] {
        used.features(DocumentTokens { tokens: other, ..document });
        assert_eq!(used.features(document), fresh);
    }
}

proptest! {
    #[test]
    fn features_are_as_defined(
        documents in prop::collection::vec(prop::collection::vec(0_u32..5, 0..200), 1..4),
        window_tokens in 1_usize..90,
    ) {
        let mut extractor = Extractor::new(window_tokens, 5);
        documents.iter().for_each(|tokens| agrees(&mut extractor, tokens));
    }
}
