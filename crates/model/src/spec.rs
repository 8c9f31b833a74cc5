//! One description of a decoder: all that its forward pass does, whatever the model is called.

use std::num::NonZeroUsize;

use headwater_kernels::{Activation, AttentionSpan};

use crate::keys::Keys;
use crate::rope::{self, Rope, RopeDefaults};
use crate::{Error, ModelShape};

/// How vectors of the residual stream are normed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// x · weight / √(mean(x²) + ε) (Zhang and Sennrich 2019).
    Rms,
    /// (x − mean(x)) · weight / √(variance(x) + ε) + bias (Ba et al. 2016).
    Layer,
}

/// Where the norms of a layer stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlaces {
    /// Before attention and before the MLP.
    Before,
    /// After them, on what they add to the residual stream.
    After,
    /// Before and after.
    Around,
}

impl NormPlaces {
    /// Whether what attention and the MLP read is normed.
    #[must_use]
    pub const fn before(self) -> bool {
        matches!(self, Self::Before | Self::Around)
    }

    /// Whether what they add is normed.
    #[must_use]
    pub const fn after(self) -> bool {
        matches!(self, Self::After | Self::Around)
    }
}

/// What queries and keys are normed over before they are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadNorms {
    /// They are not.
    None,
    /// Every head for itself.
    EachHead,
    /// All heads of a layer together.
    AllHeads,
}

/// Whether the vocabulary projection is the embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tying {
    /// It is; a stored projection must be equal to it.
    Tied,
    /// It is not.
    Untied,
    /// It is unless a projection is stored, as in GGUF files.
    UnlessStored,
}

/// Which maps have biases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Biases {
    /// Those for which this is true have one, the others none.
    Known {
        /// Q, K and V.
        projections: bool,
        /// The output of attention.
        output: bool,
        /// The maps of the MLP.
        mlp: bool,
    },
    /// Those that the file stores, as in GGUF files.
    AsStored,
}

/// One layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerSpec {
    /// The rotary embedding, an index of [`DecoderSpec::ropes`]; `None` where nothing is rotated.
    pub rope: Option<usize>,
    /// Positions that a query sees at most, its own and those before it; `None` for all before it.
    pub window: Option<NonZeroUsize>,
}

impl LayerSpec {
    /// Returns the first position that a query at `position` sees.
    #[must_use]
    pub fn first_seen(self, position: usize) -> usize {
        AttentionSpan { window: self.window, cap: None }.first_seen(position)
    }
}

/// All that the forward pass of a decoder does.
///
/// x ← embedding · `embedding_multiplier`, plus a learned position if there is one; for each layer x ← x + `residual_multiplier` · attention, then
/// x ← x + `residual_multiplier` · MLP, each normed where [`NormPlaces`] says; a norm; logits · `logit_multiplier`, under a cap if there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderSpec {
    /// What configurations call the architecture; for messages alone.
    pub architecture: &'static str,
    /// Sizes.
    pub shape: ModelShape,
    /// How the residual stream is normed.
    pub norm: NormKind,
    /// ε of all norms.
    pub norm_eps: f64,
    /// Where the norms of a layer stand.
    pub norm_places: NormPlaces,
    /// What queries and keys are normed over.
    pub head_norms: HeadNorms,
    /// Whether the MLP reads what attention reads, and not what it wrote.
    pub is_parallel: bool,
    /// The function between the maps of the MLP.
    pub activation: Activation,
    /// Whether positions are learned vectors, one for each position of the context.
    pub learns_positions: bool,
    /// What embeddings are multiplied with.
    pub embedding_multiplier: f64,
    /// What attention and MLP are multiplied with before they are added to the residual stream.
    pub residual_multiplier: f64,
    /// What products of queries and keys are multiplied with.
    pub attention_scale: f64,
    /// What those never pass.
    pub attention_cap: Option<f64>,
    /// What logits are multiplied with.
    pub logit_multiplier: f64,
    /// What logits never pass.
    pub logit_cap: Option<f64>,
    /// Which maps have biases.
    pub biases: Biases,
    /// Whether the vocabulary projection is the embedding.
    pub tying: Tying,
    /// The rotary embeddings of all layers.
    pub ropes: Vec<Rope>,
    /// `(layer,)`.
    pub layers: Vec<LayerSpec>,
}

/// Sizes that an architecture takes where its configuration is silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults {
    /// Key/value heads; `None` for as many as there are query heads.
    pub(crate) kv_heads: Option<usize>,
    /// Width of a head; `None` for an equal share of the hidden size.
    pub(crate) head_dim: Option<usize>,
    pub(crate) context_tokens: usize,
    pub(crate) eps: f64,
    pub(crate) theta: f64,
    pub(crate) tied: bool,
    /// Whether layers of different kinds have rotary embeddings of their own, which the architecture reads.
    pub(crate) ropes_differ: bool,
    /// The original context, where it stands beside the table of the rotary embedding.
    pub(crate) original_context_tokens: Option<usize>,
    /// Whether a configuration may rotate a share of each head.
    pub(crate) may_share: bool,
    /// The token that fills up a batch.
    pub(crate) padding: Option<i64>,
}

impl Defaults {
    /// Those of Llama.
    pub(crate) const LLAMA: Self = Self {
        kv_heads: None,
        head_dim: None,
        context_tokens: 2_048,
        eps: 1e-6,
        theta: 1e4,
        tied: false,
        ropes_differ: false,
        original_context_tokens: None,
        may_share: false,
        padding: None,
    };
}

impl DecoderSpec {
    /// Reads the decoder of Touvron et al. (2023), LLaMA, §2.2, with grouped-query attention (Ainslie et al. 2023): what other
    /// architectures are described by their difference to.
    pub(crate) fn llama(architecture: &'static str, keys: &Keys, defaults: Defaults) -> Result<Self, Error> {
        let (heads, hidden, layers) =
            (keys.size("num_attention_heads")?, keys.size("hidden_size")?, keys.size("num_hidden_layers")?);
        let share = hidden.checked_div(heads).unwrap_or_default();
        let shape = ModelShape {
            layers,
            heads,
            kv_heads: keys.size_or("num_key_value_heads", defaults.kv_heads.unwrap_or(heads), heads)?,
            head_dim: keys.size_or("head_dim", defaults.head_dim.unwrap_or(share), share)?,
            hidden,
            intermediate: keys.size("intermediate_size")?,
            mlp_maps: 3,
            vocab: keys.size("vocab_size")?,
            context_tokens: keys.size_if_there("max_position_embeddings")?.unwrap_or(defaults.context_tokens),
            attention_windows: Vec::new(),
        };
        shape.validate(keys.path())?;
        validate_padding(keys, shape.vocab, defaults.padding)?;
        if let Some(width) = keys.size_if_there("attention.value_length")?.filter(|width| *width != shape.head_dim) {
            let supported = "values as wide as keys";
            return Err(keys.unsupported("attention.value_length", &width.to_string(), supported));
        }
        let rope_defaults = RopeDefaults {
            theta: defaults.theta,
            share: 1.0,
            may_share: defaults.may_share,
            context_tokens: shape.context_tokens,
            original_context_tokens: defaults.original_context_tokens,
        };
        let mut ropes = Vec::new();
        if !defaults.ropes_differ {
            ropes.push(rope::read(keys, shape.head_dim, rope_defaults)?);
        }
        Ok(Self {
            norm_eps: keys.positive_or("rms_norm_eps", defaults.eps)?,
            activation: activation(keys, "hidden_act", Activation::Silu)?,
            biases: biases(keys)?,
            tying: tying(keys, defaults.tied)?,
            ropes,
            ..Self::plain(architecture, shape)
        })
    }

    /// A decoder of these sizes in which nothing is multiplied, capped or normed more than once; the first rotary embedding is every layer's.
    pub(crate) fn plain(architecture: &'static str, shape: ModelShape) -> Self {
        Self {
            architecture,
            norm: NormKind::Rms,
            norm_eps: Defaults::LLAMA.eps,
            norm_places: NormPlaces::Before,
            head_norms: HeadNorms::None,
            is_parallel: false,
            activation: Activation::Silu,
            learns_positions: false,
            embedding_multiplier: 1.0,
            residual_multiplier: 1.0,
            attention_scale: (shape.head_dim as f64).sqrt().recip(),
            attention_cap: None,
            logit_multiplier: 1.0,
            logit_cap: None,
            biases: Biases::AsStored,
            tying: Tying::UnlessStored,
            ropes: Vec::new(),
            layers: vec![LayerSpec { rope: Some(0), window: None }; shape.layers],
            shape,
        }
    }

    /// Checks the sizes, and notes what layers see in them.
    pub(crate) fn checked(mut self, keys: &Keys) -> Result<Self, Error> {
        self.shape.validate(keys.path())?;
        let longest = self.ropes.iter().filter_map(|rope| rope.context_tokens).min();
        self.shape.context_tokens = self.shape.context_tokens.min(longest.unwrap_or(usize::MAX));
        let (context, layers) = (self.shape.context_tokens, &mut self.layers);
        // a window as long as the context hides nothing
        layers.iter_mut().for_each(|layer| layer.window = layer.window.filter(|window| window.get() < context));
        self.shape.attention_windows = self.layers.iter().map(|layer| layer.window).collect();
        Ok(self)
    }
}

/// Lets every layer of `spec` see a window of `sliding_window` positions, `default` if the key is not there, or all if it is null.
pub(crate) fn with_window(mut spec: DecoderSpec, keys: &Keys, default: Option<usize>) -> Result<DecoderSpec, Error> {
    let window = NonZeroUsize::new(width_or(keys, default.unwrap_or_default())?);
    spec.layers.iter_mut().for_each(|layer| layer.window = window);
    Ok(spec)
}

/// Checks that the token that fills up a batch has a row of the embedding. No score depends on it, but transformers loads no such model.
fn validate_padding(keys: &Keys, vocab: usize, default: Option<i64>) -> Result<(), Error> {
    const KEY: &str = "pad_token_id";
    if keys.is_header() || keys.is_null(KEY) {
        return Ok(());
    }
    let rows = i64::try_from(vocab).unwrap_or(i64::MAX);
    let has_row = |id: i64| (-rows..rows).contains(&id);
    match keys.value(KEY).map_or(default, serde_json::Value::as_i64) {
        Some(id) if !has_row(id) => Err(keys.unsupported(KEY, &id.to_string(), "the id of a token of the vocabulary")),
        _ => Ok(()),
    }
}

/// The positions of `sliding_window`, 4,096 if the key is not there; `None` if it is null.
pub(crate) fn sliding_width(keys: &Keys) -> Result<Option<usize>, Error> {
    Ok(Some(width_or(keys, 4_096)?).filter(|width| *width > 0))
}

/// The positions of `sliding_window`, `default` if the key is not there, 0 if it is null, or in a header that says so for none.
fn width_or(keys: &Keys, default: usize) -> Result<usize, Error> {
    const KEY: &str = "sliding_window";
    match keys.size_if_there(KEY)? {
        Some(0) if !keys.is_header() => Err(keys.unsupported(KEY, "0", "a width above 0, or null for none")),
        _ => keys.size_or(KEY, default, 0),
    }
}

/// Whether `attention_bias` and `mlp_bias` are true, or that files tell.
pub(crate) fn biases(keys: &Keys) -> Result<Biases, Error> {
    if keys.is_header() {
        return Ok(Biases::AsStored);
    }
    let attention = keys.flag_or("attention_bias", false)?;
    Ok(Biases::Known { projections: attention, output: attention, mlp: keys.flag_or("mlp_bias", false)? })
}

/// Whether the vocabulary projection is the embedding; `default` where `tie_word_embeddings` is not there.
pub(crate) fn tying(keys: &Keys, default: bool) -> Result<Tying, Error> {
    if keys.is_header() {
        return Ok(Tying::UnlessStored);
    }
    Ok(if keys.flag_or("tie_word_embeddings", default)? { Tying::Tied } else { Tying::Untied })
}

/// The activation at `key`, by the names of transformers; `default` where there is none.
pub(crate) fn activation(keys: &Keys, key: &str, default: Activation) -> Result<Activation, Error> {
    match keys.text(key)? {
        None => Ok(default),
        Some("silu" | "swish") => Ok(Activation::Silu),
        Some("gelu" | "gelu_python") => Ok(Activation::Gelu),
        Some("gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" | "gelu_python_tanh") => Ok(Activation::GeluTanh),
        Some(other) => Err(keys.unsupported(key, other, "silu, gelu, gelu_new and gelu_pytorch_tanh")),
    }
}

/// The positions that each of `layers` layers sees, by `layer_types`; where there is none, `slides` says which layers see only a window.
pub(crate) fn windows(
    keys: &Keys,
    layers: usize,
    window: Option<usize>,
    slides: impl Fn(usize) -> bool,
) -> Result<Vec<Option<NonZeroUsize>>, Error> {
    const KEY: &str = "layer_types";
    let width = || match window.and_then(NonZeroUsize::new) {
        Some(window) => Ok(Some(window)),
        None => Err(keys.missing("sliding_window")),
    };
    let Some(kinds) = keys.list(KEY)? else {
        return (0..layers).map(|layer| if slides(layer) { width() } else { Ok(None) }).collect();
    };
    if kinds.len() != layers {
        return Err(keys.unsupported(
            KEY,
            &format!("a list of {}", kinds.len()),
            "a list with an entry for each layer",
        ));
    }
    let window_of = |kind: &serde_json::Value| match kind.as_str() {
        Some("full_attention") => Ok(None),
        Some("sliding_attention") => width(),
        _ => Err(keys.unsupported(KEY, &kind.to_string(), "full_attention and sliding_attention")),
    };
    kinds.iter().map(window_of).collect()
}
