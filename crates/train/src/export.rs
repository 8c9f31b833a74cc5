//! A model as transformers loads it.

use std::path::Path;

use serde_json::json;

use crate::{Error, Trainer, files};

impl Trainer {
    /// Writes `config.json` and `model.safetensors` of a `LlamaForCausalLM` in float32 to `folder`, which is made if it is missing.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn export(&self, folder: &Path) -> Result<(), Error> {
        let parameters = &self.parameters;
        let slices = [("", files::little_endian(parameters.values()))];
        let weights = files::tensors_file(parameters.layout(), &slices, ("format", "pt".to_owned()));
        files::write(folder, "model.safetensors", &weights)?;
        files::write(folder, "config.json", self.config().as_bytes())
    }

    /// The text of `config.json`. The base of positions stands where transformers 4 and where transformers 5 look for it.
    fn config(&self) -> String {
        let shape = &self.settings.shape;
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
            "max_position_embeddings": self.settings.length,
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
