//! The model to train and the machines: the presets of `configs/presets`.
//!
//! Schedule and batch belong to the pipeline, not to a preset.

use serde::Deserialize;

use crate::{Error, Result};

/// The presets that come with the program, by name.
const BUNDLED: [(&str, &str); 5] = [
    ("llama-7b", include_str!("../../../configs/presets/llama-7b.toml")),
    ("llama-1.3b", include_str!("../../../configs/presets/llama-1.3b.toml")),
    ("llama-360m", include_str!("../../../configs/presets/llama-360m.toml")),
    ("llama-135m", include_str!("../../../configs/presets/llama-135m.toml")),
    ("llama-2m", include_str!("../../../configs/presets/llama-2m.toml")),
];

/// Tokens a parameter of the preset that is taken if none is named.
///
/// # Source
/// Hoffmann et al., arXiv 2203.15556, table 3: about 20 are best for the compute spent.
const TOKENS_A_PARAMETER: f64 = 20.0;

/// Largest count in a preset, which trainers keep in 32 bits.
const MOST: u64 = (1 << 31) - 1;

/// A preset, read and checked.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Its name, or that of its file.
    #[serde(skip)]
    pub name: String,
    /// The model's shape.
    pub model: ModelPreset,
    /// The model's tokenizer.
    pub tokenizer: TokenizerPreset,
    /// `AdamW`.
    pub optimizer: OptimizerPreset,
    /// Machines.
    pub machines: MachinesPreset,
}

/// The shape of a Llama-style decoder with a `SwiGLU` feed-forward layer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPreset {
    /// What the rest must amount to, embedding included.
    pub parameters: u64,
    /// Tokens of the vocabulary.
    pub vocab_size: u64,
    /// Width of the residual stream.
    pub hidden_size: u64,
    /// Width of the feed-forward layer: of the gate and of the up projection each.
    pub intermediate_size: u64,
    /// Decoder layers.
    pub layers: u64,
    /// Query heads.
    pub heads: u64,
    /// Key/value heads.
    pub kv_heads: u64,
    /// Whether the vocabulary projection is the embedding.
    pub tied_embeddings: bool,
    /// Base of the rotary embedding.
    pub rope_theta: f64,
    /// Epsilon of the norms.
    pub rms_norm_eps: f64,
    /// Standard deviation of the initial weights.
    pub init_std: f64,
    /// Token that begins a text.
    pub bos_token_id: u64,
    /// Token that ends a text.
    pub eos_token_id: u64,
}

/// The tokenizer that the model is trained with.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerPreset {
    /// Its name on the Hugging Face hub, or a folder.
    pub name: String,
}

/// The constants of `AdamW`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerPreset {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// What the denominator is kept above.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest norm of the gradient.
    pub clip: f64,
}

/// How the model and the batch are spread over devices. Trainers without one of these ways of sharing leave it at 1.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachinesPreset {
    /// All devices.
    pub devices: u64,
    /// Devices that share each matrix.
    pub tensor_parallel: u64,
    /// Devices that share the layers.
    pub pipeline_parallel: u64,
    /// Sequences of one pass of one replica.
    pub micro_batch: u64,
    /// Steps between checkpoints.
    pub checkpoint_steps: u64,
}

impl MachinesPreset {
    /// Returns the replicas of the model, where matrices and layers are shared.
    #[must_use]
    pub const fn data_parallel(&self) -> u64 {
        self.devices / (self.tensor_parallel * self.pipeline_parallel)
    }

    /// The sequences that all devices pass at once if none shares a model: a batch of so many, or a multiple, fits every trainer.
    pub(crate) const fn sequences_at_once(&self) -> u64 {
        self.devices.saturating_mul(self.micro_batch)
    }
}

impl Preset {
    /// Finds a preset that comes with the program.
    ///
    /// # Errors
    /// [`Error::UnknownPreset`] names those there.
    pub fn named(name: &str) -> Result<Self> {
        let text = BUNDLED.iter().find(|(bundled, _)| *bundled == name).map(|(_, text)| *text);
        let text = text.ok_or_else(|| Error::UnknownPreset {
            name: name.to_owned(),
            present: BUNDLED.map(|(bundled, _)| bundled).join(", "),
        })?;
        Self::parse(text, name)
    }

    /// Returns the largest preset of those that come with the program that `tokens` are 20 a parameter for; the smallest if none is.
    ///
    /// # Errors
    /// As [`Preset::parse`].
    pub fn for_tokens(tokens: f64) -> Result<Self> {
        let presets = BUNDLED.iter().map(|(name, text)| Self::parse(text, name)).collect::<Result<Vec<_>>>()?;
        let fits = |preset: &Self| preset.model.parameters as f64 * TOKENS_A_PARAMETER <= tokens;
        let (fitting, others): (Vec<_>, Vec<_>) = presets.into_iter().partition(fits);
        let largest = fitting.into_iter().max_by_key(|preset| preset.model.parameters);
        let smallest = others.into_iter().min_by_key(|preset| preset.model.parameters);
        largest.or(smallest).map_or_else(|| Self::named(BUNDLED[0].0), Ok)
    }

    /// Reads a preset; messages and recipes call it `name`.
    ///
    /// # Errors
    /// [`Error::PresetSyntax`] with the line; [`Error::PresetValue`] for a shape that no trainer takes.
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        let preset: Self =
            toml::from_str(text).map_err(|source| Error::PresetSyntax { preset: name.to_owned(), source })?;
        let preset = Self { name: name.to_owned(), ..preset };
        preset.validate()?;
        Ok(preset)
    }

    fn validate(&self) -> Result<()> {
        let wrong = |key: &str, got: String, expected: String| {
            Err(Error::PresetValue { preset: self.name.clone(), key: key.to_owned(), got, expected })
        };
        for (key, count) in self.counts() {
            if !(1..=MOST).contains(&count) {
                return wrong(key, count.to_string(), "between 1 and 2^31".to_owned());
            }
        }
        let (model, machines) = (&self.model, &self.machines);
        let shared = machines.tensor_parallel * machines.pipeline_parallel;
        for (key, count, divisor_key, divisor) in [
            ("model.hidden_size", model.hidden_size, "model.heads", model.heads),
            ("model.heads", model.heads, "model.kv_heads", model.kv_heads),
            ("model.kv_heads", model.kv_heads, "machines.tensor_parallel", machines.tensor_parallel),
            ("machines.devices", machines.devices, "machines.tensor_parallel × machines.pipeline_parallel", shared),
        ] {
            if !count.is_multiple_of(divisor) {
                return wrong(key, count.to_string(), format!("a multiple of {divisor_key}, {divisor}"));
            }
        }
        if machines.pipeline_parallel > model.layers {
            let layers = format!("at most the {} layers of the model", model.layers);
            return wrong("machines.pipeline_parallel", machines.pipeline_parallel.to_string(), layers);
        }
        if u128::from(model.parameters) != model.computed_parameters() {
            let computed = format!("{}, which is what the rest of [model] makes", model.computed_parameters());
            return wrong("model.parameters", model.parameters.to_string(), computed);
        }
        for (key, token) in [("bos_token_id", model.bos_token_id), ("eos_token_id", model.eos_token_id)] {
            if token >= model.vocab_size {
                return wrong(key, token.to_string(), format!("below model.vocab_size, {}", model.vocab_size));
            }
        }
        for (key, constant) in self.constants() {
            if !(constant.is_finite() && constant >= 0.0) {
                return wrong(key, constant.to_string(), "finite and not negative".to_owned());
            }
        }
        Ok(())
    }

    fn counts(&self) -> [(&'static str, u64); 11] {
        let Self { model, machines, .. } = self;
        [
            ("model.vocab_size", model.vocab_size),
            ("model.hidden_size", model.hidden_size),
            ("model.intermediate_size", model.intermediate_size),
            ("model.layers", model.layers),
            ("model.heads", model.heads),
            ("model.kv_heads", model.kv_heads),
            ("machines.devices", machines.devices),
            ("machines.tensor_parallel", machines.tensor_parallel),
            ("machines.pipeline_parallel", machines.pipeline_parallel),
            ("machines.micro_batch", machines.micro_batch),
            ("machines.checkpoint_steps", machines.checkpoint_steps),
        ]
    }

    fn constants(&self) -> [(&'static str, f64); 8] {
        let Self { model, optimizer, .. } = self;
        [
            ("model.rope_theta", model.rope_theta),
            ("model.rms_norm_eps", model.rms_norm_eps),
            ("model.init_std", model.init_std),
            ("optimizer.beta1", optimizer.beta1),
            ("optimizer.beta2", optimizer.beta2),
            ("optimizer.eps", optimizer.eps),
            ("optimizer.weight_decay", optimizer.weight_decay),
            ("optimizer.clip", optimizer.clip),
        ]
    }
}

impl ModelPreset {
    /// What the shape makes, embedding included.
    ///
    /// With vocabulary V, width h, feed-forward width f, L layers, a heads and k key/value heads:
    /// V·h, twice if untied, + L · (2h² + 2h²·k/a + 3h·f + 2h) + h.
    fn computed_parameters(&self) -> u128 {
        let [vocab, hidden, intermediate] = [self.vocab_size, self.hidden_size, self.intermediate_size].map(u128::from);
        let [layers, heads, kv_heads] = [self.layers, self.heads, self.kv_heads].map(u128::from);
        let embeddings = vocab * hidden * if self.tied_embeddings { 1 } else { 2 };
        let attention = 2 * hidden * hidden + 2 * hidden * (hidden / heads.max(1)) * kv_heads;
        embeddings + layers * (attention + 3 * hidden * intermediate + 2 * hidden) + hidden
    }

    /// Returns the bytes of a token in a token file: 2 where the vocabulary allows, else 4.
    #[must_use]
    pub fn token_bytes(&self) -> u64 {
        if self.vocab_size <= 1 << 16 { 2 } else { 4 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = BUNDLED[0].1;

    fn billions(model: &ModelPreset) -> f64 {
        model.computed_parameters() as f64 / 1e9
    }

    #[test]
    fn the_papers_table_makes_five_billion_and_the_preset_the_seven_that_it_states() {
        let mut model = Preset::named("llama-7b").unwrap().model;
        assert!((billions(&model) - 6.98).abs() < 0.005, "{}", billions(&model));
        model.intermediate_size = 8192;
        assert!((billions(&model) - 4.97).abs() < 0.005, "{}", billions(&model));
        model.kv_heads = 32;
        model.intermediate_size = 11_264;
        assert!((billions(&model) - 6.98).abs() < 0.005, "{}", billions(&model));
    }

    #[test]
    fn counts_what_a_small_model_holds() {
        let mut model = Preset::named("llama-7b").unwrap().model;
        // SmolLM2-135M, whose card says 135M: 134,515,008 parameters.
        (model.vocab_size, model.hidden_size, model.intermediate_size) = (49_152, 576, 1536);
        (model.layers, model.heads, model.kv_heads, model.tied_embeddings) = (30, 9, 3, true);
        assert_eq!(model.computed_parameters(), 134_515_008);
    }

    #[test]
    fn an_unknown_preset_lists_those_there() {
        let error = Preset::named("llama-8b").unwrap_err().to_string();
        assert!(error.contains("llama-8b") && error.contains("llama-7b") && error.contains(".toml"), "{error}");
    }

    #[test]
    fn mistakes_name_the_file_the_key_and_the_number() {
        let error = |from: &str, to: &str| {
            let changed = TEXT.replace(from, to);
            assert_ne!(changed, TEXT, "{from}");
            let error = Preset::parse(&changed, "mine.toml").unwrap_err();
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            format!("{error}: {source}")
        };
        for (from, to, expected) in [
            ("kv_heads = 8", "kv_heads = 5", "model.heads is 32, expected a multiple of model.kv_heads, 5"),
            ("\nheads = 32", "\nheads = 0", "model.heads is 0"),
            ("tensor_parallel = 2", "tensor_parallel = 16", "model.kv_heads is 8"),
            ("pipeline_parallel = 1", "pipeline_parallel = 64", "at most the 32 layers"),
            ("devices = 256", "devices = 255", "machines.devices is 255, expected a multiple of"),
            (
                "intermediate_size = 13312",
                "intermediate_size = 8192",
                "model.parameters is 6979588096, expected 4966322176",
            ),
            ("eps = 1.0e-8", "eps = nan", "optimizer.eps"),
            ("eos_token_id = 0", "eos_token_id = 49152", "below model.vocab_size, 49152"),
            ("clip = 1.0 ", "clipping = 1.0 ", "unknown field `clipping`"),
            ("layers = 32", "layers = \"many\"", "line "),
        ] {
            let error = error(from, to);
            assert!(error.contains("mine.toml") && error.contains(expected), "{error}");
        }
    }
}
