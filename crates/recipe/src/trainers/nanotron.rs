//! The recipe for nanotron: `config.yaml`, and for a run of two stages of the data `config_2.yaml`.
//!
//! A file names its stage and those before it, and the second goes on from the checkpoint of the first: a fresh run of several
//! stages ends at its first step, because `run_train.py` makes data for the last of them only.
//!
//! nanotron's own defaults would undo a schedule: without `min_decay_lr` the rate never falls, without `lr_decay_steps` the decay
//! is too long, and without `lr_warmup_style` the file is refused. So every key of the schedule is written.
//!
//! # Source
//! huggingface/nanotron of April 2026: `config/config.py`, `helpers.py`, `trainer.py`.

mod config;

use headwater_schedule::{Curve, Schedule};
use serde::Serialize;

use crate::backend::{FollowedSchedule, TrainerBackend};
use crate::file::{RecipeFile, yaml};
use crate::plan::{self, TrainingPlan};
use crate::trainers::nanotron::config::{
    Checkpoints, Config, Data, Dataset, General, InitMethod, LearningRate, Logging, Model, ModelConfig, Optimizer,
    OptimizerFactory, Parallelism, Stage, Tokenizer, Tokens,
};
use crate::{Result, Trainer};
use headwater_record::tokens::TokenFormat;

/// The config of each stage.
const CONFIGS: [&str; 2] = ["recipe/nanotron/config.yaml", "recipe/nanotron/config_2.yaml"];

/// Where checkpoints go, each in a folder named by its completed steps.
const CHECKPOINTS: &str = "checkpoints";

/// Processes that read data, per training process.
const LOADING_WORKERS: u64 = 2;

/// The format of its token files.
const FORMAT: TokenFormat = TokenFormat::Datatrove;

pub(crate) struct Nanotron;

impl TrainerBackend for Nanotron {
    fn trainer(&self) -> Trainer {
        Trainer::Nanotron
    }

    fn paths(&self) -> &'static [&'static str] {
        &CONFIGS
    }

    fn cuts_each_part(&self) -> bool {
        true
    }

    fn decay_curves(&self) -> &'static [Curve] {
        &[Curve::Linear, Curve::OneMinusSqrt, Curve::Cosine]
    }

    fn rate(&self, schedule: &Schedule, step: u64) -> f64 {
        schedule.lr(step)
    }

    fn update_logged_at(&self, logged: u64) -> u64 {
        logged
    }

    fn step_convention(&self) -> &'static str {
        "nanotron logs after the scheduler's step, so at step k the rate of the update after it; with a warm-up the first update is at 0"
    }

    fn scheduler_keys(&self, schedule: &Schedule) -> Result<String> {
        #[derive(Serialize)]
        struct Keys {
            learning_rate_scheduler: LearningRate,
        }
        yaml(CONFIGS[0], &Keys { learning_rate_scheduler: learning_rate(schedule) })
    }

    fn files(&self, plan: &TrainingPlan<'_>, followed: &FollowedSchedule) -> Result<Vec<RecipeFile>> {
        let stages = plan.stages.iter().zip(CONFIGS).enumerate();
        let files = stages.map(|(stage, (_, path))| {
            RecipeFile::yaml(path, &header(plan, followed, stage), &config(plan, followed, stage)?)
        });
        files.collect()
    }
}

/// The config that trains stage `stage`, counted from 0.
fn config(plan: &TrainingPlan<'_>, followed: &FollowedSchedule, stage: usize) -> Result<Config> {
    let stages = &plan.stages[..=stage];
    let (recipe, preset) = (plan.inputs.config, &plan.preset);
    let machines = &preset.machines;
    let accumulation = plan.accumulation(
        Trainer::Nanotron,
        [("replicas", machines.data_parallel()), ("micro_batch", machines.micro_batch)],
    )?;
    Ok(Config {
        general: General {
            project: "headwater".to_owned(),
            run: format!("{}-{}", preset.name, plan.inputs.selection.hash.short(12)),
            seed: plan.seed(),
            step: None,
            consumed_train_samples: None,
            benchmark_csv_path: None,
            ignore_sanity_checks: true,
        },
        parallelism: Parallelism {
            dp: machines.data_parallel(),
            tp: machines.tensor_parallel,
            pp: machines.pipeline_parallel,
            expert_parallel_size: 1,
            pp_engine: "1f1b",
            tp_mode: "REDUCE_SCATTER",
            tp_linear_async_communication: true,
        },
        model: model(plan),
        tokenizer: Tokenizer {
            tokenizer_name_or_path: preset.tokenizer.name.clone(),
            tokenizer_revision: None,
            tokenizer_max_length: None,
        },
        tokens: Tokens {
            sequence_length: recipe.sequence_tokens,
            train_steps: stages.iter().map(|stage| stage.steps).sum(),
            micro_batch_size: machines.micro_batch,
            batch_accumulation_per_replica: accumulation,
            limit_val_batches: 0,
            limit_test_batches: 0,
            val_check_interval: -1,
        },
        optimizer: optimizer(plan, &followed.schedule),
        data_stages: stages.iter().enumerate().map(|(index, stage)| data_stage(plan, stage, index)).collect(),
        checkpoints: Checkpoints {
            checkpoints_path: CHECKPOINTS.to_owned(),
            checkpoint_interval: machines.checkpoint_steps,
            save_initial_state: false,
            save_final_state: true,
            resume_checkpoint_path: (stage > 0).then(|| checkpoint(stages[stage].start)),
            checkpoints_path_is_shared_file_system: false,
        },
        logging: Logging { log_level: "info", log_level_replica: "info", iteration_step_info_interval: 1 },
    })
}

fn model(plan: &TrainingPlan<'_>) -> Model {
    let model = &plan.preset.model;
    Model {
        ddp_bucket_cap_mb: 25,
        dtype: "bfloat16",
        init_method: InitMethod { std: model.init_std },
        make_vocab_size_divisible_by: 1,
        model_config: ModelConfig {
            is_llama_config: true,
            bos_token_id: model.bos_token_id,
            eos_token_id: model.eos_token_id,
            pad_token_id: None,
            hidden_act: "silu",
            hidden_size: model.hidden_size,
            initializer_range: model.init_std,
            intermediate_size: model.intermediate_size,
            max_position_embeddings: plan.inputs.config.sequence_tokens,
            num_attention_heads: model.heads,
            num_hidden_layers: model.layers,
            num_key_value_heads: model.kv_heads,
            pretraining_tp: 1,
            rms_norm_eps: model.rms_norm_eps,
            rope_interleaved: false,
            rope_scaling: None,
            rope_theta: model.rope_theta,
            tie_word_embeddings: model.tied_embeddings,
            use_cache: true,
            vocab_size: model.vocab_size,
        },
    }
}

fn optimizer(plan: &TrainingPlan<'_>, followed: &Schedule) -> Optimizer {
    let adam = &plan.preset.optimizer;
    Optimizer {
        zero_stage: u64::from(plan.preset.machines.data_parallel() > 1),
        weight_decay: adam.weight_decay,
        clip_grad: adam.clip,
        accumulate_grad_in_fp32: true,
        optimizer_factory: OptimizerFactory {
            name: "adamW",
            adam_beta1: adam.beta1,
            adam_beta2: adam.beta2,
            adam_eps: adam.eps,
            torch_adam_is_fused: true,
        },
        learning_rate_scheduler: learning_rate(followed),
    }
}

/// The schedule in nanotron's keys.
///
/// Two corners of nanotron's function need care. With no warm-up steps a linear warm-up still sets the first update to 0, so the
/// style becomes `constant`; with no decay steps either it would square the rate, so one constant step is called warm-up. And
/// after a decay of no steps it would drop to `min_decay_lr` in the log's last line, so that becomes the peak.
fn learning_rate(schedule: &Schedule) -> LearningRate {
    let start = schedule.decay_start();
    let (warmup, decay) = (schedule.warmup_steps(), schedule.decay_steps());
    LearningRate {
        learning_rate: schedule.peak_lr(),
        lr_warmup_steps: if warmup == 0 && decay == 0 { 1 } else { warmup },
        lr_warmup_style: if warmup == 0 { "constant" } else { "linear" },
        lr_decay_style: schedule.decay().map_or(Curve::Linear, |decay| decay.curve).name(),
        lr_decay_starting_step: start,
        lr_decay_steps: decay,
        min_decay_lr: if decay == 0 { schedule.peak_lr() } else { schedule.floor_lr() },
    }
}

fn data_stage(plan: &TrainingPlan<'_>, stage: &plan::Stage, index: usize) -> Stage {
    Stage {
        name: stage.name.to_owned(),
        // nanotron counts training steps from 1
        start_training_step: stage.start + 1,
        data: Data {
            seed: plan.stage_seed(index),
            num_loading_workers: LOADING_WORKERS,
            dataset: Dataset {
                dataset_folder: stage.parts.iter().map(|part| plan.token_folder(part.name, FORMAT)).collect(),
                dataset_weights: stage.parts.iter().map(|part| part.token_weight).collect(),
                tokenizer_name: plan.preset.tokenizer.name.clone(),
                vocab_size: plan.preset.model.vocab_size,
                token_size_in_bytes: plan.preset.model.token_bytes(),
            },
        },
    }
}

/// The checkpoint after so many completed steps.
fn checkpoint(steps: u64) -> String {
    format!("{CHECKPOINTS}/{steps}")
}

fn header(plan: &TrainingPlan<'_>, followed: &FollowedSchedule, stage: usize) -> Vec<String> {
    let mut lines = vec!["Pretraining config for nanotron, written by headwater.".to_owned(), String::new()];
    lines.extend(plan.arithmetic(followed));
    lines.push(String::new());
    lines.extend(start_lines(plan, stage));
    lines.extend(
        ["", "Before it runs:", "- The folders under dataset_folder hold the token files (*.ds) of each part:"]
            .map(str::to_owned),
    );
    lines.extend(plan.token_folder_lines(FORMAT));
    lines.extend(
        [
            "  `headwater tokens` with [tokens] formats = [\"datatrove\"] writes them, or datatrove with the tokenizer below.",
            "- The weights are shares of tokens. Whether a part starts again when it is through is datatrove's to say: try it before a run",
            "  that makes more passes over a part than one.",
            "- If nanotron's call of datatrove's DatatroveFolderDataset fails, since 0.10.1 names its arguments otherwise, set",
            "  use_old_brrr_dataloader: true under dataset. That is from reading both, not from a run.",
            "- Fit parallelism, micro_batch_size and batch_accumulation_per_replica to your machines: their product with dp is the batch.",
            "- After an interruption set resume_checkpoint_path to the last checkpoint, in the config that was running.",
            "- To branch off a cooldown, resume from the last checkpoint before the decay starts (resume_checkpoint_path).",
            "- nanotron from its repository: the 0.4 on PyPI reads none of data_stages.",
        ]
        .map(str::to_owned),
    );
    lines
}

/// How to start the config of a stage, and when.
fn start_lines(plan: &TrainingPlan<'_>, stage: usize) -> Vec<String> {
    let command =
        |config: &str| format!("  torchrun --nproc-per-node 8 run_train.py --config-file \"{}\"", plan.place(config));
    let mut lines = vec![match (plan.stages.len(), stage) {
        (1, _) => "To start, from the folder that the pipeline ran in:".to_owned(),
        (_, 0) => "To start, from the folder that the pipeline ran in, the first of two configs:".to_owned(),
        _ => "This is the second of two configs, for when the first has ended:".to_owned(),
    }];
    lines.push(command(CONFIGS[stage]));
    if let [_, second] = &plan.stages[..] {
        let (steps, saved) = (second.start, checkpoint(second.start));
        let next = CONFIGS[1].rsplit('/').next().unwrap_or(CONFIGS[1]);
        lines.extend([
            match stage {
                0 => format!("It ends after step {steps} and saves {saved}. Then start {next} beside it, which goes on from there."),
                _ => format!("It goes on from {saved}, which the first saves when it ends (save_final_state)."),
            },
            "Both have the same schedule. One config with both stages would end at its first step: nanotron makes data for the last of them only."
                .to_owned(),
            "The stages have seeds of their own, so that what both read is shuffled otherwise in the second.".to_owned(),
        ]);
    }
    lines
}
