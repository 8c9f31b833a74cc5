//! Engines, tokenizers, sinks and watches that are slow, fail and panic.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar};
use std::time::Duration;

use headwater_model::Concurrency;
use headwater_record::{Part, ScoreOf, Status};

use super::*;
use crate::batches::{ToScore, score_together};
use crate::fake::{
    ByteTokens, Corpus, FakeEngine, NO_TOKENS, OnFailure, PANICS, Recorder, Rows as Taken, in_pool, model_error,
    scorer, teacher,
};
use crate::{Tokenise, UnitReport, divide};

/// Threads of the pool beside the calling one.
const THREADS: [usize; 3] = [1, 2, 8];

const ALONE: Concurrency = Concurrency::Batch { tokens: 1 };

const ALL: [Concurrency; 3] = [ALONE, Concurrency::Batch { tokens: 12 }, Concurrency::WindowPerThread];

fn everywhere(test: impl Fn(Concurrency, usize)) {
    for concurrency in ALL {
        THREADS.into_iter().for_each(|threads| test(concurrency, threads));
    }
}

/// Documents of many lengths, some without text or too short.
fn mixed_texts(rows: usize) -> Vec<Option<String>> {
    let text = |row: usize| match row % 7 {
        3 => None,
        5 => Some("x".to_owned()),
        _ => Some((b'a'..=b'z').cycle().skip(row).take(row * 5 % 31 + 2).map(char::from).collect()),
    };
    (0..rows).map(text).collect()
}

/// A document of `windows` windows.
fn long(windows: usize) -> String {
    "word".repeat(windows)
}

/// What the rows of a text must be.
fn expected(engine: &FakeEngine, text: Option<&str>) -> (Status, Option<f32>, Option<f32>) {
    let Some(text) = text else { return (Status::NullText, None, None) };
    let tokens = ByteTokens.encode(text).expect("bytes are tokens");
    let scorer = scorer(engine);
    if tokens.len() < scorer.min_tokens {
        return (Status::Short, None, None);
    }
    let document = ToScore { tokens: &tokens, draw: 0 };
    let scores =
        score_together(&teacher(engine), scorer.windowing, &[document], &|_| ControlFlow::Continue(())).ok().flatten();
    let score = scores.and_then(|mut scores| scores.pop()).flatten().expect("there are targets");
    #[expect(clippy::cast_possible_truncation, reason = "as sidecars hold it")]
    let rounded = (Some(score.loss_base as f32), Some(score.influence as f32));
    (Status::Scored, rounded.0, rounded.1)
}

/// Waits for a moment that differs from window to window, so that windows end in another order than they begin.
fn dawdle(window: &[u32]) {
    let millis = u64::from(window.iter().sum::<u32>() % 4);
    std::thread::sleep(Duration::from_millis(millis));
}

#[test]
fn rows_are_complete_and_in_order_for_any_number_of_threads() {
    let shards = [mixed_texts(40), mixed_texts(1), mixed_texts(23)];
    let plain = FakeEngine::new(ALONE);
    let want = shards.clone().map(|texts| {
        let rows: Vec<_> = texts.iter().map(|text| expected(&plain, text.as_deref())).collect();
        rows
    });
    everywhere(|concurrency, threads| {
        let shards = shards.clone();
        let units = in_pool(threads, move || {
            let corpus = Corpus::new(&shards, 5);
            let engine = FakeEngine::new(concurrency).with(|window| {
                dawdle(window);
                Ok(())
            });
            let (watch, taken) = (Recorder::default(), Taken::default());
            score_rows(&scorer(&engine), &corpus.units(), &watch, &|unit, rows| {
                taken.put(unit, rows);
                Ok(())
            })
            .expect("nothing fails");
            assert_eq!(watch.documents.load(Ordering::SeqCst), 64);
            assert_eq!(watch.tokenised.load(Ordering::SeqCst), 64);
            let windows = engine.windows().len() as u64 + windows_without_target(&shards);
            assert_eq!(watch.windows.load(Ordering::SeqCst), windows);
            let taken = taken.into_inner();
            let shard_of: Vec<&str> = corpus.units().iter().map(|unit| unit.shard.path.as_str()).collect();
            assert_eq!(taken.len(), shard_of.len(), "every unit comes");
            assert_eq!(watch.scored(), Vec::from_iter(0..shard_of.len()));
            taken.into_iter().map(|(unit, rows)| (shard_of[unit].to_owned(), rows)).collect::<Vec<_>>()
        })
        .expect("nothing panics");
        for (number, want) in want.iter().enumerate() {
            let path = format!("{number:03}.parquet");
            let rows: Vec<_> = units.iter().filter(|(shard, _)| *shard == path).flat_map(|(_, rows)| rows).collect();
            assert_eq!(rows.len(), want.len());
            for (at, (row, want)) in rows.into_iter().zip(want).enumerate() {
                assert_eq!((row.row, row.id.clone()), (at as u64, Some(format!("d{at}"))));
                assert_eq!((row.status, row.loss_base, row.influence), *want, "row {at} on {threads} threads");
            }
        }
    });
}

/// A row that nobody would score so.
fn known_row(row: u64) -> SidecarRow {
    let influence = u16::try_from(row).map(f32::from).ok();
    SidecarRow { influence, ..SidecarRow::new(row, "known".to_owned(), ScoreOf::Student) }
}

fn known(rows: &[u64]) -> Option<BTreeMap<u64, SidecarRow>> {
    Some(rows.iter().map(|row| (*row, known_row(*row))).collect())
}

#[test]
fn rows_that_are_known_are_taken_as_they_are_and_the_others_are_scored() {
    let shard = mixed_texts(15);
    everywhere(|concurrency, threads| {
        let shard = shard.clone();
        let ended = in_pool(threads, move || {
            let corpus = Corpus::new(&[shard], 5);
            let engine = FakeEngine::new(concurrency);
            // of the second unit all rows are known, of the third one two, and those of the first cannot be read
            let of_units = [(0, None), (1, known(&[5, 6, 7, 8, 9])), (2, known(&[10, 12]))];
            let watch = Recorder { on_failure: OnFailure::PassOver, known: of_units.into(), ..Recorder::default() };
            let taken = Taken::default();
            let scored = score_rows(&scorer(&engine), &corpus.units(), &watch, &|unit, rows| {
                taken.put(unit, rows);
                Ok(())
            });
            scored.expect("nothing ends it");
            assert_eq!(watch.scored(), [1, 2]);
            assert_eq!(watch.documents.load(Ordering::SeqCst), 10);
            assert_eq!(watch.tokenised.load(Ordering::SeqCst), 3, "what is known is not tokenised");
            let rows: Vec<SidecarRow> = taken.into_inner().into_values().flatten().collect();
            assert_eq!(rows.iter().map(|row| row.row).collect::<Vec<_>>(), Vec::from_iter(5..15));
            for row in rows {
                match row.row {
                    11 | 13 | 14 => assert_eq!(row.by, ScoreOf::Teacher),
                    number => assert_eq!(row, known_row(number)),
                }
            }
        });
        ended.expect("nothing panics");
    });
}

/// Windows of one token, which the engine never sees.
fn windows_without_target(shards: &[Vec<Option<String>>]) -> u64 {
    let texts = shards.iter().flatten().flatten().filter(|text| text.len() > 1);
    texts.filter(|text| text.len() % 4 == 1).count() as u64
}

/// Holds engines up until it is opened.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let open = self.is_open.lock().expect("nothing panics here");
        drop(self.opened.wait_while(open, |is_open| !*is_open).expect("nothing panics here"));
    }

    fn open(&self) {
        *self.is_open.lock().expect("nothing panics here") = true;
        self.opened.notify_all();
    }
}

#[test]
fn text_is_not_read_ahead_without_bound() {
    const TEXT_BYTES: usize = 128 << 10;
    const DOCUMENTS: usize = 100;
    // a unit of one document is three readings: it is opened, read and ended
    const MOST_READS: usize = 3 * (AHEAD_BYTES / (TEXT_BYTES + DOCUMENT_BYTES) + 1);
    everywhere(|concurrency, threads| {
        // an engine that the calling thread feeds holds it up
        let least = if concurrency != Concurrency::WindowPerThread { 1 } else { MOST_READS - 2 };
        let read = in_pool(threads, move || {
            let gate = Arc::new(Gate::default());
            let held = Arc::clone(&gate);
            let corpus = Corpus::new(&[vec![Some("w".repeat(TEXT_BYTES)); DOCUMENTS]], 1);
            let engine = FakeEngine::new(concurrency).with(move |_| {
                held.pass();
                Ok(())
            });
            let mut scorer = scorer(&engine);
            scorer.windowing.window_tokens = TEXT_BYTES;
            let watch = Recorder::default();
            let reads = std::thread::scope(|scope| {
                let opener = scope.spawn(|| {
                    while watch.reads.load(Ordering::SeqCst) < least {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    // a moment in which nothing more is to be read
                    std::thread::sleep(Duration::from_millis(200));
                    let reads = watch.reads.load(Ordering::SeqCst);
                    gate.open();
                    reads
                });
                score_rows(&scorer, &corpus.units(), &watch, &|_, _| Ok(())).expect("nothing fails");
                opener.join().expect("it does not panic")
            });
            assert_eq!(watch.scored().len(), DOCUMENTS);
            reads
        })
        .expect("nothing panics");
        assert!(read <= MOST_READS, "{read} readings, at most {MOST_READS}");
    });
}

/// What an engine does at a certain window.
type Reaction = fn() -> Result<(), headwater_model::Error>;

/// Reacts to the window that holds `text`.
fn at(text: &'static str, react: Reaction) -> impl Fn(&[u32]) -> Result<(), headwater_model::Error> {
    move |window| {
        dawdle(window);
        if window.iter().copied().eq(text.bytes().map(u32::from)) { react() } else { Ok(()) }
    }
}

/// Three units of three rows; row 4 is `bad`.
fn one_bad(bad: &str) -> Corpus {
    let texts = ["good", "word", "four", "more", bad, "text", "then", "some", "last"];
    Corpus::of_texts(&[&texts], 3)
}

#[test]
fn an_error_of_a_document_names_its_shard_and_row() {
    let fails: Reaction = || Err(model_error());
    for bad in ["failfailfailfail", "wordfail", NO_TOKENS] {
        everywhere(|concurrency, threads| {
            let ended = in_pool(threads, move || {
                let (corpus, engine) = (one_bad(bad), FakeEngine::new(concurrency).with(at("fail", fails)));
                score_rows(&scorer(&engine), &corpus.units(), &Recorder::default(), &|_, _| Ok(()))
            });
            let named = matches!(&ended, Ok(Err(Error::Document { shard, row: 4, .. })) if shard == "000.parquet");
            assert!(named, "{ended:?}");
        });
    }
}

#[test]
fn other_units_are_scored_when_the_watch_passes_over_an_error() {
    let fails: Reaction = || Err(model_error());
    for bad in ["failfailfailfail", "failword", NO_TOKENS] {
        everywhere(|concurrency, threads| {
            in_pool(threads, move || {
                let (corpus, engine) = (one_bad(bad), FakeEngine::new(concurrency).with(at("fail", fails)));
                let (watch, taken) =
                    (Recorder { on_failure: OnFailure::PassOver, ..Recorder::default() }, Taken::default());
                let scored = score_rows(&scorer(&engine), &corpus.units(), &watch, &|unit, rows| {
                    taken.put(unit, rows);
                    Ok(())
                });
                scored.expect("the error is passed over");
                assert_eq!(taken.into_inner().keys().copied().collect::<Vec<_>>(), [0, 2]);
                let outcomes = watch.outcomes();
                assert_eq!(outcomes.len(), 3, "each unit is told of once: {outcomes:?}");
                assert_eq!(outcomes[1].1, Err("cannot score row 4 of 000.parquet".to_owned()));
            })
            .expect("nothing panics");
        });
    }
}

#[test]
fn what_is_queued_is_not_scored_after_an_error() {
    const DOCUMENTS: usize = 200;
    let done = in_pool(1, || {
        let texts = std::iter::once("fail").chain(std::iter::repeat_n("word", DOCUMENTS));
        let corpus = Corpus::of_texts(&[&texts.collect::<Vec<_>>()], DOCUMENTS + 1);
        let engine = FakeEngine::new(Concurrency::WindowPerThread).with(|window| {
            // long enough that all the others are queued meanwhile
            let millis = if window[0] == u32::from(b'f') { 50 } else { 5 };
            std::thread::sleep(Duration::from_millis(millis));
            if millis == 50 { Err(model_error()) } else { Ok(()) }
        });
        let ended = score_rows(&scorer(&engine), &corpus.units(), &Recorder::default(), &|_, _| Ok(()));
        assert!(matches!(ended, Err(Error::Document { row: 0, .. })), "{ended:?}");
        engine.windows().len()
    })
    .expect("nothing panics");
    assert!(done < DOCUMENTS / 2, "{done} windows of {DOCUMENTS}");
}

#[test]
fn the_rest_of_a_unit_that_failed_is_not_read() {
    const TEXT_BYTES: usize = 1 << 20;
    const DOCUMENTS: usize = 20;
    everywhere(|concurrency, threads| {
        let reads = in_pool(threads, move || {
            let corpus = Corpus::new(&[vec![Some("w".repeat(TEXT_BYTES)); DOCUMENTS]], DOCUMENTS);
            let engine = FakeEngine::new(concurrency).with(|_| Err(model_error()));
            let mut scorer = scorer(&engine);
            scorer.windowing.window_tokens = TEXT_BYTES;
            let watch = Recorder { on_failure: OnFailure::PassOver, ..Recorder::default() };
            score_rows(&scorer, &corpus.units(), &watch, &|_, _| Ok(())).expect("the error is passed over");
            assert_eq!(watch.outcomes().len(), 1);
            watch.reads.into_inner()
        })
        .expect("nothing panics");
        // the unit is opened, and no more is read than may be ahead of the first document
        assert!(reads <= 2 + AHEAD_BYTES / TEXT_BYTES, "{reads} readings");
    });
}

#[test]
fn a_panic_of_the_engine_or_the_tokenizer_is_passed_on() {
    let panics: Reaction = || panic!("the engine panics");
    for (bad, message) in
        [("pani", "the engine panics"), ("wordpaniword", "the engine panics"), (PANICS, "the tokenizer panics")]
    {
        everywhere(|concurrency, threads| {
            let ended = in_pool(threads, move || {
                let (corpus, engine) = (one_bad(bad), FakeEngine::new(concurrency).with(at("pani", panics)));
                drop(score_rows(&scorer(&engine), &corpus.units(), &Recorder::default(), &|_, _| Ok(())));
            });
            assert_eq!(ended, Err(message.to_owned()));
        });
    }
}

/// A watch that panics when it is told of a unit.
struct Panics;

impl Watch for Panics {
    fn skips(&self, _index: usize) -> bool {
        false
    }

    fn advance(&self, _advance: crate::Advance) {}

    fn unit(&self, _index: usize, _outcome: Result<UnitReport, Error>) -> Result<(), Error> {
        panic!("the watch panics")
    }
}

#[test]
fn a_panic_of_the_watch_is_passed_on() {
    everywhere(|concurrency, threads| {
        let ended = in_pool(threads, move || {
            let (corpus, engine) = (one_bad("fine"), FakeEngine::new(concurrency));
            drop(score_rows(&scorer(&engine), &corpus.units(), &Panics, &|_, _| Ok(())));
        });
        assert_eq!(ended, Err("the watch panics".to_owned()));
    });
}

#[test]
fn an_error_of_a_sink_is_what_its_unit_comes_to() {
    everywhere(|concurrency, threads| {
        in_pool(threads, move || {
            let (corpus, engine) = (one_bad("fine"), FakeEngine::new(concurrency));
            let refuse = |unit, _: &[SidecarRow]| if unit == 1 { Err(Error::OnlyThread) } else { Ok(()) };
            let watch = Recorder { on_failure: OnFailure::PassOver, ..Recorder::default() };
            score_rows(&scorer(&engine), &corpus.units(), &watch, &refuse).expect("the error is passed over");
            assert_eq!(watch.scored(), [0, 2]);
            let ended = score_rows(&scorer(&engine), &corpus.units(), &Recorder::default(), &refuse);
            assert!(matches!(ended, Err(Error::OnlyThread)), "{ended:?}");
        })
        .expect("nothing panics");
    });
}

#[test]
fn a_panic_of_sinks_is_passed_on() {
    for bad_unit in [Some(1), None] {
        everywhere(|concurrency, threads| {
            let ended = in_pool(threads, move || {
                let corpus = Corpus::new(&[mixed_texts(60)], 1);
                let engine = FakeEngine::new(concurrency);
                let panics = |unit, _: &[SidecarRow]| {
                    assert!(bad_unit.is_some_and(|bad| bad != unit), "the sink panics");
                    Ok(())
                };
                drop(score_rows(&scorer(&engine), &corpus.units(), &Recorder::default(), &panics));
            });
            // the scope of the writers does not keep the message
            assert_eq!(ended, Err("a scoped thread panicked".to_owned()));
        });
    }
}

#[test]
fn scoring_stops_soon_once_it_is_over() {
    const MOST: u32 = 20;
    everywhere(|concurrency, threads| {
        in_pool(threads, move || {
            let corpus = Corpus::new(&[vec![Some(long(100)); 50]], 10);
            let engine = FakeEngine::new(concurrency).with(|_| {
                std::thread::sleep(Duration::from_millis(1));
                Ok(())
            });
            let (watch, taken) =
                (Recorder { most_windows: Some(MOST.into()), ..Recorder::default() }, Taken::default());
            let ended = score_rows(&scorer(&engine), &corpus.units(), &watch, &|unit, rows| {
                taken.put(unit, rows);
                Ok(())
            });
            ended.expect("to be over is no error");
            let done = engine.windows().len();
            // every thread may have a window in hand, or the calling thread a batch
            let most = MOST as usize + (threads + 1).max(3);
            assert!(done <= most, "{done} windows on {threads} threads");
            assert!(taken.into_inner().is_empty() && watch.outcomes().is_empty(), "what is in hand is dropped");
        })
        .expect("nothing panics");
    });
}

#[test]
fn nothing_is_read_if_all_is_over_before_it_begins() {
    everywhere(|concurrency, threads| {
        in_pool(threads, move || {
            let (corpus, engine, watch) = (one_bad("fine"), FakeEngine::new(concurrency), Recorder::default());
            watch.is_over.store(true, Ordering::SeqCst);
            score_rows(&scorer(&engine), &corpus.units(), &watch, &|_, _| Ok(())).expect("to be over is no error");
            assert_eq!((watch.reads.into_inner(), engine.windows().len()), (0, 0));
        })
        .expect("nothing panics");
    });
}

#[test]
fn units_that_the_watch_skips_are_not_read() {
    everywhere(|concurrency, threads| {
        in_pool(threads, move || {
            let (corpus, engine) = (one_bad("fine"), FakeEngine::new(concurrency));
            let watch = Recorder { skipped: vec![0, 1], ..Recorder::default() };
            score_rows(&scorer(&engine), &corpus.units(), &watch, &|_, _| Ok(())).expect("nothing fails");
            assert_eq!((watch.scored(), watch.documents.into_inner()), (vec![2], 3));
        })
        .expect("nothing panics");
    });
}

#[test]
fn a_shard_that_changed_since_it_was_planned_fails_each_of_its_units() {
    everywhere(|concurrency, threads| {
        in_pool(threads, move || {
            let corpus = Corpus::of_texts(&[&["good", "word"], &["four", "more"]], 1);
            let other = corpus.stores.open("memory://corpus").expect("a name is given");
            let bytes = other.read("001.parquet").expect("it is there");
            other.write("000.parquet", bytes).expect("memory takes it");
            let engine = FakeEngine::new(concurrency);
            let watch = Recorder { on_failure: OnFailure::PassOver, ..Recorder::default() };
            score_rows(&scorer(&engine), &corpus.units(), &watch, &|_, _| Ok(())).expect("errors are passed over");
            assert_eq!(watch.scored(), [2, 3]);
            assert_eq!(watch.outcomes().len(), 4);
        })
        .expect("nothing panics");
    });
}

#[test]
fn a_pool_of_the_calling_thread_alone_is_refused() {
    let ended = in_pool(0, || {
        let (corpus, engine) = (one_bad("fine"), FakeEngine::new(Concurrency::WindowPerThread));
        score_rows(&scorer(&engine), &corpus.units(), &Recorder::default(), &|_, _| Ok(()))
    });
    assert!(matches!(ended, Ok(Err(Error::OnlyThread))), "{ended:?}");
}

#[test]
fn sidecars_have_the_same_bytes_however_they_are_scored() {
    let shards = [mixed_texts(40), mixed_texts(23)];
    let sidecars = |concurrency, threads, at_once: usize| {
        let shards = shards.clone();
        let sidecars = in_pool(threads, move || -> Result<_, Error> {
            let (corpus, engine) = (Corpus::new(&shards, 5), FakeEngine::new(concurrency));
            let scorer = scorer(&engine);
            let run = corpus.run_file(&scorer);
            let pending = divide(&corpus.plan, &run, Part::WHOLE, &corpus.folder)?.pending;
            for units in pending.chunks(at_once) {
                score_units(&scorer, units, &corpus.folder, &Recorder::default())?;
            }
            let place = corpus.folder.place();
            let bytes = place.list("")?.into_iter().map(|entry| Ok((entry.path.clone(), place.read(&entry.path)?)));
            bytes.collect::<Result<Vec<_>, Error>>()
        });
        sidecars.expect("nothing panics").expect("nothing fails")
    };
    let want = sidecars(ALONE, 1, usize::MAX);
    assert_eq!(want.len(), 13);
    everywhere(|concurrency, threads| {
        for at_once in [1, 3, usize::MAX] {
            assert!(sidecars(concurrency, threads, at_once) == want, "{concurrency:?}, {threads}, {at_once}");
        }
    });
}
