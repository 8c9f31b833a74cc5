//! The recipe for Levanter: `config.yaml` and the model's shape.
//!
//! Levanter has linear, cosine and polynomial decays of a stable phase, those again in several periods, and inverse square roots with
//! a linear cooldown. Its Power scheduler counts tokens in 32 bits, which overflow within a few hundred steps: not used here.
//!
//! # Source
//! marin-levanter 0.2.20.dev202606180959: `optim/config.py`, `trainer.py`, `data/mixture.py`, `main/train_lm.py`.

mod config;

use std::ops::RangeInclusive;

use headwater_schedule::{Curve, Form, Period, Schedule};
use serde::Serialize;

use crate::backend::{FollowedSchedule, TrainerBackend, name};
use crate::file::{RecipeFile, yaml};
use crate::plan::{Part, TrainingPlan};
use crate::trainers::levanter::config::{
    Axes, Checkpointer, Component, Config, Data, Format, Keep, Length, LrSchedule, Mesh, Model, Optimizer, Rope,
    ScheduleKeys, Source, Tracker, Training, TypedSchedule,
};
use crate::trainers::transformers4::LlamaConfig;
use crate::{Error, Result, Trainer};
use headwater_record::tokens::TextPart;

const CONFIG: &str = "recipe/levanter/config.yaml";
const MODEL: &str = "recipe/levanter/model/config.json";

/// A mixture's block is shorter than this.
const BLOCK_BOUND: u64 = 1 << 16;

/// The first step whose rate is logged.
const FIRST_LOGGED: u64 = 2;

pub(crate) struct Levanter;

impl TrainerBackend for Levanter {
    fn trainer(&self) -> Trainer {
        Trainer::Levanter
    }

    fn paths(&self) -> &'static [&'static str] {
        &[CONFIG, MODEL]
    }

    fn cuts_each_part(&self) -> bool {
        true
    }

    /// Polynomials of any exponent, of which these are tried for a shape that it lacks.
    fn decay_curves(&self) -> &'static [Curve] {
        &[
            Curve::Linear,
            Curve::Cosine,
            Curve::Polynomial { exponent: 0.5 },
            Curve::Polynomial { exponent: 1.5 },
            Curve::Polynomial { exponent: 2.0 },
            Curve::Polynomial { exponent: 3.0 },
        ]
    }

    fn supports(&self, schedule: &Schedule) -> bool {
        keys(schedule).is_some()
    }

    fn rate(&self, schedule: &Schedule, step: u64) -> f64 {
        schedule.lr(step)
    }

    fn update_logged_at(&self, logged: u64) -> u64 {
        logged
    }

    /// Its hooks skip the first two updates, but for the last of a run.
    fn logged_steps(&self, steps: u64) -> RangeInclusive<u64> {
        let last = steps - 1;
        FIRST_LOGGED.min(last)..=last
    }

    fn step_convention(&self) -> &'static str {
        "Levanter counts from 0 and logs at step k the rate of update k, but nothing of updates 0 and 1; it computes in 32 bits, so \
         what it logs differs by up to 2e-7 of the peak"
    }

    fn scheduler_keys(&self, schedule: &Schedule) -> Result<String> {
        #[derive(Serialize)]
        struct Keys {
            optimizer: ScheduleKeys,
            trainer: Steps,
        }
        #[derive(Serialize)]
        struct Steps {
            num_train_steps: u64,
        }
        let trainer = Steps { num_train_steps: schedule.steps() };
        yaml(CONFIG, &Keys { optimizer: try_keys(schedule)?, trainer })
    }

    fn files(&self, plan: &TrainingPlan<'_>, followed: &FollowedSchedule) -> Result<Vec<RecipeFile>> {
        let config = config(plan, &followed.schedule)?;
        Ok(vec![
            RecipeFile::yaml(CONFIG, &header(plan, followed, &config), &config)?,
            RecipeFile::json(MODEL, &LlamaConfig::new(plan))?,
        ])
    }
}

fn try_keys(schedule: &Schedule) -> Result<ScheduleKeys> {
    let inexpressible = || Error::UnsupportedSchedule { trainer: Trainer::Levanter.title(), schedule: name(schedule) };
    keys(schedule).ok_or_else(inexpressible)
}

/// `None` for a schedule that Levanter lacks.
fn keys(schedule: &Schedule) -> Option<ScheduleKeys> {
    let (steps, warmup) = (schedule.steps(), schedule.warmup_steps());
    let keys = |lr_schedule, warmup, decay| ScheduleKeys {
        learning_rate: schedule.peak_lr(),
        lr_schedule,
        warmup,
        decay,
        min_lr_ratio: schedule.floor(),
        cycles: None,
        rewarmup: None,
        cooldown: None,
    };
    match schedule.form() {
        Form::Wsd(decay) => {
            let shape = if decay.steps == 0 { Curve::Linear } else { decay.curve };
            Some(keys(lr_schedule(shape)?, length(warmup, steps), Some(length(decay.steps, steps))))
        }
        Form::WsdS { periods, curve } => {
            let first = periods.first()?;
            // a decay of one step would be a share of periods of different lengths
            let is_even = |period: &Period| period.decay_steps == first.decay_steps && period.decay_steps != 1;
            let decay = Length::Steps(first.decay_steps);
            let keys = keys(lr_schedule(*curve)?, length(warmup, first.end), Some(decay));
            let cycles = Some(periods.iter().map(|period| period.end).collect());
            periods.iter().all(is_even).then_some(ScheduleKeys { cycles, rewarmup: Some(0), ..keys })
        }
        Form::InverseSqrt { timescale_steps, decay } => {
            let is_linear = decay.steps == 0 || decay.curve == Curve::Linear;
            let main = steps - decay.steps;
            // Levanter: peak / √(1 + c · t / main steps after warm-up)
            let decay_constant = (main - warmup) as f64 / timescale_steps;
            let shape = LrSchedule::Typed(TypedSchedule::InvSqrtDecay { decay_constant });
            let keys = keys(shape, length(warmup, main), None);
            let cooldown = (decay.steps > 0).then(|| length(decay.steps, steps));
            (is_linear && main > 0).then_some(ScheduleKeys { cooldown, ..keys })
        }
        _ => None,
    }
}

const fn lr_schedule(curve: Curve) -> Option<LrSchedule> {
    match curve {
        Curve::Linear => Some(LrSchedule::Named("linear")),
        Curve::Cosine => Some(LrSchedule::Named("cosine")),
        Curve::Polynomial { exponent } => Some(LrSchedule::Typed(TypedSchedule::Polynomial { power: exponent })),
        _ => None,
    }
}

/// `steps` of a stretch of `of`. Up to 1 a number is a share, rounded down: one step is the share that makes one and a half.
fn length(steps: u64, of: u64) -> Length {
    match (steps, of) {
        (1, 1) => Length::Share(1.0),
        (1, _) => Length::Share(1.5 / of as f64),
        _ => Length::Steps(steps),
    }
}

fn config(plan: &TrainingPlan<'_>, followed: &Schedule) -> Result<Config> {
    let preset = plan.preset;
    let (machines, adam) = (&preset.machines, &preset.optimizer);
    plan.accumulation(Trainer::Levanter, [("devices", machines.devices), ("micro_batch", machines.micro_batch)])?;
    Ok(Config {
        data: data(plan),
        train_seq_len: plan.batch.sequence_tokens,
        data_seed: plan.seed(),
        model: model(plan),
        optimizer: Optimizer {
            kind: "adam",
            schedule: try_keys(followed)?,
            beta1: adam.beta1,
            beta2: adam.beta2,
            epsilon: adam.eps,
            max_grad_norm: adam.clip,
            weight_decay: adam.weight_decay,
            default_weight_decay_mask: false,
        },
        trainer: Training {
            id: format!("{}-{}", preset.name, plan.inputs.selection.hash.short(12)),
            seed: plan.seed(),
            mp: "p=f32,c=bfloat16",
            num_train_steps: followed.steps(),
            train_batch_size: plan.batch.sequences,
            per_device_parallelism: machines.micro_batch,
            mesh: Mesh { axes: Axes { replica: 1, data: -1, model: 1 } },
            tracker: Tracker { kind: "json_logger" },
            log_dir: "logs",
            checkpointer: Checkpointer {
                base_path: "checkpoints",
                save_interval: "30m",
                keep: [Keep { every: machines.checkpoint_steps }],
            },
        },
    })
}

fn model(plan: &TrainingPlan<'_>) -> Model {
    let model = &plan.preset.model;
    Model {
        kind: "llama",
        max_seq_len: plan.batch.sequence_tokens,
        hidden_dim: model.hidden_size,
        intermediate_dim: model.intermediate_size,
        num_layers: model.layers,
        num_heads: model.heads,
        num_kv_heads: model.kv_heads,
        activation_function: "silu",
        initializer_range: model.init_std,
        layer_norm_epsilon: model.rms_norm_eps,
        tie_word_embeddings: model.tied_embeddings,
        reference_checkpoint: "model",
        tokenizer: plan.preset.tokenizer.name.clone(),
        gradient_checkpointing: true,
        rope: Rope { kind: "default", theta: model.rope_theta },
    }
}

fn data(plan: &TrainingPlan<'_>) -> Data {
    let component = |part: &Part| {
        let text_key = text_columns(plan).first().copied().unwrap_or("text").to_owned();
        let component = Component {
            kind: "cached",
            source: Source { kind: "url", train_urls: urls(plan, part.name) },
            format: Format { kind: "text", text_key },
        };
        (part.name, component)
    };
    let weights = plan.stages.iter().map(|stage| {
        let weights = plan.parts().map(|part| (part.name, stage.weight(part.name)));
        (stage.start, weights.collect())
    });
    Data {
        tokenizer: plan.preset.tokenizer.name.clone(),
        cache_dir: "cache",
        enforce_eos: true,
        block_cross_document_attention: true,
        shuffle: true,
        permutation_type: "feistel",
        mixture_block_size: block(plan),
        stop_strategy: "restart",
        components: plan.parts().map(component).collect(),
        train_weights: weights.collect(),
    }
}

/// All sources of a part together: a selection knows the tokens of domains, not of sources, so no source has a weight.
fn urls(plan: &TrainingPlan<'_>, part: TextPart) -> Vec<String> {
    let texts = plan.inputs.corpus.iter().flat_map(|source| plan.texts(part, source));
    texts.map(|path| plan.full(&path)).collect()
}

/// The columns with the text, each once, in the order of the sources.
fn text_columns<'a>(plan: &TrainingPlan<'a>) -> Vec<&'a str> {
    let mut columns = Vec::new();
    for source in plan.inputs.corpus {
        if !columns.contains(&source.text.as_str()) {
            columns.push(source.text.as_str());
        }
    }
    columns
}

/// Sequences whose mixture has the weights, as whole numbers: the longest stretch of whole batches that is short enough and that
/// ends where a stage does; of a batch that is too long itself, the longest equal piece.
fn block(plan: &TrainingPlan<'_>) -> u64 {
    let batch = plan.batch.sequences;
    let divides = |steps: &u64| plan.stages.iter().all(|stage| stage.start.is_multiple_of(*steps));
    let most = ((BLOCK_BOUND - 1) / batch).min(plan.schedule.steps());
    let steps = (1..=most).rev().find(divides);
    let piece = || (1..BLOCK_BOUND).rev().find(|piece| batch.is_multiple_of(*piece)).unwrap_or(1);
    steps.map_or_else(piece, |steps| steps * batch)
}

fn header(plan: &TrainingPlan<'_>, followed: &FollowedSchedule, config: &Config) -> Vec<String> {
    let machines = &plan.preset.machines;
    let (batch, block) = (plan.batch.sequences, config.data.mixture_block_size);
    let mut lines = vec![
        "Pretraining config for Levanter (package marin-levanter 0.2.20.dev202606180959), written by headwater."
            .to_owned(),
        String::new(),
    ];
    lines.extend(plan.arithmetic(followed));
    lines.push(format!(
        "Batch: {} devices × {} sequences × {} accumulated = {batch} sequences.",
        machines.devices,
        machines.micro_batch,
        batch / (machines.devices * machines.micro_batch),
    ));
    lines.push(format!(
        "Mixture: weights are rounded to whole sequences in blocks of {block}. Every step of train_weights × the batch must be a \
         multiple of it, and it must be below {BLOCK_BOUND}."
    ));
    if block < batch {
        lines.push(format!("The batch is no shorter than {BLOCK_BOUND} sequences, so blocks are pieces of it."));
    }
    lines.extend(
        [
            "",
            "Start it from this file's folder, once on each host:  python -m levanter.main.train_lm --config_path config.yaml",
            "Before it runs:",
            "- Levanter tokenizes train_urls into cache before the first step. They are Parquet files or globs, with full paths, as relative",
            "  ones are looked for beside this file.",
        ]
        .map(str::to_owned),
    );
    let columns = text_columns(plan);
    if columns.len() > 1 {
        lines.push(format!(
            "- The text is in columns of different names ({}), but Levanter reads one of a part: rename them to text_key.",
            columns.join(", ")
        ));
    }
    lines.extend(
        [
            "- Weights are shares of sequences, so of tokens. A part starts again when it is through. Its sources count by their length.",
            "- The vocabulary is the tokenizer's. model/config.json is the model's shape for exports.",
            "- In warmup, decay and cooldown a number up to 1 is a share, so one step is written as the share of one and a half.",
        ]
        .map(str::to_owned),
    );
    lines.push(format!(
        "- Levanter does not use initializer_range: it starts each layer at 1/sqrt(its inputs), the embedding at 1/{}.",
        plan.preset.model.hidden_size
    ));
    lines.extend(
        [
            "- expected_lr.csv is what it logs as optim/learning_rate. Fit per_device_parallelism to your devices.",
            "- checkpoints/ID/step-K holds K + 1 updates. To branch off a cooldown: trainer.initialize_from: such a folder from before the",
            "  decay, a new trainer.id, num_train_steps and decay.",
        ]
        .map(str::to_owned),
    );
    lines
}

#[cfg(test)]
mod tests;
