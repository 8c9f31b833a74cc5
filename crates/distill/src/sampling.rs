//! A few windows of a long document, in place of all.

use std::collections::BTreeMap;

use headwater_record::sidecar::WindowScore;
use headwater_record::statistics::spearman;
use headwater_record::student::SamplePoint;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::labels::Label;
use crate::noise::overlap;

/// Numbers of windows that are tried.
const WINDOWS: [usize; 5] = [1, 2, 4, 8, 16];

/// Samples of each number that are drawn.
const REPEATS: usize = 50;

/// The numbers of the windows that are scored, rising, of a document that has `windows`: all if these are at most `most`, else that many.
///
/// They are a systematic sample: spaced evenly from a start that is drawn, a fraction of the spacing in 64 bits. So each window is drawn with
/// the same probability, and the sample covers the document.
///
/// # Source
/// Cochran, Sampling Techniques (3rd edition), §8.1, with a spacing that is no whole number.
pub fn sample(windows: usize, most: usize, draw: u64) -> impl Iterator<Item = usize> {
    let taken = windows.min(most);
    let start = if taken < windows { draw } else { 0 };
    (0..taken).map(move |at| {
        let place = ((at as u128) << 64) + u128::from(start);
        usize::try_from((place * windows as u128 / taken as u128) >> 64).unwrap_or(usize::MAX)
    })
}

/// What samples of the windows make of the scores of `labels`, of which all windows were scored, for each number of windows that is below that of
/// some document; `fraction` is what the cut keeps of a domain.
pub(crate) fn curve(labels: &[Label], fraction: &dyn Fn(&str) -> f64, seed: u64) -> Vec<SamplePoint> {
    let mut domains: BTreeMap<&str, Vec<&Label>> = BTreeMap::new();
    labels.iter().for_each(|label| domains.entry(&label.domain).or_default().push(label));
    let domains: Vec<(f64, Vec<&Label>)> =
        domains.into_iter().map(|(domain, labels)| (fraction(domain), labels)).collect();
    let is_tried = |most: &usize| labels.iter().any(|label| label.windows.len() > *most);
    WINDOWS.into_iter().take_while(is_tried).map(|most| point(&domains, most, seed)).collect()
}

fn point(domains: &[(f64, Vec<&Label>)], most: usize, seed: u64) -> SamplePoint {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut targets, mut all_targets, mut errors) = (0, 0, Vec::new());
    let (mut correlation, mut common) = (0.0, 0.0);
    for (fraction, labels) in domains {
        let whole: Vec<f64> = labels.iter().map(|label| label.influence).collect();
        for _ in 0..REPEATS {
            let mut sampled = whole.clone();
            for (influence, label) in sampled.iter_mut().zip(labels) {
                all_targets += u64::from(label.scored_tokens);
                if label.windows.len() <= most {
                    targets += u64::from(label.scored_tokens);
                    continue;
                }
                let drawn: Vec<WindowScore> =
                    sample(label.windows.len(), most, random.random()).map(|at| label.windows[at]).collect();
                targets += drawn.iter().map(|window| u64::from(window.targets)).sum::<u64>();
                *influence = influence_of(&drawn);
                errors.extend(label.influence_stderr.map(|stderr| ((*influence - label.influence) / stderr).powi(2)));
            }
            correlation += spearman(&sampled, &whole);
            common += overlap(&sampled, &whole, *fraction);
        }
    }
    let repeats = (REPEATS * domains.len()).max(1) as f64;
    SamplePoint {
        windows: most as u64,
        documents: domains.iter().flat_map(|(_, labels)| labels).filter(|label| label.windows.len() > most).count()
            as u64,
        token_share: targets as f64 / all_targets.max(1) as f64,
        correlation: correlation / repeats,
        overlap: common / repeats,
        error: (errors.iter().sum::<f64>() / errors.len().max(1) as f64).sqrt(),
    }
}

/// (masked − base) / base over some windows.
fn influence_of(windows: &[WindowScore]) -> f64 {
    let sum = |loss: fn(&WindowScore) -> f32| -> f64 {
        windows.iter().map(|window| f64::from(loss(window)) * f64::from(window.targets)).sum()
    };
    let (base, masked) = (sum(|window| window.loss_base), sum(|window| window.loss_masked));
    (masked - base) / base
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread_over_the_document_and_every_window_is_as_probable() {
        for (windows, most) in [(5_usize, 4_usize), (10, 4), (7, 1), (1000, 3)] {
            let mut counts = vec![0_u32; windows];
            let draws = 20_000_u64;
            for number in 0..draws {
                let draw = number * (u64::MAX / draws);
                let drawn: Vec<usize> = sample(windows, most, draw).collect();
                assert_eq!(drawn.len(), most);
                assert!(
                    drawn.windows(2).all(|pair| (windows / most..=windows / most + 1).contains(&(pair[1] - pair[0])))
                );
                drawn.iter().for_each(|at| counts[*at] += 1);
            }
            let expected = draws as f64 * most as f64 / windows as f64;
            let is_near = |count: &u32| (f64::from(*count) - expected).abs() <= 0.01 * expected + 2.0;
            assert!(counts.iter().all(is_near), "{windows} {most}: {counts:?}");
        }
        let last: Vec<usize> = sample(5, 4, u64::MAX).collect();
        assert_eq!(last, [1, 2, 3, 4], "the start that is latest ends with the last window");
    }

    #[test]
    fn few_windows_are_all_taken() {
        assert_eq!(sample(3, 4, u64::MAX).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(sample(4, 4, u64::MAX).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(sample(0, 4, 7).count(), 0);
    }

    fn label(windows: &[f32]) -> Label {
        let windows: Vec<WindowScore> = windows
            .iter()
            .map(|influence| WindowScore {
                first_token: 0,
                targets: 10,
                loss_base: 2.0,
                loss_masked: 2.0 * (1.0 + influence),
            })
            .collect();
        let tokens = u32::try_from(10 * windows.len()).expect("documents are short");
        Label {
            domain: "d".to_owned(),
            source: "s".to_owned(),
            file: "f".to_owned(),
            features: vec![],
            tokens,
            scored_tokens: tokens,
            loss_base: 2.0,
            influence: influence_of(&windows),
            influence_stderr: Some(0.1),
            windows: if windows.len() > 1 { windows } else { Vec::new() },
        }
    }

    #[test]
    fn windows_that_are_alike_make_samples_exact_and_others_do_not() {
        let alike: Vec<Label> = (0..20).map(|at| label(&[0.01 * at as f32; 8])).collect();
        let points = curve(&alike, &|_| 0.2, 1);
        assert_eq!(points.iter().map(|point| point.windows).collect::<Vec<_>>(), [1, 2, 4]);
        for (point, share) in points.iter().zip([0.125, 0.25, 0.5]) {
            assert_eq!((point.documents, point.token_share), (20, share));
            assert!(point.error < 1e-5 && point.correlation > 0.999 && point.overlap > 0.999, "{point:?}");
        }
        // windows of 0 and 0.4 in turn: a sample of one is 0.2 off, two standard errors, and says nothing
        let uneven: Vec<Label> = (0..40).map(|at| label(&[0.0, 0.4 + 1e-4 * at as f32])).collect();
        let [point] = curve(&uneven, &|_| 0.5, 1)[..] else { panic!("one number of windows is below two") };
        assert!((point.error - 2.0).abs() < 0.05, "{point:?}");
        assert!(point.correlation < 0.75 && point.overlap < 0.8, "{point:?}");
    }

    #[test]
    fn short_documents_need_no_sample() {
        assert!(curve(&[label(&[0.1]), label(&[0.2])], &|_| 0.2, 1).is_empty());
    }
}
