//! Inputs that people really have: losses as transformers gives them, or a refusal that names what is wrong.
//!
//! Those made after public reports of other engines lie in `../shared/cases/models`; without the folder their test is skipped.

#[path = "fixture/engines.rs"]
mod engines;
mod fixture;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use engines::engines;
use fixture::{Outcome, load, paths, tiny};
use headwater_model::{DecoderSpec, EngineOptions, Error, HeadMask, MaskKind, Model, ModelPaths, Precision, Rope};
use headwater_record::{ContentHash, HeadSet};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{SafeTensors, TensorView, serialize_to_file};
use serde::Deserialize;
use serde_json::Value;

#[path = "../../../tests/skipped.rs"]
mod skipped;

/// Largest difference of a document's mean loss, in nats.
const F32_NATS: f64 = 1e-4;
/// The same where products are rounded to bfloat16.
const BF16_NATS: f64 = 0.05;

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Expected {
    /// Mean losses of each document, in nats.
    Losses { base: Vec<f64>, masked: Vec<f64>, tokens: Vec<usize> },
    /// One clear error.
    Refuse,
    /// Finite losses.
    Runs,
}

#[derive(Deserialize)]
struct Heads {
    heads: HeadSet,
}

/// The model of a case, whose files lie in `model` or are one GGUF file, perhaps with a `tokenizer.json` beside it.
fn model_of(case: &Path) -> Result<ModelPaths, Box<dyn std::error::Error>> {
    let folder = case.join("model");
    let gguf = [case.join("model.gguf"), folder.join("m.gguf")].into_iter().find(|path| path.is_file());
    let Some(gguf) = gguf else { return paths(&folder) };
    let beside = gguf.with_file_name("tokenizer.json");
    let tokenizer = beside.is_file().then_some(beside);
    let weights_hash = ContentHash::of(gguf.to_string_lossy().as_bytes());
    Ok(ModelPaths { weights: vec![gguf], config: None, tokenizer, weights_hash })
}

fn texts(case: &Path) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let file = fs_err::File::open(case.join("c.parquet"))?.into_file();
    let mut texts = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
        let batch = batch?;
        let column = batch.column_by_name("text").expect("the corpus has texts").as_string::<i32>();
        texts.extend(column.iter().flatten().map(str::to_owned));
    }
    Ok(texts)
}

/// Mean losses of a document, intact and masked, in nats, and its tokens.
type Losses = (f64, f64, usize);

/// The losses of each document.
fn losses(case: &Path, model: &Model) -> Result<Vec<Losses>, Box<dyn std::error::Error>> {
    let heads: Heads = serde_json::from_slice(&fs_err::read(case.join("heads.json"))?)?;
    let mask = HeadMask { set: heads.heads, kind: MaskKind::CausalUniform };
    let mean = |losses: &[f32]| losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / losses.len() as f64;
    let mut all = Vec::new();
    for text in texts(case)? {
        let ids = model.tokenizer().encode(&text)?;
        let window: Vec<u32> = model.tokenizer().leading().iter().chain(&ids).copied().collect();
        let losses = model.engine().losses(&window, &mask)?;
        all.push((mean(&losses.base), mean(&losses.masked), ids.len()));
    }
    Ok(all)
}

fn check(case: &Path, options: &EngineOptions) -> Outcome {
    let name = case.display();
    let expected: Expected = serde_json::from_slice(&fs_err::read(case.join("expected.json"))?)?;
    let loaded = Model::load(&model_of(case)?, options);
    let (model, expected) = match expected {
        Expected::Refuse => {
            let error = match loaded {
                Ok(_) => return Err(format!("{name} is to be refused").into()),
                Err(error) => error.to_string(),
            };
            let is_clear = error.contains(&*case.to_string_lossy()) && !error.contains('\n');
            return if is_clear { Ok(()) } else { Err(format!("not clear: {error}").into()) };
        }
        Expected::Runs => {
            let losses = losses(case, &loaded?)?;
            let is_finite = losses.iter().all(|(base, masked, _)| base.is_finite() && masked.is_finite());
            return if is_finite { Ok(()) } else { Err(format!("{losses:?}").into()) };
        }
        Expected::Losses { base, masked, tokens } => (loaded?, base.into_iter().zip(masked).zip(tokens)),
    };
    let nats = if options.precision == Precision::F32 { F32_NATS } else { BF16_NATS };
    for (got, ((base, masked), tokens)) in losses(case, &model)?.into_iter().zip(expected) {
        let what = format!("{name}, {options:?}: {got:?}, expected {base} and {masked} of {tokens} tokens");
        if got.2 != tokens || (got.0 - base).abs() > nats || (got.1 - masked).abs() > nats {
            return Err(what.into());
        }
    }
    Ok(())
}

#[test]
fn every_case_is_right_or_refused() -> Outcome {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/cases/models"));
    let Ok(entries) = fs_err::read_dir(&folder) else {
        skipped::skip(&format!("{} is not there", folder.display()));
        return Ok(());
    };
    let mut cases = Vec::new();
    for entry in entries {
        cases.push(entry?.path());
    }
    cases.sort();
    assert!(cases.len() >= 18, "{} cases", cases.len());
    let mut failed = Vec::new();
    for case in &cases {
        for options in engines(Precision::F32).into_iter().chain(engines(Precision::Bf16)) {
            if let Err(error) = check(case, &options) {
                failed.push(format!("{}: {error}", case.display()));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// A copy of the tiny llama, its configuration changed by `keys` and its tensors by `change`.
fn changed_llama(
    keys: &[(&str, Value)],
    change: impl FnOnce(&mut Vec<(String, TensorView<'_>)>),
) -> Result<tempfile::TempDir, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    fs_err::copy(tiny("llama/tokenizer.json"), folder.path().join("tokenizer.json"))?;
    let mut config: Value = serde_json::from_slice(&fs_err::read(tiny("llama/config.json"))?)?;
    for (key, value) in keys {
        config[*key] = value.clone();
    }
    fs_err::write(folder.path().join("config.json"), config.to_string())?;
    let bytes = fs_err::read(tiny("llama/model.safetensors"))?;
    let mut tensors = SafeTensors::deserialize(&bytes)?.tensors();
    change(&mut tensors);
    serialize_to_file(tensors, None, &folder.path().join("model.safetensors"))?;
    Ok(folder)
}

fn some_losses(model: &Model) -> Result<Vec<f32>, Error> {
    Ok(model.engine().losses(&[5, 9, 120, 7, 7, 60], &HeadMask::default())?.base)
}

#[test]
fn weights_without_the_prefix_are_the_same_model() -> Outcome {
    let options = EngineOptions::default();
    let folder = changed_llama(&[], |tensors| {
        tensors.iter_mut().for_each(|(name, _)| *name = name.trim_start_matches("model.").to_owned());
    })?;
    assert_eq!(some_losses(&load(folder.path(), &options)?)?, some_losses(&load(&tiny("llama"), &options)?)?);
    Ok(())
}

#[test]
fn a_stored_copy_of_the_embedding_is_the_tied_projection() -> Outcome {
    let options = EngineOptions::default();
    let folder = changed_llama(&[], |tensors| {
        let embedding = tensors.iter().find(|(name, _)| name == "model.embed_tokens.weight").expect("an embedding");
        let copy = ("lm_head.weight".to_owned(), embedding.1.clone());
        tensors.push(copy);
    })?;
    assert_eq!(some_losses(&load(folder.path(), &options)?)?, some_losses(&load(&tiny("llama"), &options)?)?);
    Ok(())
}

#[test]
fn another_projection_than_the_tied_embedding_is_refused() -> Outcome {
    static OTHER: [u8; 304 * 32 * 4] = [1; 304 * 32 * 4];
    let folder = changed_llama(&[], |tensors| {
        let view = TensorView::new(tensors[0].1.dtype(), vec![304, 32], &OTHER).expect("a projection");
        tensors.push(("lm_head.weight".to_owned(), view));
    })?;
    let error = load(folder.path(), &EngineOptions::default()).expect_err("two projections").to_string();
    assert!(error.contains("tie_word_embeddings") && error.contains("lm_head.weight"), "{error}");
    Ok(())
}

/// Keys that transformers obeys in some model, or that change what is stored: of a llama they are refused by name.
#[test]
fn what_a_llama_does_not_have_is_refused_by_name() -> Outcome {
    let refused: [(&str, Value); 14] = [
        ("quantization_config", serde_json::json!({"quant_method": "fp8"})),
        ("embedding_multiplier", 12.0.into()),
        ("residual_multiplier", 0.22.into()),
        ("logits_scaling", 8.0.into()),
        ("attn_logit_softcapping", 50.0.into()),
        ("final_logit_softcapping", 30.0.into()),
        ("no_rope_layers", serde_json::json!([1, 1, 0])),
        ("sliding_window", 64.into()),
        ("layer_types", serde_json::json!(["full_attention", "sliding_attention", "full_attention"])),
        ("num_local_experts", 8.into()),
        ("clip_qkv", 8.0.into()),
        ("use_qk_norm", true.into()),
        ("alibi", true.into()),
        ("rope_scaling", serde_json::json!({"rope_type": "dynamic", "factor": 4.0})),
    ];
    for (key, value) in refused {
        let folder = changed_llama(&[(key, value.clone())], |_| ())?;
        let error = load(folder.path(), &EngineOptions::default()).expect_err(&format!("{key} is {value}")).to_string();
        assert!(error.contains(key) && error.contains("config.json"), "{error}");
    }
    Ok(())
}

/// What changes nothing is passed over, whatever it is called.
#[test]
fn what_changes_nothing_is_passed_over() -> Outcome {
    let harmless: [(&str, Value); 9] = [
        ("quantization_config", Value::Null),
        ("embedding_multiplier", 1.0.into()),
        ("num_experts", 0.into()),
        ("sliding_window", Value::Null),
        ("pretraining_tp", 2.into()),
        ("initializer_range", 0.5.into()),
        ("use_cache", true.into()),
        ("attention_dropout", 0.1.into()),
        ("anything_else", serde_json::json!({"a": [1, 2]})),
    ];
    let expected = some_losses(&load(&tiny("llama"), &EngineOptions::default())?)?;
    for (key, value) in harmless {
        let folder = changed_llama(&[(key, value.clone())], |_| ())?;
        assert_eq!(some_losses(&load(folder.path(), &EngineOptions::default())?)?, expected, "{key} is {value}");
    }
    Ok(())
}

#[test]
fn dropout_of_merges_is_off() -> Outcome {
    let folder = changed_llama(&[], |_| ())?;
    let path = folder.path().join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&fs_err::read(&path)?)?;
    tokenizer["model"]["dropout"] = 0.9.into();
    fs_err::write(&path, tokenizer.to_string())?;
    let (with, without) =
        (load(folder.path(), &EngineOptions::default())?, load(&tiny("llama"), &EngineOptions::default())?);
    let text = "The river ran past the mill and the miller counted the sacks.";
    for _ in 0..8 {
        assert_eq!(with.tokenizer().encode(text)?, without.tokenizer().encode(text)?);
    }
    Ok(())
}

/// How many damaged configurations are tried; `tests/bench/models/mutated.py` compares such with transformers.
const DAMAGED: usize = 2_000;

#[test]
fn a_damaged_configuration_is_refused_or_understood() -> Outcome {
    let mut configs: Vec<Value> = Vec::new();
    for entry in fs_err::read_dir(tiny(""))? {
        let path = entry?.path().join("config.json");
        if path.is_file() {
            configs.push(serde_json::from_slice(&fs_err::read(path)?)?);
        }
    }
    assert!(configs.len() >= 20, "{} configurations", configs.len());
    let all_keys: BTreeSet<String> =
        configs.iter().filter_map(Value::as_object).flat_map(|config| config.keys().cloned()).collect();
    let keys: Vec<&String> = all_keys.iter().collect();
    let values = serde_json::json!([null, true, -1, 0, 1, 3, 7, 1_u64 << 40, 0.0, 0.3, 1.0, -2.5, 1e300, "", "gelu", "llama", "yarn", [], [0, 1, 1],
        ["sliding_attention"], {}, {"rope_type": "yarn", "factor": 0.0}, {"rope_type": "longrope", "short_factor": [0]},
        {"rope_type": "llama3", "factor": 1, "low_freq_factor": 1, "high_freq_factor": 1}, {"full_attention": 3}]);
    let values = values.as_array().expect("a list");
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let mut understood = 0;
    for index in 0..DAMAGED {
        let mut config = configs[index % configs.len()].clone();
        for _ in 0..rng.random_range(1..4) {
            let key = keys[rng.random_range(0..keys.len())];
            config[key] = values[rng.random_range(0..values.len())].clone();
        }
        if let Ok(spec) = DecoderSpec::of_config(Path::new("config.json"), config.to_string().as_bytes()) {
            assert!(spec.ropes.iter().flat_map(Rope::frequencies).all(f64::is_finite), "{config}");
            understood += 1;
        }
    }
    assert!(understood > 0 && understood < DAMAGED, "{understood} of {DAMAGED} were understood");
    Ok(())
}
