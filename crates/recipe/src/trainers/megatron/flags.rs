//! Megatron-LM's flags for the model, the machines, the optimizer and the schedule, one line each for a shell.
//!
//! # Source
//! megatron-core 0.19.2: `training/arguments.py`, `training/config`, `core/optimizer_param_scheduler.py`.

use std::fmt::Display;

use headwater_schedule::{Batch, Curve, Form, Schedule};

use crate::plan::TrainingPlan;
use crate::ramp::Ramp;
use crate::{Error, Result};

/// What lengths are counted in.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// Steps.
    Iterations,
    /// Sequences, so many a step.
    Samples(u64),
}

/// A flag with a count or a word.
pub(crate) fn flag(name: &str, value: impl Display) -> String {
    format!("--{name} {value}")
}

/// A flag with a number that need not be whole.
fn float(name: &str, value: f64) -> String {
    format!("--{name} {value:?}")
}

/// A flag with a word that a shell, and `xargs`, would take apart unless quoted.
pub(crate) fn word(name: &str, value: &str) -> String {
    format!("--{name} {}", quoted(value))
}

/// The word in quotes if it needs any.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+,@%".contains(c);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// The model's shape and its tokens' vocabulary.
///
/// # Errors
/// [`Error::PresetValue`] for a shape that Megatron refuses, though other trainers take it.
pub(crate) fn model(plan: &TrainingPlan<'_>) -> Result<Vec<String>> {
    validate(plan)?;
    let (model, sequence_tokens) = (&plan.preset.model, plan.batch.sequence_tokens);
    let mut flags = vec![
        flag("num-layers", model.layers),
        flag("hidden-size", model.hidden_size),
        flag("ffn-hidden-size", model.intermediate_size),
        flag("num-attention-heads", model.heads),
        flag("kv-channels", model.hidden_size / model.heads),
    ];
    if model.kv_heads < model.heads {
        flags.extend(["--group-query-attention".to_owned(), flag("num-query-groups", model.kv_heads)]);
    }
    flags.extend([
        "--swiglu".to_owned(),
        "--disable-bias-linear".to_owned(),
        flag("position-embedding-type", "rope"),
        flag("rotary-base", model.rope_theta),
        flag("normalization", "RMSNorm"),
        float("norm-epsilon", model.rms_norm_eps),
        float("attention-dropout", 0.0),
        float("hidden-dropout", 0.0),
        float("init-method-std", model.init_std),
        flag("seq-length", sequence_tokens),
        flag("max-position-embeddings", sequence_tokens),
        flag("tokenizer-type", "NullTokenizer"),
        flag("vocab-size", model.vocab_size),
        flag("null-tokenizer-eod-id", model.eos_token_id),
        flag("make-vocab-size-divisible-by", 1),
    ]);
    if !model.tied_embeddings {
        flags.push("--untie-embeddings-and-output-weights".to_owned());
    }
    Ok(flags)
}

fn validate(plan: &TrainingPlan<'_>) -> Result<()> {
    let (model, machines) = (&plan.preset.model, &plan.preset.machines);
    let refused = |key: &str, got: String, expected: String| Error::PresetValue {
        preset: plan.preset.name.clone(),
        key: key.to_owned(),
        got,
        expected: format!("{expected} for Megatron-LM"),
    };
    if model.rope_theta.fract() != 0.0 {
        return Err(refused("model.rope_theta", model.rope_theta.to_string(), "a whole number".to_owned()));
    }
    for (key, count, divisor_key, divisor) in [
        ("model.layers", model.layers, "machines.pipeline_parallel", machines.pipeline_parallel),
        ("model.intermediate_size", model.intermediate_size, "machines.tensor_parallel", machines.tensor_parallel),
        ("recipe.sequence_tokens", plan.batch.sequence_tokens, "machines.tensor_parallel", machines.tensor_parallel),
    ] {
        if !count.is_multiple_of(divisor) {
            return Err(refused(key, count.to_string(), format!("a multiple of {divisor_key}, {divisor},")));
        }
    }
    Ok(())
}

/// How model and batch are spread over devices, the optimizer but for its rate, logs and checkpoints.
pub(crate) fn training(plan: &TrainingPlan<'_>) -> Vec<String> {
    let (machines, adam) = (&plan.preset.machines, &plan.preset.optimizer);
    let mut flags = vec![
        flag("tensor-model-parallel-size", machines.tensor_parallel),
        flag("pipeline-model-parallel-size", machines.pipeline_parallel),
    ];
    if machines.tensor_parallel > 1 {
        flags.push("--sequence-parallel".to_owned());
    }
    flags.extend(
        ["--use-distributed-optimizer", "--overlap-grad-reduce", "--overlap-param-gather", "--bf16"].map(str::to_owned),
    );
    flags.extend([
        flag("micro-batch-size", machines.micro_batch),
        match plan.ramp.filter(|_| plan.stages.len() == 1) {
            Some(ramp) => word("step-batch-size-schedule", &growth(ramp, plan.batch)),
            None => flag("global-batch-size", plan.batch.sequences),
        },
        flag("optimizer", "adam"),
        float("adam-beta1", adam.beta1),
        float("adam-beta2", adam.beta2),
        float("adam-eps", adam.eps),
        float("weight-decay", adam.weight_decay),
        float("clip-grad", adam.clip),
        flag("eval-iters", 0),
        flag("eval-interval", machines.checkpoint_steps),
        flag("save", CHECKPOINTS),
        flag("load", CHECKPOINTS),
        flag("save-interval", machines.checkpoint_steps),
        flag("ckpt-format", "torch_dist"),
        flag("log-interval", 1),
        "--log-throughput".to_owned(),
        flag("tensorboard-dir", "tensorboard"),
        flag("tensorboard-log-interval", 1),
        flag("data-cache-path", "data_cache"),
    ]);
    flags
}

/// The batch from so many tokens on, for `--step-batch-size-schedule`, which stands in place of the batch. Of `--rampup-batch-size` Megatron
/// says that it is ignored.
fn growth(ramp: Ramp, batch: Batch) -> String {
    let levels =
        ramp.levels(batch).map(|(samples, sequences)| format!("{}:{sequences}", samples * batch.sequence_tokens));
    levels.collect::<Vec<_>>().join(",")
}

/// Where checkpoints go, and come from.
pub(crate) const CHECKPOINTS: &str = "checkpoints";

/// The shapes of its WSD decay, and their names. Its default, `exponential`, is 2 · 0.5^p − 1, which is none of ours.
pub(crate) const SHAPES: [(Curve, &str); 3] =
    [(Curve::Linear, "linear"), (Curve::OneMinusSqrt, "minus_sqrt"), (Curve::Cosine, "cosine")];

/// Whether Megatron's √(W / t), with W the warm-up, is this form: it knows no other timescale and no cooldown after it.
pub(crate) fn is_inverse_sqrt(schedule: &Schedule) -> bool {
    let warmup = schedule.warmup_steps();
    matches!(schedule.form(), Form::InverseSqrt { timescale_steps, decay }
        if warmup > 0 && decay.steps == 0 && *timescale_steps == warmup as f64)
}

/// The schedule.
///
/// Megatron wants warm-up to end before the decay does. A run of nothing but warm-up has no decay, and the end of a decay that is
/// none changes nothing, so there it is one step after the run.
pub(crate) fn schedule(schedule: &Schedule, unit: Unit) -> Vec<String> {
    let (name, per_step) = match unit {
        Unit::Iterations => ("iters", 1),
        Unit::Samples(per_step) => ("samples", per_step),
    };
    let length = |key: &str, steps: u64| flag(&format!("{key}-{name}"), steps.saturating_mul(per_step));
    let decay = schedule.decay();
    let style = match decay {
        Some(_) => "WSD",
        None if is_inverse_sqrt(schedule) => "inverse-square-root",
        None => "constant",
    };
    let mut flags = vec![
        length("train", schedule.steps()),
        float("lr", schedule.peak_lr()),
        float("min-lr", schedule.floor_lr()),
        length("lr-warmup", schedule.warmup_steps()),
        flag("lr-decay-style", style),
        length("lr-decay", schedule.steps().max(schedule.warmup_steps() + 1)),
    ];
    if let Some(decay) = decay {
        let shape = SHAPES.iter().find(|(curve, _)| *curve == decay.curve).map_or("linear", |(_, shape)| shape);
        flags.extend([flag("lr-wsd-decay-style", shape), length("lr-wsd-decay", decay.steps)]);
    }
    flags
}
