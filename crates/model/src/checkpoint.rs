//! The tensors of a decoder by role, for every file format.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use candle_core::Tensor;

use crate::{Architecture, Error, ModelShape};

/// A tensor by its role in the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Token embedding, `(vocab, hidden)`.
    Embedding,
    /// Final norm, `(hidden,)`.
    FinalNorm,
    /// Vocabulary projection, `(vocab, hidden)`; absent if tied.
    Head,
    /// A weight of one layer.
    Weight(usize, Part),
    /// A bias of one layer.
    Bias(usize, Part),
}

/// A part of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    AttentionNorm,
    Query,
    Key,
    Value,
    Output,
    QueryNorm,
    KeyNorm,
    MlpNorm,
    Gate,
    Up,
    Down,
}

impl Part {
    const fn hf_name(self) -> &'static str {
        match self {
            Self::AttentionNorm => "input_layernorm",
            Self::Query => "self_attn.q_proj",
            Self::Key => "self_attn.k_proj",
            Self::Value => "self_attn.v_proj",
            Self::Output => "self_attn.o_proj",
            Self::QueryNorm => "self_attn.q_norm",
            Self::KeyNorm => "self_attn.k_norm",
            Self::MlpNorm => "post_attention_layernorm",
            Self::Gate => "mlp.gate_proj",
            Self::Up => "mlp.up_proj",
            Self::Down => "mlp.down_proj",
        }
    }

    const fn gguf_name(self) -> &'static str {
        match self {
            Self::AttentionNorm => "attn_norm",
            Self::Query => "attn_q",
            Self::Key => "attn_k",
            Self::Value => "attn_v",
            Self::Output => "attn_output",
            Self::QueryNorm => "attn_q_norm",
            Self::KeyNorm => "attn_k_norm",
            Self::MlpNorm => "ffn_norm",
            Self::Gate => "ffn_gate",
            Self::Up => "ffn_up",
            Self::Down => "ffn_down",
        }
    }

    /// `(out, in)` of the part's weight, or `(out,)` of a norm.
    fn dims(self, shape: &ModelShape) -> Vec<usize> {
        let (hidden, inner) = (shape.hidden, shape.intermediate);
        let (queries, keys) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
        match self {
            Self::AttentionNorm | Self::MlpNorm => vec![hidden],
            Self::QueryNorm | Self::KeyNorm => vec![shape.head_dim],
            Self::Query => vec![queries, hidden],
            Self::Key | Self::Value => vec![keys, hidden],
            Self::Output => vec![hidden, queries],
            Self::Gate | Self::Up => vec![inner, hidden],
            Self::Down => vec![hidden, inner],
        }
    }
}

impl Role {
    /// The tensor's name in safetensors files of transformers.
    pub(crate) fn hf_name(self) -> String {
        match self {
            Self::Embedding => "model.embed_tokens.weight".to_owned(),
            Self::FinalNorm => "model.norm.weight".to_owned(),
            Self::Head => "lm_head.weight".to_owned(),
            Self::Weight(layer, part) => format!("model.layers.{layer}.{}.weight", part.hf_name()),
            Self::Bias(layer, part) => format!("model.layers.{layer}.{}.bias", part.hf_name()),
        }
    }

    /// The tensor's name in GGUF files.
    pub(crate) fn gguf_name(self) -> String {
        match self {
            Self::Embedding => "token_embd.weight".to_owned(),
            Self::FinalNorm => "output_norm.weight".to_owned(),
            Self::Head => "output.weight".to_owned(),
            Self::Weight(layer, part) => format!("blk.{layer}.{}.weight", part.gguf_name()),
            Self::Bias(layer, part) => format!("blk.{layer}.{}.bias", part.gguf_name()),
        }
    }

    /// The shape that the model's configuration demands.
    fn dims(self, shape: &ModelShape) -> Vec<usize> {
        match self {
            Self::Embedding | Self::Head => vec![shape.vocab, shape.hidden],
            Self::FinalNorm => vec![shape.hidden],
            Self::Weight(_, part) => part.dims(shape),
            Self::Bias(_, part) => part.dims(shape)[..1].to_vec(),
        }
    }
}

/// A file, or a set of files, of weights.
pub(crate) trait TensorFiles {
    /// A file to name in errors about `name`.
    fn path(&self, name: &str) -> &Path;

    /// The name of the tensor in that role.
    fn name(&self, role: Role) -> String;

    /// The shape of the tensor of that name, if there is one.
    fn dims(&self, name: &str) -> Option<Vec<usize>>;

    /// The tensor of that name in float32 on the CPU, in the layout of transformers.
    fn read(&self, role: Role, name: &str) -> Result<Tensor, Error>;

    /// Every tensor's name.
    fn names(&self) -> BTreeSet<String>;

    /// Whether a tensor may be there without being a weight.
    fn is_derived(&self, name: &str) -> bool;
}

/// Weights that are checked against a shape while they are read.
pub(crate) struct Checkpoint<'a> {
    files: &'a dyn TensorFiles,
    shape: &'a ModelShape,
    unread: BTreeSet<String>,
}

impl<'a> Checkpoint<'a> {
    /// Begins to read `files` as a model of `shape`.
    pub(crate) fn new(files: &'a dyn TensorFiles, shape: &'a ModelShape) -> Self {
        let unread = files.names().into_iter().filter(|name| !files.is_derived(name)).collect();
        Self { files, shape, unread }
    }

    /// Reads the tensor in `role`, in float32 on the CPU.
    pub(crate) fn tensor(&mut self, role: Role) -> Result<Tensor, Error> {
        let name = self.files.name(role);
        self.tensor_if_present(role)?.ok_or_else(|| Error::MissingTensor { path: self.path(&name), tensor: name })
    }

    /// Reads the tensor in `role` if the file has it.
    pub(crate) fn tensor_if_present(&mut self, role: Role) -> Result<Option<Tensor>, Error> {
        let name = self.files.name(role);
        let Some(got) = self.files.dims(&name) else { return Ok(None) };
        let expected = role.dims(self.shape);
        if got != expected {
            return Err(Error::TensorShape { path: self.path(&name), tensor: name, expected, got });
        }
        self.unread.remove(&name);
        self.files.read(role, &name).map(Some)
    }

    /// Reads the vocabulary projection; `None` if it is tied to the embedding.
    pub(crate) fn head(&mut self) -> Result<Option<Tensor>, Error> {
        self.tensor_if_present(Role::Head)
    }

    /// Reads the weight of a part of a layer.
    pub(crate) fn weight(&mut self, layer: usize, part: Part) -> Result<Tensor, Error> {
        self.tensor(Role::Weight(layer, part))
    }

    /// Reads the bias of a part of a layer: Qwen2 has one on Q, K and V, others where the file holds it.
    pub(crate) fn bias(&mut self, layer: usize, part: Part) -> Result<Option<Tensor>, Error> {
        let role = Role::Bias(layer, part);
        let needed =
            self.shape.architecture == Architecture::Qwen2 && matches!(part, Part::Query | Part::Key | Part::Value);
        if needed { self.tensor(role).map(Some) } else { self.tensor_if_present(role) }
    }

    /// Number of outputs of a part.
    pub(crate) fn outputs(&self, part: Part) -> usize {
        part.dims(self.shape)[0]
    }

    /// Reads the norm of every head's Q or K, which Qwen3 alone has.
    pub(crate) fn head_norm(&mut self, layer: usize, part: Part) -> Result<Option<Tensor>, Error> {
        (self.shape.architecture == Architecture::Qwen3).then(|| self.weight(layer, part)).transpose()
    }

    /// Checks that every tensor was used.
    pub(crate) fn finish(self) -> Result<(), Error> {
        match self.unread.into_iter().next() {
            Some(tensor) => Err(Error::UnusedTensor {
                path: self.files.path(&tensor).to_owned(),
                architecture: self.shape.architecture.as_str(),
                tensor,
            }),
            None => Ok(()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path(name).to_owned()
    }
}
