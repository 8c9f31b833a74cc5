//! nanotron's configuration file as types; fields are named and ordered as the file has them.
//!
//! nanotron refuses keys that it does not know, so only what it reads stands here.

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct Config {
    pub(crate) general: General,
    pub(crate) parallelism: Parallelism,
    pub(crate) model: Model,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) tokens: Tokens,
    pub(crate) optimizer: Optimizer,
    pub(crate) data_stages: Vec<Stage>,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) logging: Logging,
}

#[derive(Debug, Serialize)]
pub(crate) struct General {
    pub(crate) project: String,
    pub(crate) run: String,
    pub(crate) seed: u64,
    pub(crate) step: Option<u64>,
    pub(crate) consumed_train_samples: Option<u64>,
    pub(crate) benchmark_csv_path: Option<String>,
    pub(crate) ignore_sanity_checks: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Parallelism {
    pub(crate) dp: u64,
    pub(crate) tp: u64,
    pub(crate) pp: u64,
    pub(crate) expert_parallel_size: u64,
    pub(crate) pp_engine: &'static str,
    pub(crate) tp_mode: &'static str,
    pub(crate) tp_linear_async_communication: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Model {
    pub(crate) ddp_bucket_cap_mb: u64,
    pub(crate) dtype: &'static str,
    pub(crate) init_method: InitMethod,
    pub(crate) make_vocab_size_divisible_by: u64,
    pub(crate) model_config: ModelConfig,
}

#[derive(Debug, Serialize)]
pub(crate) struct InitMethod {
    pub(crate) std: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct ModelConfig {
    pub(crate) is_llama_config: bool,
    pub(crate) bos_token_id: u64,
    pub(crate) eos_token_id: u64,
    pub(crate) pad_token_id: Option<u64>,
    pub(crate) hidden_act: &'static str,
    pub(crate) hidden_size: u64,
    pub(crate) initializer_range: f64,
    pub(crate) intermediate_size: u64,
    pub(crate) max_position_embeddings: u64,
    pub(crate) num_attention_heads: u64,
    pub(crate) num_hidden_layers: u64,
    pub(crate) num_key_value_heads: u64,
    pub(crate) pretraining_tp: u64,
    pub(crate) rms_norm_eps: f64,
    pub(crate) rope_interleaved: bool,
    pub(crate) rope_scaling: Option<String>,
    pub(crate) rope_theta: f64,
    pub(crate) tie_word_embeddings: bool,
    pub(crate) use_cache: bool,
    pub(crate) vocab_size: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Tokenizer {
    pub(crate) tokenizer_name_or_path: String,
    pub(crate) tokenizer_revision: Option<String>,
    pub(crate) tokenizer_max_length: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Tokens {
    pub(crate) sequence_length: u64,
    pub(crate) train_steps: u64,
    pub(crate) micro_batch_size: u64,
    pub(crate) batch_accumulation_per_replica: u64,
    pub(crate) limit_val_batches: u64,
    pub(crate) limit_test_batches: u64,
    pub(crate) val_check_interval: i64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Optimizer {
    pub(crate) zero_stage: u64,
    pub(crate) weight_decay: f64,
    pub(crate) clip_grad: f64,
    pub(crate) accumulate_grad_in_fp32: bool,
    pub(crate) optimizer_factory: OptimizerFactory,
    pub(crate) learning_rate_scheduler: LearningRate,
}

#[derive(Debug, Serialize)]
pub(crate) struct OptimizerFactory {
    pub(crate) name: &'static str,
    pub(crate) adam_beta1: f64,
    pub(crate) adam_beta2: f64,
    pub(crate) adam_eps: f64,
    pub(crate) torch_adam_is_fused: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct LearningRate {
    pub(crate) learning_rate: f64,
    pub(crate) lr_warmup_steps: u64,
    pub(crate) lr_warmup_style: &'static str,
    pub(crate) lr_decay_style: &'static str,
    pub(crate) lr_decay_starting_step: u64,
    pub(crate) lr_decay_steps: u64,
    pub(crate) min_decay_lr: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) start_training_step: u64,
    pub(crate) data: Data,
}

#[derive(Debug, Serialize)]
pub(crate) struct Data {
    pub(crate) seed: u64,
    pub(crate) num_loading_workers: u64,
    pub(crate) dataset: Dataset,
}

#[derive(Debug, Serialize)]
pub(crate) struct Dataset {
    pub(crate) dataset_folder: Vec<String>,
    pub(crate) dataset_weights: Vec<f64>,
    pub(crate) tokenizer_name: String,
    pub(crate) vocab_size: u64,
    pub(crate) token_size_in_bytes: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Checkpoints {
    pub(crate) checkpoints_path: String,
    pub(crate) checkpoint_interval: u64,
    pub(crate) save_initial_state: bool,
    pub(crate) save_final_state: bool,
    pub(crate) resume_checkpoint_path: Option<String>,
    pub(crate) checkpoints_path_is_shared_file_system: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Logging {
    pub(crate) log_level: &'static str,
    pub(crate) log_level_replica: &'static str,
    pub(crate) iteration_step_info_interval: u64,
}
