//! OLMo-core: raw tokens in a file named `.npy`, without NumPy's header.
//!
//! Source: ai2-olmo-core 3.0, `olmo_core.data.utils.load_array_slice`.

use crate::Result;
use crate::formats::raw::RawTokens;
use crate::formats::{Sink, Target, Written};
use crate::texts::Batch;

pub(crate) struct Olmo<'a> {
    target: Target<'a>,
    path: String,
    tokens: RawTokens,
    documents: u64,
}

impl<'a> Olmo<'a> {
    pub(crate) fn begin(target: Target<'a>) -> Result<Self> {
        let path = format!("{}.npy", target.name);
        let tokens = RawTokens::begin(target.folder, &path, target.settings.token_bytes)?;
        Ok(Self { target, path, tokens, documents: 0 })
    }
}

impl Sink for Olmo<'_> {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        self.documents += batch.lengths.len() as u64;
        self.tokens.write(&batch.ids)
    }

    fn finish(self: Box<Self>) -> Result<Written> {
        let Self { target, path, tokens, documents } = *self;
        if documents == 0 {
            return Ok(Written::default());
        }
        let file = target.file(path, documents, tokens.finish()?);
        Ok(Written { files: vec![file], dropped_tokens: 0 })
    }
}
