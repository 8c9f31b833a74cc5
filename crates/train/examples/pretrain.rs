//! Pretrains on made-up tokens: for figures of speed, and for models that other programs check.
//!
//!     cargo run --release -p headwater-train --example pretrain -- [--width 256 --layers 8 …] [--steps N] [--out FOLDER]
//!
//! Prints a line of JSON a step. With `--out` it leaves the model as transformers loads it, and the losses of held-out tokens
//! (`tests/golden/make_golden.py --check FOLDER`). With `--serve` it trains as many steps as each line of its input asks for, so that another
//! program can time its own steps in between.

use std::error::Error;
use std::io::BufRead;
use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use fs_err as fs;
use headwater_schedule::{Curve, Schedule, WsdSteps};
use headwater_train::{AdamW, Precision, Settings, Shape, StepLog, Trainer};
use serde_json::json;

#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value_t = 4096)]
    vocabulary: usize,
    #[arg(long, default_value_t = 128)]
    width: usize,
    #[arg(long, default_value_t = 4)]
    layers: usize,
    #[arg(long, default_value_t = 4)]
    heads: usize,
    #[arg(long, default_value_t = 4)]
    kv_heads: usize,
    #[arg(long, default_value_t = 32)]
    head_width: usize,
    #[arg(long, default_value_t = 320)]
    hidden: usize,
    #[arg(long, default_value_t = 16)]
    sequences: usize,
    #[arg(long, default_value_t = 512)]
    length: usize,
    #[arg(long, default_value_t = 100)]
    steps: u64,
    #[arg(long, default_value_t = 0.002)]
    peak: f64,
    /// Products in bfloat16.
    #[arg(long)]
    bf16: bool,
    #[arg(long)]
    out: Option<PathBuf>,
    #[arg(long)]
    serve: bool,
}

/// Tokens of which each follows from the one before but for a draw of three.
fn tokens(step: u64, count: usize, per_sequence: usize, vocabulary: usize) -> Vec<u32> {
    let mut token = 0_u64;
    let draw = |at: usize| {
        let place = at as u64;
        if at.is_multiple_of(per_sequence) {
            token = step * 7919 + place * 31;
        }
        let draw = ((step * 1_000_003 + place) * 2_654_435_761 % (1 << 32)) >> 16;
        token = (3 * token + 1 + draw % 3) % vocabulary as u64;
        u32::try_from(token).unwrap_or_default()
    };
    (0..count).map(draw).collect()
}

#[expect(clippy::print_stdout, reason = "what an example is for")]
fn line(log: &StepLog, seconds: f64) {
    let StepLog { step, loss, rate, l2, l1, tokens } = *log;
    println!(
        "{}",
        json!({"step": step, "loss": loss, "rate": rate, "l2": l2, "l1": l1, "tokens": tokens, "seconds": seconds})
    );
}

fn main() -> Result<(), Box<dyn Error>> {
    let asked = Arguments::parse();
    let precision = if asked.bf16 { Precision::Bf16 } else { Precision::F32 };
    let Arguments { vocabulary, width, layers, heads, kv_heads, head_width, hidden, sequences, length, .. } = asked;
    let shape = Shape { vocabulary, width, layers, heads, kv_heads, head_width, hidden, ..Shape::default() };
    let settings =
        Settings { shape, sequences, length, optimiser: AdamW::default(), clip: Some(1.0), seed: 1, precision };
    let phases = WsdSteps { steps: asked.steps, warmup_steps: asked.steps / 20, decay_steps: asked.steps / 5 };
    let schedule = Schedule::wsd(phases, Curve::OneMinusSqrt, asked.peak, 0.0)?;
    let mut trainer = Trainer::new(settings, schedule)?;
    let count = trainer.settings().batch_tokens();
    let mut train = |steps: u64| -> Result<(), Box<dyn Error>> {
        for _ in 0..steps {
            let batch = tokens(trainer.completed(), count, length + 1, vocabulary);
            let start = Instant::now();
            let log = trainer.step(&batch)?;
            line(&log, start.elapsed().as_secs_f64());
        }
        Ok(())
    };
    if asked.serve {
        for steps in std::io::stdin().lock().lines() {
            train(steps?.trim().parse()?)?;
        }
        return Ok(());
    }
    train(asked.steps)?;
    if let Some(out) = asked.out {
        trainer.export(&out.join("model"))?;
        let held_out = tokens(u64::from(u32::MAX), 4 * (length + 1), length + 1, vocabulary);
        let losses = trainer.losses(&held_out)?;
        let rows: Vec<_> = held_out.chunks(length + 1).collect();
        let losses: Vec<_> = losses.chunks(length).collect();
        fs::write(out.join("held_out.json"), json!({"tokens": rows, "losses": losses}).to_string())?;
    }
    Ok(())
}
