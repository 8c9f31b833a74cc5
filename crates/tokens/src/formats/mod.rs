//! The formats of token files, each a sink of documents' tokens.

mod datatrove;
mod mds;
mod megatron;
mod olmo;
mod raw;

use headwater_record::tokens::{TokenFile, TokenSettings};
use headwater_store::Place;

use crate::stretch::Stretch;
use crate::texts::Batch;
use crate::{Result, TokenFormat};

pub(crate) use mds::index as mds_index;

/// What takes the tokens of one stretch in one format.
pub(crate) trait Sink {
    /// Takes the next documents.
    fn write(&mut self, batch: &Batch) -> Result<()>;

    /// Makes the files appear, each whole; none if no document was written.
    fn finish(self: Box<Self>) -> Result<Written>;
}

/// What a sink leaves.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The files that hold tokens.
    pub(crate) files: Vec<TokenFile>,
    /// Tokens at the end that did not fill a sample.
    pub(crate) dropped_tokens: u64,
}

/// Begins the files of `stretch` in `folder`.
pub(crate) fn begin<'a>(
    format: TokenFormat,
    folder: &'a Place,
    settings: &'a TokenSettings,
    stretch: &'a Stretch<'a>,
) -> Result<Box<dyn Sink + 'a>> {
    let target = Target { folder, settings, source: stretch.source, name: &stretch.name };
    Ok(match format {
        TokenFormat::Datatrove => Box::new(datatrove::Datatrove::begin(target)?),
        TokenFormat::Megatron => Box::new(megatron::Megatron::begin(target)?),
        TokenFormat::Mds => Box::new(mds::Mds::begin(target)?),
        TokenFormat::Olmo => Box::new(olmo::Olmo::begin(target)?),
    })
}

/// Where a sink's files go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    folder: &'a Place,
    settings: &'a TokenSettings,
    source: &'a str,
    /// Name of the files, without what follows the first point.
    name: &'a str,
}

impl Target<'_> {
    fn file(self, path: String, documents: u64, (tokens, bytes): (u64, u64)) -> TokenFile {
        TokenFile { source: self.source.to_owned(), path, documents: Some(documents), samples: None, tokens, bytes }
    }
}
