//! Mosaic data shards: documents packed into samples of equally many tokens, many samples in a shard, all shards in `index.json`.
//!
//! A sample has one column, `tokens`, of encoding `ndarray:int32`. Shards have the names of their stretches, so that stretches can be
//! written apart; readers take names from the index.
//!
//! Source: mosaicml-streaming 0.13.0, `base/format/mds`.

use std::io::Write;

use headwater_record::tokens::TokenFile;
use serde::Serialize;

use crate::formats::{Sink, Target, Written};
use crate::texts::Batch;
use crate::{Error, Result};

/// Size of a shard, at most, unless one sample has more; the format's own default.
const SHARD_BYTES: u64 = 1 << 26;

const VERSION: u32 = 2;
const FORMAT: &str = "mds";
const COLUMN: &str = "tokens";
const ENCODING: &str = "ndarray:int32";

/// What every shard says of itself, with sorted keys and Python's spaces, as the format's own writer does.
fn config() -> String {
    format!(
        r#"{{"column_encodings": ["{ENCODING}"], "column_names": ["{COLUMN}"], "column_sizes": [null], "compression": null, "format": "{FORMAT}", "hashes": [], "size_limit": {SHARD_BYTES}, "version": {VERSION}}}"#
    )
}

pub(crate) struct Mds<'a> {
    target: Target<'a>,
    sequence_tokens: usize,
    /// What precedes the values of a sample: its size, then dimensions and shape.
    prefix: Vec<u8>,
    /// Bytes of a sample.
    sample_bytes: u32,
    /// Samples of a full shard.
    most_samples: usize,
    /// Tokens that do not fill a sample yet.
    rest: Vec<u32>,
    /// The samples of the shard in the making.
    samples: Vec<u8>,
    files: Vec<TokenFile>,
}

impl<'a> Mds<'a> {
    pub(crate) fn begin(target: Target<'a>) -> Result<Self> {
        let sequence_tokens = target.settings.sequence_tokens.unwrap_or(1).max(1);
        let too_long = || Error::TooLong { path: target.folder.describe(target.name), tokens: sequence_tokens };
        let shape = shape(sequence_tokens);
        let values = sequence_tokens.checked_mul(size_of::<i32>() as u64);
        let array = values.and_then(|values| values.checked_add(shape.len() as u64)).ok_or_else(too_long)?;
        let array_bytes = u32::try_from(array).map_err(|_| too_long())?;
        let mut prefix = array_bytes.to_le_bytes().to_vec();
        prefix.extend_from_slice(&shape);
        let sample_bytes = array_bytes.checked_add(4).ok_or_else(too_long)?;
        // number of samples, an offset more than samples, the description
        let fixed = 8 + config().len() as u64;
        let most_samples = ((SHARD_BYTES - fixed) / (u64::from(sample_bytes) + 4)).max(1);
        // a shard's offsets have 32 bits
        if fixed + 4 + u64::from(sample_bytes) > u64::from(u32::MAX) {
            return Err(too_long());
        }
        let sequence_tokens = usize::try_from(sequence_tokens).map_err(|_| too_long())?;
        let most_samples = usize::try_from(most_samples).unwrap_or(usize::MAX);
        let (rest, samples, files) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { target, sequence_tokens, prefix, sample_bytes, most_samples, rest, samples, files })
    }

    /// Samples of the shard in the making.
    fn sample_count(&self) -> u32 {
        u32::try_from(self.samples.len()).unwrap_or(u32::MAX) / self.sample_bytes
    }

    fn push_sample(&mut self, ids: &[u32]) -> Result<()> {
        if self.samples.is_empty() {
            // growth by doubling would end with twice the memory
            self.samples.reserve_exact(self.most_samples.saturating_mul(self.sample_bytes as usize));
        }
        self.samples.extend_from_slice(&self.prefix);
        ids.iter().for_each(|id| self.samples.extend_from_slice(&id.to_le_bytes()));
        if self.sample_count() as usize == self.most_samples { self.write_shard() } else { Ok(()) }
    }

    fn write_shard(&mut self) -> Result<()> {
        let count = self.sample_count();
        let config = config();
        let mut header = count.to_le_bytes().to_vec();
        let first = u32::try_from(4 + config.len()).unwrap_or(u32::MAX) + (count + 1) * 4;
        (0..=count).for_each(|sample| header.extend_from_slice(&(first + sample * self.sample_bytes).to_le_bytes()));
        header.extend_from_slice(config.as_bytes());
        let path = format!("{}.{:05}.mds", self.target.name, self.files.len());
        self.files.push(TokenFile {
            source: self.target.source.to_owned(),
            path: path.clone(),
            documents: None,
            samples: Some(u64::from(count)),
            tokens: u64::from(count) * self.sequence_tokens as u64,
            bytes: (header.len() + self.samples.len()) as u64,
        });
        let mut writer = self.target.folder.writer(&path)?;
        let written = writer.write_all(&header).and_then(|()| writer.write_all(&self.samples));
        written.map_err(|error| Error::writing(&self.target.folder.describe(&path), error))?;
        self.samples.clear();
        Ok(writer.finish()?)
    }
}

impl Sink for Mds<'_> {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        let mut ids = batch.ids.as_slice();
        if !self.rest.is_empty() {
            let missing = (self.sequence_tokens - self.rest.len()).min(ids.len());
            self.rest.extend_from_slice(&ids[..missing]);
            ids = &ids[missing..];
            if self.rest.len() < self.sequence_tokens {
                return Ok(());
            }
            let sample = std::mem::take(&mut self.rest);
            self.push_sample(&sample)?;
        }
        let samples = ids.chunks_exact(self.sequence_tokens);
        self.rest.extend_from_slice(samples.remainder());
        for sample in samples {
            self.push_sample(sample)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Written> {
        if !self.samples.is_empty() {
            self.write_shard()?;
        }
        Ok(Written { files: self.files, dropped_tokens: self.rest.len() as u64 })
    }
}

/// Dimensions and the width of their numbers in one byte, then the length in that width: 0 for one byte, 1 for two, 2 for four, 3
/// for eight.
fn shape(tokens: u64) -> Vec<u8> {
    const ONE_DIMENSION: u8 = 1 << 2;
    let (code, width) = match tokens {
        0..0x100 => (0, 1),
        0x100..0x1_0000 => (1, 2),
        0x1_0000..0x1_0000_0000 => (2, 4),
        _ => (3, 8),
    };
    let mut shape = vec![ONE_DIMENSION | code];
    shape.extend_from_slice(&tokens.to_le_bytes()[..width]);
    shape
}

/// `index.json`.
#[derive(Serialize)]
struct Index<'a> {
    version: u32,
    shards: Vec<Shard<'a>>,
}

/// One shard of the index.
#[derive(Serialize)]
struct Shard<'a> {
    column_encodings: [&'static str; 1],
    column_names: [&'static str; 1],
    column_sizes: [Option<u64>; 1],
    compression: Option<&'static str>,
    format: &'static str,
    hashes: [&'static str; 0],
    raw_data: ShardFile<'a>,
    samples: u64,
    size_limit: u64,
    version: u32,
    zip_data: Option<ShardFile<'a>>,
}

#[derive(Serialize)]
struct ShardFile<'a> {
    basename: &'a str,
    bytes: u64,
    hashes: Hashes,
}

/// Hashes by algorithm; none.
#[derive(Serialize)]
struct Hashes {}

/// The index of all shards, in order.
pub(crate) fn index(files: &[TokenFile]) -> impl Serialize + '_ {
    let shards = files.iter().map(|file| Shard {
        column_encodings: [ENCODING],
        column_names: [COLUMN],
        column_sizes: [None],
        compression: None,
        format: FORMAT,
        hashes: [],
        raw_data: ShardFile { basename: &file.path, bytes: file.bytes, hashes: Hashes {} },
        samples: file.samples.unwrap_or_default(),
        size_limit: SHARD_BYTES,
        version: VERSION,
        zip_data: None,
    });
    Index { version: VERSION, shards: shards.collect() }
}

#[cfg(test)]
mod tests {
    use headwater_record::ContentHash;
    use headwater_record::tokens::{EosToken, TokenSettings, TokenizerRecord};
    use headwater_store::Place;

    use super::*;

    #[test]
    fn a_shard_ends_at_64_mib() -> Result<()> {
        const SEQUENCE: u64 = 1 << 20;
        let folder = Place::in_memory("mds-shards")?;
        let settings = TokenSettings {
            tokenizer: TokenizerRecord { name: String::new(), hash: ContentHash::of(b""), vocab_size: 10 },
            eos: EosToken { id: 0, text: String::new() },
            token_bytes: 4,
            sequence_tokens: Some(SEQUENCE),
            plan: String::new(),
        };
        let target = Target { folder: &folder, settings: &settings, source: "web", name: "web-00000" };
        let mut sink = Box::new(Mds::begin(target)?);
        let batch = Batch { ids: vec![9; 1 << 19], lengths: vec![1 << 19], ..Batch::default() };
        for _ in 0..35 {
            sink.write(&batch)?;
        }
        let written = sink.finish()?;
        let samples: Vec<_> = written.files.iter().map(|file| file.samples).collect();
        assert_eq!((samples, written.dropped_tokens), (vec![Some(15), Some(2)], 1 << 19));
        for file in written.files {
            assert_eq!(folder.entry(&file.path)?.bytes, file.bytes);
            assert!(file.bytes <= SHARD_BYTES && file.tokens == file.samples.unwrap_or_default() * SEQUENCE);
        }
        Ok(())
    }

    #[test]
    fn shapes_take_the_fewest_bytes() {
        assert_eq!(shape(5), [4, 5]);
        assert_eq!(shape(2048), [5, 0, 8]);
        assert_eq!(shape(1 << 16), [6, 0, 0, 1, 0]);
    }
}
