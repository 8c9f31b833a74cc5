//! The texts of a stretch, in batches that are tokenised as one piece of work.

use std::collections::VecDeque;

use headwater_corpus::{DocumentText, PlannedShard, Text, UnitDocuments, UnitStart};
use headwater_model::Tokenizer;

use crate::stretch::Stretch;
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
    null: u64,
    not_utf8: u64,
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
    /// Rows that are null.
    pub(crate) null: u64,
    /// Rows that are not UTF-8.
    pub(crate) not_utf8: u64,
}

impl Texts<'_> {
    fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES || self.texts.len() >= BATCH_ROWS
    }

    /// Tokenises the documents and puts `eos` after each.
    pub(crate) fn encode(self, tokenizer: &Tokenizer, eos: u32) -> Result<Batch> {
        let mut batch = Batch { null: self.null, not_utf8: self.not_utf8, ..Batch::default() };
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
#[derive(Debug)]
pub(crate) struct TextReader<'a> {
    stretch: &'a Stretch<'a>,
    /// The first unit that is not in `upcoming` yet.
    next: usize,
    /// The units to read after the one being read, and the bytes on their way for each.
    upcoming: VecDeque<(usize, UnitStart<'a>, u64)>,
    /// The unit being read, and what is left of it.
    reading: Option<(usize, UnitDocuments)>,
}

impl<'a> TextReader<'a> {
    pub(crate) const fn new(stretch: &'a Stretch<'a>) -> Self {
        Self { stretch, next: 0, upcoming: VecDeque::new(), reading: None }
    }

    /// The next documents, all of one unit; `None` at the end.
    pub(crate) fn next_batch(&mut self) -> Result<Option<Texts<'a>>> {
        loop {
            let Some((unit, documents)) = &mut self.reading else {
                let Some(opened) = self.open_next(None)? else { return Ok(None) };
                self.reading = Some(opened);
                continue;
            };
            let shard = self.stretch.units[*unit].0;
            let mut batch = Texts { shard, texts: Vec::new(), bytes: 0, null: 0, not_utf8: 0 };
            for document in &mut *documents {
                let document = document?;
                batch.bytes += DOCUMENT_BYTES;
                match document.text {
                    DocumentText::Null => batch.null += 1,
                    DocumentText::NotUtf8 { .. } => batch.not_utf8 += 1,
                    DocumentText::Text(text) => {
                        batch.bytes += text.len();
                        batch.texts.push((document.row, text));
                    }
                }
                if batch.is_full() {
                    return Ok(Some(batch));
                }
            }
            let passed = self.reading.take();
            self.reading = self.open_next(passed)?;
            if batch.bytes > 0 {
                return Ok(Some(batch));
            }
        }
    }

    /// Opens the next unit, or goes on to it from the one before it; `None` if there is none.
    fn open_next(&mut self, passed: Option<(usize, UnitDocuments)>) -> Result<Option<(usize, UnitDocuments)>> {
        self.look_ahead();
        let Some((unit, start, _)) = self.upcoming.pop_front() else { return Ok(None) };
        let units = &self.stretch.units;
        if let Some((before, mut documents)) = passed
            && std::ptr::eq(units[before].0, units[unit].0)
            && documents.advance_to(units[unit].1)
        {
            return Ok(Some((unit, documents)));
        }
        Ok(Some((unit, start.open()?)))
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
