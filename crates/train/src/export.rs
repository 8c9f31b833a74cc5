//! A model as transformers loads it.

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

use crate::layout::Layout;
use crate::{Error, Parameters, Settings, Shape, Trainer, files};

/// The file of the shape of a model.
const CONFIG: &str = "config.json";

/// The file of its weights.
const WEIGHTS: &str = "model.safetensors";

/// Returns the sequences of a run as a safetensors file with one tensor, `tokens`, of 16-bit numbers.
///
/// # Shapes
/// - `tokens`: `(sequence, width)`; a part of a sequence at the end is left out
///
/// # Panics
/// If `width` is 0.
#[must_use]
pub fn sequences_file(tokens: &[u16], width: usize) -> Vec<u8> {
    let sequences = tokens.len() / width;
    let bytes: Vec<u8> = tokens[..sequences * width].iter().flat_map(|token| token.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::U16, vec![sequences, width], &bytes);
    let view = view.expect("invariant: a tensor has two bytes for each token");
    safetensors::serialize([("tokens", view)], None).expect("invariant: one tensor has one name")
}

impl Trainer {
    /// Returns the names and contents of the files of a `LlamaForCausalLM` in float32: `config.json` and `model.safetensors`.
    #[must_use]
    pub fn model_files(&self) -> [(&'static str, Vec<u8>); 2] {
        [(CONFIG, self.settings.model_config().into_bytes()), (WEIGHTS, self.parameters.to_safetensors())]
    }

    /// Writes [`Trainer::model_files`] to `folder`, which is made if it is missing.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn export(&self, folder: &Path) -> Result<(), Error> {
        self.model_files().into_iter().try_for_each(|(name, bytes)| files::write(folder, name, &bytes))
    }
}

impl Parameters {
    /// Returns the parameters as the file `model.safetensors` of transformers.
    #[must_use]
    pub fn to_safetensors(&self) -> Vec<u8> {
        let slices = [("", files::little_endian(self.values()))];
        files::tensors_file(self.layout(), &slices, ("format", "pt".to_owned()))
    }

    /// Reads what [`Parameters::to_safetensors`] or transformers wrote, in float32. `path` is what errors name.
    ///
    /// # Errors
    /// As [`Shape::check`]; [`Error::Damaged`] for bytes that are no such file, and for a tensor that is missing, of another shape or type.
    pub fn from_safetensors(shape: &Shape, path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        shape.check()?;
        let damaged = |problem| Error::Damaged { path: path.to_owned(), problem };
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| damaged(error.to_string()))?;
        let slice = files::slice(&tensors, &Layout::new(shape), "").map_err(damaged)?;
        Self::from_values(shape, files::numbers(&slice))
    }
}

impl Settings {
    /// Returns the text of `config.json`. The base of positions stands where transformers 4 and where transformers 5 look for it.
    #[must_use]
    pub fn model_config(&self) -> String {
        let shape = &self.shape;
        let config = json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": shape.vocabulary,
            "hidden_size": shape.width,
            "intermediate_size": shape.hidden,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads,
            "head_dim": shape.head_width,
            "hidden_act": "silu",
            "attention_bias": false,
            "mlp_bias": false,
            "max_position_embeddings": self.length,
            "rms_norm_eps": widened(shape.norm_eps),
            "rope_theta": shape.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
            "tie_word_embeddings": shape.tied,
            "torch_dtype": "float32",
            "bos_token_id": null,
            "eos_token_id": null,
            "pad_token_id": null,
        });
        format!("{config:#}\n")
    }
}

/// The float64 of the fewest digits that is this float32: 1e-5 and not 0.00000999….
fn widened(x: f32) -> f64 {
    x.to_string().parse().unwrap_or_else(|_| f64::from(x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_come_back_and_what_does_not_fit_is_named() {
        let shape = Shape {
            vocabulary: 8,
            width: 8,
            layers: 1,
            heads: 2,
            kv_heads: 1,
            head_width: 4,
            hidden: 12,
            ..Shape::default()
        };
        let drawn = Parameters::draw(&shape, 3).expect("a sound shape");
        let (bytes, path) = (drawn.to_safetensors(), Path::new("run/final/model.safetensors"));
        let read = Parameters::from_safetensors(&shape, path, &bytes).expect("what was written");
        assert_eq!(read.values(), drawn.values());
        let refused = |shape: &Shape, bytes: &[u8]| {
            Parameters::from_safetensors(shape, path, bytes).expect_err("it does not fit").to_string()
        };
        let wider = Shape { hidden: 16, ..shape.clone() };
        let error = refused(&wider, &bytes);
        assert!(error.starts_with("run/final/model.safetensors is damaged: model.layers.0.mlp"), "{error}");
        assert!(error.ends_with("[12, 8] of F32, not [16, 8] of F32"), "{error}");
        let error = refused(&shape, &bytes[..bytes.len() / 2]);
        assert!(error.starts_with("run/final/model.safetensors is damaged: "), "{error}");
    }
}
