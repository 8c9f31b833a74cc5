//! torchtitan's configuration file, and the file that its recipe's module reads, as types; fields are named and ordered as the files
//! have them.

use serde::Serialize;

use crate::trainers::documents::{MixtureSource, StagePart};

#[derive(Debug, Serialize)]
pub(crate) struct Config {
    pub(crate) job: Job,
    pub(crate) experimental: Experimental,
    pub(crate) model: Model,
    pub(crate) optimizer: Optimizer,
    pub(crate) lr_scheduler: LrScheduler,
    pub(crate) training: Training,
    pub(crate) parallelism: Parallelism,
    pub(crate) activation_checkpoint: ActivationCheckpoint,
    pub(crate) compile: Compile,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) metrics: Metrics,
    pub(crate) debug: Debug,
}

#[derive(Debug, Serialize)]
pub(crate) struct Job {
    pub(crate) dump_folder: &'static str,
    pub(crate) description: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Experimental {
    pub(crate) custom_import: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) flavor: &'static str,
    pub(crate) hf_assets_path: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Optimizer {
    pub(crate) name: &'static str,
    pub(crate) lr: f64,
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) eps: f64,
    pub(crate) weight_decay: f64,
    pub(crate) implementation: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct LrScheduler {
    pub(crate) warmup_steps: u64,
    pub(crate) total_steps: u64,
    pub(crate) decay_ratio: f64,
    pub(crate) decay_type: &'static str,
    pub(crate) min_lr_factor: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Training {
    pub(crate) dataset: String,
    pub(crate) local_batch_size: u64,
    pub(crate) global_batch_size: u64,
    pub(crate) seq_len: u64,
    pub(crate) max_norm: f64,
    pub(crate) steps: u64,
    pub(crate) dtype: &'static str,
    pub(crate) mixed_precision_param: &'static str,
    pub(crate) mixed_precision_reduce: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Parallelism {
    pub(crate) data_parallel_replicate_degree: u64,
    /// −1 for all devices that are left.
    pub(crate) data_parallel_shard_degree: i64,
    pub(crate) tensor_parallel_degree: u64,
    pub(crate) pipeline_parallel_degree: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pipeline_parallel_microbatch_size: Option<u64>,
    pub(crate) context_parallel_degree: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct ActivationCheckpoint {
    pub(crate) mode: &'static str,
    pub(crate) selective_ac_option: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Compile {
    pub(crate) enable: bool,
    pub(crate) components: [&'static str; 2],
}

#[derive(Debug, Serialize)]
pub(crate) struct Checkpoint {
    pub(crate) enable: bool,
    pub(crate) folder: &'static str,
    pub(crate) interval: u64,
    pub(crate) keep_latest_k: u64,
    pub(crate) last_save_model_only: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Metrics {
    pub(crate) log_freq: u64,
    pub(crate) enable_tensorboard: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Debug {
    pub(crate) seed: u64,
}

/// What the recipe's module reads: `recipe.json`.
#[derive(Serialize)]
pub(crate) struct ModuleFile {
    pub(crate) model: Shape,
    pub(crate) init_std: f64,
    pub(crate) seed: u64,
    pub(crate) shuffle_documents: u64,
    pub(crate) parts: Vec<Part>,
    pub(crate) datasets: Vec<Dataset>,
}

/// The shape of the model, in torchtitan's names but for `hidden_dim`.
#[derive(Serialize)]
pub(crate) struct Shape {
    pub(crate) dim: u64,
    pub(crate) n_layers: u64,
    pub(crate) n_heads: u64,
    pub(crate) n_kv_heads: u64,
    pub(crate) vocab_size: u64,
    /// Width of the feed-forward layer.
    pub(crate) hidden_dim: u64,
    pub(crate) norm_eps: f64,
    pub(crate) rope_theta: f64,
}

#[derive(Serialize)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) sources: Vec<MixtureSource>,
}

/// What `training.dataset` can name: one stage of the data.
#[derive(Serialize)]
pub(crate) struct Dataset {
    pub(crate) name: String,
    pub(crate) stage: &'static str,
    pub(crate) start_step: u64,
    pub(crate) steps: u64,
    pub(crate) parts: Vec<StagePart>,
}
