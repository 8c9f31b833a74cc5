//! The sizes of a decoder.

use std::num::NonZeroUsize;
use std::path::Path;

use crate::Error;

/// The sizes of a decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelShape {
    /// Layers.
    pub layers: usize,
    /// Query heads a layer.
    pub heads: usize,
    /// Key/value heads a layer; `heads` is a multiple.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the MLP.
    pub intermediate: usize,
    /// Maps of the MLP: 3 where a gate multiplies what goes up, 2 where it does not.
    pub mlp_maps: usize,
    /// Rows of the embedding.
    pub vocab: usize,
    /// Longest window the model was trained on, in tokens.
    pub context_tokens: usize,
    /// Positions that a query sees at most, its own and those before it, where that is fewer than all, `(layer,)`.
    pub attention_windows: Vec<Option<NonZeroUsize>>,
}

impl ModelShape {
    /// Checks what every later shape computation relies on; `path` is where the sizes were read.
    pub(crate) fn validate(&self, path: &Path) -> Result<(), Error> {
        let wrong = |key: &str, value: usize, supported: &'static str| Error::Unsupported {
            path: path.to_owned(),
            key: key.to_owned(),
            value: value.to_string(),
            supported,
        };
        let sizes = [
            ("layers", self.layers, 4_096),
            ("query heads", self.heads, 4_096),
            ("key/value heads", self.kv_heads, 4_096),
            ("head width", self.head_dim, 4_096),
            ("hidden size", self.hidden, 1 << 20),
            ("intermediate size", self.intermediate, 1 << 22),
            ("vocabulary", self.vocab, 1 << 24),
            ("context length", self.context_tokens, 1 << 30),
        ];
        if let Some((key, value, _)) = sizes.into_iter().find(|(_, value, most)| *value == 0 || value > most) {
            return Err(wrong(key, value, "sizes from 1 to what decoders have today"));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(wrong("key/value heads", self.kv_heads, "a divisor of the number of query heads"));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(wrong("head width", self.head_dim, "even widths"));
        }
        Ok(())
    }
}
