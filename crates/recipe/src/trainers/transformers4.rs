//! The model's `config.json` in the spelling of transformers 4, for trainers that bring it.
//!
//! transformers 5 has `rope_parameters` for `rope_theta`: the Hugging Face recipe writes its own.

use serde::Serialize;

use crate::plan::TrainingPlan;

/// A `LlamaConfig`.
#[derive(Debug, Serialize)]
pub(crate) struct LlamaConfig {
    architectures: [&'static str; 1],
    attention_bias: bool,
    bos_token_id: u64,
    eos_token_id: u64,
    hidden_act: &'static str,
    hidden_size: u64,
    initializer_range: f64,
    intermediate_size: u64,
    max_position_embeddings: u64,
    model_type: &'static str,
    num_attention_heads: u64,
    num_hidden_layers: u64,
    num_key_value_heads: u64,
    rms_norm_eps: f64,
    rope_theta: f64,
    tie_word_embeddings: bool,
    torch_dtype: &'static str,
    vocab_size: u64,
}

impl LlamaConfig {
    pub(crate) fn new(plan: &TrainingPlan<'_>) -> Self {
        let model = &plan.preset.model;
        Self {
            architectures: ["LlamaForCausalLM"],
            attention_bias: false,
            bos_token_id: model.bos_token_id,
            eos_token_id: model.eos_token_id,
            hidden_act: "silu",
            hidden_size: model.hidden_size,
            initializer_range: model.init_std,
            intermediate_size: model.intermediate_size,
            max_position_embeddings: plan.batch.sequence_tokens,
            model_type: "llama",
            num_attention_heads: model.heads,
            num_hidden_layers: model.layers,
            num_key_value_heads: model.kv_heads,
            rms_norm_eps: model.rms_norm_eps,
            rope_theta: model.rope_theta,
            tie_word_embeddings: model.tied_embeddings,
            torch_dtype: "float32",
            vocab_size: model.vocab_size,
        }
    }
}
