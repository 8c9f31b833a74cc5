//! The texts of a stretch, in batches that are tokenised as one piece of work.

use std::collections::VecDeque;

use headwater_corpus::{DocumentText, PlannedShard, Text, UnitDocuments, UnitStart};
use headwater_model::Tokenizer;

use crate::stretch::Stretch;
use crate::watch::Watch;
use crate::{Error, Result};

/// Text of a batch: small beside what is read ahead, large beside the cost of handing it to a thread.
const BATCH_BYTES: usize = 128 << 10;

/// Documents of a batch, at most.
const BATCH_ROWS: usize = 4096;

/// Units whose first bytes are fetched while another is read, at most.
const UNITS_AHEAD: usize = 16;

/// Bytes that are fetched for them, as Parquet stores them.
const UNITS_AHEAD_BYTES: u64 = 16 << 20;

/// What a document counts for beside its text.
const DOCUMENT_BYTES: usize = 64;

/// Some consecutive documents of one shard.
#[derive(Debug)]
pub(crate) struct Texts<'a> {
    shard: &'a PlannedShard,
    /// Row and text.
    texts: Vec<(u64, Text)>,
    /// What the batch counts for.
    pub(crate) bytes: usize,
    missing: Missing,
}

/// Rows without a usable text.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Missing {
    /// Rows that are null.
    pub(crate) null: u64,
    /// Rows that are not UTF-8.
    pub(crate) not_utf8: u64,
    /// Rows that could not be read, of shards that may be skipped.
    pub(crate) unreadable: u64,
}

impl Missing {
    /// All of them.
    pub(crate) const fn rows(self) -> u64 {
        self.null + self.not_utf8 + self.unreadable
    }
}

/// The tokens of some consecutive documents, each followed by the end token.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The tokens of all documents.
    pub(crate) ids: Vec<u32>,
    /// Tokens of each document.
    pub(crate) lengths: Vec<u64>,
    /// Documents whose text has the end token in it.
    pub(crate) with_eos: u64,
    /// Rows without a usable text.
    pub(crate) missing: Missing,
}

impl Texts<'_> {
    fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES || self.texts.len() >= BATCH_ROWS
    }

    /// Tokenises the documents and puts `eos` after each.
    pub(crate) fn encode(self, tokenizer: &Tokenizer, eos: u32) -> Result<Batch> {
        let mut batch = Batch { missing: self.missing, ..Batch::default() };
        for (row, text) in &self.texts {
            let ids = tokenizer.encode(text).map_err(|source| Error::Document {
                shard: self.shard.location(),
                row: *row,
                source: Box::new(source),
            })?;
            batch.with_eos += u64::from(ids.contains(&eos));
            batch.ids.extend_from_slice(&ids);
            batch.ids.push(eos);
            batch.lengths.push(ids.len() as u64 + 1);
        }
        Ok(batch)
    }
}

/// Reads the documents of a stretch in order.
pub(crate) struct TextReader<'a> {
    stretch: &'a Stretch<'a>,
    watch: &'a dyn Watch,
    /// The first unit that is not in `upcoming` yet.
    next: usize,
    /// The units to read after the one being read, and the bytes on their way for each.
    upcoming: VecDeque<(usize, UnitStart<'a>, u64)>,
    /// The unit being read, and what is left of it.
    reading: Option<(usize, UnitDocuments)>,
    /// Rows of it that were read.
    read_rows: u64,
    /// A shard that turned out unreadable, whose other units are passed over.
    skipped: Option<&'a PlannedShard>,
    /// Rows passed over since the last batch.
    unreadable: u64,
}

impl<'a> TextReader<'a> {
    pub(crate) const fn new(stretch: &'a Stretch<'a>, watch: &'a dyn Watch) -> Self {
        let upcoming = VecDeque::new();
        Self { stretch, watch, next: 0, upcoming, reading: None, read_rows: 0, skipped: None, unreadable: 0 }
    }

    /// The next documents, all of one unit; `None` at the end.
    pub(crate) fn next_batch(&mut self) -> Result<Option<Texts<'a>>> {
        loop {
            let Some((unit, mut documents)) = self.reading.take() else {
                self.reading = self.open_next(None)?;
                match (&self.reading, self.stretch.units.first()) {
                    (Some(_), _) => continue,
                    // what was passed over at the end is counted, too
                    (None, Some((shard, _))) if self.unreadable > 0 => return Ok(Some(self.begin_batch(shard))),
                    (None, _) => return Ok(None),
                }
            };
            let (shard, key) = self.stretch.units[unit];
            let mut batch = self.begin_batch(shard);
            let mut failure = None;
            for document in &mut documents {
                let document = match document {
                    Ok(document) => document,
                    Err(error) => {
                        failure = Some(error);
                        break;
                    }
                };
                self.read_rows += 1;
                batch.bytes += DOCUMENT_BYTES;
                match document.text {
                    DocumentText::Null => batch.missing.null += 1,
                    DocumentText::NotUtf8 { .. } => batch.missing.not_utf8 += 1,
                    DocumentText::Text(text) => {
                        batch.bytes += text.len();
                        batch.texts.push((document.row, text));
                    }
                }
                if batch.is_full() {
                    self.reading = Some((unit, documents));
                    return Ok(Some(batch));
                }
            }
            let passed = match failure {
                Some(error) => {
                    self.skip(shard, error, key.rows - self.read_rows)?;
                    None
                }
                None => Some((unit, documents)),
            };
            self.reading = self.open_next(passed)?;
            if batch.bytes > 0 || batch.missing.rows() > 0 {
                return Ok(Some(batch));
            }
        }
    }

    fn begin_batch(&mut self, shard: &'a PlannedShard) -> Texts<'a> {
        let missing = Missing { unreadable: std::mem::take(&mut self.unreadable), ..Missing::default() };
        Texts { shard, texts: Vec::new(), bytes: 0, missing }
    }

    /// Opens the next unit that can be read, or goes on to it from the one before it; `None` if there is none.
    fn open_next(&mut self, mut passed: Option<(usize, UnitDocuments)>) -> Result<Option<(usize, UnitDocuments)>> {
        loop {
            self.look_ahead();
            let Some((unit, start, _)) = self.upcoming.pop_front() else { return Ok(None) };
            let units = &self.stretch.units;
            let (shard, key) = units[unit];
            if self.skipped.is_some_and(|skipped| std::ptr::eq(skipped, shard)) {
                self.unreadable += key.rows;
                continue;
            }
            self.read_rows = 0;
            if let Some((before, mut documents)) = passed.take()
                && std::ptr::eq(units[before].0, shard)
                && documents.advance_to(key)
            {
                return Ok(Some((unit, documents)));
            }
            match start.open() {
                Ok(documents) => return Ok(Some((unit, documents))),
                Err(error) => self.skip(shard, error, key.rows)?,
            }
        }
    }

    /// Passes over the rest of `shard`, of which `rows` are in this unit, if the caller allows it.
    fn skip(&mut self, shard: &'a PlannedShard, error: headwater_corpus::Error, rows: u64) -> Result<()> {
        if !self.watch.may_skip(shard, &error) {
            return Err(error.into());
        }
        self.skipped = Some(shard);
        self.unreadable += rows;
        Ok(())
    }

    /// Starts to fetch the next units.
    fn look_ahead(&mut self) {
        let mut bytes: u64 = self.upcoming.iter().map(|(_, _, bytes)| bytes).sum();
        while let Some((shard, unit)) = self.stretch.units.get(self.next)
            && self.upcoming.len() < UNITS_AHEAD
            && bytes < UNITS_AHEAD_BYTES
        {
            let mut start = UnitStart::new(shard, &self.stretch.columns, unit);
            // the first is opened at once
            let begun = if self.upcoming.is_empty() { 0 } else { start.begin() };
            bytes += begun;
            self.upcoming.push_back((self.next, start, begun));
            self.next += 1;
        }
    }
}
