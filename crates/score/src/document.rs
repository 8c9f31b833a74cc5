//! The score of one document, from its tokens.
//!
//! Source: AttentionInfluence §3, eq. 5: influence = (masked − base) / base, from mean next-token cross-entropies. The
//! paper is silent on documents longer than the context; here they are cut into consecutive, independent windows.

use headwater_corpus::text_hash;
use headwater_distill::sample;
use headwater_model::{Engine, Error, HeadMask, WindowLosses};
use headwater_record::sidecar::WindowScore;

use crate::LongDocuments;

/// Consecutive targets averaged into one batch mean.
const BATCH_TARGETS: usize = 16;

/// Batches below which no standard error is given.
const MIN_BATCHES: usize = 8;

/// How documents are cut into windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windowing<'a> {
    /// Window length in tokens, without leading ones.
    pub window_tokens: usize,
    /// How documents longer than a window are treated.
    pub long_documents: LongDocuments,
    /// Put before every window: visible to attention, never targets.
    pub leading: &'a [u32],
}

/// A window of a document, without leading tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window<'t> {
    /// Where it begins in the document, in tokens.
    pub first_token: usize,
    /// Its tokens.
    pub tokens: &'t [u32],
}

/// The losses of one window of a document.
#[derive(Clone, Debug)]
pub struct ScoredWindow {
    /// Where it begins in the document, in tokens.
    pub first_token: usize,
    /// Its losses.
    pub losses: WindowLosses,
}

impl ScoredWindow {
    /// The window at `first_token`, from the losses of all its tokens after the first, `leading` ones included.
    pub(crate) fn new(first_token: usize, mut losses: WindowLosses, leading: &[u32]) -> Self {
        let of_leading = leading.len().saturating_sub(1);
        losses.base.drain(..of_leading);
        losses.masked.drain(..of_leading);
        Self { first_token, losses }
    }
}

/// The losses of one document.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentScore {
    /// Number of targets.
    pub targets: usize,
    /// Mean cross-entropy, nats per target, intact.
    pub loss_base: f64,
    /// The same with the head set masked.
    pub loss_masked: f64,
    /// (masked − base) / base.
    pub influence: f64,
    /// Standard error of influence by batch means; `None` under 8 batches.
    pub influence_stderr: Option<f64>,
    /// The windows that were scored, in order; none if a student predicts the score.
    pub windows: Vec<WindowScore>,
}

impl DocumentScore {
    /// Whether every number can be ranked.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        [self.loss_base, self.loss_masked, self.influence].into_iter().all(f64::is_finite)
    }
}

impl Windowing<'_> {
    /// The targets of a document's windows: all their tokens, but for the first of a window that nothing leads.
    pub(crate) fn targets(&self, tokens: &[u32], draw: u64) -> usize {
        self.cut(tokens, draw).map(|window| window.tokens.len() - usize::from(self.leading.is_empty())).sum()
    }

    /// Cuts a document of `tokens` into the windows that are scored, in order; if these are not all, `draw` decides which.
    pub fn cut<'t>(&self, tokens: &'t [u32], draw: u64) -> impl Iterator<Item = Window<'t>> + use<'t> {
        let length = self.window_tokens.max(1);
        let all = tokens.len().div_ceil(length);
        let (windows, drawn) = match self.long_documents {
            LongDocuments::All => (all, draw),
            // a document ends with its first window
            LongDocuments::First => (all, 0),
            // a last window of one token has nothing to predict, so it is not drawn
            LongDocuments::Sample(_) => {
                (all - usize::from(self.leading.is_empty() && tokens.len() % length == 1), draw)
            }
        };
        sample(windows, self.long_documents.most_windows(), drawn).map(move |number| {
            let first_token = number * length;
            Window { first_token, tokens: &tokens[first_token..tokens.len().min(first_token + length)] }
        })
    }

    /// What decides which windows of the document in `row` of `shard` are scored.
    #[must_use]
    pub fn draw(&self, shard: &str, row: u64) -> u64 {
        match self.long_documents {
            LongDocuments::All | LongDocuments::First => 0,
            LongDocuments::Sample(_) => text_hash(format!("{shard}\n{row}").as_bytes()),
        }
    }
}

/// The losses of one window; `None` if it has no target.
///
/// # Errors
/// What the engine says.
pub fn window_losses(
    engine: &dyn Engine,
    mask: &HeadMask,
    leading: &[u32],
    window: Window<'_>,
) -> Result<Option<ScoredWindow>, Error> {
    let tokens = [leading, window.tokens].concat();
    if tokens.len() <= 1 {
        return Ok(None);
    }
    let losses = engine.losses(&tokens, mask)?;
    Ok(Some(ScoredWindow::new(window.first_token, losses, leading)))
}

/// The score of a document from the losses of its windows, in order; `None` if it has no target.
#[must_use]
pub fn document_score<'l>(windows: impl IntoIterator<Item = &'l ScoredWindow>) -> Option<DocumentScore> {
    let (mut sums, mut scores) = (Sums::default(), Vec::new());
    for ScoredWindow { first_token, losses } in windows {
        let mut window = Pair::default();
        for (base, masked) in losses.base.iter().zip(&losses.masked) {
            let target = Pair { base: f64::from(*base), masked: f64::from(*masked) };
            window.add(target);
            sums.add(target);
        }
        scores.push(window_score(*first_token, losses.base.len(), window));
    }
    Some(DocumentScore { windows: scores, ..sums.finish()? })
}

#[expect(clippy::cast_possible_truncation, reason = "sums are float64, sidecars float32")]
fn window_score(first_token: usize, targets: usize, sum: Pair) -> WindowScore {
    let mean = |sum: f64| (sum / targets as f64) as f32;
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    WindowScore {
        first_token: number(first_token),
        targets: number(targets),
        loss_base: mean(sum.base),
        loss_masked: mean(sum.masked),
    }
}

/// Sums of base and masked losses.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    base: f64,
    masked: f64,
}

impl Pair {
    fn add(&mut self, other: Self) {
        self.base += other.base;
        self.masked += other.masked;
    }
}

/// What is kept of the targets seen so far: totals, and sums of every full batch.
#[derive(Debug, Default)]
struct Sums {
    targets: usize,
    total: Pair,
    batch: Pair,
    batches: Vec<Pair>,
}

impl Sums {
    fn add(&mut self, target: Pair) {
        self.targets += 1;
        self.total.add(target);
        self.batch.add(target);
        if self.targets.is_multiple_of(BATCH_TARGETS) {
            self.batches.push(std::mem::take(&mut self.batch));
        }
    }

    fn finish(&self) -> Option<DocumentScore> {
        if self.targets == 0 {
            return None;
        }
        let count = self.targets as f64;
        let (loss_base, loss_masked) = (self.total.base / count, self.total.masked / count);
        Some(DocumentScore {
            targets: self.targets,
            loss_base,
            loss_masked,
            influence: (loss_masked - loss_base) / loss_base,
            influence_stderr: self.stderr(loss_base),
            windows: Vec::new(),
        })
    }

    /// With R = Σm/Σb and r = m − R·b: sd of the batch means of r over √batches, relative to the mean base loss.
    fn stderr(&self, loss_base: f64) -> Option<f64> {
        let batches = self.batches.len();
        if batches < MIN_BATCHES {
            return None;
        }
        let ratio = self.total.masked / self.total.base;
        let mean_of = |batch: &Pair| (batch.masked - ratio * batch.base) / BATCH_TARGETS as f64;
        let mean = self.batches.iter().map(mean_of).sum::<f64>() / batches as f64;
        let squares: f64 = self.batches.iter().map(|batch| (mean_of(batch) - mean).powi(2)).sum();
        let deviation = (squares / (batches - 1) as f64).sqrt();
        Some(deviation / (batches as f64).sqrt() / loss_base).filter(|stderr| stderr.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::ops::ControlFlow;

    use headwater_model::Concurrency;

    use super::*;
    use crate::batches::{ToScore, score_together};
    use crate::fake::{FakeEngine, teacher};

    fn run(windowing: Windowing<'_>, tokens: &[u32]) -> (Option<DocumentScore>, Vec<Vec<u32>>) {
        let engine = FakeEngine::new(Concurrency::Batch { tokens: 1 });
        let document = ToScore { tokens, draw: 0 };
        let scores = score_together(&teacher(&engine), windowing, &[document], &|_| ControlFlow::Continue(()));
        let score = scores.ok().flatten().and_then(|mut scores| scores.pop()).expect("arithmetic works");
        (score, engine.windows())
    }

    const WINDOWING: Windowing<'_> = Windowing { window_tokens: 3, long_documents: LongDocuments::All, leading: &[] };

    #[test]
    fn windows_are_consecutive_and_their_first_token_is_no_target() {
        let (score, windows) = run(WINDOWING, &[0, 1, 2, 3, 4, 5, 6]);
        let score = score.expect("there are targets");
        assert_eq!(windows, [vec![0, 1, 2], vec![3, 4, 5]], "a window of one token has no target");
        assert_eq!(score.targets, 4);
        assert_eq!(score.loss_base, f64::from(2 + 3 + 5 + 6) / 4.0);
        assert_eq!(score.loss_masked, 4.0 * 1.5 + 0.25);
        assert_eq!(score.influence, 2.25 / 4.0);
        assert_eq!(score.influence_stderr, None);
    }

    #[test]
    fn tokens_that_lead_a_window_are_no_targets() {
        let (one, _) = run(Windowing { leading: &[9], ..WINDOWING }, &[0, 1, 2, 3]);
        let (several, windows) = run(Windowing { leading: &[7, 8, 9], ..WINDOWING }, &[0, 1, 2, 3]);
        assert_eq!(windows, [vec![7, 8, 9, 0, 1, 2], vec![7, 8, 9, 3]]);
        assert_eq!(several.expect("there are targets").targets, 4);
        assert_eq!(one.map(|score| score.targets), Some(4));
        let engine = FakeEngine::new(Concurrency::WindowPerThread);
        let teacher = teacher(&engine);
        let window = Window { first_token: 5, tokens: &[1, 2] };
        let scored = window_losses(&engine, &teacher.mask, &[7, 8], window).expect("arithmetic works");
        let scored = scored.expect("there are targets");
        assert_eq!((scored.first_token, scored.losses.base.len(), scored.losses.masked.len()), (5, 2, 2));
    }

    #[test]
    fn bos_makes_the_first_token_a_target() {
        let (score, windows) = run(Windowing { leading: &[9], ..WINDOWING }, &[0, 1, 2, 3]);
        assert_eq!(windows, [vec![9, 0, 1, 2], vec![9, 3]]);
        assert_eq!(score.map(|score| score.targets), Some(4));
    }

    #[test]
    fn first_stops_after_one_window() {
        let (_, windows) = run(Windowing { long_documents: LongDocuments::First, ..WINDOWING }, &[0, 1, 2, 3]);
        assert_eq!(windows, [vec![0, 1, 2]]);
    }

    #[test]
    fn a_sample_scores_some_windows_and_says_where_they_begin() {
        let windowing =
            Windowing { long_documents: LongDocuments::Sample(NonZeroUsize::MIN.saturating_add(1)), ..WINDOWING };
        let (score, windows) = run(windowing, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(windows, [vec![0, 1, 2], vec![6, 7, 8]], "a draw of nothing begins with the first");
        let score = score.expect("there are targets");
        assert_eq!(score.targets, 4);
        let of = |score: &DocumentScore| {
            score.windows.iter().map(|window| (window.first_token, window.loss_base)).collect::<Vec<_>>()
        };
        assert_eq!(of(&score), [(0, 2.5), (6, 8.5)]);
        let (all, _) = run(WINDOWING, &[0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(all.as_ref().map(of), Some(vec![(0, 2.5), (3, 5.5)]), "the last window has no target");
        let (short, windows) = run(windowing, &[0, 1, 2, 3]);
        assert_eq!((short.map(|score| score.targets), windows), (Some(2), vec![vec![0, 1, 2]]), "all of few windows");
        let starts =
            |tokens: &[u32], draw| windowing.cut(tokens, draw).map(|window| window.first_token).collect::<Vec<_>>();
        // the fourth window has one token and nothing to predict
        assert_eq!(starts(&[0; 10], u64::MAX), [3, 6]);
        assert_eq!(starts(&[0; 11], u64::MAX), [3, 9]);
        assert!(starts(&[0], u64::MAX).is_empty());
    }

    #[test]
    fn windows_are_drawn_by_shard_and_row() {
        let windowing = Windowing { long_documents: LongDocuments::Sample(NonZeroUsize::MIN), ..WINDOWING };
        let tokens: Vec<u32> = (0..300).collect();
        let first =
            |shard, row| windowing.cut(&tokens, windowing.draw(shard, row)).map(|window| window.first_token).next();
        assert_eq!(first("a", 1), first("a", 1));
        let places: std::collections::BTreeSet<_> = (0..50).map(|row| first("a", row)).collect();
        assert!(places.len() > 25, "{places:?}");
        assert_ne!(
            (0..50).map(|row| first("a", row)).collect::<Vec<_>>(),
            (0..50).map(|row| first("b", row)).collect::<Vec<_>>()
        );
        assert_eq!(Windowing { long_documents: LongDocuments::All, ..windowing }.draw("a", 1), 0);
    }

    #[test]
    fn one_token_has_no_target() {
        assert_eq!(run(WINDOWING, &[5]).0, None);
        assert_eq!(run(WINDOWING, &[]).0, None);
    }

    #[test]
    fn the_standard_error_is_that_of_batch_means() {
        let windowing = Windowing { window_tokens: 1000, ..WINDOWING };
        let tokens: Vec<u32> = (0..16 * 8 + 1 + 5).map(|i| (i * 7919) % 13).collect();
        let score = run(windowing, &tokens).0.expect("there are targets");
        // the definition, written out
        let base: Vec<f64> = tokens[1..].iter().map(|token| 1.0 + f64::from(*token)).collect();
        let masked: Vec<f64> = base.iter().map(|loss| loss * 1.5 + 0.25).collect();
        let ratio = masked.iter().sum::<f64>() / base.iter().sum::<f64>();
        let residuals: Vec<f64> = base.iter().zip(&masked).map(|(b, m)| m - ratio * b).collect();
        let means: Vec<f64> = residuals.chunks_exact(16).map(|batch| batch.iter().sum::<f64>() / 16.0).collect();
        let mean = means.iter().sum::<f64>() / means.len() as f64;
        let variance = means.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (means.len() - 1) as f64;
        let expected = (variance / means.len() as f64).sqrt() / (base.iter().sum::<f64>() / base.len() as f64);
        let got = score.influence_stderr.expect("there are eight batches");
        assert!((got - expected).abs() < 1e-12, "{got} {expected}");
        let short = run(windowing, &tokens[..16 * 8]).0.expect("there are targets");
        assert_eq!(short.influence_stderr, None, "127 targets are seven full batches");
    }
}
