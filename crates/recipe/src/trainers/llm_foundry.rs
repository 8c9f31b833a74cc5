//! The recipe for LLM Foundry: `train.yaml`, the model's shape, and where needed a scheduler.
//!
//! LLM Foundry brings a linear decay of a stable phase under the name of an inverse square root, and a plain cosine. Every other
//! schedule is a list of phases in `train.yaml`, which a scheduler of some lines of Python reads.
//!
//! # Source
//! LLM Foundry 0.22, `command_utils/train.py` and `callbacks/curriculum_learning_callback.py`; Composer 0.32, `trainer/trainer.py`
//! and `optim/decoupled_weight_decay.py`; Streaming 0.12.

mod config;
mod scheduler;

use headwater_schedule::{Curve, Schedule};
use serde::Serialize;

use crate::backend::{FollowedSchedule, TrainerBackend, name};
use crate::file::{RecipeFile, yaml};
use crate::plan::{Part, Stage, TrainingPlan};
use crate::trainers::llm_foundry::config::{
    Algorithms, Callbacks, Clipping, Config, Curriculum, CurriculumStage, Dataset, Fsdp, Loader, Model, Nothing,
    Optimizer, ScheduledGc, SpeedMonitor, Stream, Tokenizer, TokenizerArguments,
};
use crate::trainers::llm_foundry::scheduler::{Clock, Scheduler};
use crate::trainers::transformers4::LlamaConfig;
use crate::{Error, Result, Trainer};
use headwater_record::tokens::TokenFormat;

const CONFIG: &str = "recipe/llm-foundry/train.yaml";
const MODEL: &str = "recipe/llm-foundry/model/config.json";

/// The scheduler's file, which is the same for every run and lies beside the config.
const SCHEDULE: &str = "headwater_schedule.py";
const SCHEDULE_PATH: &str = "recipe/llm-foundry/headwater_schedule.py";
const SCHEDULE_TEXT: &str = include_str!("llm_foundry/schedule.py");

/// The format of its token files.
const FORMAT: TokenFormat = TokenFormat::Mds;

/// Devices of one node, which `composer` starts a process each for.
const NODE_DEVICES: u64 = 8;

/// Processes that read data, per training process.
const LOADING_WORKERS: u64 = 4;

pub(crate) struct LlmFoundry;

impl TrainerBackend for LlmFoundry {
    fn trainer(&self) -> Trainer {
        Trainer::LlmFoundry
    }

    fn paths(&self) -> &'static [&'static str] {
        &[CONFIG, MODEL, SCHEDULE_PATH]
    }

    fn cuts_each_part(&self) -> bool {
        true
    }

    fn decay_curves(&self) -> &'static [Curve] {
        &[Curve::Linear, Curve::OneMinusSqrt, Curve::Cosine]
    }

    fn supports(&self, schedule: &Schedule) -> bool {
        Scheduler::new(schedule, Clock::Steps).is_some()
    }

    /// Composer steps the scheduler before it counts the update that was just made.
    fn rate(&self, schedule: &Schedule, step: u64) -> f64 {
        schedule.lr(step.saturating_sub(1))
    }

    fn update_logged_at(&self, logged: u64) -> u64 {
        logged
    }

    fn step_convention(&self) -> &'static str {
        "Composer makes every update but the first at the rate that schedule.csv has for the one before it; it logs at step k the \
         rate of the update after it"
    }

    fn scheduler_keys(&self, schedule: &Schedule) -> Result<String> {
        #[derive(Serialize)]
        struct Keys {
            #[serde(skip_serializing_if = "Option::is_none")]
            code_paths: Option<[&'static str; 1]>,
            max_duration: String,
            scheduler: Scheduler,
        }
        let scheduler = scheduler(schedule, Clock::Steps)?;
        let (code_paths, max_duration) = (code_paths(&scheduler), Clock::Steps.time(schedule.steps()));
        let keys = yaml(CONFIG, &Keys { code_paths, max_duration, scheduler })?;
        Ok(match code_paths {
            Some(_) => {
                format!("# {SCHEDULE}, which registers the scheduler, is part of a recipe for LLM Foundry.\n{keys}")
            }
            None => keys,
        })
    }

    fn files(&self, plan: &TrainingPlan<'_>, followed: &FollowedSchedule) -> Result<Vec<RecipeFile>> {
        let config = config(plan, &followed.schedule)?;
        let mut files = vec![
            RecipeFile::yaml(CONFIG, &header(plan, followed, &config), &config)?,
            RecipeFile::json(MODEL, &LlamaConfig::new(plan))?,
        ];
        if config.code_paths.is_some() {
            files.push(RecipeFile::new(SCHEDULE_PATH, SCHEDULE_TEXT.to_owned()));
        }
        Ok(files)
    }
}

fn scheduler(schedule: &Schedule, clock: Clock) -> Result<Scheduler> {
    let inexpressible =
        || Error::UnsupportedSchedule { trainer: Trainer::LlmFoundry.title(), schedule: name(schedule) };
    Scheduler::new(schedule, clock).ok_or_else(inexpressible)
}

const fn code_paths(scheduler: &Scheduler) -> Option<[&'static str; 1]> {
    if matches!(scheduler, Scheduler::Phases { .. }) { Some([SCHEDULE]) } else { None }
}

/// Steps, but tokens where the mixture changes, because the callback that changes it counts no steps.
fn clock(plan: &TrainingPlan<'_>) -> Clock {
    if plan.stages.len() > 1 { Clock::Tokens(plan.batch.tokens()) } else { Clock::Steps }
}

fn config(plan: &TrainingPlan<'_>, followed: &Schedule) -> Result<Config> {
    let (preset, batch, clock) = (plan.preset, plan.batch, clock(plan));
    let machines = &preset.machines;
    plan.accumulation(Trainer::LlmFoundry, [("devices", machines.devices), ("micro_batch", machines.micro_batch)])?;
    let scheduler = scheduler(followed, clock)?;
    let is_sharded = machines.devices > 1;
    let run_name = format!("{}-{}", preset.name, plan.inputs.selection.hash.short(12));
    Ok(Config {
        code_paths: code_paths(&scheduler),
        max_seq_len: batch.sequence_tokens,
        run_name,
        seed: plan.seed(),
        precision: "amp_bf16",
        model: Model {
            name: "hf_causal_lm",
            pretrained_model_name_or_path: "model",
            pretrained: false,
            init_device: if is_sharded { "meta" } else { "cpu" },
            trust_remote_code: false,
            use_train_metrics: false,
            attn_implementation: "sdpa",
        },
        tokenizer: Tokenizer {
            name: preset.tokenizer.name.clone(),
            kwargs: TokenizerArguments { model_max_length: batch.sequence_tokens },
        },
        train_loader: Loader { name: "text", dataset: dataset(plan, 0), drop_last: true, num_workers: LOADING_WORKERS },
        global_train_batch_size: batch.sequences,
        device_train_microbatch_size: machines.micro_batch,
        device_eval_batch_size: machines.micro_batch,
        optimizer: optimizer(plan, followed),
        algorithms: Algorithms {
            gradient_clipping: Clipping { clipping_type: "norm", clipping_threshold: preset.optimizer.clip },
        },
        max_duration: clock.time(followed.steps()),
        scheduler,
        callbacks: callbacks(plan),
        eval_interval: 0,
        fsdp_config: is_sharded.then_some(Fsdp {
            sharding_strategy: "FULL_SHARD",
            mixed_precision: "PURE",
            activation_checkpointing: true,
            activation_checkpointing_reentrant: false,
            activation_cpu_offload: false,
            limit_all_gathers: true,
            state_dict_type: "sharded",
        }),
        save_folder: "checkpoints",
        save_interval: Clock::Steps.time(machines.checkpoint_steps),
        save_num_checkpoints_to_keep: -1,
        autoresume: true,
        progress_bar: false,
        log_to_console: true,
        console_log_interval: "10ba",
        python_log_level: "info",
    })
}

/// Composer multiplies the decoupled decay with the rate's share of the peak, not with the rate, so the peak goes into the constant.
fn optimizer(plan: &TrainingPlan<'_>, followed: &Schedule) -> Optimizer {
    let adam = &plan.preset.optimizer;
    Optimizer {
        name: "decoupled_adamw",
        lr: followed.peak_lr(),
        betas: [adam.beta1, adam.beta2],
        eps: adam.eps,
        weight_decay: adam.weight_decay * followed.peak_lr(),
    }
}

fn callbacks(plan: &TrainingPlan<'_>) -> Callbacks {
    let clock = clock(plan);
    let later = plan
        .stages
        .iter()
        .enumerate()
        .skip(1)
        .map(|(at, stage)| CurriculumStage { duration: clock.time(stage.steps), dataset: dataset(plan, at) });
    let curriculum = |first: &Stage| Curriculum { duration: clock.time(first.steps), schedule: later.collect() };
    Callbacks {
        curriculum_learning: plan.stages.first().filter(|_| plan.stages.len() > 1).map(curriculum),
        lr_monitor: Nothing {},
        speed_monitor: SpeedMonitor { window_size: 10 },
        scheduled_gc: ScheduledGc { batch_interval: 1000 },
    }
}

/// The data of a stage; each shuffles by a seed of its own.
fn dataset(plan: &TrainingPlan<'_>, stage: usize) -> Dataset {
    let stream = |part: &Part| {
        let (folder, proportion) = (plan.token_folder(part.name, FORMAT), part.token_weight);
        // Streaming refuses to fill one folder for two data sets of a run
        let cache = format!("mds/{stage}/{}", part.name.name());
        let stream = match folder.contains("://") {
            true => Stream { remote: Some(folder), local: cache, proportion },
            false => Stream { remote: None, local: plan.full(&folder), proportion },
        };
        (part.name, stream)
    };
    Dataset {
        streams: plan.stages[stage].parts.iter().map(stream).collect(),
        max_seq_len: plan.batch.sequence_tokens,
        shuffle: true,
        shuffle_seed: plan.stage_seed(stage),
        num_canonical_nodes: plan.preset.machines.devices.div_ceil(NODE_DEVICES),
    }
}

fn header(plan: &TrainingPlan<'_>, followed: &FollowedSchedule, config: &Config) -> Vec<String> {
    let (machines, adam) = (&plan.preset.machines, &plan.preset.optimizer);
    let mut lines = vec![
        "Pretraining config for LLM Foundry 0.22 (mosaicml 0.32, mosaicml-streaming 0.12), written by headwater."
            .to_owned(),
        String::new(),
    ];
    lines.extend(plan.arithmetic(followed));
    lines.push(format!(
        "Batch: {} devices × {} sequences × {} accumulated = {} sequences.",
        machines.devices,
        machines.micro_batch,
        plan.batch.sequences / (machines.devices * machines.micro_batch),
        plan.batch.sequences,
    ));
    lines.push(format!(
        "Weight decay: {:?} × {:?} = {:?}; this optimizer does not multiply it with the rate, only with the rate's share of the peak.",
        adam.weight_decay, config.optimizer.lr, config.optimizer.weight_decay,
    ));
    lines.push(match &config.scheduler {
        Scheduler::InverseSqrt { alpha_f_decay: 1.0, .. } => {
            "Scheduler: LLM Foundry's inverse square root, whose alpha_f_decay of 1.0 makes the stretch before the cooldown flat."
                .to_owned()
        }
        Scheduler::InverseSqrt { .. } | Scheduler::Cosine { .. } => "Scheduler: one of LLM Foundry's own.".to_owned(),
        Scheduler::Phases { .. } => {
            format!("Scheduler: its own from {SCHEDULE}, beside this file; phases count completed steps.")
        }
    });
    if plan.stages.len() > 1 {
        lines.push("Time: in tokens (tok), because the callback that changes the mixture counts no steps.".to_owned());
    }
    lines.extend(start_lines(machines.devices));
    lines.extend(plan.token_folder_lines(FORMAT));
    lines.extend(
        [
            "  `headwater tokens` with [tokens] formats = [\"mds\"] writes them: a sample is one column, tokens, of max_seq_len tokens.",
            "  local is a full path, as a relative one is looked for beside this file. What is remote is copied to local.",
            "- The proportions are shares of samples, so of tokens. Streaming starts a part again when it is through.",
            "- The tokenizer's pad token must be another than the token that ends documents, or that one is never learned.",
            "- expected_lr.csv is what lr_monitor logs as lr-DecoupledAdamW/group0, on the console every 10th step. To keep it all, add",
            "  loggers: {tensorboard: {log_dir: tensorboard}}",
            "- Fit device_train_microbatch_size to your devices: Composer accumulates up to the batch.",
            "- To branch off a cooldown: load_path: checkpoints/EP-BA of the last checkpoint before the decay starts, a new run_name and",
            "  save_folder, and the new max_duration, scheduler and stages.",
        ]
        .map(str::to_owned),
    );
    lines
}

fn start_lines(devices: u64) -> [String; 4] {
    let (nodes, here) = (devices.div_ceil(NODE_DEVICES), devices.min(NODE_DEVICES));
    let of = if nodes > 1 { format!(", on each of {nodes} nodes") } else { String::new() };
    [
        String::new(),
        format!(
            "Start it from this file's folder{of}:  composer -n {here} LLM_FOUNDRY/scripts/train/train.py train.yaml"
        ),
        "Before it runs:".to_owned(),
        "- These folders hold the token files (MDS: index.json and shards) of each part:".to_owned(),
    ]
}

#[cfg(test)]
mod tests;
