//! What the threads of the pool do with documents, and the writers with rows.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use headwater_corpus::{Document, UnitDocuments};
use headwater_model::Concurrency;
use headwater_record::Status;
use headwater_run::SidecarRow;
use rayon::ScopeFifo;

use crate::batches::{ToScore, Together, score_together};
use crate::document::{ScoredWindow, document_score, window_losses};
use crate::scorer::{By, Teacher};
use crate::unit::{Prepared, fill, prepare};
use crate::watch::{Phase, Sink, UnitRows, Watch};
use crate::{Advance, Error, Scorer, UnitReport};

/// Stops the pool when the calling thread is done, or panics.
pub(crate) struct Stopper<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What every thread has at hand.
#[derive(Clone, Copy)]
pub(crate) struct Crew<'a> {
    pub(crate) scorer: &'a Scorer<'a>,
    pub(crate) units: &'a [UnitRows<'a>],
    pub(crate) watch: &'a dyn Watch,
    pub(crate) stop: &'a AtomicBool,
}

/// A document's place: its unit, and its number there.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) unit: usize,
    pub(crate) number: usize,
}

/// The rows of the unit at an index.
pub(crate) type Rows = (usize, Vec<SidecarRow>);

/// What the pool reports to the calling thread.
pub(crate) enum Message {
    /// Tokenised; sent only where the calling thread feeds the engine.
    Prepared(Slot, Prepared),
    /// Done.
    Scored(Slot, Result<SidecarRow, Error>),
    /// A unit's rows are taken, or could not be.
    Written(usize, Result<UnitReport, Error>),
    /// No more is wanted.
    Over,
    /// A thread panicked; the scope will pass the panic on.
    Panicked,
}

impl<'a> Crew<'a> {
    /// Takes documents on from the unit at `before` to that at `unit`, if they belong together.
    pub(crate) fn go_on(self, before: usize, unit: usize, mut documents: UnitDocuments) -> Option<UnitDocuments> {
        let (before, after) = (self.units[before], self.units[unit]);
        let is_same = std::ptr::eq(before.shard, after.shard) && before.columns == after.columns;
        (is_same && documents.advance_to(after.unit)).then_some(documents)
    }

    /// Gives rows to `sink` until no more come.
    pub(crate) fn write(self, rows: &Mutex<Receiver<Rows>>, sink: Sink<'_>, report: &Report) {
        loop {
            let next = rows.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((unit, rows)) = next else { return };
            let name = self.units[unit].unit;
            let _span = tracing::debug_span!("unit", %name, rows = rows.len()).entered();
            let began = Instant::now();
            let taken = sink(unit, &rows).map(|()| UnitReport::of(&rows));
            self.watch.spent(Phase::Write, began.elapsed());
            tracing::debug!(is_written = taken.is_ok(), "scored");
            report.send(Message::Written(unit, taken));
        }
    }

    /// Whether nothing is to be scored any more; if the calling thread does not know yet, it is told.
    fn is_stopped(self, report: &Report) -> bool {
        if self.stop.load(Ordering::Relaxed) {
            return true;
        }
        let is_over = self.watch.is_over();
        if is_over {
            report.send(Message::Over);
        }
        is_over
    }

    /// Tokenises a document and sends it on its way.
    pub(crate) fn prepare(self, scope: &ScopeFifo<'a>, report: &Report, slot: Slot, document: Document) {
        if self.is_stopped(report) {
            return;
        }
        let row = document.row;
        let began = Instant::now();
        let UnitRows { shard, columns, .. } = self.units[slot.unit];
        let prepared = prepare(document, self.scorer, (&shard.path, columns));
        self.watch.spent(Phase::Tokenise, began.elapsed());
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return report.send(Message::Scored(slot, Err(self.failed(slot, row, error)))),
        };
        self.watch.tokenised(&prepared.row);
        if prepared.row.status != Status::Scored {
            self.watch.advance(Advance { documents: 1, windows: 0, tokens: prepared.tokens.len() as u64 });
            return report.send(Message::Scored(slot, Ok(prepared.row)));
        }
        match &self.scorer.by {
            By::Student(_) => {
                let windows = self.scorer.windowing.cut(&prepared.tokens, prepared.draw).count() as u64;
                self.watch.advance(Advance { documents: 1, windows, tokens: prepared.tokens.len() as u64 });
                report.send(Message::Scored(slot, Ok(prepared.row)));
            }
            By::Teacher(teacher) => match teacher.engine.concurrency() {
                Concurrency::Batch { .. } => report.send(Message::Prepared(slot, prepared)),
                Concurrency::WindowPerThread => self.spread(scope, report, slot, (teacher, prepared)),
            },
        }
    }

    /// Scores a group of documents of `unit` on this thread, batch by batch, until the watch says that all is over: then no rows come.
    pub(crate) fn score_here(self, unit: usize, group: Together) -> Vec<(Slot, Result<SidecarRow, Error>)> {
        let on_window = |tokens: usize| {
            self.watch.advance(Advance::window(tokens));
            if self.watch.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        // a student's documents are scored where they are prepared
        let By::Teacher(teacher) = &self.scorer.by else { return Vec::new() };
        let documents: Vec<ToScore<'_>> = group.iter().map(|(_, prepared)| prepared.into()).collect();
        let began = Instant::now();
        let scores = score_together(teacher, self.scorer.windowing, &documents, &on_window);
        self.watch.spent(Phase::Forward, began.elapsed());
        let slot = |number| Slot { unit, number };
        let scores = match scores {
            Ok(scores) => scores.unwrap_or_default(),
            Err((document, error)) => {
                let (number, Prepared { row, .. }) = &group[document];
                return vec![(slot(*number), Err(self.failed(slot(*number), row.row, error)))];
            }
        };
        let filled = group.into_iter().zip(scores).map(|((number, Prepared { mut row, .. }), score)| {
            fill(&mut row, score);
            self.watch.advance(Advance { documents: 1, ..Advance::default() });
            (slot(number), Ok(row))
        });
        filled.collect()
    }

    /// Gives each window of a document to the pool; the thread that ends the last one sums them up.
    fn spread(
        self,
        scope: &ScopeFifo<'a>,
        report: &Report,
        slot: Slot,
        (teacher, prepared): (&'a Teacher<'a>, Prepared),
    ) {
        let windows = self.scorer.windowing.cut(&prepared.tokens, prepared.draw).count();
        let document = Arc::new(Spread {
            prepared,
            windows: Mutex::new((0..windows).map(|_| None).collect()),
            missing: AtomicUsize::new(windows),
        });
        if windows <= 1 {
            return self.score_window(teacher, (&document, 0), slot, report);
        }
        for window in 0..windows {
            let (document, report) = (Arc::clone(&document), report.clone());
            scope.spawn_fifo(move |_| self.score_window(teacher, (&document, window), slot, &report));
        }
    }

    fn score_window(self, teacher: &Teacher<'_>, (document, window): (&Spread, usize), slot: Slot, report: &Report) {
        if self.is_stopped(report) {
            return;
        }
        let windowing = self.scorer.windowing;
        let Prepared { row, tokens, draw } = &document.prepared;
        if let Some(of_window) = windowing.cut(tokens, *draw).nth(window) {
            let began = Instant::now();
            let scored = window_losses(teacher.engine, &teacher.mask, windowing.leading, of_window);
            self.watch.spent(Phase::Forward, began.elapsed());
            match scored {
                Ok(scored) => document.lock()[window] = scored,
                Err(error) => return report.send(Message::Scored(slot, Err(self.failed(slot, row.row, error)))),
            }
            self.watch.advance(Advance::window(of_window.tokens.len()));
        }
        // the last one sees what all others stored, through the lock
        if document.missing.fetch_sub(1, Ordering::AcqRel) <= 1 {
            let mut row = row.clone();
            fill(&mut row, document_score(document.lock().iter().flatten()));
            self.watch.advance(Advance { documents: 1, ..Advance::default() });
            report.send(Message::Scored(slot, Ok(row)));
        }
    }

    fn failed(self, slot: Slot, row: u64, source: headwater_model::Error) -> Error {
        Error::Document { shard: self.units[slot.unit].shard.path.clone(), row, source: Box::new(source) }
    }
}

/// A document whose windows are scored apart.
struct Spread {
    prepared: Prepared,
    /// Of each window, in order.
    windows: Mutex<Vec<Option<ScoredWindow>>>,
    missing: AtomicUsize,
}

impl Spread {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Option<ScoredWindow>>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread's line to the calling thread, which would wait for ever for what a panic has swallowed.
#[derive(Clone)]
pub(crate) struct Report(pub(crate) Sender<Message>);

impl Report {
    /// Sends; nobody listens any more once the calling thread has given up.
    pub(crate) fn send(&self, message: Message) {
        drop(self.0.send(message));
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.send(Message::Panicked);
        }
    }
}

#[cfg(test)]
mod tests;
