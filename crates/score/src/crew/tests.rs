//! What the threads of the pool and the writers report.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{channel, sync_channel};
use std::time::Duration;

use headwater_corpus::DocumentText;

use super::*;
use crate::fake::{Corpus, FakeEngine, NO_TOKENS, PANICS, Recorder, model_error, scorer};

/// Whether the calling thread has stopped the pool.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pool {
    Runs,
    IsStopped,
}

/// What a crew of `engine` reports of documents with these texts, and whether a thread panicked.
fn reported(engine: &FakeEngine, watch: &Recorder, pool: Pool, texts: &[&str]) -> (Vec<Message>, bool) {
    let corpus = Corpus::of_texts(&[texts], texts.len());
    let (scorer, units, stop) = (scorer(engine), corpus.units(), AtomicBool::new(pool == Pool::IsStopped));
    let (sender, receiver) = channel();
    let crew = Crew { scorer: &scorer, units: &units, watch, stop: &stop };
    let ended = catch_unwind(AssertUnwindSafe(|| {
        rayon::in_place_scope_fifo(|scope| {
            for (number, text) in texts.iter().enumerate() {
                let text = DocumentText::Text((*text).into());
                let document = Document { row: number as u64, id: None, domain: None, text };
                let report = Report(sender.clone());
                scope.spawn_fifo(move |scope| crew.prepare(scope, &report, Slot { unit: 0, number }, document));
            }
        });
    }));
    drop(sender);
    (receiver.iter().collect(), ended.is_err())
}

#[test]
fn documents_come_prepared_where_the_calling_thread_feeds_the_engine() {
    let engine = FakeEngine::new(Concurrency::Batch { tokens: 1 });
    let (messages, _) = reported(&engine, &Recorder::default(), Pool::Runs, &["some words", "x"]);
    assert_eq!(messages.len(), 2);
    for message in messages {
        match message {
            Message::Prepared(slot, prepared) => assert_eq!((slot.number, prepared.tokens.len()), (0, 10)),
            Message::Scored(slot, row) => {
                assert_eq!((slot.number, row.map(|row| row.status).ok()), (1, Some(Status::Short)));
            }
            _ => panic!("documents are all there is"),
        }
    }
    assert_eq!(engine.windows().len(), 0);
}

#[test]
fn the_windows_of_a_document_are_summed_in_their_order() {
    // enough targets for a standard error, the one number that depends on their order
    let letters = (0..200_u32).map(|at| char::from_u32(u32::from('a') + (at * at + at / 7) % 26).unwrap_or('a'));
    let text: String = "THE ".chars().chain(letters).collect();
    let early = FakeEngine::new(Concurrency::WindowPerThread);
    let late = FakeEngine::new(Concurrency::WindowPerThread).with(|window| {
        if window[0] == u32::from(b'T') {
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    });
    let rows = [early, late].map(|engine| {
        let watch = Recorder::default();
        let (mut messages, _) = reported(&engine, &watch, Pool::Runs, &[&text]);
        assert_eq!((messages.len(), watch.documents.into_inner(), watch.windows.into_inner()), (1, 1, 51));
        match messages.pop() {
            Some(Message::Scored(_, Ok(row))) => row,
            _ => panic!("the document is scored"),
        }
    });
    assert_eq!(rows[0], rows[1]);
    assert_eq!((rows[0].status, rows[0].scored_tokens), (Status::Scored, 153));
    assert!(rows[0].influence_stderr.is_some());
}

#[test]
fn a_document_of_which_a_window_fails_is_not_scored() {
    let engine = FakeEngine::new(Concurrency::WindowPerThread)
        .with(|window| if window[0] == u32::from(b'f') { Err(model_error()) } else { Ok(()) });
    for text in ["wordfailword", "fail", NO_TOKENS] {
        let (messages, _) = reported(&engine, &Recorder::default(), Pool::Runs, &[text]);
        assert_eq!(messages.len(), 1);
        assert!(matches!(&messages[0], Message::Scored(_, Err(Error::Document { row: 0, .. }))));
    }
}

#[test]
fn a_pool_that_is_stopped_does_nothing() {
    let engine = FakeEngine::new(Concurrency::WindowPerThread);
    let watch = Recorder::default();
    let (messages, _) = reported(&engine, &watch, Pool::IsStopped, &["some words", "more words"]);
    assert_eq!((messages.len(), watch.tokenised.into_inner(), engine.windows().len()), (0, 0, 0));
}

#[test]
fn the_calling_thread_is_told_that_all_is_over() {
    let engine = FakeEngine::new(Concurrency::WindowPerThread);
    let watch = Recorder { is_over: AtomicBool::new(true), ..Recorder::default() };
    let (messages, _) = reported(&engine, &watch, Pool::Runs, &["some words", "more words"]);
    assert!(messages.iter().all(|message| matches!(message, Message::Over)));
    assert_eq!((messages.len(), watch.tokenised.into_inner(), engine.windows().len()), (2, 0, 0));
}

#[test]
fn the_calling_thread_is_told_of_a_panic() {
    let engine = FakeEngine::new(Concurrency::WindowPerThread).with(|_| panic!("the engine panics"));
    for text in ["word", "some words", PANICS] {
        let (messages, panicked) = reported(&engine, &Recorder::default(), Pool::Runs, &[text]);
        assert!(panicked && messages.iter().any(|message| matches!(message, Message::Panicked)));
    }
}

/// What writers report of two units, and whether they panicked.
fn written(sink: Sink<'_>) -> (Vec<Message>, bool) {
    let corpus = Corpus::of_texts(&[&["some", "word"]], 1);
    let engine = FakeEngine::new(Concurrency::Batch { tokens: 1 });
    let (scorer, units, watch, stop) = (scorer(&engine), corpus.units(), Recorder::default(), AtomicBool::new(false));
    let crew = Crew { scorer: &scorer, units: &units, watch: &watch, stop: &stop };
    let ((sender, receiver), (writer, rows)) = (channel(), sync_channel(2));
    (0..2).for_each(|unit| writer.send((unit, Vec::new())).expect("there is room"));
    drop(writer);
    let rows = Mutex::new(rows);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let report = Report(sender);
        crew.write(&rows, sink, &report);
    }));
    (receiver.iter().collect(), ended.is_err())
}

#[test]
fn writers_report_what_a_unit_comes_to_until_no_more_come() {
    let (messages, panicked) = written(&|unit, _| if unit == 0 { Err(Error::OnlyThread) } else { Ok(()) });
    assert!(matches!(messages[..], [Message::Written(0, Err(Error::OnlyThread)), Message::Written(1, Ok(_))]));
    assert!(!panicked);
    let (messages, panicked) = written(&|_, _| panic!("the sink panics"));
    assert!(panicked && matches!(messages[..], [Message::Panicked]));
}
