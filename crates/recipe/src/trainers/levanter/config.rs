//! Levanter's `config.yaml` as types; fields are named and ordered as the file has them.
//!
//! Levanter refuses keys that it does not know, so only what it reads stands here.

use serde::Serialize;

use crate::trainers::by_part::ByPart;

#[derive(Debug, Serialize)]
pub(crate) struct Config {
    pub(crate) data: Data,
    pub(crate) train_seq_len: u64,
    pub(crate) data_seed: u64,
    pub(crate) model: Model,
    pub(crate) optimizer: Optimizer,
    pub(crate) trainer: Training,
}

#[derive(Debug, Serialize)]
pub(crate) struct Data {
    pub(crate) tokenizer: String,
    pub(crate) cache_dir: &'static str,
    pub(crate) enforce_eos: bool,
    pub(crate) block_cross_document_attention: bool,
    pub(crate) shuffle: bool,
    pub(crate) permutation_type: &'static str,
    pub(crate) mixture_block_size: u64,
    pub(crate) stop_strategy: &'static str,
    /// One for each part that is read.
    pub(crate) components: ByPart<Component>,
    /// First steps and what the parts weigh from there.
    pub(crate) train_weights: Vec<(u64, ByPart<f64>)>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Component {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) source: Source,
    pub(crate) format: Format,
}

#[derive(Debug, Serialize)]
pub(crate) struct Source {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) train_urls: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Format {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) text_key: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Model {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) max_seq_len: u64,
    pub(crate) hidden_dim: u64,
    pub(crate) intermediate_dim: u64,
    pub(crate) num_layers: u64,
    pub(crate) num_heads: u64,
    pub(crate) num_kv_heads: u64,
    pub(crate) activation_function: &'static str,
    pub(crate) initializer_range: f64,
    pub(crate) layer_norm_epsilon: f64,
    pub(crate) tie_word_embeddings: bool,
    pub(crate) reference_checkpoint: &'static str,
    pub(crate) tokenizer: String,
    pub(crate) gradient_checkpointing: bool,
    pub(crate) rope: Rope,
}

#[derive(Debug, Serialize)]
pub(crate) struct Rope {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) theta: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Optimizer {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    #[serde(flatten)]
    pub(crate) schedule: ScheduleKeys,
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) epsilon: f64,
    pub(crate) max_grad_norm: f64,
    pub(crate) weight_decay: f64,
    pub(crate) default_weight_decay_mask: bool,
}

/// The schedule in Levanter's keys.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct ScheduleKeys {
    pub(crate) learning_rate: f64,
    pub(crate) lr_schedule: LrSchedule,
    pub(crate) warmup: Length,
    /// `None`, written as null, is all of the run after warm-up.
    pub(crate) decay: Option<Length>,
    pub(crate) min_lr_ratio: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cycles: Option<Vec<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rewarmup: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cooldown: Option<Length>,
}

/// A number of steps; up to 1 it is a share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Length {
    Steps(u64),
    Share(f64),
}

/// A shape by name, or by type where it has a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum LrSchedule {
    Named(&'static str),
    Typed(TypedSchedule),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum TypedSchedule {
    Polynomial { power: f64 },
    InvSqrtDecay { decay_constant: f64 },
}

#[derive(Debug, Serialize)]
pub(crate) struct Training {
    pub(crate) id: String,
    pub(crate) seed: u64,
    pub(crate) mp: &'static str,
    pub(crate) num_train_steps: u64,
    pub(crate) train_batch_size: u64,
    pub(crate) per_device_parallelism: u64,
    pub(crate) mesh: Mesh,
    pub(crate) tracker: Tracker,
    pub(crate) log_dir: &'static str,
    pub(crate) checkpointer: Checkpointer,
}

#[derive(Debug, Serialize)]
pub(crate) struct Mesh {
    pub(crate) axes: Axes,
}

/// −1 is what the others leave.
#[derive(Debug, Serialize)]
pub(crate) struct Axes {
    pub(crate) replica: i64,
    pub(crate) data: i64,
    pub(crate) model: i64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Tracker {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Checkpointer {
    pub(crate) base_path: &'static str,
    pub(crate) save_interval: &'static str,
    pub(crate) keep: [Keep; 1],
}

#[derive(Debug, Serialize)]
pub(crate) struct Keep {
    pub(crate) every: u64,
}
