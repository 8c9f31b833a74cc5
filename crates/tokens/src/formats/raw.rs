//! Raw little-endian tokens without header or separators, as three of the formats store them.

use std::io::Write;

use headwater_store::{Place, PlaceWriter};

use crate::{Error, Result};

/// A file of tokens in the making.
#[derive(Debug)]
pub(crate) struct RawTokens {
    writer: PlaceWriter,
    path: String,
    token_bytes: u8,
    /// Tokens so far.
    pub(crate) tokens: u64,
    buffer: Vec<u8>,
}

impl RawTokens {
    pub(crate) fn begin(folder: &Place, path: &str, token_bytes: u8) -> Result<Self> {
        let writer = folder.writer(path)?;
        Ok(Self { writer, path: folder.describe(path), token_bytes, tokens: 0, buffer: Vec::new() })
    }

    /// Takes the next tokens. The settings were checked: every id of the vocabulary fits.
    pub(crate) fn write(&mut self, ids: &[u32]) -> Result<()> {
        self.buffer.clear();
        let width = usize::from(self.token_bytes);
        self.buffer.reserve(ids.len() * width);
        ids.iter().for_each(|id| self.buffer.extend_from_slice(&id.to_le_bytes()[..width]));
        self.tokens += ids.len() as u64;
        self.writer.write_all(&self.buffer).map_err(|error| Error::writing(&self.path, error))
    }

    /// Makes the file appear; returns its tokens and bytes.
    pub(crate) fn finish(self) -> Result<(u64, u64)> {
        self.writer.finish()?;
        Ok((self.tokens, self.tokens * u64::from(self.token_bytes)))
    }
}
