//! The recipe for torchtitan: `config.toml`, and what torchtitan takes from Python alone, a module that reads `recipe.json`.
//!
//! torchtitan's own defaults would make another schedule: without `decay_ratio` the decay starts where warm-up ends, so every key of
//! the schedule is written. The TOML writer writes no comments inside tables: the explanations are in the header.
//!
//! # Source
//! torchtitan 0.2.2: `components/lr_scheduler.py`, `config/job_config.py`, `hf_datasets/text_datasets.py`, `train.py`.

mod config;

use headwater_schedule::{Curve, Form, Schedule};
use serde::Serialize;

use crate::backend::{FollowedSchedule, TrainerBackend};
use crate::file::{RecipeFile, toml};
use crate::plan::{Stage, TrainingPlan};
use crate::trainers::documents::{SHUFFLE_DOCUMENTS, draws, sources, stage_parts};
use crate::trainers::torchtitan::config::{
    ActivationCheckpoint, Checkpoint, Compile, Config, Dataset, Debug, Experimental, Job, LrScheduler, Metrics, Model,
    ModuleFile, Optimizer, Parallelism, Part, Shape, Training,
};
use crate::{Result, Trainer};
use headwater_record::tokens::TextPart;

const CONFIG: &str = "recipe/torchtitan/config.toml";
const VALUES: &str = "recipe/torchtitan/recipe.json";
const MODULE: &str = "recipe/torchtitan/headwater_recipe.py";

/// The module that torchtitan imports, which is the same for every run.
const MODULE_TEXT: &str = include_str!("torchtitan/recipe.py");

pub(crate) struct Torchtitan;

impl TrainerBackend for Torchtitan {
    fn trainer(&self) -> Trainer {
        Trainer::Torchtitan
    }

    fn paths(&self) -> &'static [&'static str] {
        &[CONFIG, VALUES, MODULE]
    }

    fn decay_curves(&self) -> &'static [Curve] {
        &[Curve::Linear, Curve::OneMinusSqrt, Curve::Cosine]
    }

    /// Its warm-up is one step ahead: the first update is at 1/W of the peak, not at 0.
    fn rate(&self, schedule: &Schedule, step: u64) -> f64 {
        schedule.lr(if step < schedule.warmup_steps() { step + 1 } else { step })
    }

    fn update_logged_at(&self, logged: u64) -> u64 {
        logged - 1
    }

    fn step_convention(&self) -> &'static str {
        "torchtitan logs at step k the rate of update k, counted from 1, and warms up one step ahead: the first update is at 1/W of the peak, not at 0"
    }

    fn scheduler_keys(&self, schedule: &Schedule) -> Result<String> {
        #[derive(Serialize)]
        struct Keys {
            optimizer: Rate,
            lr_scheduler: LrScheduler,
            training: Steps,
        }
        #[derive(Serialize)]
        struct Rate {
            lr: f64,
        }
        #[derive(Serialize)]
        struct Steps {
            steps: u64,
        }
        let keys = Keys {
            optimizer: Rate { lr: schedule.peak_lr() },
            lr_scheduler: lr_scheduler(schedule),
            training: Steps { steps: schedule.steps() },
        };
        toml(CONFIG, &keys)
    }

    fn files(&self, plan: &TrainingPlan<'_>, followed: &FollowedSchedule) -> Result<Vec<RecipeFile>> {
        Ok(vec![
            RecipeFile::toml(CONFIG, &header(plan, followed), &config(plan, &followed.schedule)?)?,
            RecipeFile::json(VALUES, &values(plan))?,
            RecipeFile::new(MODULE, MODULE_TEXT.to_owned()),
        ])
    }
}

fn config(plan: &TrainingPlan<'_>, followed: &Schedule) -> Result<Config> {
    let (machines, adam) = (&plan.preset.machines, &plan.preset.optimizer);
    let accumulation = plan.accumulation(
        Trainer::Torchtitan,
        [("replicas", machines.data_parallel()), ("micro_batch", machines.micro_batch)],
    )?;
    // a pipeline is filled by the passes of one batch, so they are one local batch
    let is_pipeline = machines.pipeline_parallel > 1;
    Ok(Config {
        job: Job {
            dump_folder: "outputs",
            description: format!("headwater {} {}", plan.preset.name, plan.inputs.selection.hash.short(12)),
        },
        experimental: Experimental { custom_import: "headwater_recipe" },
        model: Model { name: "headwater", flavor: "recipe", hf_assets_path: "tokenizer" },
        optimizer: Optimizer {
            name: "AdamW",
            lr: followed.peak_lr(),
            beta1: adam.beta1,
            beta2: adam.beta2,
            eps: adam.eps,
            weight_decay: adam.weight_decay,
            implementation: "fused",
        },
        lr_scheduler: lr_scheduler(followed),
        training: Training {
            dataset: dataset_name(0),
            local_batch_size: machines.micro_batch * if is_pipeline { accumulation } else { 1 },
            global_batch_size: plan.batch.sequences,
            seq_len: plan.batch.sequence_tokens,
            max_norm: adam.clip,
            steps: followed.steps(),
            dtype: "float32",
            mixed_precision_param: "bfloat16",
            mixed_precision_reduce: "float32",
        },
        parallelism: Parallelism {
            data_parallel_replicate_degree: 1,
            data_parallel_shard_degree: -1,
            tensor_parallel_degree: machines.tensor_parallel,
            pipeline_parallel_degree: machines.pipeline_parallel,
            pipeline_parallel_microbatch_size: is_pipeline.then_some(machines.micro_batch),
            context_parallel_degree: 1,
        },
        activation_checkpoint: ActivationCheckpoint { mode: "selective", selective_ac_option: "op" },
        compile: Compile { enable: true, components: ["model", "loss"] },
        checkpoint: Checkpoint {
            enable: true,
            folder: "checkpoint",
            interval: machines.checkpoint_steps,
            keep_latest_k: 0,
            last_save_model_only: false,
        },
        metrics: Metrics { log_freq: 10, enable_tensorboard: true },
        debug: Debug { seed: plan.seed() },
    })
}

/// The schedule in torchtitan's keys. torchtitan rounds steps × `decay_ratio`, which makes D again.
fn lr_scheduler(schedule: &Schedule) -> LrScheduler {
    let steps = schedule.steps();
    LrScheduler {
        warmup_steps: schedule.warmup_steps(),
        total_steps: steps,
        decay_ratio: schedule.decay_steps() as f64 / steps as f64,
        decay_type: match schedule.form().decay().map(|decay| decay.curve) {
            Some(Curve::OneMinusSqrt) => "sqrt",
            Some(Curve::Cosine) => "cosine",
            _ => "linear",
        },
        min_lr_factor: schedule.floor(),
    }
}

fn values(plan: &TrainingPlan<'_>) -> ModuleFile {
    let model = &plan.preset.model;
    let part = |name: TextPart| Part { name: name.name(), sources: sources(plan, name) };
    ModuleFile {
        model: Shape {
            dim: model.hidden_size,
            n_layers: model.layers,
            n_heads: model.heads,
            n_kv_heads: model.kv_heads,
            vocab_size: model.vocab_size,
            hidden_dim: model.intermediate_size,
            norm_eps: model.rms_norm_eps,
            rope_theta: model.rope_theta,
        },
        init_std: model.init_std,
        seed: plan.seed(),
        shuffle_documents: SHUFFLE_DOCUMENTS,
        parts: plan.inputs.selection.parts().into_iter().map(part).collect(),
        datasets: plan.stages.iter().enumerate().map(|(index, stage)| dataset(index, stage)).collect(),
    }
}

fn dataset(index: usize, stage: &Stage) -> Dataset {
    Dataset {
        name: dataset_name(index),
        stage: stage.name,
        start_step: stage.start,
        steps: stage.steps,
        parts: stage_parts(stage),
    }
}

/// The name of the dataset of a stage; torchtitan makes it lower-case.
fn dataset_name(stage: usize) -> String {
    format!("headwater_{}", stage + 1)
}

fn header(plan: &TrainingPlan<'_>, followed: &FollowedSchedule) -> Vec<String> {
    let machines = &plan.preset.machines;
    let mut lines = vec!["Pretraining config for torchtitan 0.2.2, written by headwater.".to_owned(), String::new()];
    lines.extend(plan.arithmetic(followed));
    lines.extend(draws(plan));
    lines.push(format!(
        "Batch: {} replicas × {} sequences × {} passes = {} sequences.",
        machines.data_parallel(),
        machines.micro_batch,
        plan.batch.sequences / (machines.data_parallel() * machines.micro_batch),
        plan.batch.sequences,
    ));
    if plan.preset.model.tied_embeddings {
        lines.push(
            "Model: torchtitan's Llama cannot tie the embeddings as the preset does, so it has those parameters twice."
                .to_owned(),
        );
    }
    lines.extend(before(plan));
    lines.extend(start(plan));
    lines.extend(branch(plan, &followed.schedule));
    lines.extend(
        [
            "",
            "Mind:",
            "- lr_scheduler.total_steps must not be below training.steps: past it the rate is negative or rises again.",
            "- lr_scheduler.decay_ratio must not be left out, or the decay starts after the warm-up. decay_type sqrt is 1 - sqrt.",
            "- A start goes on from the last checkpoint under job.dump_folder, whatever run it is of: each run needs its own folder.",
            "- metrics.log_freq = 10 logs steps 1, 10, 20, ...",
            "- weight_decay is on every parameter, norms and embeddings too.",
            "- keep_latest_k = 0 keeps every checkpoint. last_save_model_only = true would leave the last without optimizer and step.",
        ]
        .map(str::to_owned),
    );
    lines
}

fn before(plan: &TrainingPlan<'_>) -> Vec<String> {
    let tokenizer = &plan.preset.tokenizer.name;
    vec![
        String::new(),
        "Before it runs:".to_owned(),
        format!("- model.hf_assets_path is a folder with tokenizer.json and tokenizer_config.json, those of {tokenizer}."),
        format!("  From the hub: hf download {tokenizer} --local-dir tokenizer"),
        "  Each text is put between the tokens that tokenizer_config.json names as bos_token and eos_token.".to_owned(),
        "- headwater_recipe.py beside this file, which experimental.custom_import names, is on the Python path. It reads".to_owned(),
        "  recipe.json: the shape of the model, the width its weights start with, and the documents of each dataset with".to_owned(),
        "  their chances. torchtitan takes these from Python only.".to_owned(),
        "- Relative data_files in recipe.json are relative to where you start; URLs need their fsspec package (s3fs, gcsfs).".to_owned(),
    ]
}

/// How to start it: once for each stage of the data.
fn start(plan: &TrainingPlan<'_>) -> Vec<String> {
    let devices = plan.preset.machines.devices;
    let command = "  PYTHONPATH=FOLDER torchrun ... -m torchtitan.train --job.config_file FOLDER/config.toml";
    let mut lines = vec![
        String::new(),
        format!(
            "Start, on {devices} devices, from the folder that the pipeline ran in, with the folder of this file for FOLDER:"
        ),
    ];
    for (index, stage) in plan.stages.iter().enumerate() {
        let end = stage.start + stage.steps;
        let mut options = vec![format!("--training.dataset {}", dataset_name(index))];
        if index + 1 < plan.stages.len() {
            options.push(format!("--training.steps {end}"));
        }
        if index > 0 {
            options.push("--checkpoint.exclude_from_loading dataloader".to_owned());
        }
        lines.push(if plan.stages.len() == 1 { command.to_owned() } else { format!("{command} \\") });
        if plan.stages.len() > 1 {
            lines.push(format!("      {}", options.join(" ")));
        }
    }
    if let [_, second] = plan.stages.as_slice() {
        lines.push(format!(
            "The data changes at step {}: the first command stops there, the second goes on from its checkpoint with the other mixture.",
            second.start
        ));
        lines.push("If the second is cut off, start it again without --checkpoint.exclude_from_loading, or it reads its data anew.".to_owned());
    }
    lines
}

/// How to branch off another decay from the plateau, where there is one.
fn branch(plan: &TrainingPlan<'_>, followed: &Schedule) -> Vec<String> {
    let (Form::Wsd(decay), interval) = (followed.form(), plan.preset.machines.checkpoint_steps) else {
        return Vec::new();
    };
    if decay.start == followed.warmup_steps() {
        return Vec::new();
    }
    let start = decay.start;
    vec![
        String::new(),
        "For another decay, of d steps from a checkpoint of the plateau at step s, copy the folder and set:".to_owned(),
        "  job.dump_folder, a new one; checkpoint.initial_load_path = \"outputs/checkpoint/step-s\";".to_owned(),
        "  checkpoint.initial_load_model_only = false, as true loads neither optimizer nor step; training.steps and"
            .to_owned(),
        "  lr_scheduler.total_steps = s + d; lr_scheduler.decay_ratio = d / (s + d).".to_owned(),
        "  The peak comes from the checkpoint, whatever optimizer.lr says.".to_owned(),
        format!(
            "  There is a checkpoint every {interval} steps. For one at step {start}, let a command stop there by --training.steps {start}, and start it again without."
        ),
    ]
}

#[cfg(test)]
mod tests;
