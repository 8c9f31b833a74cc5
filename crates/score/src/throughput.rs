//! How fast documents are scored: what goes through the model in a time, without the ends of the measurement.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headwater_corpus::{Piece, Plan, spread};
use headwater_record::{ByteCount, Status};
use headwater_run::SidecarRow;
use serde::{Deserialize, Serialize};

use crate::scorer::{By, Teacher};
use crate::unit::{Advance, UnitReport};
use crate::watch::{Phase, UnitRows, Watch};
use crate::{Error, Scorer, score_rows};

/// Text of one piece of the corpus, in bytes: small, so that even a slow machine sees several, and so that what is read in the middle
/// of a shard is not mostly thrown away.
const PIECE_BYTES: u64 = 32 << 10;

/// Pieces at most: 128 MiB of text.
const MAX_PIECES: usize = 4096;

/// Share of the time before anything counts: caches fill, the processor finds its clock, and text that is read ahead is tokenised.
const WARM_UP: f64 = 0.1;

/// Windows a thread under which the warm-up is counted too.
const STEADY_WINDOWS: usize = 4;

/// How fast a machine scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Tokens that go through the model in a second.
    pub tokens_per_second: f64,
    /// Bytes of text a token.
    pub bytes_per_token: f64,
    /// Share of the tokens that go through the model, in [0, 1]: below 1 where only the first window of a document is scored.
    pub scored_share: f64,
}

impl Speed {
    /// Returns the hours that one machine takes for `text`; a fleet of n takes an n-th of it.
    #[must_use]
    pub fn hours(&self, text: ByteCount) -> f64 {
        text.0 as f64 / self.bytes_per_token * self.scored_share / self.tokens_per_second / 3600.0
    }
}

/// What a measurement came to; the names are those of `bench`'s JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Throughput {
    /// Documents whose last window was counted.
    pub documents: u64,
    /// Windows.
    pub windows: u64,
    /// Tokens.
    pub tokens: u64,
    /// Time, in seconds.
    pub seconds: f64,
    /// Whether all of the corpus was scored before the time was up.
    pub is_whole_corpus: bool,
    /// Documents a second.
    pub documents_per_second: f64,
    /// Floating-point operations of the forward passes a second.
    pub flops_per_second: f64,
    /// What estimates of a corpus rest on.
    #[serde(flatten)]
    pub speed: Speed,
}

/// Documents from all over a plan, by which throughput is measured.
#[derive(Clone, Debug)]
pub struct ThroughputSample<'a> {
    pieces: Vec<Piece<'a>>,
}

impl<'a> ThroughputSample<'a> {
    /// Takes up to 128 MiB of text of `plan`.
    #[must_use]
    pub fn new(plan: &'a Plan) -> Self {
        Self { pieces: spread(plan, PIECE_BYTES, MAX_PIECES) }
    }

    /// Whether the plan has no documents.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Scores documents for `limit`, exactly as [`crate::score_units`] would, and drops their scores. `watch` follows and may end it
    /// earlier.
    ///
    /// # Errors
    /// As [`score_rows`]; [`Error::AllShort`] or [`Error::NothingInTime`] if no window went through the model.
    pub fn measure(&self, scorer: &Scorer<'_>, limit: Duration, watch: &dyn Watch) -> Result<Throughput, Error> {
        let rows: Vec<UnitRows<'_>> = self.pieces.iter().map(UnitRows::from).collect();
        let meter = Meter { scorer, watch, began: Instant::now(), limit, state: Mutex::default() };
        score_rows(scorer, &rows, &meter, &|_, _| Ok(()))?;
        let is_whole_corpus = !meter.is_over() && self.pieces.len() < MAX_PIECES;
        let state = meter.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let min_tokens = scorer.min_tokens;
        match state.throughput(rayon::current_num_threads()) {
            Some(throughput) => Ok(Throughput { is_whole_corpus, ..throughput }),
            None if is_whole_corpus => Err(Error::AllShort { min_tokens }),
            None => Err(Error::NothingInTime { seconds: limit.as_secs_f64(), min_tokens }),
        }
    }
}

/// Counts what is scored until the time is up.
struct Meter<'a> {
    scorer: &'a Scorer<'a>,
    watch: &'a dyn Watch,
    began: Instant,
    limit: Duration,
    state: Mutex<State>,
}

impl Meter<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Meter<'_> {
    fn skips(&self, index: usize) -> bool {
        self.watch.skips(index)
    }

    fn is_over(&self) -> bool {
        self.began.elapsed() >= self.limit || self.watch.is_over()
    }

    fn tokenised(&self, row: &SidecarRow) {
        self.watch.tokenised(row);
        if Status::UNUSABLE.contains(&row.status) {
            return;
        }
        let tokens = u64::from(row.tokens);
        let windowing = self.scorer.windowing;
        let most = windowing.long_documents.most_windows().saturating_mul(windowing.window_tokens) as u64;
        let texts = &mut self.state().texts;
        texts.bytes += row.bytes;
        texts.tokens += tokens;
        texts.scored_tokens += tokens.min(most);
    }

    fn advance(&self, advance: Advance) {
        self.watch.advance(advance);
        let Advance { documents, windows, tokens } = advance;
        let Scorer { by, windowing, .. } = self.scorer;
        let flops = match (by, windows, usize::try_from(tokens)) {
            (By::Teacher(Teacher { engine, mask }), 1, Ok(tokens)) => {
                engine.shape().losses_flops(tokens + windowing.leading.len(), mask)
            }
            _ => 0.0,
        };
        self.state().note(Counts { documents, windows, tokens, flops }, self.began.elapsed(), self.limit);
    }

    fn spent(&self, phase: Phase, time: Duration) {
        self.watch.spent(phase, time);
    }

    fn unit(&self, index: usize, outcome: Result<UnitReport, Error>) -> Result<(), Error> {
        self.watch.unit(index, outcome)
    }
}

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
    /// done if that is little. `None` without windows.
    fn throughput(&self, threads: usize) -> Option<Throughput> {
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
        Some(Throughput {
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

#[cfg(test)]
mod tests {
    use super::*;

    use headwater_model::Concurrency;

    use crate::fake::{Corpus, FakeEngine, Recorder, in_pool, scorer};

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
    fn hours_are_tokens_by_speed() {
        let speed = Speed { tokens_per_second: 1000.0, bytes_per_token: 5.0, scored_share: 1.0 };
        // 18 MB are 3.6 million tokens, 3,600 s of them
        assert_eq!(speed.hours(ByteCount(18_000_000)), 1.0);
        assert_eq!(Speed { scored_share: 0.25, ..speed }.hours(ByteCount(18_000_000)), 0.25);
        assert_eq!(speed.hours(ByteCount(0)), 0.0);
    }

    #[test]
    fn the_warm_up_and_what_ends_too_late_do_not_count() {
        let measured = state(&[0.5, 2.0, 3.0, 4.0, 5.0, 6.0, 12.0]).throughput(1).expect("there are windows");
        assert_eq!((measured.windows, measured.tokens, measured.seconds), (4, 400, 4.0), "from 2 s to 6 s");
        assert_eq!(measured.speed, Speed { tokens_per_second: 100.0, bytes_per_token: 4.5, scored_share: 0.5 });
        assert_eq!(measured.flops_per_second, 1e6);
    }

    #[test]
    fn few_windows_are_all_counted() {
        let measured = state(&[4.0, 16.0]).throughput(1).expect("there are windows");
        assert_eq!((measured.windows, measured.tokens, measured.seconds), (2, 200, 16.0));
        assert_eq!(state(&[]).throughput(1), None);
        assert_eq!(State { texts: Texts::default(), ..state(&[4.0]) }.throughput(1), None);
    }

    #[test]
    fn short_documents_between_windows_count_and_mark_no_time() {
        let mut state = state(&[2.0, 3.0, 4.0, 5.0]);
        state.note(Counts { documents: 1, tokens: 8, ..Counts::default() }, Duration::from_secs(6), LIMIT);
        assert_eq!(state.throughput(1).map(|measured| measured.seconds), Some(5.0));
        state.note(WINDOW, Duration::from_secs(7), LIMIT);
        let measured = state.throughput(1).expect("there are windows");
        assert_eq!((measured.documents, measured.tokens, measured.seconds), (5, 408, 5.0));
    }

    /// Measures a corpus of these texts for `limit`.
    fn measured(texts: &'static [&'static str], limit: Duration) -> Result<Throughput, Error> {
        let measured = in_pool(2, move || {
            let (corpus, engine) = (Corpus::of_texts(&[texts], 2), FakeEngine::new(Concurrency::WindowPerThread));
            ThroughputSample::new(&corpus.plan).measure(&scorer(&engine), limit, &Recorder::default())
        });
        measured.expect("nothing panics")
    }

    #[test]
    fn a_small_corpus_is_measured_whole() {
        let measured = measured(&["some words", "word"], Duration::from_secs(3600)).expect("there are windows");
        let Throughput { documents, windows, tokens, is_whole_corpus, speed, .. } = measured;
        assert_eq!((windows, tokens, is_whole_corpus), (4, 14, true));
        assert!(documents < 2, "the document of the last window is done after it");
        assert_eq!((speed.bytes_per_token, speed.scored_share), (1.0, 1.0));
    }

    #[test]
    fn a_measurement_without_windows_says_why() {
        let all_short = measured(&["x", ""], Duration::from_secs(3600));
        assert!(matches!(all_short, Err(Error::AllShort { min_tokens: 2 })), "{all_short:?}");
        let nothing = measured(&["some words"], Duration::ZERO);
        assert!(matches!(nothing, Err(Error::NothingInTime { seconds: 0.0, min_tokens: 2 })), "{nothing:?}");
    }
}
