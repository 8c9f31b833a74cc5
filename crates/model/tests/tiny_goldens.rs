//! Every tiny model against PyTorch's values; `tiny/README.md` says how they were made.

#[path = "fixture/engines.rs"]
mod engines;
mod fixture;

use std::path::Path;

use engines::engines;
use fixture::{Outcome, load, tiny};
use headwater_model::{Engine, EngineOptions, HeadMask, MaskKind, Precision};
use headwater_record::HeadSet;
use serde::Deserialize;

/// Largest difference of a loss in nats, float32: the reference itself lies within 4e-5 of float64.
const F32_NATS: f64 = 2e-4;

/// Positions and predictions whose best score leads by less may fall either way.
const MARGIN: f64 = 1e-4;

/// Largest difference of a loss in nats, bfloat16. Each rounding is off by up to 2⁻⁹ of a value; logits here reach about
/// 16 through 3 layers of some ten rounded products each, whose errors add like a random walk:
/// 16 · 2⁻⁹ · √30 ≈ 0.2 is one such walk, and the softmax of random weights magnifies it a few times.
const BF16_NATS: f64 = 1.5;

/// Largest mean difference over all targets of a model: single targets go both ways.
const BF16_MEAN_NATS: f64 = 0.02;

/// Largest mean difference over all targets of a model in int8, whose steps are up to 1/127 of the largest of 32 numbers, four times
/// those of bfloat16.
const INT8_MEAN_NATS: f64 = 0.08;

#[derive(Deserialize)]
struct Goldens {
    windows: Vec<Window>,
}

#[derive(Deserialize)]
struct Window {
    ids: Vec<u32>,
    base: Vec<f64>,
    rows: Vec<usize>,
    attention: Argmax,
    predictions: Predictions,
    masks: Vec<Masked>,
}

/// `(layer, head, row)`.
#[derive(Deserialize)]
struct Argmax {
    positions: Vec<Vec<Vec<usize>>>,
    margins: Vec<Vec<Vec<f64>>>,
}

/// `(row,)`.
#[derive(Deserialize)]
struct Predictions {
    ids: Vec<u32>,
    margins: Vec<f64>,
}

#[derive(Deserialize)]
struct Masked {
    name: String,
    kind: MaskKind,
    heads: HeadSet,
    losses: Vec<f64>,
    predictions: Predictions,
}

impl Masked {
    fn mask(&self) -> HeadMask {
        HeadMask { set: self.heads.clone(), kind: self.kind }
    }
}

/// How many comparisons were made and how many the margin left out.
#[derive(Default)]
struct Tally {
    compared: usize,
    skipped: usize,
}

impl Tally {
    fn equal<T: PartialEq + std::fmt::Debug>(&mut self, got: &T, expected: &T, margin: f64, what: &str) {
        if margin < MARGIN {
            self.skipped += 1;
            return;
        }
        self.compared += 1;
        assert_eq!(got, expected, "{what}");
    }
}

fn read(path: &Path) -> Result<Goldens, Box<dyn std::error::Error>> {
    Ok(serde_json::from_slice(&fs_err::read(path)?)?)
}

fn largest_difference(got: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    got.iter().zip(expected).map(|(got, expected)| (f64::from(*got) - expected).abs()).fold(0.0, f64::max)
}

fn check_argmax(engine: &dyn Engine, window: &Window, tally: &mut Tally) -> Outcome {
    let argmax = engine.attention_argmax(&window.ids, 0..window.ids.len())?;
    for (layer, (heads, margins)) in window.attention.positions.iter().zip(&window.attention.margins).enumerate() {
        for (head, (positions, margins)) in heads.iter().zip(margins).enumerate() {
            for (at, row) in window.rows.iter().enumerate() {
                let what = format!("layer {layer}, head {head}, row {row}");
                tally.equal(&argmax.position(layer, head, *row), &positions[at], margins[at], &what);
            }
        }
    }
    let (row, head) = (window.ids.len() - 1, engine.shape().heads - 1);
    let last = engine.attention_argmax(&window.ids, row..row + 1)?;
    assert_eq!(last.position(1, head, 0), argmax.position(1, head, row), "rows asked for alone");
    Ok(())
}

fn check_predictions(engine: &dyn Engine, window: &Window, tally: &mut Tally) -> Outcome {
    let intact = std::iter::once(HeadMask::default());
    let masks: Vec<HeadMask> = intact.chain(window.masks.iter().map(Masked::mask)).collect();
    let expected = std::iter::once(&window.predictions).chain(window.masks.iter().map(|masked| &masked.predictions));
    let got = engine.predictions(&window.ids, 0..window.ids.len(), &masks)?;
    assert_eq!(got.len(), masks.len());
    for (mask, (got, expected)) in got.iter().zip(expected).enumerate() {
        for (at, row) in window.rows.iter().enumerate() {
            tally.equal(&got[*row], &expected.ids[at], expected.margins[at], &format!("mask {mask}, row {row}"));
        }
    }
    Ok(())
}

fn float32_agrees(model: &Path, golden: &Path) -> Outcome {
    engines(Precision::F32).iter().try_for_each(|options| float32_agrees_on(model, golden, options))
}

fn float32_agrees_on(model: &Path, golden: &Path, options: &EngineOptions) -> Outcome {
    let (model, goldens) = (load(model, options)?, read(golden)?);
    let mut tally = Tally::default();
    assert!(!goldens.windows.is_empty());
    for window in &goldens.windows {
        for masked in &window.masks {
            let losses = model.engine().losses(&window.ids, &masked.mask())?;
            let what = format!("{} {:?} of {} tokens, {options:?}", masked.name, masked.kind, window.ids.len());
            let off = largest_difference(&losses.base, &window.base);
            assert!(off <= F32_NATS, "base beside {what}: off by {off}");
            let off = largest_difference(&losses.masked, &masked.losses);
            assert!(off <= F32_NATS, "{what}: off by {off}");
        }
        check_argmax(model.engine(), window, &mut tally)?;
        check_predictions(model.engine(), window, &mut tally)?;
    }
    assert!(tally.skipped * 50 <= tally.compared, "{} skipped, {} compared", tally.skipped, tally.compared);
    Ok(())
}

fn bfloat16_is_near(model: &Path, golden: &Path) -> Outcome {
    let bounds = (BF16_NATS, BF16_MEAN_NATS);
    engines(Precision::Bf16).iter().try_for_each(|options| rounded_is_near(model, golden, options, bounds))
}

fn int8_is_near(model: &Path, golden: &Path) -> Outcome {
    let bounds = (4.0 * BF16_NATS, INT8_MEAN_NATS);
    engines(Precision::Int8).iter().try_for_each(|options| rounded_is_near(model, golden, options, bounds))
}

fn rounded_is_near(model: &Path, golden: &Path, options: &EngineOptions, (most, most_mean): (f64, f64)) -> Outcome {
    let (model, goldens) = (load(model, options)?, read(golden)?);
    let (mut sum, mut targets, mut largest) = (0.0, 0.0, 0.0_f64);
    for window in &goldens.windows {
        for masked in &window.masks {
            let losses = model.engine().losses(&window.ids, &masked.mask())?;
            for (got, expected) in [(&losses.base, &window.base), (&losses.masked, &masked.losses)] {
                largest = largest.max(largest_difference(got, expected));
                sum += got.iter().zip(expected).map(|(got, expected)| f64::from(*got) - expected).sum::<f64>();
                targets += got.len() as f64;
            }
        }
    }
    assert!(largest <= most, "off by {largest}, {options:?}");
    assert!((sum / targets).abs() <= most_mean, "mean off by {}, {options:?}", sum / targets);
    assert!(largest > F32_NATS, "it gives what float32 gives: off by {largest} at most, {options:?}");
    Ok(())
}

macro_rules! goldens {
    ($($name:ident: $model:literal, $golden:literal;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn float32_agrees_with_pytorch() -> Outcome {
                float32_agrees(&tiny($model), &tiny($golden))
            }

            #[test]
            fn bfloat16_is_near_and_differs() -> Outcome {
                bfloat16_is_near(&tiny($model), &tiny($golden))
            }

            #[test]
            fn int8_is_near_and_differs() -> Outcome {
                int8_is_near(&tiny($model), &tiny($golden))
            }
        }
    )*};
}

goldens! {
    llama: "llama", "llama/golden.json";
    llama3_rope: "llama3_rope", "llama3_rope/golden.json";
    mistral: "mistral", "mistral/golden.json";
    qwen2: "qwen2", "qwen2/golden.json";
    qwen3: "qwen3", "qwen3/golden.json";
    llama_f32_gguf: "llama-f32.gguf", "llama/golden.json";
    llama_mixed_gguf: "llama-mixed.gguf", "llama-mixed.golden.json";
    qwen2_mixed_gguf: "qwen2-mixed.gguf", "qwen2-mixed.golden.json";
    smollm3: "smollm3", "smollm3/golden.json";
    granite: "granite", "granite/golden.json";
    phi3: "phi3", "phi3/golden.json";
    olmo2: "olmo2", "olmo2/golden.json";
    olmo3: "olmo3", "olmo3/golden.json";
    gemma: "gemma", "gemma/golden.json";
    gemma2: "gemma2", "gemma2/golden.json";
    gemma3: "gemma3_text", "gemma3_text/golden.json";
    gpt_neox: "gpt_neox", "gpt_neox/golden.json";
    gpt2: "gpt2", "gpt2/golden.json";
    odd_smollm3: "smollm3_odd", "smollm3_odd/golden.json";
    odd_granite: "granite_odd", "granite_odd/golden.json";
    odd_phi3: "phi3_odd", "phi3_odd/golden.json";
    odd_olmo2: "olmo2_odd", "olmo2_odd/golden.json";
    odd_olmo3: "olmo3_odd", "olmo3_odd/golden.json";
    odd_gemma: "gemma_odd", "gemma_odd/golden.json";
    odd_gemma2: "gemma2_odd", "gemma2_odd/golden.json";
    odd_gemma3: "gemma3_text_odd", "gemma3_text_odd/golden.json";
    odd_gpt_neox: "gpt_neox_odd", "gpt_neox_odd/golden.json";
    odd_gpt2: "gpt2_odd", "gpt2_odd/golden.json";
    qwen3_yarn: "qwen3_yarn", "qwen3_yarn/golden.json";
    llama_yarn: "llama_yarn", "llama_yarn/golden.json";
    olmo3_yarn: "olmo3_yarn", "olmo3_yarn/golden.json";
    phi3_longrope: "phi3_longrope", "phi3_longrope/golden.json";
    smollm3_gguf: "smollm3.gguf", "smollm3/golden.json";
    granite_gguf: "granite.gguf", "granite/golden.json";
    phi3_gguf: "phi3.gguf", "phi3/golden.json";
    olmo2_gguf: "olmo2.gguf", "olmo2/golden.json";
    gemma_gguf: "gemma.gguf", "gemma/golden.json";
    gemma2_gguf: "gemma2.gguf", "gemma2/golden.json";
    gemma3_gguf: "gemma3_text.gguf", "gemma3_text/golden.json";
    gpt_neox_gguf: "gpt_neox.gguf", "gpt_neox/golden.json";
    gpt2_gguf: "gpt2.gguf", "gpt2/golden.json";
}

#[test]
fn a_configuration_of_transformers_5_means_the_same() -> Outcome {
    let folder = tempfile::tempdir()?;
    for file in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "tokenizer.json"] {
        fs_err::copy(tiny("mistral").join(file), folder.path().join(file))?;
    }
    fs_err::copy(tiny("mistral/config.transformers5.json"), folder.path().join("config.json"))?;
    float32_agrees(folder.path(), &tiny("mistral/golden.json"))
}
