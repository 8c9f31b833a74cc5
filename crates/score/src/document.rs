//! The score of one document, from its tokens.
//!
//! Source: AttentionInfluence §3, eq. 5: influence = (masked − base) / base, from mean next-token cross-entropies. The
//! paper is silent on documents longer than the context; here they are cut into consecutive, independent windows.

use headwater_model::{Engine, Error, HeadMask, WindowLosses};

use crate::LongDocuments;

/// Consecutive targets averaged into one batch mean.
const BATCH_TARGETS: usize = 16;

/// Batches below which no standard error is given.
const MIN_BATCHES: usize = 8;

/// How documents are cut into windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windowing {
    /// Window length in tokens, without BOS.
    pub window_tokens: usize,
    /// How documents longer than a window are treated.
    pub long_documents: LongDocuments,
    /// Put before every window: visible to attention, never a target.
    pub bos: Option<u32>,
}

/// The losses of one document.
#[derive(Clone, Copy, Debug, PartialEq)]
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
}

impl DocumentScore {
    /// Whether every number can be ranked.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        [self.loss_base, self.loss_masked, self.influence].into_iter().all(f64::is_finite)
    }
}

impl Windowing {
    /// The targets of a document's windows: all their tokens, but for the first of a window without BOS.
    pub(crate) fn targets(&self, tokens: &[u32]) -> usize {
        self.cut(tokens).map(|window| window.len() - usize::from(self.bos.is_none())).sum()
    }

    /// Cuts a document of `tokens` into windows, without BOS.
    pub fn cut<'t>(&self, tokens: &'t [u32]) -> impl Iterator<Item = &'t [u32]> + use<'t> {
        let windows = match self.long_documents {
            LongDocuments::All => usize::MAX,
            LongDocuments::First => 1,
        };
        tokens.chunks(self.window_tokens.max(1)).take(windows)
    }
}

/// The losses of one window without BOS; `None` if it has no target.
///
/// # Errors
/// What the engine says.
pub fn window_losses(
    engine: &dyn Engine,
    mask: &HeadMask,
    bos: Option<u32>,
    window: &[u32],
) -> Result<Option<WindowLosses>, Error> {
    let tokens: Vec<u32> = bos.into_iter().chain(window.iter().copied()).collect();
    if tokens.len() > 1 { engine.losses(&tokens, mask).map(Some) } else { Ok(None) }
}

/// The score of a document from the losses of its windows, in order; `None` if it has no target.
#[must_use]
pub fn document_score<'l>(windows: impl IntoIterator<Item = &'l WindowLosses>) -> Option<DocumentScore> {
    let mut sums = Sums::default();
    for losses in windows {
        losses.base.iter().zip(&losses.masked).for_each(|(base, masked)| sums.add(*base, *masked));
    }
    sums.finish()
}

/// Sums of base and masked losses.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    base: f64,
    masked: f64,
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
    fn add(&mut self, base: f32, masked: f32) {
        let (base, masked) = (f64::from(base), f64::from(masked));
        self.targets += 1;
        self.total.base += base;
        self.total.masked += masked;
        self.batch.base += base;
        self.batch.masked += masked;
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
    use std::ops::ControlFlow;

    use headwater_model::Concurrency;

    use super::*;
    use crate::batches::score_together;
    use crate::fake::{FakeEngine, teacher};

    fn run(windowing: Windowing, tokens: &[u32]) -> (Option<DocumentScore>, Vec<Vec<u32>>) {
        let engine = FakeEngine::new(Concurrency::Batch { tokens: 1 });
        let scores = score_together(&teacher(&engine), windowing, &[tokens], &|_| ControlFlow::Continue(()));
        let score = scores.ok().flatten().and_then(|mut scores| scores.pop()).expect("arithmetic works");
        (score, engine.windows())
    }

    const WINDOWING: Windowing = Windowing { window_tokens: 3, long_documents: LongDocuments::All, bos: None };

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
    fn bos_makes_the_first_token_a_target() {
        let (score, windows) = run(Windowing { bos: Some(9), ..WINDOWING }, &[0, 1, 2, 3]);
        assert_eq!(windows, [vec![9, 0, 1, 2], vec![9, 3]]);
        assert_eq!(score.map(|score| score.targets), Some(4));
    }

    #[test]
    fn first_stops_after_one_window() {
        let (_, windows) = run(Windowing { long_documents: LongDocuments::First, ..WINDOWING }, &[0, 1, 2, 3]);
        assert_eq!(windows, [vec![0, 1, 2]]);
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
