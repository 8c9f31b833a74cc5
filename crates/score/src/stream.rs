//! Units on their way through the model, several at a time.
//!
//! The calling thread reads documents and hands on rows, which become sidecars; the threads of the pool tokenise and score. So
//! reading and writing hide behind the model, and a thread is idle only when no window is left, however small the units are. Where
//! the engine takes one window on all threads, or has a device of its own, the calling thread feeds it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use headwater_corpus::{Columns, Document, DocumentText, Piece, PlannedShard, UnitDocuments, read_unit};
use headwater_model::{Concurrency, WindowLosses};
use headwater_record::{Status, UnitKey};
use headwater_store::Place;
use rayon::ScopeFifo;

use crate::document::{document_score, score, window_losses};
use crate::unit::{Prepared, fill, prepare};
use crate::{Advance, Error, Scorer, SidecarFooter, SidecarRow, UnitReport, encode_sidecar};

/// Text that is read ahead of the model, in bytes; no more is read while that much is in hand, so that one document may exceed it.
const AHEAD_BYTES: usize = 4 << 20;

/// What a document counts for beside its text, so that rows without text are bounded too.
const DOCUMENT_BYTES: usize = 256;

/// A unit to score into a sidecar.
#[derive(Debug)]
pub struct UnitWork<'a> {
    /// Its shard.
    pub shard: &'a PlannedShard,
    /// The columns to read.
    pub columns: &'a Columns,
    /// What its sidecar says of itself.
    pub footer: SidecarFooter,
    /// Where its sidecar goes, relative to the run.
    pub path: String,
}

impl UnitWork<'_> {
    fn rows(&self) -> UnitRows<'_> {
        UnitRows { shard: self.shard, columns: self.columns, unit: &self.footer.unit }
    }
}

/// The documents of a unit, to score.
#[derive(Clone, Copy, Debug)]
pub struct UnitRows<'a> {
    /// Its shard.
    pub shard: &'a PlannedShard,
    /// The columns to read.
    pub columns: &'a Columns,
    /// The unit, or a part of one.
    pub unit: &'a UnitKey,
}

/// Whoever wants the units scored.
pub trait Watch: Sync {
    /// Whether the unit at `index` need not be scored after all. Asked before it is read.
    fn skips(&self, index: usize) -> bool;

    /// Whether no more need be scored: what is in hand is dropped, without a word on its units. Asked often, from any thread;
    /// once true, always true.
    fn is_over(&self) -> bool {
        false
    }

    /// Is told of a document that was tokenised, as far as its row is known without the model, from any thread.
    fn tokenised(&self, _row: &SidecarRow) {}

    /// Is told of work newly done, from any thread.
    fn advance(&self, advance: Advance);

    /// Is told what the unit at `index` came to: its rows are taken, or it failed.
    ///
    /// # Errors
    /// An error ends the scoring.
    fn unit(&self, index: usize, outcome: Result<UnitReport, Error>) -> Result<(), Error>;
}

/// Scores `units` and writes their sidecars to `run`.
///
/// # Errors
/// Those that `watch` returns.
///
/// # Determinism
/// A sidecar's bytes depend on the unit and the fingerprint alone: each window is scored alone, and a document's losses are summed
/// in the order of its windows.
pub fn score_units(scorer: &Scorer<'_>, units: &[UnitWork<'_>], run: &Place, watch: &dyn Watch) -> Result<(), Error> {
    let documents: Vec<UnitRows<'_>> = units.iter().map(UnitWork::rows).collect();
    score_rows(scorer, &documents, watch, &|index, rows| {
        let work = &units[index];
        let sidecar = encode_sidecar(&work.footer, rows)?;
        Ok(run.write(&work.path, Bytes::from(sidecar))?)
    })
}

impl<'a> From<&'a Piece<'a>> for UnitRows<'a> {
    fn from(piece: &'a Piece<'a>) -> Self {
        Self { shard: piece.shard, columns: &piece.source.columns, unit: &piece.unit }
    }
}

/// Takes the rows of the unit at an index, in the order of the shard.
pub type Sink<'a> = &'a dyn Fn(usize, &[SidecarRow]) -> Result<(), Error>;

/// Scores `units` and gives each one's rows to `sink`, on the calling thread, which is not to be the only thread of the pool.
///
/// # Errors
/// Those that `watch` returns; an error of `sink` is what its unit comes to.
pub fn score_rows(scorer: &Scorer<'_>, units: &[UnitRows<'_>], watch: &dyn Watch, sink: Sink<'_>) -> Result<(), Error> {
    let (sender, receiver) = channel();
    let stop = AtomicBool::new(false);
    let crew = Crew { scorer, units, watch, stop: &stop };
    rayon::in_place_scope_fifo(|scope| {
        // what is still queued at the end, or after a panic of `sink` or `watch`, would be scored for nothing
        let _stopper = Stopper(&stop);
        let mut stream = Stream { crew, sink, sender, next: 0, reading: None, open: BTreeMap::new(), ahead_bytes: 0 };
        stream.run(scope, &receiver)
    })
}

/// Stops the pool when the calling thread is done, or panics.
struct Stopper<'a>(&'a AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What every thread has at hand.
#[derive(Clone, Copy)]
struct Crew<'a> {
    scorer: &'a Scorer<'a>,
    units: &'a [UnitRows<'a>],
    watch: &'a dyn Watch,
    stop: &'a AtomicBool,
}

/// A document's place: its unit, and its number there.
#[derive(Clone, Copy)]
struct Slot {
    unit: usize,
    number: usize,
}

/// What the pool reports to the calling thread.
enum Message {
    /// Tokenised; sent only where the calling thread feeds the engine.
    Prepared(Slot, Prepared),
    /// Done.
    Scored(Slot, Result<SidecarRow, Error>),
    /// No more is wanted.
    Over,
    /// A thread of the pool panicked; the scope will pass the panic on.
    Panicked,
}

/// A unit of which documents are in hand.
#[derive(Default)]
struct OpenUnit {
    rows: Vec<Option<SidecarRow>>,
    /// What each document counts for.
    bytes: Vec<usize>,
    missing: usize,
    is_read: bool,
}

/// Whether there was anything to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Read,
    AtTheEnd,
}

/// The calling thread's side.
struct Stream<'a> {
    crew: Crew<'a>,
    sink: Sink<'a>,
    sender: Sender<Message>,
    /// The unit to read after the one being read.
    next: usize,
    /// The unit being read, and what is left of it.
    reading: Option<(usize, UnitDocuments)>,
    open: BTreeMap<usize, OpenUnit>,
    ahead_bytes: usize,
}

impl<'a> Stream<'a> {
    fn run(&mut self, scope: &ScopeFifo<'a>, receiver: &Receiver<Message>) -> Result<(), Error> {
        loop {
            // first what waits, so that an engine that this thread feeds does not wait until all is read ahead
            while let Ok(message) = receiver.try_recv() {
                if self.receive(message)?.is_break() {
                    return Ok(());
                }
            }
            if self.crew.watch.is_over() {
                return Ok(());
            }
            if self.ahead_bytes < AHEAD_BYTES && self.read(scope)? == Progress::Read {
                continue;
            }
            if self.open.is_empty() && self.reading.is_none() && self.next == self.crew.units.len() {
                return Ok(());
            }
            // `self` keeps a sender, so the channel is open; a message is due because documents are in hand
            let Ok(message) = receiver.recv() else { return Ok(()) };
            if self.receive(message)?.is_break() {
                return Ok(());
            }
        }
    }

    /// Reads on: opens the next unit, or takes the next document of the open one, or closes it.
    fn read(&mut self, scope: &ScopeFifo<'a>) -> Result<Progress, Error> {
        let Some((unit, documents)) = &mut self.reading else {
            if self.next == self.crew.units.len() {
                return Ok(Progress::AtTheEnd);
            }
            self.reading = self.begin(self.next)?.map(|documents| (self.next, documents));
            self.next += 1;
            return Ok(Progress::Read);
        };
        let unit = *unit;
        match documents.next() {
            Some(Ok(document)) => self.take(scope, unit, document),
            Some(Err(error)) => self.fail(unit, error.into())?,
            None => {
                self.reading = None;
                if let Some(open) = self.open.get_mut(&unit) {
                    open.is_read = true;
                }
                self.finish_if_complete(unit)?;
            }
        }
        Ok(Progress::Read)
    }

    /// Deals with a message; breaks if it says that all is over.
    fn receive(&mut self, message: Message) -> Result<ControlFlow<()>, Error> {
        match message {
            Message::Over | Message::Panicked => return Ok(ControlFlow::Break(())),
            Message::Prepared(slot, prepared) if self.open.contains_key(&slot.unit) => {
                let row = self.crew.score_here(slot, prepared);
                if self.crew.watch.is_over() {
                    // the row may be of a part of the document
                    return Ok(ControlFlow::Break(()));
                }
                self.put(slot, row)?;
            }
            Message::Prepared(..) => {}
            Message::Scored(slot, row) => self.put(slot, row)?,
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Opens the documents of a unit; `None` if it is skipped or cannot be read.
    fn begin(&mut self, unit: usize) -> Result<Option<UnitDocuments>, Error> {
        if self.crew.watch.skips(unit) {
            return Ok(None);
        }
        let work = &self.crew.units[unit];
        match read_unit(work.shard, work.columns, work.unit) {
            Ok(documents) => {
                self.open.insert(unit, OpenUnit::default());
                Ok(Some(documents))
            }
            Err(error) => self.crew.watch.unit(unit, Err(error.into())).map(|()| None),
        }
    }

    /// Gives a document to the pool.
    fn take(&mut self, scope: &ScopeFifo<'a>, unit: usize, document: Document) {
        let text = if let DocumentText::Text(text) = &document.text { text.len() } else { 0 };
        let bytes = DOCUMENT_BYTES + text;
        let Some(open) = self.open.get_mut(&unit) else { return };
        let slot = Slot { unit, number: open.rows.len() };
        open.rows.push(None);
        open.bytes.push(bytes);
        open.missing += 1;
        self.ahead_bytes += bytes;
        let crew = self.crew;
        let report = Report(self.sender.clone());
        scope.spawn_fifo(move |scope| crew.prepare(scope, &report, slot, document));
    }

    /// Puts a row in its place. Rows of a unit that failed meanwhile are dropped.
    fn put(&mut self, slot: Slot, row: Result<SidecarRow, Error>) -> Result<(), Error> {
        let Some(open) = self.open.get_mut(&slot.unit) else { return Ok(()) };
        match row {
            Ok(row) => {
                open.rows[slot.number] = Some(row);
                open.missing -= 1;
                self.ahead_bytes -= open.bytes[slot.number];
                self.finish_if_complete(slot.unit)
            }
            Err(error) => self.fail(slot.unit, error),
        }
    }

    /// Gives up on a unit: it is not read on, and what is still under way of it is dropped.
    fn fail(&mut self, unit: usize, error: Error) -> Result<(), Error> {
        self.reading.take_if(|(reading, _)| *reading == unit);
        if let Some(open) = self.open.remove(&unit) {
            let missing = open.rows.iter().zip(&open.bytes).filter(|(row, _)| row.is_none());
            self.ahead_bytes -= missing.map(|(_, bytes)| bytes).sum::<usize>();
        }
        self.crew.watch.unit(unit, Err(error))
    }

    /// Hands on the rows of a unit if all are there.
    fn finish_if_complete(&mut self, unit: usize) -> Result<(), Error> {
        if !self.open.get(&unit).is_some_and(|open| open.is_read && open.missing == 0) {
            return Ok(());
        }
        let rows: Vec<SidecarRow> = self.open.remove(&unit).into_iter().flat_map(|open| open.rows).flatten().collect();
        let taken = (self.sink)(unit, &rows).map(|()| UnitReport::of(&rows));
        self.crew.watch.unit(unit, taken)
    }
}

impl<'a> Crew<'a> {
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
    fn prepare(self, scope: &ScopeFifo<'a>, report: &Report, slot: Slot, document: Document) {
        if self.is_stopped(report) {
            return;
        }
        let row = document.row;
        let prepared = match prepare(document, self.scorer, self.units[slot.unit].columns) {
            Ok(prepared) => prepared,
            Err(error) => return report.send(Message::Scored(slot, Err(self.failed(slot, row, error)))),
        };
        self.watch.tokenised(&prepared.row);
        if prepared.row.status != Status::Scored {
            self.watch.advance(Advance { documents: 1, windows: 0, tokens: prepared.tokens.len() as u64 });
            return report.send(Message::Scored(slot, Ok(prepared.row)));
        }
        match self.scorer.model.engine().concurrency() {
            Concurrency::OneWindow => report.send(Message::Prepared(slot, prepared)),
            Concurrency::WindowPerThread => self.spread(scope, report, slot, prepared),
        }
    }

    /// Scores a document window by window on this thread.
    fn score_here(self, slot: Slot, prepared: Prepared) -> Result<SidecarRow, Error> {
        let Prepared { mut row, tokens } = prepared;
        let Scorer { model, mask, windowing, .. } = self.scorer;
        let on_window = |tokens: usize| {
            self.watch.advance(Advance::window(tokens));
            if self.watch.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let score = score(model.engine(), mask, *windowing, &tokens, &on_window);
        let score = score.map_err(|error| self.failed(slot, row.row, error))?;
        fill(&mut row, score);
        self.watch.advance(Advance { documents: 1, ..Advance::default() });
        Ok(row)
    }

    /// Gives each window of a document to the pool; whoever ends the last one sums them up.
    fn spread(self, scope: &ScopeFifo<'a>, report: &Report, slot: Slot, prepared: Prepared) {
        let windows = self.scorer.windowing.cut(&prepared.tokens).count();
        let document = Arc::new(Spread {
            prepared,
            losses: Mutex::new((0..windows).map(|_| None).collect()),
            missing: AtomicUsize::new(windows),
        });
        if windows <= 1 {
            return self.score_window(&document, 0, slot, report);
        }
        for window in 0..windows {
            let (document, report) = (Arc::clone(&document), report.clone());
            scope.spawn_fifo(move |_| self.score_window(&document, window, slot, &report));
        }
    }

    fn score_window(self, document: &Spread, window: usize, slot: Slot, report: &Report) {
        if self.is_stopped(report) {
            return;
        }
        let Scorer { model, mask, windowing, .. } = self.scorer;
        let Prepared { row, tokens } = &document.prepared;
        if let Some(window_tokens) = windowing.cut(tokens).nth(window) {
            match window_losses(model.engine(), mask, windowing.bos, window_tokens) {
                Ok(losses) => document.lock()[window] = losses,
                Err(error) => return report.send(Message::Scored(slot, Err(self.failed(slot, row.row, error)))),
            }
            self.watch.advance(Advance::window(window_tokens.len()));
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
    losses: Mutex<Vec<Option<WindowLosses>>>,
    missing: AtomicUsize,
}

impl Spread {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Option<WindowLosses>>> {
        self.losses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pool thread's line to the calling thread, which would wait for ever for what a panic has swallowed.
#[derive(Clone)]
struct Report(Sender<Message>);

impl Report {
    /// Sends; nobody listens any more once the calling thread has given up.
    fn send(&self, message: Message) {
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
