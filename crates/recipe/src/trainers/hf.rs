//! The recipe for the Hugging Face `Trainer`: `TrainingArguments` and the model's shape as JSON, the mixture, and how to load them.
//!
//! `HfArgumentParser` refuses keys that it does not know, and JSON has no comments, so every word of explanation is in the README.
//!
//! # Source
//! transformers 5.23: `training_args.py`, `optimization.py` (`get_wsd_schedule`), `trainer.py`.

use headwater_schedule::{Curve, Schedule};
use headwater_select::DomainMixture;
use serde::Serialize;

use crate::backend::{FollowedSchedule, TrainerBackend};
use crate::comment::printable;
use crate::file::RecipeFile;
use crate::plan::{Part, Stage, TrainingPlan};
use crate::trainers::documents::{MixtureSource, SHUFFLE_DOCUMENTS, StagePart, draws, sources, stage_parts};
use crate::{Error, Result, Trainer};

const ARGUMENTS: &str = "recipe/hf/training_arguments.json";
const MODEL: &str = "recipe/hf/model/config.json";
const MIXTURE: &str = "recipe/hf/mixture.json";
const SCRIPT: &str = "recipe/hf/train.py";
const README: &str = "recipe/hf/README.md";

/// The training script, which is the same for every run.
const TRAIN: &str = include_str!("hf/train.py");

/// What the files are and how to start them: the part of the README that is the same for every run.
const LOADING: &str = include_str!("hf/loading.md");

pub(crate) struct Hf;

impl TrainerBackend for Hf {
    fn trainer(&self) -> Trainer {
        Trainer::Hf
    }

    fn paths(&self) -> &'static [&'static str] {
        &[ARGUMENTS, MODEL, MIXTURE, SCRIPT, README]
    }

    fn decay_curves(&self) -> &'static [Curve] {
        &[Curve::Linear, Curve::OneMinusSqrt, Curve::Cosine]
    }

    /// Its warm-up starts at the floor, not at 0.
    fn rate(&self, schedule: &Schedule, step: u64) -> f64 {
        if step >= schedule.warmup_steps() {
            return schedule.lr(step);
        }
        let progress = step as f64 / schedule.warmup_steps() as f64;
        schedule.peak_lr() * (progress * (1.0 - schedule.floor()) + schedule.floor())
    }

    fn update_logged_at(&self, logged: u64) -> u64 {
        logged - 1
    }

    fn step_convention(&self) -> &'static str {
        "the Trainer logs at step k the rate of update k, and warms up from the floor, not from 0"
    }

    fn scheduler_keys(&self, schedule: &Schedule) -> Result<String> {
        let keys = SchedulerKeys::new(schedule);
        let text = serde_json::to_string_pretty(&keys).map_err(|source| Error::Json { path: ARGUMENTS, source })?;
        Ok(text + "\n")
    }

    fn files(&self, plan: &TrainingPlan<'_>, followed: &FollowedSchedule) -> Result<Vec<RecipeFile>> {
        Ok(vec![
            RecipeFile::json(ARGUMENTS, &arguments(plan, &followed.schedule)?)?,
            RecipeFile::json(MODEL, &model(plan))?,
            RecipeFile::json(MIXTURE, &mixture(plan))?,
            RecipeFile::new(SCRIPT, TRAIN.to_owned()),
            RecipeFile::new(README, readme(plan, followed)),
        ])
    }
}

#[derive(Serialize)]
struct Arguments {
    output_dir: &'static str,
    per_device_train_batch_size: u64,
    gradient_accumulation_steps: u64,
    #[serde(flatten)]
    schedule: SchedulerKeys,
    optim: &'static str,
    adam_beta1: f64,
    adam_beta2: f64,
    adam_epsilon: f64,
    weight_decay: f64,
    max_grad_norm: f64,
    bf16: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    fsdp: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fsdp_config: Option<FsdpArguments>,
    seed: u64,
    data_seed: u64,
    logging_steps: u64,
    logging_first_step: bool,
    save_strategy: &'static str,
    save_steps: u64,
    report_to: &'static str,
}

/// The schedule in the keys of `TrainingArguments`.
#[derive(Serialize)]
struct SchedulerKeys {
    max_steps: u64,
    learning_rate: f64,
    warmup_steps: u64,
    lr_scheduler_type: &'static str,
    lr_scheduler_kwargs: SchedulerArguments,
}

impl SchedulerKeys {
    fn new(schedule: &Schedule) -> Self {
        Self {
            max_steps: schedule.steps(),
            learning_rate: schedule.peak_lr(),
            warmup_steps: schedule.warmup_steps(),
            lr_scheduler_type: "warmup_stable_decay",
            lr_scheduler_kwargs: SchedulerArguments {
                num_decay_steps: schedule.decay_steps(),
                warmup_type: "linear",
                decay_type: schedule.decay().map_or(Curve::Linear, |decay| decay.curve).name(),
                min_lr_ratio: schedule.floor(),
                num_cycles: 0.5,
            },
        }
    }
}

#[derive(Serialize)]
struct SchedulerArguments {
    num_decay_steps: u64,
    warmup_type: &'static str,
    decay_type: &'static str,
    min_lr_ratio: f64,
    num_cycles: f64,
}

#[derive(Serialize)]
struct FsdpArguments {
    transformer_layer_cls_to_wrap: [&'static str; 1],
    activation_checkpointing: bool,
}

fn arguments(plan: &TrainingPlan<'_>, followed: &Schedule) -> Result<Arguments> {
    let (machines, adam) = (&plan.preset.machines, &plan.preset.optimizer);
    let is_sharded = machines.devices > 1;
    Ok(Arguments {
        output_dir: "checkpoints",
        per_device_train_batch_size: machines.micro_batch,
        gradient_accumulation_steps: plan
            .accumulation(Trainer::Hf, [("devices", machines.devices), ("micro_batch", machines.micro_batch)])?,
        schedule: SchedulerKeys::new(followed),
        optim: "adamw_torch_fused",
        adam_beta1: adam.beta1,
        adam_beta2: adam.beta2,
        adam_epsilon: adam.eps,
        weight_decay: adam.weight_decay,
        max_grad_norm: adam.clip,
        bf16: true,
        fsdp: is_sharded.then_some(true),
        fsdp_config: is_sharded.then_some(FsdpArguments {
            transformer_layer_cls_to_wrap: ["LlamaDecoderLayer"],
            activation_checkpointing: true,
        }),
        seed: plan.seed(),
        data_seed: plan.seed(),
        logging_steps: 1,
        logging_first_step: true,
        save_strategy: "steps",
        save_steps: machines.checkpoint_steps,
        report_to: "none",
    })
}

#[derive(Serialize)]
struct Model {
    architectures: [&'static str; 1],
    model_type: &'static str,
    vocab_size: u64,
    hidden_size: u64,
    intermediate_size: u64,
    num_hidden_layers: u64,
    num_attention_heads: u64,
    num_key_value_heads: u64,
    max_position_embeddings: u64,
    hidden_act: &'static str,
    rms_norm_eps: f64,
    rope_parameters: Rope,
    tie_word_embeddings: bool,
    initializer_range: f64,
    bos_token_id: u64,
    eos_token_id: u64,
}

#[derive(Serialize)]
struct Rope {
    rope_type: &'static str,
    rope_theta: f64,
}

fn model(plan: &TrainingPlan<'_>) -> Model {
    let model = &plan.preset.model;
    Model {
        architectures: ["LlamaForCausalLM"],
        model_type: "llama",
        vocab_size: model.vocab_size,
        hidden_size: model.hidden_size,
        intermediate_size: model.intermediate_size,
        num_hidden_layers: model.layers,
        num_attention_heads: model.heads,
        num_key_value_heads: model.kv_heads,
        max_position_embeddings: plan.inputs.config.sequence_tokens,
        hidden_act: "silu",
        rms_norm_eps: model.rms_norm_eps,
        rope_parameters: Rope { rope_type: "default", rope_theta: model.rope_theta },
        tie_word_embeddings: model.tied_embeddings,
        initializer_range: model.init_std,
        bos_token_id: model.bos_token_id,
        eos_token_id: model.eos_token_id,
    }
}

#[derive(Serialize)]
struct MixtureFile<'a> {
    selection: String,
    tokenizer: &'a str,
    sequence_tokens: u64,
    batch_sequences: u64,
    seed: u64,
    shuffle_documents: u64,
    stopping_strategy: &'static str,
    parts: Vec<MixturePart>,
    stages: Vec<MixtureStage>,
    domains: &'a [DomainMixture],
}

#[derive(Serialize)]
struct MixturePart {
    name: String,
    sources: Vec<MixtureSource>,
    tokens: u64,
    documents: u64,
}

#[derive(Serialize)]
struct MixtureStage {
    name: &'static str,
    start_step: u64,
    steps: u64,
    parts: Vec<StagePart>,
}

fn mixture<'a>(plan: &TrainingPlan<'a>) -> MixtureFile<'a> {
    let part = |part: &Part| MixturePart {
        name: part.name.name(),
        sources: sources(plan, part.name),
        tokens: part.tokens.0,
        documents: part.documents,
    };
    MixtureFile {
        selection: plan.inputs.selection.hash.to_string(),
        tokenizer: &plan.preset.tokenizer.name,
        sequence_tokens: plan.batch.sequence_tokens,
        batch_sequences: plan.batch.sequences,
        seed: plan.seed(),
        shuffle_documents: SHUFFLE_DOCUMENTS,
        stopping_strategy: "all_exhausted",
        parts: plan.parts().map(part).collect(),
        stages: plan.stages.iter().map(mixture_stage).collect(),
        domains: &plan.inputs.mixtures.stable.domains,
    }
}

fn mixture_stage(stage: &Stage) -> MixtureStage {
    MixtureStage { name: stage.name, start_step: stage.start, steps: stage.steps, parts: stage_parts(stage) }
}

fn readme(plan: &TrainingPlan<'_>, followed: &FollowedSchedule) -> String {
    let machines = &plan.preset.machines;
    let mut lines = vec!["# Pretraining with the Hugging Face Trainer".to_owned(), String::new()];
    lines.extend(plan.arithmetic(followed).iter().map(|line| format!("- {}", printable(line))));
    lines.extend(draws(plan).iter().map(|line| format!("- {line}")));
    lines.push(format!(
        "- Batch: {} devices × {} sequences × {} accumulated = {} sequences; start {} processes.",
        machines.devices,
        machines.micro_batch,
        plan.batch.sequences / (machines.devices * machines.micro_batch),
        plan.batch.sequences,
        machines.devices,
    ));
    lines.join("\n") + "\n\n" + LOADING
}
