//! The recipe for OLMo-core: `config.yaml`, and the script that trains by it.
//!
//! OLMo-core composes a schedule of stages, straight or along half a cosine. So it says every schedule that is made of such pieces,
//! and any other comes near as straight lines. Its own `wsd` class is not used: it would
//! run one step ahead.
//!
//! # Source
//! OLMo-core 3.0.0 (ai2-olmo-core): `optim/scheduler.py` (`ComposableScheduler`), `data/composable`, `train/trainer.py`.

mod config;
mod data;

use headwater_schedule::length::whole_number;
use headwater_schedule::{Curve, Form, Schedule};
use serde::Serialize;
use serde_saphyr::{FlowMap, FlowSeq};

use crate::backend::{self, FollowedSchedule, TrainerBackend};
use crate::file::{RecipeFile, yaml};
use crate::plan::TrainingPlan;
use crate::trainers::olmo_core::config::{
    ActivationCheckpointing, Block, Callback, Callbacks, Config, DataLoader, DataParallel, Duration, FeedForward, Head,
    Model, Norm, Optim, Rope, Scheduler, SequenceMixer, Stage, TrainModule, Trainer,
};
use crate::trainers::pieces::{Piece, PieceShape, lines, pieces};
use crate::{Error, Result};

const CONFIG: &str = "recipe/olmo-core/config.yaml";
const SCRIPT: &str = "recipe/olmo-core/train.py";

/// The training script, which is the same for every run.
const TRAIN: &str = include_str!("olmo_core/train.py");

/// Processes that read data, per training process.
const LOADING_WORKERS: u64 = 4;

pub(crate) struct OlmoCore;

impl TrainerBackend for OlmoCore {
    fn trainer(&self) -> crate::Trainer {
        crate::Trainer::OlmoCore
    }

    fn paths(&self) -> &'static [&'static str] {
        &[CONFIG, SCRIPT]
    }

    fn cuts_each_part(&self) -> bool {
        true
    }

    fn decay_curves(&self) -> &'static [Curve] {
        &[Curve::Linear, Curve::Cosine]
    }

    fn supports(&self, schedule: &Schedule) -> bool {
        pieces(schedule).is_some()
    }

    /// Straight lines along the schedule, unless it would take too many.
    fn nearest(&self, wanted: &Schedule) -> Result<Schedule> {
        lines(wanted).filter(|lines| self.supports(lines)).map_or_else(|| backend::nearest(self, wanted), Ok)
    }

    fn rate(&self, schedule: &Schedule, step: u64) -> f64 {
        schedule.lr(step)
    }

    fn update_logged_at(&self, logged: u64) -> u64 {
        logged - 1
    }

    fn step_convention(&self) -> &'static str {
        "OLMo-core logs at step k the rate of update k, counted from 1, and asks its scheduler for the rate at k; so the first stage of the scheduler is one step of its own"
    }

    fn scheduler_keys(&self, schedule: &Schedule) -> Result<String> {
        #[derive(Serialize)]
        struct Keys {
            train_module: Module,
            trainer: Steps,
        }
        #[derive(Serialize)]
        struct Module {
            optim: Rate,
            scheduler: Scheduler,
        }
        #[derive(Serialize)]
        struct Rate {
            lr: f64,
        }
        #[derive(Serialize)]
        struct Steps {
            max_duration: Duration,
        }
        let keys = Keys {
            train_module: Module { optim: Rate { lr: schedule.peak_lr() }, scheduler: scheduler(schedule)? },
            trainer: Steps { max_duration: duration(schedule) },
        };
        yaml(CONFIG, &keys)
    }

    fn files(&self, plan: &TrainingPlan<'_>, followed: &FollowedSchedule) -> Result<Vec<RecipeFile>> {
        Ok(vec![
            RecipeFile::yaml(CONFIG, &header(plan, followed), &config(plan, &followed.schedule)?)?,
            RecipeFile::new(SCRIPT, TRAIN.to_owned()),
        ])
    }
}

fn config(plan: &TrainingPlan<'_>, followed: &Schedule) -> Result<Config> {
    Ok(Config {
        init_seed: plan.seed(),
        model: model(plan)?,
        dataset: data::dataset(plan),
        data_loader: DataLoader {
            tokenizer: data::tokenizer(plan),
            global_batch_size: plan.batch.tokens(),
            seed: plan.seed(),
            work_dir: "outputs/work",
            shuffle: true,
            shuffle_strategy: "intra_source",
            num_workers: LOADING_WORKERS,
        },
        train_module: train_module(plan, followed)?,
        trainer: trainer(plan, followed),
    })
}

fn model(plan: &TrainingPlan<'_>) -> Result<Model> {
    let (preset, model) = (plan.preset, &plan.preset.model);
    let theta = whole_number(model.rope_theta, "rope_theta").map_err(|_| Error::PresetValue {
        preset: preset.name.clone(),
        key: "model.rope_theta".to_owned(),
        got: model.rope_theta.to_string(),
        expected: "a whole number, as OLMo-core takes no other".to_owned(),
    })?;
    let norm = || Norm { name: "rms", eps: model.rms_norm_eps, bias: false };
    Ok(Model {
        d_model: model.hidden_size,
        vocab_size: model.vocab_size,
        n_layers: model.layers,
        init_method: "normal",
        init_std: model.init_std,
        init_seed: plan.seed(),
        tie_word_embeddings: model.tied_embeddings,
        dtype: "float32",
        block: Block {
            name: "default",
            sequence_mixer: SequenceMixer {
                kind: "attention",
                n_heads: model.heads,
                n_kv_heads: model.kv_heads,
                bias: false,
                rope: Rope { name: "default", theta, full_precision: true },
            },
            feed_forward: FeedForward { hidden_size: model.intermediate_size, bias: false, activation: "silu" },
            layer_norm: norm(),
        },
        lm_head: Head { layer_norm: norm(), bias: false },
    })
}

fn train_module(plan: &TrainingPlan<'_>, followed: &Schedule) -> Result<TrainModule> {
    let (machines, adam) = (&plan.preset.machines, &plan.preset.optimizer);
    plan.accumulation(OlmoCore.trainer(), [("devices", machines.devices), ("micro_batch", machines.micro_batch)])?;
    Ok(TrainModule {
        rank_microbatch_size: machines.micro_batch * plan.batch.sequence_tokens,
        max_sequence_length: plan.batch.sequence_tokens,
        max_grad_norm: adam.clip,
        compile_model: true,
        optim: Optim {
            kind: "adamw",
            lr: followed.peak_lr(),
            betas: FlowSeq([adam.beta1, adam.beta2]),
            eps: adam.eps,
            weight_decay: adam.weight_decay,
        },
        scheduler: scheduler(followed)?,
        dp_config: DataParallel {
            name: "fsdp",
            param_dtype: "bfloat16",
            reduce_dtype: "float32",
            wrapping_strategy: "blocks",
        },
        ac_config: ActivationCheckpointing { mode: "selected_modules", modules: ["blocks.*.feed_forward"] },
    })
}

/// The schedule in stages. The first, of one step, is never asked for but at step 0.
fn scheduler(schedule: &Schedule) -> Result<Scheduler> {
    let pieces = pieces(schedule).ok_or_else(|| Error::UnsupportedSchedule {
        trainer: crate::Trainer::OlmoCore.title(),
        schedule: backend::name(schedule),
    })?;
    let start = pieces.first().map_or(0.0, |piece| piece.start);
    let before = Piece { steps: 1, shape: PieceShape::Linear, start, end: start };
    let stages = [before].into_iter().chain(pieces).map(|piece| {
        FlowMap(Stage {
            duration: piece.steps,
            shape: match piece.shape {
                PieceShape::Linear => "linear",
                PieceShape::Cosine => "cosine",
            },
            start_lr_fraction: piece.start,
            end_lr_fraction: piece.end,
        })
    });
    Ok(Scheduler { kind: "composable", units: "steps", stages: stages.collect() })
}

const fn duration(schedule: &Schedule) -> Duration {
    Duration { value: schedule.steps(), unit: "steps" }
}

fn trainer(plan: &TrainingPlan<'_>, followed: &Schedule) -> Trainer {
    let start = plan.schedule.decay_start();
    Trainer {
        save_folder: "outputs",
        save_overwrite: false,
        max_duration: duration(followed),
        metrics_collect_interval: 10,
        callbacks: Callbacks {
            checkpointer: Callback::Checkpointer {
                save_interval: plan.preset.machines.checkpoint_steps,
                fixed_steps: FlowSeq((1..followed.steps()).contains(&start).then_some(start).into_iter().collect()),
                max_checkpoints: None,
            },
            console_logger: Callback::ConsoleLogger { log_interval: 1, metrics_log_interval: 10 },
            config_saver: Callback::ConfigSaver {},
        },
    }
}

fn header(plan: &TrainingPlan<'_>, followed: &FollowedSchedule) -> Vec<String> {
    let machines = &plan.preset.machines;
    let mut lines = vec!["Pretraining config for OLMo-core 3.0.0, written by headwater.".to_owned(), String::new()];
    lines.extend(plan.arithmetic(followed));
    lines.extend(data::sequences_lines(plan));
    lines.push(format!(
        "Batch: {} devices × {} sequences × {} passes = {} sequences.",
        machines.devices,
        machines.micro_batch,
        plan.batch.sequences / (machines.devices * machines.micro_batch),
        plan.batch.sequences,
    ));
    lines.extend(before(plan));
    lines.extend(branch(plan));
    lines.extend(
        [
            "",
            "Mind:",
            "- scheduler.stages: steps, and fractions of optim.lr, the peak. OLMo-core does not fit them to max_duration.",
            "- max_checkpoints: null keeps every checkpoint; the default is 3, and the one that a branch needs is gone.",
            "- trainer.save_folder: a second start goes on from the last checkpoint there, so each run needs its own folder.",
            "- data_loader.work_dir: a local folder, for indices.",
            "- init_method normal starts every matrix alike, cut off at three times init_std.",
            "- weight_decay is on every parameter, norms and embeddings too.",
        ]
        .map(str::to_owned),
    );
    lines
}

fn before(plan: &TrainingPlan<'_>) -> Vec<String> {
    let mut lines = vec![
        String::new(),
        "Before it runs: the folders under source_paths hold the tokens of each part, as raw arrays named *.npy, as".to_owned(),
        "OLMo-core has them, though without NumPy's header. `headwater tokens` with [tokens] formats = [\"olmo\"] writes them:"
            .to_owned(),
    ];
    lines.extend(plan.token_folder_lines(data::FORMAT));
    let devices = plan.preset.machines.devices;
    lines.extend([
        String::new(),
        format!("Start, on {devices} devices, from the folder that the pipeline ran in, with the folder of this file for FOLDER:"),
        "  torchrun ... FOLDER/train.py FOLDER/config.yaml [KEY=VALUE...]".to_owned(),
        "where a KEY is, for instance, train_module.rank_microbatch_size.".to_owned(),
    ]);
    if let [_, second] = plan.stages.as_slice() {
        lines.extend([
            String::new(),
            format!("The data changes at step {}: the sources under dataset are trained on one after the other, each shuffled in", second.start),
            "itself (shuffle_strategy: intra_source). No sequence of a part is in both stages, unless the part must be repeated.".to_owned(),
        ]);
    }
    lines
}

/// How to branch off another decay from the plateau, where there is one.
fn branch(plan: &TrainingPlan<'_>) -> Vec<String> {
    let (Form::Wsd(decay), sequences) = (plan.schedule.form(), plan.batch.sequences) else { return Vec::new() };
    if decay.start == plan.schedule.warmup_steps() || decay.start == 0 || decay.steps == 0 {
        return Vec::new();
    }
    vec![
        String::new(),
        "For another decay, of d steps from a checkpoint of the plateau, copy the folder and set:".to_owned(),
        format!("  trainer.save_folder, a new one; trainer.load_path: outputs/step{};", decay.start),
        "  trainer.load_trainer_state: false, as the state of the data fits this data alone, so steps count from 0;"
            .to_owned(),
        format!(
            "  trainer.max_duration.value: d; under dataset one source of d × {sequences} sequences, with other seeds;"
        ),
        "  scheduler.stages: [{duration: 1, end_lr_fraction: 1.0}, {duration: d, end_lr_fraction: 0.0}].".to_owned(),
        "  The optimizer's state is loaded; the peak is the one given in the copy.".to_owned(),
    ]
}

#[cfg(test)]
mod tests;
