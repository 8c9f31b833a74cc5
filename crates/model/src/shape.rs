//! The sizes of a decoder and where they are read from.

use std::path::Path;

use serde::Deserialize;

use crate::Error;

/// A family of decoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Llama and SmolLM.
    Llama,
    /// Mistral.
    Mistral,
    /// Qwen2: biases on Q, K and V.
    Qwen2,
    /// Qwen3: RMS norms on every head's Q and K.
    Qwen3,
}

impl Architecture {
    /// Returns the name that `config.json` and GGUF use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    /// Finds the architecture of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Llama, Self::Mistral, Self::Qwen2, Self::Qwen3].into_iter().find(|known| known.as_str() == name)
    }
}

/// What is supported, for error messages.
pub(crate) const ARCHITECTURES: &str = "llama, mistral, qwen2 and qwen3";

/// How rotary frequencies are stretched beyond the context they were trained on.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Positions divided by a factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Llama 3: low frequencies divided by a factor, high ones kept, smoothly between.
    Llama3 {
        /// By how much low frequencies are divided.
        factor: f64,
        /// Wavelengths above `original / low` are low frequencies.
        low_freq_factor: f64,
        /// Wavelengths below `original / high` are high frequencies.
        high_freq_factor: f64,
        /// Context that the model was first trained on, in tokens.
        original_context_tokens: f64,
    },
    /// Each frequency divided by its own factor, `(head_dim / 2,)`, as GGUF files store it.
    Divisors(Vec<f32>),
}

/// The sizes of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelShape {
    /// The family.
    pub architecture: Architecture,
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
    /// Rows of the embedding.
    pub vocab: usize,
    /// Longest window the model was trained on, in tokens; a sliding attention window counts as such a limit.
    pub context_tokens: usize,
    /// ε of the RMS norms.
    pub norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How they are stretched.
    pub rope_scaling: RopeScaling,
}

impl ModelShape {
    /// Rotary frequencies in radians per position, `(head_dim / 2,)`.
    ///
    /// # Source
    /// Su et al. (2021), RoFormer, §3.2.2; Llama 3 scaling as in Llama 3.1's reference code.
    #[must_use]
    pub fn rope_frequencies(&self) -> Vec<f64> {
        let half = self.head_dim / 2;
        let base = |i: usize| self.rope_theta.powf(-(2.0 * i as f64) / self.head_dim as f64);
        match &self.rope_scaling {
            RopeScaling::None => (0..half).map(base).collect(),
            RopeScaling::Linear { factor } => (0..half).map(|i| base(i) / factor).collect(),
            RopeScaling::Divisors(divisors) => (0..half).zip(divisors).map(|(i, d)| base(i) / f64::from(*d)).collect(),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context_tokens } => {
                let stretched = |frequency: f64| {
                    let turns = original_context_tokens * frequency / std::f64::consts::TAU;
                    let kept = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                    frequency * (kept + (1.0 - kept) / factor)
                };
                (0..half).map(base).map(stretched).collect()
            }
        }
    }

    /// Checks what every later shape computation relies on.
    pub(crate) fn validate(self, path: &Path) -> Result<Self, Error> {
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
            return Err(wrong("head width", self.head_dim, "even widths, which rotary embeddings need"));
        }
        Ok(self)
    }
}

/// `config.json` as transformers writes it, as far as it matters here.
#[derive(Debug, Deserialize)]
struct HfConfig {
    model_type: String,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    hidden_size: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    hidden_act: String,
    rope_scaling: Option<HfRope>,
    rope_parameters: Option<HfRope>,
    sliding_window: Option<usize>,
    use_sliding_window: Option<bool>,
    partial_rotary_factor: Option<f64>,
}

/// `rope_scaling` (transformers 4) or `rope_parameters` (transformers 5).
#[derive(Debug, Deserialize)]
struct HfRope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
    partial_rotary_factor: Option<f64>,
}

impl HfRope {
    fn scaling(&self, path: &Path) -> Result<RopeScaling, Error> {
        let missing = |key: &str| Error::MissingKey { path: path.to_owned(), key: format!("rope_scaling.{key}") };
        let factor = || self.factor.ok_or_else(|| missing("factor"));
        match self.rope_type.as_deref() {
            None | Some("default") => Ok(RopeScaling::None),
            Some("linear") => Ok(RopeScaling::Linear { factor: factor()? }),
            Some("llama3") => Ok(RopeScaling::Llama3 {
                factor: factor()?,
                low_freq_factor: self.low_freq_factor.ok_or_else(|| missing("low_freq_factor"))?,
                high_freq_factor: self.high_freq_factor.ok_or_else(|| missing("high_freq_factor"))?,
                original_context_tokens: self
                    .original_max_position_embeddings
                    .ok_or_else(|| missing("original_max_position_embeddings"))?,
            }),
            Some(other) => Err(Error::Unsupported {
                path: path.to_owned(),
                key: "rope_scaling.rope_type".to_owned(),
                value: other.to_owned(),
                supported: "default, linear and llama3",
            }),
        }
    }
}

/// Reads the shape from the text of a `config.json` at `path`.
pub(crate) fn from_hf_config(path: &Path, text: &[u8]) -> Result<ModelShape, Error> {
    let config: HfConfig = serde_json::from_slice(text).map_err(|error| Error::Format {
        path: path.to_owned(),
        format: "config.json",
        reason: error.to_string(),
    })?;
    let unsupported = |key: &str, value: &str, supported| Error::Unsupported {
        path: path.to_owned(),
        key: key.to_owned(),
        value: value.to_owned(),
        supported,
    };
    let architecture = Architecture::named(&config.model_type)
        .ok_or_else(|| unsupported("model_type", &config.model_type, ARCHITECTURES))?;
    if config.hidden_act != "silu" {
        return Err(unsupported("hidden_act", &config.hidden_act, "silu"));
    }
    let rope = config.rope_parameters.as_ref().or(config.rope_scaling.as_ref());
    let partial = config.partial_rotary_factor.or(rope.and_then(|rope| rope.partial_rotary_factor));
    if let Some(share) = partial.filter(|share| *share != 1.0) {
        return Err(unsupported("partial_rotary_factor", &share.to_string(), "rotary embeddings over whole heads"));
    }
    // Qwen's configurations name a window that they use only if they say so
    let unsaid = !matches!(architecture, Architecture::Qwen2 | Architecture::Qwen3);
    let sliding = config.sliding_window.filter(|_| config.use_sliding_window.unwrap_or(unsaid));
    let missing_theta = || Error::MissingKey { path: path.to_owned(), key: "rope_theta".to_owned() };
    let head_dim = config.head_dim.or_else(|| config.hidden_size.checked_div(config.num_attention_heads));
    ModelShape {
        architecture,
        layers: config.num_hidden_layers,
        heads: config.num_attention_heads,
        kv_heads: config.num_key_value_heads.unwrap_or(config.num_attention_heads),
        head_dim: head_dim.unwrap_or_default(),
        hidden: config.hidden_size,
        intermediate: config.intermediate_size,
        vocab: config.vocab_size,
        context_tokens: config.max_position_embeddings.min(sliding.unwrap_or(usize::MAX)),
        norm_eps: config.rms_norm_eps,
        rope_theta: config.rope_theta.or(rope.and_then(|rope| rope.rope_theta)).ok_or_else(missing_theta)?,
        rope_scaling: rope.map_or(Ok(RopeScaling::None), |rope| rope.scaling(path))?,
    }
    .validate(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LLAMA: &str = r#"{"model_type": "llama", "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "hidden_size": 32, "intermediate_size": 64, "vocab_size": 300, "hidden_act": "silu",
        "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0"#;

    fn read(rest: &str) -> Result<ModelShape, Error> {
        from_hf_config(Path::new("config.json"), format!("{LLAMA}{rest}}}").as_bytes())
    }

    #[test]
    fn a_sliding_window_limits_the_context() -> Result<(), Error> {
        assert_eq!(read("")?.context_tokens, 256);
        assert_eq!(read(r#", "sliding_window": 64"#)?.context_tokens, 64);
        assert_eq!(read(r#", "sliding_window": 64, "use_sliding_window": false"#)?.context_tokens, 256);
        Ok(())
    }

    #[test]
    fn unknown_scaling_is_refused_by_name() {
        let error = read(r#", "rope_scaling": {"type": "yarn", "factor": 4.0}"#).expect_err("yarn is not supported");
        assert!(error.to_string().contains("yarn"), "{error}");
    }

    #[test]
    fn llama3_keeps_high_frequencies_and_stretches_low_ones() -> Result<(), Error> {
        let scaled = read(
            r#", "head_dim": 64, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 128}"#,
        )?;
        let plain = ModelShape { rope_scaling: RopeScaling::None, ..scaled.clone() };
        let (scaled, plain) = (scaled.rope_frequencies(), plain.rope_frequencies());
        assert_eq!(scaled[0], plain[0]);
        assert_eq!(scaled[31], plain[31] / 8.0);
        Ok(())
    }

    #[test]
    fn zero_heads_are_refused() {
        let text = LLAMA.replace(r#""num_attention_heads": 4"#, r#""num_attention_heads": 0"#) + "}";
        assert!(from_hf_config(Path::new("config.json"), text.as_bytes()).is_err());
    }
}
