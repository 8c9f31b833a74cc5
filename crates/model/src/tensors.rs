//! The tensors of a decoder by role, for every file format.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use candle_core::Tensor;

use crate::spec::{Biases, HeadNorms, NormKind, Tying};
use crate::{DecoderSpec, Error, ModelShape};

/// A tensor by its role in the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Token embedding, `(vocab, hidden)`.
    Embedding,
    /// Learned positions, `(context, hidden)`.
    Positions,
    /// Final norm, `(hidden,)`.
    FinalNorm,
    /// What a final layer norm adds, `(hidden,)`.
    FinalNormBias,
    /// Vocabulary projection, `(vocab, hidden)`; absent if tied.
    Head,
    /// A weight of one layer.
    Weight(usize, Part),
    /// A bias of one layer.
    Bias(usize, Part),
}

impl Role {
    /// What GGUF files call the embedding.
    pub(crate) const EMBEDDING_IN_GGUF: &str = "token_embd.weight";

    /// The part of a layer, if it is of one.
    pub(crate) const fn part(self) -> Option<Part> {
        match self {
            Self::Weight(_, part) | Self::Bias(_, part) => Some(part),
            _ => None,
        }
    }

    /// How the names of tensors end.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Bias(..) | Self::FinalNormBias => "bias",
            _ => "weight",
        }
    }

    fn is_norm_weight(self) -> bool {
        match self {
            Self::FinalNorm => true,
            Self::Weight(_, part) => !part.is_map(),
            _ => false,
        }
    }

    /// The shape that the model's configuration demands.
    fn dims(self, spec: &DecoderSpec) -> Vec<usize> {
        let shape = &spec.shape;
        match self {
            Self::Embedding | Self::Head => vec![shape.vocab, shape.hidden],
            Self::Positions => vec![shape.context_tokens, shape.hidden],
            Self::FinalNorm | Self::FinalNormBias => vec![shape.hidden],
            Self::Weight(_, part) => part.dims(spec),
            Self::Bias(_, part) => part.dims(spec)[..1].to_vec(),
        }
    }
}

/// A part of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The norm before attention.
    AttentionNorm,
    Query,
    Key,
    Value,
    Output,
    QueryNorm,
    KeyNorm,
    /// The norm of what attention adds.
    AttentionAfterNorm,
    /// The norm before the MLP.
    MlpNorm,
    Gate,
    /// The only first map of an MLP without a gate.
    Up,
    Down,
    /// The norm of what the MLP adds.
    MlpAfterNorm,
}

impl Part {
    /// Whether it is a linear map, and not a norm.
    pub(crate) const fn is_map(self) -> bool {
        matches!(self, Self::Query | Self::Key | Self::Value | Self::Output | Self::Gate | Self::Up | Self::Down)
    }

    /// `(out, in)` of the part's weight, or `(out,)` of a norm.
    fn dims(self, spec: &DecoderSpec) -> Vec<usize> {
        let shape = &spec.shape;
        let (hidden, inner) = (shape.hidden, shape.intermediate);
        let (queries, keys) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
        let all_heads = spec.head_norms == HeadNorms::AllHeads;
        match self {
            Self::AttentionNorm | Self::MlpNorm | Self::AttentionAfterNorm | Self::MlpAfterNorm => vec![hidden],
            Self::QueryNorm => vec![if all_heads { queries } else { shape.head_dim }],
            Self::KeyNorm => vec![if all_heads { keys } else { shape.head_dim }],
            Self::Query => vec![queries, hidden],
            Self::Key | Self::Value => vec![keys, hidden],
            Self::Output => vec![hidden, queries],
            Self::Gate | Self::Up => vec![inner, hidden],
            Self::Down => vec![hidden, inner],
        }
    }
}

/// Where a file keeps a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// What the file calls it, without the prefix that the decoder's tensors have.
    pub(crate) name: String,
    /// Which part of the stored tensor it is.
    pub(crate) cut: Cut,
}

impl Source {
    /// A tensor of its own.
    pub(crate) const fn whole(name: String) -> Self {
        Self { name, cut: Cut::Whole }
    }

    /// A tensor of its own that is no part of the decoder, so that its name has no prefix.
    pub(crate) fn outside(name: &str) -> Self {
        Self { name: name.to_owned(), cut: Cut::Outside }
    }
}

/// Where files keep the tensors of an architecture.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Where safetensors files keep a tensor, under [`Self::prefix`].
    pub(crate) source: fn(Role, &ModelShape) -> Source,
    /// What stands before the names of the decoder's tensors, which some files leave out.
    pub(crate) prefix: &'static str,
    /// Where GGUF files keep a tensor.
    pub(crate) header_source: fn(Role, &ModelShape) -> Source,
    /// Whether GGUF files keep the rows of Q and K in the pairs that are rotated together.
    pub(crate) has_rotated_pairs: bool,
    /// Whether safetensors files keep what the weights of norms are above 1.
    pub(crate) norms_are_above_one: bool,
}

/// Which part of a stored tensor is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// All of it.
    Whole,
    /// All of it, and its name has no prefix.
    Outside,
    /// Outputs from `first` on, of `total`.
    Outputs { first: usize, total: usize },
    /// Part `index` of the `of` parts of every head's outputs.
    OfEveryHead { index: usize, of: usize },
    /// Inputs come first, and outputs from `first` on, of `total`, are meant; all of them if `total` is 0.
    Columns { first: usize, total: usize },
}

impl Cut {
    /// The shape of the stored tensor, of which `dims` is the part.
    fn stored(self, dims: &[usize]) -> Vec<usize> {
        let mut stored = dims.to_vec();
        match self {
            Self::Whole | Self::Outside => {}
            Self::Outputs { total, .. } => stored[0] = total,
            Self::OfEveryHead { of, .. } => stored[0] *= of,
            Self::Columns { total, .. } => {
                stored[0] = if total == 0 { dims[0] } else { total };
                stored.reverse();
            }
        }
        stored
    }

    /// The part, of the shape `dims`, for heads of `head_dim` outputs.
    fn take(self, stored: Tensor, dims: &[usize], head_dim: usize) -> Result<Tensor, Error> {
        Ok(match self {
            Self::Whole | Self::Outside => stored,
            Self::Outputs { first, .. } => stored.narrow(0, first, dims[0])?.contiguous()?,
            Self::OfEveryHead { index, of } => {
                let rest: usize = dims[1..].iter().product();
                let heads = stored.reshape((dims[0] / head_dim, of, head_dim, rest))?; // (heads, of, head_dim, rest)
                heads.narrow(1, index, 1)?.contiguous()?.reshape(dims)?
            }
            Self::Columns { first, .. } => stored.narrow(1, first, dims[0])?.t()?.contiguous()?,
        })
    }
}

/// A file, or a set of files, of weights.
pub(crate) trait TensorFiles: Sync {
    /// A file to name in errors about `name`.
    fn path(&self, name: &str) -> &Path;

    /// Whether tensors have the names and layouts of GGUF files, and not those of transformers.
    fn is_gguf(&self) -> bool;

    /// The shape of the tensor of that name, if there is one.
    fn dims(&self, name: &str) -> Option<Vec<usize>>;

    /// The tensor of that name in float32 on the CPU.
    fn read(&self, name: &str) -> Result<Tensor, Error>;

    /// What the numbers of the tensor of that name are stored as, if there is one.
    fn format(&self, name: &str) -> Option<String>;

    /// Every tensor's name.
    fn names(&self) -> BTreeSet<String>;

    /// Whether a tensor may be there without being a weight.
    fn is_derived(&self, name: &str) -> bool;
}

/// Weights that are checked against a description while they are read.
pub(crate) struct Checkpoint<'a> {
    files: &'a dyn TensorFiles,
    layout: &'static Layout,
    spec: &'a DecoderSpec,
    /// What stands before the names of the decoder's tensors.
    prefix: &'static str,
    unread: Mutex<BTreeSet<String>>,
}

impl<'a> Checkpoint<'a> {
    /// Begins to read `files` as the model that `spec` describes.
    pub(crate) fn new(files: &'a dyn TensorFiles, layout: &'static Layout, spec: &'a DecoderSpec) -> Self {
        let names = files.names();
        // some files hold the decoder without what stands around it
        let has_prefix = !files.is_gguf() && names.iter().any(|name| name.starts_with(layout.prefix));
        let prefix = if has_prefix { layout.prefix } else { "" };
        let unread = Mutex::new(names.into_iter().filter(|name| !files.is_derived(name)).collect());
        Self { files, layout, spec, prefix, unread }
    }

    /// Where the tensor in `role` is kept, by the name that the files have for it.
    fn source(&self, role: Role) -> Source {
        let shape: &ModelShape = &self.spec.shape;
        if self.files.is_gguf() {
            return (self.layout.header_source)(role, shape);
        }
        let Source { name, cut } = (self.layout.source)(role, shape);
        let name = if cut == Cut::Outside { name } else { format!("{}{name}", self.prefix) };
        Source { name, cut }
    }

    /// Reads the tensor in `role`, in float32 on the CPU.
    pub(crate) fn tensor(&self, role: Role) -> Result<Tensor, Error> {
        let name = self.source(role).name;
        self.tensor_if_present(role)?.ok_or_else(|| Error::MissingTensor { path: self.path(&name), tensor: name })
    }

    /// Reads the tensor in `role` if the file has it.
    fn tensor_if_present(&self, role: Role) -> Result<Option<Tensor>, Error> {
        let Source { name, cut } = self.source(role);
        let Some(got) = self.files.dims(&name) else { return Ok(None) };
        let dims = role.dims(self.spec);
        let expected = cut.stored(&dims);
        if got != expected {
            return Err(Error::TensorShape { path: self.path(&name), tensor: name, expected, got });
        }
        self.unread.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        let tensor = cut.take(self.files.read(&name)?, &dims, self.spec.shape.head_dim)?;
        if !self.files.is_gguf() && self.layout.norms_are_above_one && role.is_norm_weight() {
            return Ok(Some((tensor + 1.0)?));
        }
        let heads = match role.part() {
            Some(Part::Query) => self.spec.shape.heads,
            Some(Part::Key) => self.spec.shape.kv_heads,
            _ => return Ok(Some(tensor)),
        };
        let is_paired = self.files.is_gguf() && self.layout.has_rotated_pairs;
        if is_paired { half_rotated(&tensor, heads).map(Some) } else { Ok(Some(tensor)) }
    }

    /// Reads the vocabulary projection; `None` if it is `embedding`.
    pub(crate) fn head(&self, embedding: &Tensor) -> Result<Option<Tensor>, Error> {
        match self.spec.tying {
            Tying::Untied => match self.tensor_if_present(Role::Head)? {
                Some(head) => Ok(Some(head)),
                None => {
                    let tensor = self.source(Role::Head).name;
                    Err(Error::NoHead { path: self.path(&tensor), tensor })
                }
            },
            Tying::UnlessStored => self.tensor_if_present(Role::Head),
            Tying::Tied => match self.tensor_if_present(Role::Head)? {
                Some(head) if !are_equal(&head, embedding)? => {
                    let tensor = self.source(Role::Head).name;
                    Err(Error::NotTied { path: self.path(&tensor), tensor })
                }
                _ => Ok(None),
            },
        }
    }

    /// Reads the learned positions, if the model has any.
    pub(crate) fn positions(&self) -> Result<Option<Tensor>, Error> {
        self.spec.learns_positions.then(|| self.tensor(Role::Positions)).transpose()
    }

    /// Reads the weight of a part of a layer.
    pub(crate) fn weight(&self, layer: usize, part: Part) -> Result<Tensor, Error> {
        self.tensor(Role::Weight(layer, part))
    }

    /// Reads the bias of a map of a layer, if it has one.
    pub(crate) fn bias(&self, layer: usize, part: Part) -> Result<Option<Tensor>, Error> {
        let role = Role::Bias(layer, part);
        let is_there = match self.spec.biases {
            Biases::AsStored => return self.tensor_if_present(role),
            Biases::Known { projections, output, mlp } => match part {
                Part::Query | Part::Key | Part::Value => projections,
                Part::Output => output,
                _ => mlp,
            },
        };
        is_there.then(|| self.tensor(role)).transpose()
    }

    /// Reads what a layer norm adds, in `role`; `None` for norms that add nothing.
    pub(crate) fn norm_bias(&self, role: Role) -> Result<Option<Tensor>, Error> {
        (self.spec.norm == NormKind::Layer).then(|| self.tensor(role)).transpose()
    }

    /// Number of outputs of a part.
    pub(crate) fn outputs(&self, part: Part) -> usize {
        part.dims(self.spec)[0]
    }

    /// What numbers are stored as.
    pub(crate) fn formats(&self) -> BTreeSet<String> {
        self.files.names().iter().filter_map(|name| self.files.format(name)).collect()
    }

    /// Checks that every tensor was used.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let unread = self.unread.into_inner().unwrap_or_else(PoisonError::into_inner);
        match unread.into_iter().next() {
            Some(tensor) => Err(Error::UnusedTensor {
                path: self.files.path(&tensor).to_owned(),
                architecture: self.spec.architecture,
                tensor,
            }),
            None => Ok(()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path(name).to_owned()
    }
}

fn are_equal(a: &Tensor, b: &Tensor) -> Result<bool, Error> {
    Ok(a.eq(b)?.min_all()?.to_scalar::<u8>()? == 1)
}

/// Puts the rows of a permuted Q or K back: pairs (2i, 2i + 1) of each head become (i, i + half).
///
/// # Shapes
/// - `tensor`: `(heads · head_dim, …)`, returned in the same shape
fn half_rotated(tensor: &Tensor, heads: usize) -> Result<Tensor, Error> {
    let rows = tensor.dim(0)?;
    let half = rows / heads / 2;
    let rest = tensor.elem_count() / rows;
    let paired = tensor.reshape((heads, half, 2, rest))?; // (heads, half, 2, rest)
    let halves = paired.transpose(1, 2)?.contiguous()?; // (heads, 2, half, rest)
    Ok(halves.reshape(tensor.dims())?)
}
