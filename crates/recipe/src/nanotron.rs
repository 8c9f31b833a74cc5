//! The recipe for nanotron: `config.yaml` and the learning rates that it logs.
//!
//! nanotron's own defaults would undo a schedule: without `min_decay_lr` the rate never falls, without `lr_decay_steps` the decay
//! is too long, and without `lr_warmup_style` the file is refused. So every key of the schedule is written.
//!
//! # Source
//! huggingface/nanotron of April 2026: `config/config.py`, `helpers.py`, `trainer.py`.

use std::fmt::Write as _;

use crate::file::RecipeFile;
use crate::nanotron_config::{
    Checkpoints, Config, Data, Dataset, General, InitMethod, LearningRate, Logging, Model, ModelConfig, Optimizer,
    OptimizerFactory, Parallelism, Stage, Tokenizer, Tokens,
};
use crate::plan::{Part, PartName, Plan};
use crate::{Error, Result, Trainer};

const CONFIG: &str = "recipe/nanotron/config.yaml";
const EXPECTED_LR: &str = "recipe/nanotron/expected_lr.csv";

/// Processes that read data, per training process.
const LOADING_WORKERS: u64 = 2;

pub(crate) fn files(plan: &Plan<'_>) -> Result<Vec<RecipeFile>> {
    let yaml = serde_saphyr::to_string(&config(plan)?).map_err(|source| Error::Yaml { path: CONFIG, source })?;
    // nanotron logs the rate after the scheduler's step: at step k the rate of update k + 1, which is that of k completed steps.
    let expected = plan.expected_lr_csv(|step| (step > 0).then(|| (step, plan.schedule.lr(step))));
    Ok(vec![RecipeFile::new(CONFIG, header(plan) + &yaml), RecipeFile::new(EXPECTED_LR, expected)])
}

fn config(plan: &Plan<'_>) -> Result<Config> {
    let (recipe, preset) = (plan.inputs.config, &plan.preset);
    let machines = &preset.nanotron;
    let accumulation = plan.accumulation(
        Trainer::Nanotron,
        [("data_parallel", machines.data_parallel), ("micro_batch", machines.micro_batch)],
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
            dp: machines.data_parallel,
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
            train_steps: plan.schedule.steps(),
            micro_batch_size: machines.micro_batch,
            batch_accumulation_per_replica: accumulation,
            limit_val_batches: 0,
            limit_test_batches: 0,
            val_check_interval: -1,
        },
        optimizer: optimizer(plan),
        data_stages: vec![stage(plan)],
        checkpoints: Checkpoints {
            checkpoints_path: "checkpoints".to_owned(),
            checkpoint_interval: machines.checkpoint_steps,
            save_initial_state: false,
            save_final_state: true,
            resume_checkpoint_path: None,
            checkpoints_path_is_shared_file_system: false,
        },
        logging: Logging { log_level: "info", log_level_replica: "info", iteration_step_info_interval: 1 },
    })
}

fn model(plan: &Plan<'_>) -> Model {
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

fn optimizer(plan: &Plan<'_>) -> Optimizer {
    let adam = &plan.preset.optimizer;
    Optimizer {
        zero_stage: plan.preset.nanotron.zero_stage,
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
        learning_rate_scheduler: learning_rate(plan),
    }
}

/// The schedule in nanotron's keys.
///
/// Two corners of nanotron's function need care. With no warm-up steps a linear warm-up still sets the first update to 0, so the
/// style becomes `constant`; with no decay steps either it would square the rate, so one constant step is called warm-up. And
/// after a decay of no steps it would drop to `min_decay_lr` in the log's last line, so that becomes the peak.
fn learning_rate(plan: &Plan<'_>) -> LearningRate {
    let schedule = &plan.schedule;
    let (warmup, decay) = (schedule.warmup_steps(), schedule.decay_steps());
    LearningRate {
        learning_rate: schedule.peak_lr(),
        lr_warmup_steps: if warmup == 0 && decay == 0 { 1 } else { warmup },
        lr_warmup_style: if warmup == 0 { "constant" } else { "linear" },
        lr_decay_style: schedule.shape().name(),
        lr_decay_starting_step: schedule.decay_start(),
        lr_decay_steps: decay,
        min_decay_lr: if decay == 0 { schedule.peak_lr() } else { schedule.floor_lr() },
    }
}

/// One stage over the whole run: the mixture is the same before and during the decay.
fn stage(plan: &Plan<'_>) -> Stage {
    let parts = plan.parts();
    Stage {
        name: "corpus and selected".to_owned(),
        start_training_step: 1,
        data: Data {
            seed: plan.seed(),
            num_loading_workers: LOADING_WORKERS,
            dataset: Dataset {
                dataset_folder: parts.iter().map(|part| token_folder(plan, part)).collect(),
                dataset_weights: parts.iter().map(|part| part.token_weight).collect(),
                tokenizer_name: plan.preset.tokenizer.name.clone(),
                vocab_size: plan.preset.model.vocab_size,
                token_size_in_bytes: plan.preset.model.token_bytes(),
            },
        },
    }
}

/// Where a part's token files belong: `tokens/` beside the subset's `selected/`, the selected ones under the selection's hash.
fn token_folder(plan: &Plan<'_>, part: &Part) -> String {
    let hash = plan.inputs.selection.hash.to_string();
    let beside = plan.inputs.subset.trim_end_matches('/').strip_suffix(&format!("selected/{hash}")).unwrap_or_default();
    match part.name {
        PartName::Corpus => format!("{beside}tokens/corpus"),
        PartName::Selected => format!("{beside}tokens/selected/{hash}"),
    }
}

fn header(plan: &Plan<'_>) -> String {
    let mut lines = vec!["Pretraining config for nanotron, written by headwater.".to_owned(), String::new()];
    lines.extend(plan.arithmetic());
    let mut say = |text: &str| lines.push(text.to_owned());
    say("");
    say(
        "expected_lr.csv holds the rate that nanotron logs at each step. It logs after the scheduler's step, so the rate in row k is",
    );
    say("that of update k + 1; with a warm-up the first update is at 0.");
    say("");
    say("Before it runs:");
    say(
        "- The folders under dataset_folder do not exist yet. Fill each with the token files (*.ds) of its part, made by datatrove with",
    );
    say("  the tokenizer below:");
    let parts = plan.parts();
    for part in &parts {
        let from = match part.name {
            PartName::Corpus => "the corpus".to_owned(),
            PartName::Selected => plan.inputs.subset.to_owned(),
        };
        lines.push(format!("  {} from {from}", token_folder(plan, part)));
    }
    let mut say = |text: &str| lines.push(text.to_owned());
    say("- The weights are shares of tokens. nanotron starts a part again when it is through.");
    say(
        "- Fit parallelism, micro_batch_size and batch_accumulation_per_replica to your machines: their product with dp is the batch.",
    );
    say(
        "- To branch off a cooldown, resume from the last checkpoint before the decay starts (resume_checkpoint_path).",
    );
    say("- nanotron from its repository: the 0.4 on PyPI reads none of data_stages.");
    let mut text = String::new();
    for line in lines {
        let _ = writeln!(text, "{}", format!("# {}", printable(&line)).trim_end());
    }
    text
}

/// The line with what would end or spoil a YAML comment escaped.
fn printable(line: &str) -> String {
    let spoils =
        |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    line.chars().map(|c| if spoils(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}
