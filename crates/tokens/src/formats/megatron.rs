//! Megatron-LM's indexed dataset: `.bin` with raw tokens, `.idx` with types, lengths and offsets.
//!
//! Source: megatron-core 0.16.1, `core/datasets/indexed_dataset.py`.

use std::io::Write;

use headwater_store::PlaceWriter;

use crate::formats::raw::RawTokens;
use crate::formats::{Sink, Target, Written};
use crate::texts::Batch;
use crate::{Error, Result};

const MAGIC: &[u8; 9] = b"MMIDIDX\0\0";
const VERSION: u64 = 1;

/// Code of 16-bit unsigned numbers.
const U16: u8 = 8;
/// Code of 32-bit signed numbers.
const I32: u8 = 4;

/// Entries of the index that are encoded at a time.
const CHUNK: usize = 1 << 16;

pub(crate) struct Megatron<'a> {
    target: Target<'a>,
    path: String,
    tokens: RawTokens,
    /// Tokens of each document.
    lengths: Vec<i32>,
}

impl<'a> Megatron<'a> {
    pub(crate) fn begin(target: Target<'a>) -> Result<Self> {
        let path = format!("{}.bin", target.name);
        let tokens = RawTokens::begin(target.folder, &path, target.settings.token_bytes)?;
        Ok(Self { target, path, tokens, lengths: Vec::new() })
    }
}

impl Sink for Megatron<'_> {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        for length in &batch.lengths {
            let too_long = |_| Error::TooLong { path: self.target.folder.describe(&self.path), tokens: *length };
            self.lengths.push(i32::try_from(*length).map_err(too_long)?);
        }
        self.tokens.write(&batch.ids)
    }

    fn finish(self: Box<Self>) -> Result<Written> {
        let Self { target, path, tokens, lengths } = *self;
        if lengths.is_empty() {
            return Ok(Written::default());
        }
        let size = tokens.finish()?;
        let index = format!("{}.idx", target.name);
        let mut writer = target.folder.writer(&index)?;
        let written = write_index(&mut writer, &lengths, target.settings.token_bytes);
        written.map_err(|error| Error::writing(&target.folder.describe(&index), error))?;
        writer.finish()?;
        Ok(Written { files: vec![target.file(path, lengths.len() as u64, size)], dropped_tokens: 0 })
    }
}

/// Magic, version, type, number of sequences, number of document ends; lengths; byte offsets; the first sequence of each document,
/// and their number. A document is one sequence.
fn write_index(writer: &mut PlaceWriter, lengths: &[i32], token_bytes: u8) -> std::io::Result<()> {
    let documents = lengths.len() as u64;
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.push(if token_bytes == 2 { U16 } else { I32 });
    header.extend_from_slice(&documents.to_le_bytes());
    header.extend_from_slice(&(documents + 1).to_le_bytes());
    writer.write_all(&header)?;
    write_all(writer, lengths.iter().map(|length| length.to_le_bytes()))?;
    let offsets = lengths.iter().scan(0_i64, |before, length| {
        let offset = *before;
        *before += i64::from(*length) * i64::from(token_bytes);
        Some(offset.to_le_bytes())
    });
    write_all(writer, offsets)?;
    write_all(writer, (0..=documents).map(u64::to_le_bytes))
}

/// Writes numbers one after the other.
fn write_all<const N: usize>(
    writer: &mut PlaceWriter,
    mut numbers: impl Iterator<Item = [u8; N]>,
) -> std::io::Result<()> {
    let mut chunk = Vec::with_capacity(CHUNK * N);
    loop {
        chunk.clear();
        numbers.by_ref().take(CHUNK).for_each(|number| chunk.extend_from_slice(&number));
        if chunk.is_empty() {
            return Ok(());
        }
        writer.write_all(&chunk)?;
    }
}
