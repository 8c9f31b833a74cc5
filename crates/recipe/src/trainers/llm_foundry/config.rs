//! LLM Foundry's `train.yaml` as types; fields are named and ordered as the file has them.
//!
//! LLM Foundry warns of keys at the top that it does not know and hands the rest to constructors, so only what those take stands here.

use serde::Serialize;

use crate::trainers::by_part::ByPart;
use crate::trainers::llm_foundry::scheduler::Scheduler;

#[derive(Debug, Serialize)]
pub(crate) struct Config {
    /// Left out where there is none: LLM Foundry iterates over what it finds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code_paths: Option<[&'static str; 1]>,
    pub(crate) max_seq_len: u64,
    pub(crate) run_name: String,
    pub(crate) seed: u64,
    pub(crate) precision: &'static str,
    pub(crate) model: Model,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) train_loader: Loader,
    pub(crate) global_train_batch_size: u64,
    pub(crate) device_train_microbatch_size: u64,
    pub(crate) device_eval_batch_size: u64,
    pub(crate) optimizer: Optimizer,
    pub(crate) algorithms: Algorithms,
    pub(crate) max_duration: String,
    pub(crate) scheduler: Scheduler,
    pub(crate) callbacks: Callbacks,
    pub(crate) eval_interval: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fsdp_config: Option<Fsdp>,
    pub(crate) save_folder: &'static str,
    pub(crate) save_interval: String,
    pub(crate) save_num_checkpoints_to_keep: i64,
    pub(crate) autoresume: bool,
    pub(crate) progress_bar: bool,
    pub(crate) log_to_console: bool,
    pub(crate) console_log_interval: &'static str,
    pub(crate) python_log_level: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) pretrained_model_name_or_path: &'static str,
    pub(crate) pretrained: bool,
    pub(crate) init_device: &'static str,
    pub(crate) trust_remote_code: bool,
    pub(crate) use_train_metrics: bool,
    pub(crate) attn_implementation: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Tokenizer {
    pub(crate) name: String,
    pub(crate) kwargs: TokenizerArguments,
}

#[derive(Debug, Serialize)]
pub(crate) struct TokenizerArguments {
    pub(crate) model_max_length: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Loader {
    pub(crate) name: &'static str,
    pub(crate) dataset: Dataset,
    pub(crate) drop_last: bool,
    pub(crate) num_workers: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Dataset {
    pub(crate) streams: ByPart<Stream>,
    pub(crate) max_seq_len: u64,
    pub(crate) shuffle: bool,
    pub(crate) shuffle_seed: u64,
    pub(crate) num_canonical_nodes: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Stream {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remote: Option<String>,
    pub(crate) local: String,
    pub(crate) proportion: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Optimizer {
    pub(crate) name: &'static str,
    pub(crate) lr: f64,
    pub(crate) betas: [f64; 2],
    pub(crate) eps: f64,
    pub(crate) weight_decay: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Algorithms {
    pub(crate) gradient_clipping: Clipping,
}

#[derive(Debug, Serialize)]
pub(crate) struct Clipping {
    pub(crate) clipping_type: &'static str,
    pub(crate) clipping_threshold: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Callbacks {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) curriculum_learning: Option<Curriculum>,
    pub(crate) lr_monitor: Nothing,
    pub(crate) speed_monitor: SpeedMonitor,
    pub(crate) scheduled_gc: ScheduledGc,
}

/// `{}`.
#[derive(Debug, Serialize)]
pub(crate) struct Nothing {}

#[derive(Debug, Serialize)]
pub(crate) struct SpeedMonitor {
    pub(crate) window_size: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct ScheduledGc {
    pub(crate) batch_interval: u64,
}

/// The stages after the first, which is that of the loader.
#[derive(Debug, Serialize)]
pub(crate) struct Curriculum {
    pub(crate) duration: String,
    pub(crate) schedule: Vec<CurriculumStage>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CurriculumStage {
    pub(crate) duration: String,
    pub(crate) dataset: Dataset,
}

#[derive(Debug, Serialize)]
pub(crate) struct Fsdp {
    pub(crate) sharding_strategy: &'static str,
    pub(crate) mixed_precision: &'static str,
    pub(crate) activation_checkpointing: bool,
    pub(crate) activation_checkpointing_reentrant: bool,
    pub(crate) activation_cpu_offload: bool,
    pub(crate) limit_all_gathers: bool,
    pub(crate) state_dict_type: &'static str,
}
