//! OLMo-core's configuration file as types; fields are named and ordered as the file has them.
//!
//! The top is the class `Recipe` of the recipe's `train.py`; below it are OLMo-core's own classes, which refuse keys that they do not
//! know. Where several classes would do, `_CLASS_` or `type` names the one meant.

use serde::Serialize;
use serde_saphyr::{FlowMap, FlowSeq};

#[derive(Debug, Serialize)]
pub(crate) struct Config {
    pub(crate) init_seed: u64,
    pub(crate) model: Model,
    pub(crate) dataset: Vec<Source>,
    pub(crate) data_loader: DataLoader,
    pub(crate) train_module: TrainModule,
    pub(crate) trainer: Trainer,
}

#[derive(Debug, Serialize)]
pub(crate) struct Model {
    pub(crate) d_model: u64,
    pub(crate) vocab_size: u64,
    pub(crate) n_layers: u64,
    pub(crate) init_method: &'static str,
    pub(crate) init_std: f64,
    pub(crate) init_seed: u64,
    pub(crate) tie_word_embeddings: bool,
    pub(crate) dtype: &'static str,
    pub(crate) block: Block,
    pub(crate) lm_head: Head,
}

#[derive(Debug, Serialize)]
pub(crate) struct Block {
    pub(crate) name: &'static str,
    pub(crate) sequence_mixer: SequenceMixer,
    pub(crate) feed_forward: FeedForward,
    pub(crate) layer_norm: Norm,
}

#[derive(Debug, Serialize)]
pub(crate) struct SequenceMixer {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) n_heads: u64,
    pub(crate) n_kv_heads: u64,
    pub(crate) bias: bool,
    pub(crate) rope: Rope,
}

#[derive(Debug, Serialize)]
pub(crate) struct Rope {
    pub(crate) name: &'static str,
    pub(crate) theta: u64,
    pub(crate) full_precision: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct FeedForward {
    pub(crate) hidden_size: u64,
    pub(crate) bias: bool,
    pub(crate) activation: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Norm {
    pub(crate) name: &'static str,
    pub(crate) eps: f64,
    pub(crate) bias: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Head {
    pub(crate) layer_norm: Norm,
    pub(crate) bias: bool,
}

/// Where sequences come from.
#[derive(Debug, Serialize)]
#[serde(tag = "_CLASS_")]
pub(crate) enum Source {
    /// All sequences of several sources.
    #[serde(rename = "olmo_core.data.composable.ConcatenatedInstanceSourceConfig")]
    Concatenated { sources: Vec<Source> },
    /// The first share of a source's sequences, `idx` 0, or the rest, `idx` 1.
    #[serde(rename = "olmo_core.data.composable.SplitInstanceSourceConfig")]
    Split { ratio: f64, idx: usize, source: Box<Source> },
    /// So many sequences, drawn at random; all again where there are too few.
    #[serde(rename = "olmo_core.data.composable.SamplingInstanceSourceConfig")]
    Sampling { max_instances: u64, seed: u64, sources: Vec<Source> },
    /// Documents one after the other, cut into sequences.
    #[serde(rename = "olmo_core.data.composable.ConcatAndChunkInstanceSourceConfig")]
    ConcatAndChunk { sequence_length: u64, label: String, sources: Vec<Source> },
    /// Raw arrays of tokens.
    #[serde(rename = "olmo_core.data.composable.NumpyDocumentSourceConfig")]
    NumpyDocuments { source_paths: Vec<String>, expand_glob: bool, dtype: &'static str, tokenizer: Tokenizer },
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Tokenizer {
    pub(crate) vocab_size: u64,
    pub(crate) eos_token_id: u64,
    pub(crate) pad_token_id: u64,
    pub(crate) identifier: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct DataLoader {
    pub(crate) tokenizer: Tokenizer,
    /// Tokens.
    pub(crate) global_batch_size: u64,
    pub(crate) seed: u64,
    pub(crate) work_dir: &'static str,
    pub(crate) shuffle: bool,
    pub(crate) shuffle_strategy: &'static str,
    pub(crate) num_workers: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct TrainModule {
    /// Tokens.
    pub(crate) rank_microbatch_size: u64,
    pub(crate) max_sequence_length: u64,
    pub(crate) max_grad_norm: f64,
    pub(crate) compile_model: bool,
    pub(crate) optim: Optim,
    pub(crate) scheduler: Scheduler,
    pub(crate) dp_config: DataParallel,
    pub(crate) ac_config: ActivationCheckpointing,
}

#[derive(Debug, Serialize)]
pub(crate) struct Optim {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) lr: f64,
    pub(crate) betas: FlowSeq<[f64; 2]>,
    pub(crate) eps: f64,
    pub(crate) weight_decay: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Scheduler {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) units: &'static str,
    pub(crate) stages: Vec<FlowMap<Stage>>,
}

#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Stage {
    pub(crate) duration: u64,
    pub(crate) shape: &'static str,
    pub(crate) start_lr_fraction: f64,
    pub(crate) end_lr_fraction: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct DataParallel {
    pub(crate) name: &'static str,
    pub(crate) param_dtype: &'static str,
    pub(crate) reduce_dtype: &'static str,
    pub(crate) wrapping_strategy: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct ActivationCheckpointing {
    pub(crate) mode: &'static str,
    pub(crate) modules: [&'static str; 1],
}

#[derive(Debug, Serialize)]
pub(crate) struct Trainer {
    pub(crate) save_folder: &'static str,
    pub(crate) save_overwrite: bool,
    pub(crate) max_duration: Duration,
    pub(crate) metrics_collect_interval: u64,
    pub(crate) callbacks: Callbacks,
}

#[derive(Debug, Serialize)]
pub(crate) struct Duration {
    pub(crate) value: u64,
    pub(crate) unit: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Callbacks {
    pub(crate) checkpointer: Callback,
    pub(crate) console_logger: Callback,
    pub(crate) config_saver: Callback,
}

#[derive(Debug, Serialize)]
#[serde(tag = "_CLASS_")]
pub(crate) enum Callback {
    #[serde(rename = "olmo_core.train.callbacks.CheckpointerCallback")]
    Checkpointer {
        save_interval: u64,
        fixed_steps: FlowSeq<Vec<u64>>,
        /// None keeps all.
        max_checkpoints: Option<u64>,
    },
    #[serde(rename = "olmo_core.train.callbacks.ConsoleLoggerCallback")]
    ConsoleLogger { log_interval: u64, metrics_log_interval: u64 },
    #[serde(rename = "olmo_core.train.callbacks.ConfigSaverCallback")]
    ConfigSaver {},
}
