//! Units on their way through the model, several at a time.
//!
//! The calling thread reads documents, the threads of the pool tokenise and score, and a few more write sidecars. The first bytes of
//! the next units are fetched while one is read. So reading and writing hide behind the model, and a thread is idle only when no
//! window is left, however small the units are and however far the store. Where the engine takes batches, on all threads or a device of
//! its own, the calling thread feeds it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use headwater_corpus::{Document, DocumentText, UnitDocuments, UnitStart};
use headwater_run::{RunFolder, SidecarRow, sidecar};
use rayon::ScopeFifo;

use crate::batches::{Groups, Together};
use crate::crew::{Crew, Message, Report, Rows, Slot, Stopper};
use crate::unit::Prepared;
use crate::watch::{Phase, Sink, UnitRows, Watch};
use crate::{Advance, Error, PlannedUnit, Scorer};

/// Text that is read ahead of the model, in bytes; no more is read while that much is in hand, so that one document may exceed it.
const AHEAD_BYTES: usize = 4 << 20;

/// What a document counts for beside its text, so that rows without text are bounded too.
const DOCUMENT_BYTES: usize = 256;

/// Units whose first bytes are fetched while another is read, at most.
const UNITS_AHEAD: usize = 16;

/// Bytes that are fetched for them, as Parquet stores them.
const UNITS_AHEAD_BYTES: u64 = 16 << 20;

/// Threads that take rows: they encode, which is short, and wait for the store.
const WRITERS: usize = 4;

/// Scores `units` and writes their sidecars to `folder`.
///
/// # Errors
/// As [`score_rows`].
///
/// # Panics
/// As [`score_rows`].
///
/// # Determinism
/// A sidecar's bytes depend on the unit and the fingerprint alone: windows are batched only with those of their unit, in an order of its
/// own, and a document's losses are summed in the order of its windows.
pub fn score_units(
    scorer: &Scorer<'_>,
    units: &[PlannedUnit<'_>],
    folder: &RunFolder,
    watch: &dyn Watch,
) -> Result<(), Error> {
    let documents: Vec<UnitRows<'_>> = units.iter().map(PlannedUnit::rows).collect();
    score_rows(scorer, &documents, watch, &|index, rows| {
        let unit = &units[index];
        let sidecar = sidecar::encode(&unit.footer(), rows)?;
        Ok(folder.place().write(&unit.sidecar_path(), Bytes::from(sidecar))?)
    })
}

/// Scores `units` and gives each one's rows to `sink`.
///
/// # Errors
/// Those that `watch` returns; an error of `sink` is what its unit comes to. [`Error::OnlyThread`] if the calling thread is the only
/// one of the pool.
///
/// # Panics
/// Passes on a panic of the engine, the tokenizer, `watch` or `sink`.
pub fn score_rows(scorer: &Scorer<'_>, units: &[UnitRows<'_>], watch: &dyn Watch, sink: Sink<'_>) -> Result<(), Error> {
    if rayon::current_thread_index().is_some() && rayon::current_num_threads() == 1 {
        return Err(Error::OnlyThread);
    }
    let (sender, receiver) = channel();
    let (writer, rows) = sync_channel(WRITERS);
    // owned by the writers alone: if all of them panic, sending to them fails instead of waiting
    let (stop, rows) = (AtomicBool::new(false), Arc::new(Mutex::new(rows)));
    let crew = Crew { scorer, units, watch, stop: &stop };
    std::thread::scope(|threads| {
        for rows in vec![rows; WRITERS] {
            // what the caller is about is the writers' context, too
            let (report, context) = (Report(sender.clone()), tracing::Span::current());
            threads.spawn(move || context.in_scope(|| crew.write(&rows, sink, &report)));
        }
        rayon::in_place_scope_fifo(|scope| {
            // what is still queued at the end, or after a panic of `watch`, would be scored for nothing
            let _stopper = Stopper(&stop);
            Stream::new(crew, writer, sender).run(scope, &receiver)
        })
    })
}

/// A unit of which documents are in hand.
#[derive(Default)]
struct OpenUnit {
    /// Rows that need not be scored, by their numbers.
    known: BTreeMap<u64, SidecarRow>,
    rows: Vec<Option<SidecarRow>>,
    /// What each document counts for.
    bytes: Vec<usize>,
    missing: usize,
    is_read: bool,
    /// What waits for the calling thread, if the engine takes batches.
    groups: Groups,
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
    writer: SyncSender<Rows>,
    sender: Sender<Message>,
    /// The first unit that is not in `upcoming` yet.
    next: usize,
    /// The units to read after the one being read, and the bytes on their way for each.
    upcoming: VecDeque<(usize, UnitStart<'a>, u64)>,
    /// The unit being read, and what is left of it.
    reading: Option<(usize, UnitDocuments)>,
    /// The unit that was read to its end, from which the next one may go on.
    passed: Option<(usize, UnitDocuments)>,
    open: BTreeMap<usize, OpenUnit>,
    /// Units whose rows are with the writers.
    writing: usize,
    ahead_bytes: usize,
}

impl<'a> Stream<'a> {
    const fn new(crew: Crew<'a>, writer: SyncSender<Rows>, sender: Sender<Message>) -> Self {
        Self {
            crew,
            writer,
            sender,
            next: 0,
            upcoming: VecDeque::new(),
            reading: None,
            passed: None,
            open: BTreeMap::new(),
            writing: 0,
            ahead_bytes: 0,
        }
    }

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
            if self.is_done() {
                return Ok(());
            }
            // `self` keeps a sender, so the channel is open; a message is due because documents or rows are in hand
            let Ok(message) = receiver.recv() else { return Ok(()) };
            if self.receive(message)?.is_break() {
                return Ok(());
            }
        }
    }

    fn is_done(&self) -> bool {
        let nothing_to_read = self.reading.is_none() && self.upcoming.is_empty() && self.next == self.crew.units.len();
        nothing_to_read && self.open.is_empty() && self.writing == 0
    }

    /// Reads on: opens the next unit, or takes the next document of the open one, or closes it.
    fn read(&mut self, scope: &ScopeFifo<'a>) -> Result<Progress, Error> {
        let began = Instant::now();
        let Some((unit, documents)) = &mut self.reading else {
            self.look_ahead();
            let Some((unit, start, _)) = self.upcoming.pop_front() else { return Ok(Progress::AtTheEnd) };
            self.reading = self.begin(unit, start)?.map(|documents| (unit, documents));
            self.crew.watch.spent(Phase::Read, began.elapsed());
            return Ok(Progress::Read);
        };
        let unit = *unit;
        let document = documents.next();
        self.crew.watch.spent(Phase::Read, began.elapsed());
        match document {
            Some(Ok(document)) => self.take(scope, unit, document)?,
            Some(Err(error)) => self.fail(unit, error.into())?,
            None => {
                self.passed = self.reading.take();
                if let Some(open) = self.open.get_mut(&unit) {
                    open.is_read = true;
                    let group = open.groups.end();
                    // whether all is over meanwhile, the caller asks next
                    _ = self.score(unit, group)?;
                }
                self.finish_if_complete(unit)?;
            }
        }
        Ok(Progress::Read)
    }

    /// Starts to fetch the next units.
    fn look_ahead(&mut self) {
        let mut bytes: u64 = self.upcoming.iter().map(|(_, _, bytes)| bytes).sum();
        while self.next < self.crew.units.len() && self.upcoming.len() < UNITS_AHEAD && bytes < UNITS_AHEAD_BYTES {
            let UnitRows { shard, columns, unit, wanted } = self.crew.units[self.next];
            let mut start = UnitStart::new(shard, columns, unit).with_wanted(wanted);
            // the first is opened at once
            let is_wanted = !self.upcoming.is_empty() && !self.crew.watch.skips(self.next);
            let begun = if is_wanted { start.begin() } else { 0 };
            bytes += begun;
            self.upcoming.push_back((self.next, start, begun));
            self.next += 1;
        }
    }

    /// Deals with a message; breaks if it says that all is over.
    fn receive(&mut self, message: Message) -> Result<ControlFlow<()>, Error> {
        match message {
            Message::Over | Message::Panicked => return Ok(ControlFlow::Break(())),
            Message::Prepared(slot, prepared) => return self.arrived(slot, Some(prepared)),
            Message::Scored(slot, row) => {
                self.put(slot, row)?;
                return self.arrived(slot, None);
            }
            Message::Written(unit, outcome) => {
                self.writing -= 1;
                self.crew.watch.unit(unit, outcome)?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Takes a document out of those that its group waits for.
    fn arrived(&mut self, slot: Slot, prepared: Option<Prepared>) -> Result<ControlFlow<()>, Error> {
        // a unit that failed, or is complete, waits for nothing
        let Some(open) = self.open.get_mut(&slot.unit) else { return Ok(ControlFlow::Continue(())) };
        let group = open.groups.arrived(slot.number, prepared);
        self.score(slot.unit, group)
    }

    /// Scores a group on this thread; breaks if all is over meanwhile.
    fn score(&mut self, unit: usize, group: Together) -> Result<ControlFlow<()>, Error> {
        if group.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        for (slot, row) in self.crew.score_here(unit, group) {
            self.put(slot, row)?;
        }
        let is_over = self.crew.watch.is_over();
        Ok(if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Opens the documents of a unit, or goes on to them; `None` if it is skipped, cannot be read, or need not be.
    fn begin(&mut self, unit: usize, start: UnitStart<'a>) -> Result<Option<UnitDocuments>, Error> {
        let passed = self.passed.take();
        if self.crew.watch.skips(unit) {
            return Ok(None);
        }
        let known = match self.crew.watch.known(unit) {
            Ok(known) => known,
            Err(error) => return self.crew.watch.unit(unit, Err(error)).map(|()| None),
        };
        let rows = self.crew.units[unit].unit.rows;
        if known.len() as u64 == rows && rows > 0 {
            self.crew.watch.advance(Advance { documents: rows, ..Advance::default() });
            self.hand_on(unit, known.into_values().collect());
            return Ok(None);
        }
        let gone_on = passed.and_then(|(before, documents)| self.crew.go_on(before, unit, documents));
        let opened = gone_on.map_or_else(|| start.open(), Ok);
        match opened {
            Ok(documents) => {
                self.open.insert(unit, OpenUnit { known, ..OpenUnit::default() });
                Ok(Some(documents))
            }
            Err(error) => self.crew.watch.unit(unit, Err(error.into())).map(|()| None),
        }
    }

    /// Gives a document to the pool, unless its row is known.
    fn take(&mut self, scope: &ScopeFifo<'a>, unit: usize, document: Document) -> Result<(), Error> {
        let text = if let DocumentText::Text(text) = &document.text { text.len() } else { 0 };
        let bytes = DOCUMENT_BYTES + text;
        let Some(open) = self.open.get_mut(&unit) else { return Ok(()) };
        let slot = Slot { unit, number: open.rows.len() };
        open.rows.push(None);
        open.bytes.push(bytes);
        open.missing += 1;
        open.groups.expect(bytes);
        self.ahead_bytes += bytes;
        if let Some(row) = open.known.remove(&document.row) {
            self.crew.watch.advance(Advance { documents: 1, ..Advance::default() });
            self.put(slot, Ok(row))?;
            // whether all is over meanwhile, the caller asks next
            return self.arrived(slot, None).map(drop);
        }
        let crew = self.crew;
        let report = Report(self.sender.clone());
        scope.spawn_fifo(move |scope| crew.prepare(scope, &report, slot, document));
        Ok(())
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
        let rows = self.open.remove(&unit).into_iter().flat_map(|open| open.rows).flatten().collect();
        self.hand_on(unit, rows);
        Ok(())
    }

    /// Gives the rows of a unit to the writers.
    fn hand_on(&mut self, unit: usize, rows: Vec<SidecarRow>) {
        // they listen until this end of the channel is dropped, unless all panicked: then the scope says so
        if self.writer.send((unit, rows)).is_ok() {
            self.writing += 1;
        }
    }
}

#[cfg(test)]
mod tests;
