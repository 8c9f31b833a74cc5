//! The recipe for the Hugging Face `Trainer`: `TrainingArguments` and the model's shape as JSON, the mixture, and how to load them.
//!
//! `HfArgumentParser` refuses keys that it does not know, and JSON has no comments, so every word of explanation is in the README.
//!
//! # Source
//! transformers 5.23: `training_args.py`, `optimization.py` (`get_wsd_schedule`), `trainer.py`.

use headwater_select::DomainMixture;
use serde::Serialize;

use crate::file::RecipeFile;
use crate::plan::{Part, PartName, Plan};
use crate::{Error, Result, Trainer};

const ARGUMENTS: &str = "recipe/hf/training_arguments.json";
const MODEL: &str = "recipe/hf/model/config.json";
const MIXTURE: &str = "recipe/hf/mixture.json";
const EXPECTED_LR: &str = "recipe/hf/expected_lr.csv";
const README: &str = "recipe/hf/README.md";

/// How to load the recipe: the part of the README that is the same for every run.
const LOADING: &str = include_str!("hf_loading.md");

pub(crate) fn files(plan: &Plan<'_>) -> Result<Vec<RecipeFile>> {
    // The Trainer logs at step k the rate that update k was made with, after k - 1 completed steps.
    let steps = plan.schedule.steps();
    let expected = plan.expected_lr_csv(|step| (step < steps).then(|| (step + 1, lr(plan, step))));
    Ok(vec![
        json(ARGUMENTS, &arguments(plan)?)?,
        json(MODEL, &model(plan))?,
        json(MIXTURE, &mixture(plan))?,
        RecipeFile::new(EXPECTED_LR, expected),
        RecipeFile::new(README, readme(plan)),
    ])
}

fn json(path: &'static str, value: &impl Serialize) -> Result<RecipeFile> {
    let text = serde_json::to_string_pretty(value).map_err(|source| Error::Json { path, source })?;
    Ok(RecipeFile::new(path, text + "\n"))
}

/// The rate after `step` completed steps as the Trainer has it: its warm-up starts at the floor, not at 0.
fn lr(plan: &Plan<'_>, step: u64) -> f64 {
    let schedule = &plan.schedule;
    if step >= schedule.warmup_steps() {
        return schedule.lr(step);
    }
    let progress = step as f64 / schedule.warmup_steps() as f64;
    schedule.peak_lr() * (progress * (1.0 - schedule.floor()) + schedule.floor())
}

#[derive(Serialize)]
struct Arguments {
    output_dir: &'static str,
    max_steps: u64,
    per_device_train_batch_size: u64,
    gradient_accumulation_steps: u64,
    learning_rate: f64,
    warmup_steps: u64,
    lr_scheduler_type: &'static str,
    lr_scheduler_kwargs: SchedulerArguments,
    optim: &'static str,
    adam_beta1: f64,
    adam_beta2: f64,
    adam_epsilon: f64,
    weight_decay: f64,
    max_grad_norm: f64,
    bf16: bool,
    fsdp: bool,
    fsdp_config: FsdpArguments,
    seed: u64,
    data_seed: u64,
    logging_steps: u64,
    logging_first_step: bool,
    save_strategy: &'static str,
    save_steps: u64,
    report_to: &'static str,
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

fn arguments(plan: &Plan<'_>) -> Result<Arguments> {
    let (schedule, machines, adam) = (&plan.schedule, &plan.preset.hf, &plan.preset.optimizer);
    let factors = [("devices", machines.devices), ("device_batch", machines.device_batch)];
    Ok(Arguments {
        output_dir: "checkpoints",
        max_steps: schedule.steps(),
        per_device_train_batch_size: machines.device_batch,
        gradient_accumulation_steps: plan.accumulation(Trainer::Hf, factors)?,
        learning_rate: schedule.peak_lr(),
        warmup_steps: schedule.warmup_steps(),
        lr_scheduler_type: "warmup_stable_decay",
        lr_scheduler_kwargs: SchedulerArguments {
            num_decay_steps: schedule.decay_steps(),
            warmup_type: "linear",
            decay_type: schedule.shape().name(),
            min_lr_ratio: schedule.floor(),
            num_cycles: 0.5,
        },
        optim: "adamw_torch_fused",
        adam_beta1: adam.beta1,
        adam_beta2: adam.beta2,
        adam_epsilon: adam.eps,
        weight_decay: adam.weight_decay,
        max_grad_norm: adam.clip,
        bf16: true,
        fsdp: true,
        fsdp_config: FsdpArguments {
            transformer_layer_cls_to_wrap: ["LlamaDecoderLayer"],
            activation_checkpointing: true,
        },
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

fn model(plan: &Plan<'_>) -> Model {
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
    seed: u64,
    stopping_strategy: &'static str,
    /// For `interleave_datasets`, in the order of `parts`.
    probabilities: Vec<f64>,
    parts: Vec<MixturePart>,
    domains: &'a [DomainMixture],
}

#[derive(Serialize)]
struct MixturePart {
    name: &'static str,
    data_files: Vec<String>,
    token_weight: f64,
    tokens: u64,
    documents: u64,
}

fn mixture<'a>(plan: &Plan<'a>) -> MixtureFile<'a> {
    let parts = plan.parts();
    let part = |part: &Part| MixturePart {
        name: part.name.text(),
        data_files: match part.name {
            PartName::Corpus => plan.inputs.corpus.iter().flat_map(|(_, paths)| paths.iter().cloned()).collect(),
            PartName::Selected => vec![format!("{}/**/*.parquet", plan.inputs.subset.trim_end_matches('/'))],
        },
        token_weight: part.token_weight,
        tokens: part.tokens.0,
        documents: part.documents,
    };
    MixtureFile {
        selection: plan.inputs.selection.hash.to_string(),
        tokenizer: &plan.preset.tokenizer.name,
        sequence_tokens: plan.inputs.config.sequence_tokens,
        seed: plan.seed(),
        stopping_strategy: "all_exhausted",
        probabilities: probabilities(&parts),
        parts: parts.iter().map(part).collect(),
        domains: &plan.inputs.mixture.domains,
    }
}

/// The chance that the next document comes from each part, such that the tokens drawn have the parts' weights:
/// weight · documents / tokens, made to sum to 1.
fn probabilities(parts: &[Part]) -> Vec<f64> {
    let rate = |part: &Part| part.token_weight * (part.documents as f64 / part.tokens.0.max(1) as f64);
    let sum: f64 = parts.iter().map(rate).sum();
    parts.iter().map(|part| rate(part) / sum).collect()
}

fn readme(plan: &Plan<'_>) -> String {
    let (schedule, machines) = (&plan.schedule, &plan.preset.hf);
    let mut lines = vec!["# Pretraining with the Hugging Face Trainer".to_owned(), String::new()];
    lines.extend(plan.arithmetic().iter().map(|line| format!("- {}", one_line(line))));
    let parts = plan.parts();
    lines.extend(parts.iter().zip(probabilities(&parts)).map(|(part, probability)| {
        format!(
            "- Documents: {} {:.6} of the tokens at {:.1} tokens a document is {probability:.6} of the documents.",
            part.name.text(),
            part.token_weight,
            part.tokens.0 as f64 / part.documents.max(1) as f64,
        )
    }));
    lines.push(format!(
        "- Batch: {} devices × {} sequences × {} accumulated = {} sequences; start {} processes.",
        machines.devices,
        machines.device_batch,
        plan.inputs.config.batch_sequences / (machines.devices * machines.device_batch),
        plan.inputs.config.batch_sequences,
        machines.devices,
    ));
    lines.push(if schedule.floor() > 0.0 && schedule.warmup_steps() > 0 {
        format!(
            "- Differs: the Trainer warms up from the floor, not from 0, so until step {} its rate is above `schedule.csv`, at most by {:?}, at the first step.",
            schedule.warmup_steps(),
            schedule.floor_lr(),
        )
    } else {
        "- The Trainer follows `schedule.csv` exactly.".to_owned()
    });
    lines.join("\n") + "\n\n" + LOADING
}

/// The line with control characters escaped, so that it stays one line.
fn one_line(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}
