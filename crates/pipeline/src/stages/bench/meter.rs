//! Counts what is scored until the time is up.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headwater_record::Status;
use headwater_run::SidecarRow;
use headwater_score::{Advance, LongDocuments, Scorer, UnitReport, Watch};
use serde::Serialize;

use crate::estimate::Speed;
use crate::{Pipeline, Progress};

/// Share of the time before anything counts: caches fill, the processor finds its clock, and text that is read ahead is tokenised.
const WARM_UP: f64 = 0.1;

/// Windows a thread under which the warm-up is counted too.
const STEADY_WINDOWS: usize = 4;

/// What was scored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    documents: u64,
    windows: u64,
    tokens: u64,
    flops: f64,
}

impl Counts {
    fn since(self, earlier: Self) -> Self {
        Self {
            documents: self.documents - earlier.documents,
            windows: self.windows - earlier.windows,
            tokens: self.tokens - earlier.tokens,
            flops: self.flops - earlier.flops,
        }
    }
}

/// What is known of the documents before the model sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Texts {
    bytes: u64,
    tokens: u64,
    scored_tokens: u64,
}

/// When so much was done.
type Mark = (Duration, Counts);

/// All that changes.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    texts: Texts,
    counts: Counts,
    /// The first window that ended after the warm-up.
    steady: Option<Mark>,
    /// The last window that ended in time: later ones ended while other threads were idle.
    in_time: Option<Mark>,
    /// The last window.
    last: Option<Mark>,
}

/// Watches the scoring and stops it when the time is up.
pub(super) struct Meter<'a> {
    pipeline: &'a Pipeline,
    scorer: &'a Scorer<'a>,
    step: Box<dyn Progress>,
    began: Instant,
    limit: Duration,
    state: Mutex<State>,
}

/// What a measurement came to; the names are those of `bench`'s JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Documents whose last window was counted.
    pub documents: u64,
    /// Windows that went through the model.
    pub windows: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Time from the end of the first to the end of the last.
    pub seconds: f64,
    /// Whether all of the corpus was scored before the time was up.
    pub is_whole_corpus: bool,
    /// Documents scored in a second.
    pub documents_per_second: f64,
    /// Operations a second of the forward passes.
    pub flops_per_second: f64,
    /// Tokens a second, and what relates them to text.
    #[serde(flatten)]
    pub speed: Speed,
}

impl<'a> Meter<'a> {
    /// Begins to measure for `limit`.
    pub(super) fn begin(pipeline: &'a Pipeline, scorer: &'a Scorer<'a>, limit: Duration) -> Self {
        let step = pipeline.step("bench", "documents", None);
        Self { pipeline, scorer, step, began: Instant::now(), limit, state: Mutex::default() }
    }

    /// What was measured on `threads`; `None` if no window was.
    pub(super) fn finish(self, threads: usize) -> Option<Measured> {
        drop(self.step);
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).measured(threads)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes that so much was done `at` a time after the beginning.
    fn note(&mut self, done: Counts, at: Duration, limit: Duration) {
        self.counts.documents += done.documents;
        self.counts.windows += done.windows;
        self.counts.tokens += done.tokens;
        self.counts.flops += done.flops;
        if done.windows == 0 {
            return;
        }
        let mark = Some((at, self.counts));
        self.last = mark;
        if at <= limit {
            self.in_time = mark;
        }
        if at >= limit.mul_f64(WARM_UP) {
            self.steady = self.steady.or(mark);
        }
    }

    /// From the end of one window to the end of another, so that windows under way are counted at neither end; of all that was
    /// done if that is little.
    fn measured(&self, threads: usize) -> Option<Measured> {
        let steady = self.steady.zip(self.in_time).map(|((from, before), (to, after))| (from, to, after.since(before)));
        let enough = (threads * STEADY_WINDOWS) as u64;
        let (from, to, counts) = match steady.filter(|(_, _, counts)| counts.windows >= enough) {
            Some(steady) => steady,
            None => self.last.map(|(to, counts)| (Duration::ZERO, to, counts))?,
        };
        let seconds = to.saturating_sub(from).as_secs_f64();
        let Texts { bytes, tokens, scored_tokens } = self.texts;
        if !(seconds > 0.0 && tokens > 0) {
            return None;
        }
        let speed = Speed {
            tokens_per_second: counts.tokens as f64 / seconds,
            bytes_per_token: bytes as f64 / tokens as f64,
            scored_share: scored_tokens as f64 / tokens as f64,
        };
        let Counts { documents, windows, tokens, flops } = counts;
        Some(Measured {
            documents,
            windows,
            tokens,
            seconds,
            is_whole_corpus: false,
            documents_per_second: documents as f64 / seconds,
            flops_per_second: flops / seconds,
            speed,
        })
    }
}

impl Watch for Meter<'_> {
    fn skips(&self, _index: usize) -> bool {
        false
    }

    fn is_over(&self) -> bool {
        self.began.elapsed() >= self.limit
    }

    fn tokenised(&self, row: &SidecarRow) {
        if Status::UNUSABLE.contains(&row.status) {
            return;
        }
        let tokens = u64::from(row.tokens);
        let windowing = self.scorer.windowing;
        let most = match windowing.long_documents {
            LongDocuments::All => u64::MAX,
            LongDocuments::First => windowing.window_tokens as u64,
        };
        let texts = &mut self.state().texts;
        texts.bytes += row.bytes;
        texts.tokens += tokens;
        texts.scored_tokens += tokens.min(most);
    }

    fn advance(&self, advance: Advance) {
        let Advance { documents, windows, tokens } = advance;
        self.step.advance_tokens(tokens);
        self.step.advance(documents);
        let Scorer { model, mask, windowing, .. } = self.scorer;
        let flops = match (windows, usize::try_from(tokens)) {
            (1, Ok(tokens)) => model.shape().losses_flops(tokens + usize::from(windowing.bos.is_some()), mask),
            _ => 0.0,
        };
        self.state().note(Counts { documents, windows, tokens, flops }, self.began.elapsed(), self.limit);
    }

    fn unit(
        &self,
        _index: usize,
        outcome: Result<UnitReport, headwater_score::Error>,
    ) -> Result<(), headwater_score::Error> {
        self.pipeline.passed_over(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// A window of 100 tokens that is a document.
    const WINDOW: Counts = Counts { documents: 1, windows: 1, tokens: 100, flops: 1e6 };

    fn state(ends: &[f64]) -> State {
        let texts = Texts { bytes: 900, tokens: 200, scored_tokens: 100 };
        let mut state = State { texts, ..State::default() };
        ends.iter().for_each(|at| state.note(WINDOW, Duration::from_secs_f64(*at), LIMIT));
        state
    }

    #[test]
    fn the_warm_up_and_what_ends_too_late_do_not_count() {
        let measured = state(&[0.5, 2.0, 3.0, 4.0, 5.0, 6.0, 12.0]).measured(1).expect("there are windows");
        assert_eq!((measured.windows, measured.tokens, measured.seconds), (4, 400, 4.0), "from 2 s to 6 s");
        assert_eq!(measured.speed, Speed { tokens_per_second: 100.0, bytes_per_token: 4.5, scored_share: 0.5 });
        assert_eq!(measured.flops_per_second, 1e6);
    }

    #[test]
    fn few_windows_are_all_counted() {
        let measured = state(&[4.0, 16.0]).measured(1).expect("there are windows");
        assert_eq!((measured.windows, measured.tokens, measured.seconds), (2, 200, 16.0));
        assert_eq!(state(&[]).measured(1), None);
        assert_eq!(State { texts: Texts::default(), ..state(&[4.0]) }.measured(1), None);
    }

    #[test]
    fn short_documents_between_windows_count_and_mark_no_time() {
        let mut state = state(&[2.0, 3.0, 4.0, 5.0]);
        state.note(Counts { documents: 1, tokens: 8, ..Counts::default() }, Duration::from_secs(6), LIMIT);
        assert_eq!(state.measured(1).map(|measured| measured.seconds), Some(5.0));
        state.note(WINDOW, Duration::from_secs(7), LIMIT);
        let measured = state.measured(1).expect("there are windows");
        assert_eq!((measured.documents, measured.tokens, measured.seconds), (5, 408, 5.0));
    }
}
