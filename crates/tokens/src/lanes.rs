//! Writes stretches to files.
//!
//! A *lane* is a thread that takes one stretch at a time: it reads documents, gives them in batches to the threads of the pool, which
//! tokenise, and writes the tokens of the oldest batch as soon as they are there, so in order. One lane keeps several threads of the
//! pool busy; more threads get more lanes. Memory is what is read ahead in each lane, and what its formats hold.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};

use headwater_record::Status;
use headwater_record::tokens::{TokenTally, UNREADABLE};
use rayon::ScopeFifo;

use crate::Result;
use crate::folder::Folder;
use crate::formats::{self, Sink, Written};
use crate::stretch::Stretch;
use crate::texts::{Batch, Missing, TextReader};
use crate::watch::Watch;
use crate::work::{Progress, TokenWork};

/// Threads of the pool that one lane can keep busy with room to spare: reading and writing cost a few percent of tokenising.
const THREADS_PER_LANE: usize = 8;

/// Text that a lane reads ahead, in bytes; no more is read while that much is in hand, so one document may exceed it.
const AHEAD_BYTES: usize = 8 << 20;

/// Writes the files of `work` that are missing, and the manifests if none is missing any more.
///
/// # Errors
/// The first by stretch: a document that cannot be tokenised, a shard that cannot be read, an output that cannot be written.
///
/// # Determinism
/// A file's bytes depend on its stretch and the settings alone.
pub fn write_tokens(work: &TokenWork<'_>, watch: &dyn Watch) -> Result<Progress> {
    let pending = work.pending();
    let lanes = rayon::current_num_threads().div_ceil(THREADS_PER_LANE).min(pending.len());
    let lane = Lane { work, watch, stop: &AtomicBool::new(false) };
    let (next, errors) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                while let index = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(stretch) = pending.get(index)
                    && !lane.is_over()
                {
                    if let Err(error) = lane.stretch(stretch) {
                        lane.stop.store(true, Ordering::Relaxed);
                        errors.lock().unwrap_or_else(PoisonError::into_inner).insert(index, error);
                    }
                }
            });
        }
    });
    match errors.into_inner().unwrap_or_else(PoisonError::into_inner).pop_first() {
        Some((_, error)) => Err(error),
        None => work.complete(),
    }
}

/// What every lane has at hand.
#[derive(Clone, Copy)]
struct Lane<'a> {
    work: &'a TokenWork<'a>,
    watch: &'a dyn Watch,
    /// Whether another lane failed.
    stop: &'a AtomicBool,
}

/// A batch with the pool: what it counts for, and where its tokens will come from.
type Pending = (usize, Receiver<Result<Batch>>);

impl<'a> Lane<'a> {
    fn is_over(self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.watch.is_over()
    }

    /// Writes the missing files of a stretch, and then that they are there.
    fn stretch(self, stretch: &'a Stretch<'a>) -> Result<()> {
        let lacking: Vec<&Folder> = self.work.folders.iter().filter(|folder| !folder.has(stretch)).collect();
        let begin = |folder: &&'a Folder| formats::begin(folder.format, &folder.place, &folder.settings, stretch);
        let mut sinks = lacking.iter().map(begin).collect::<Result<Vec<_>>>()?;
        let tally = rayon::in_place_scope_fifo(|scope| self.feed(scope, stretch, &mut sinks))?;
        let Some(tally) = tally else { return Ok(()) };
        for (folder, sink) in lacking.into_iter().zip(sinks) {
            let Written { files, dropped_tokens } = sink.finish()?;
            let tokens = tally.tokens - dropped_tokens;
            folder.note(stretch, &TokenTally { tokens, dropped_tokens, files, ..tally.clone() })?;
        }
        Ok(())
    }

    /// Feeds the tokens of a stretch to `sinks`; `None` if it was stopped.
    fn feed(
        self,
        scope: &ScopeFifo<'a>,
        stretch: &'a Stretch<'a>,
        sinks: &mut [Box<dyn Sink + 'a>],
    ) -> Result<Option<TokenTally>> {
        let mut reader = TextReader::new(stretch, self.watch);
        let mut pending: VecDeque<Pending> = VecDeque::new();
        let (mut ahead_bytes, mut tally) = (0, empty_tally());
        loop {
            if self.is_over() {
                return Ok(None);
            }
            if ahead_bytes < AHEAD_BYTES
                && let Some(texts) = reader.next_batch()?
            {
                let (sender, receiver) = sync_channel(1);
                ahead_bytes += texts.bytes;
                pending.push_back((texts.bytes, receiver));
                let (tokenizer, eos) = (self.work.setup.tokenizer, self.work.setup.eos().id);
                // the receiver is gone once the lane has failed
                scope.spawn_fifo(move |_| drop(sender.send(texts.encode(tokenizer, eos))));
                continue;
            }
            let Some((bytes, receiver)) = pending.pop_front() else { return Ok(Some(tally)) };
            // the sender is gone only if its thread panicked; the scope passes the panic on
            let Ok(batch) = receiver.recv() else { return Ok(None) };
            ahead_bytes -= bytes;
            self.take(&batch?, sinks, &mut tally)?;
        }
    }

    fn take(self, batch: &Batch, sinks: &mut [Box<dyn Sink + 'a>], tally: &mut TokenTally) -> Result<()> {
        sinks.iter_mut().try_for_each(|sink| sink.write(batch))?;
        let (documents, tokens) = (batch.lengths.len() as u64, batch.ids.len() as u64);
        let skipped = skipped(batch.missing);
        let documents_with_eos = batch.with_eos;
        tally.add(TokenTally { documents, tokens, documents_with_eos, skipped, ..TokenTally::default() });
        self.watch.advance(documents + batch.missing.rows(), tokens);
        Ok(())
    }
}

fn empty_tally() -> TokenTally {
    TokenTally { skipped: skipped(Missing::default()), ..TokenTally::default() }
}

/// Rows without a usable text, by status or [`UNREADABLE`]; the last only if there are some.
fn skipped(missing: Missing) -> BTreeMap<String, u64> {
    let Missing { null, not_utf8, unreadable } = missing;
    let unusable = [(Status::NullText, null), (Status::NotUtf8, not_utf8)];
    let unusable = unusable.map(|(status, rows)| (status.to_string(), rows)).into_iter();
    unusable.chain((unreadable > 0).then(|| (UNREADABLE.to_owned(), unreadable))).collect()
}
