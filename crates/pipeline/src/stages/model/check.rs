//! A second look at a model: what was understood of it, and what it makes of a few sentences.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use headwater_heads::{HeadsConfig, placeholder_heads};
use headwater_model::{DecoderSpec, EngineOptions, HeadMask, Model, ModelPaths, Precision};
use headwater_record::ByteCount;
use headwater_record::run::Numerics;
use serde::{Deserialize, Serialize};

use super::model_paths;
use crate::meters::peak_memory_bytes;
use crate::{Environment, Error, Result};

/// Text in three kinds: prose, source code and another language.
const SENTENCES: [&str; 3] = [
    "The miller counted the sacks, and when he had counted them he began again with the first.",
    "def mean(values):\n    return sum(values) / len(values)\n",
    "Der Fluss ist nach dem Regen breit, und die Brücke steht unter Wasser.",
];

/// What [`check_model`] found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelCheck {
    /// The model's name.
    pub name: String,
    /// The files of its weights.
    pub weights: Vec<String>,
    /// Their bytes.
    pub bytes: ByteCount,
    /// What configurations call its architecture.
    pub architecture: &'static str,
    /// What sets it apart from a Llama.
    pub particulars: Vec<String>,
    /// Layers.
    pub layers: usize,
    /// What the files store numbers as.
    pub formats: Vec<String>,
    /// Query heads a layer.
    pub heads: usize,
    /// Key/value heads a layer.
    pub kv_heads: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Weights of all maps and of the embedding.
    pub parameters: u64,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// Tokens that the tokenizer knows.
    pub tokens: u64,
    /// The tokens that begin a window.
    pub leading: Vec<String>,
    /// The token that ends a text, if the files say.
    pub eos: Option<String>,
    /// Longest window, in tokens.
    pub context_tokens: usize,
    /// Heads that `heads.fraction` of the default masks.
    pub masked_heads: usize,
    /// What computes the losses beside float32.
    pub numerics: Numerics,
    /// Greatest resident memory up to the losses of the texts as they come, in bytes, if the system tells.
    pub peak_memory_bytes: Option<u64>,
    /// What the model makes of a few texts.
    pub sentences: Vec<CheckedSentence>,
    /// Beside transformers, if that was asked for.
    pub against: Option<Against>,
}

/// A text and its losses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckedSentence {
    /// The text.
    pub text: String,
    /// Its tokens, a token that begins the window included.
    pub tokens: usize,
    /// Mean loss in float32, in nats.
    pub loss: f64,
    /// Mean loss as `auto` computes it, in nats.
    pub loss_as_it_comes: f64,
}

/// How far transformers is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Against {
    /// Version of transformers.
    pub version: String,
    /// Largest difference of the loss of a token in float32, in nats.
    pub largest_difference: f64,
}

/// What the script answers.
#[derive(Deserialize)]
struct Answer {
    version: String,
    losses: Vec<Vec<f64>>,
}

/// Loads a model, runs it on three sentences in float32 and as it comes, and tells what was understood of it. `against` also asks transformers of
/// the environment's Python for the losses.
///
/// `name` is as for [`fetch_model`](super::fetch_model).
///
/// # Errors
/// Those of loading a model; [`Error::Transformers`] if Python cannot be asked.
pub fn check_model(name: &str, against: bool, environment: &Environment) -> Result<ModelCheck> {
    let (paths, name) = model_paths(name, environment)?;
    let load = |precision| Model::load(&paths, &EngineOptions { precision, ..EngineOptions::default() });
    let as_it_comes = load(Precision::Auto)?;
    let (shape, tokenizer, spec) = (as_it_comes.shape(), as_it_comes.tokenizer(), as_it_comes.spec());
    let token = |id: u32| tokenizer.id_to_token(id).unwrap_or_else(|| id.to_string());
    let of = |model: &Model, window: &[u32]| Ok::<_, Error>(model.engine().losses(window, &HeadMask::default())?.base);
    // of the tokens that begin a window, none is a target of scoring
    let of_text = |losses: &[f32]| mean(losses.get(tokenizer.leading().len().saturating_sub(1)..).unwrap_or_default());
    let mut coming = Vec::new();
    for text in SENTENCES {
        let ids = tokenizer.encode(text)?;
        let window: Vec<u32> = tokenizer.leading().iter().copied().chain(ids).take(shape.context_tokens).collect();
        let loss_as_it_comes = of_text(&of(&as_it_comes, &window)?);
        coming.push((window, loss_as_it_comes));
    }
    // what follows is for comparison, and no run needs it
    let peak_memory_bytes = peak_memory_bytes();
    let plain = load(Precision::F32)?;
    let (mut sentences, mut windows, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    for (text, (window, loss_as_it_comes)) in SENTENCES.into_iter().zip(coming) {
        let float32 = of(&plain, &window)?;
        let loss = of_text(&float32);
        sentences.push(CheckedSentence { text: text.to_owned(), tokens: window.len(), loss, loss_as_it_comes });
        windows.push(window);
        losses.push(float32);
    }
    let bytes = paths.weights.iter().map(|path| path.metadata().map_or(0, |file| file.len())).sum();
    Ok(ModelCheck {
        name,
        weights: paths.weights.iter().map(|path| path.display().to_string()).collect(),
        bytes: ByteCount(bytes),
        architecture: spec.map_or("", |spec| spec.architecture),
        particulars: spec.map(DecoderSpec::particulars).unwrap_or_default(),
        layers: shape.layers,
        formats: as_it_comes.formats().iter().cloned().collect(),
        heads: shape.heads,
        kv_heads: shape.kv_heads,
        hidden: shape.hidden,
        parameters: spec.map_or(0, DecoderSpec::parameters),
        vocabulary: shape.vocab,
        tokens: tokenizer.vocab_size(),
        leading: tokenizer.leading().iter().copied().map(token).collect(),
        eos: tokenizer.eos()?.map(token),
        context_tokens: shape.context_tokens,
        masked_heads: placeholder_heads(shape.layers, shape.heads, HeadsConfig::default().fraction)?.as_slice().len(),
        numerics: as_it_comes.numerics(),
        peak_memory_bytes,
        sentences,
        against: if against {
            Some(beside_transformers(&environment.python, &paths, (&windows, &losses))?)
        } else {
            None
        },
    })
}

fn mean(losses: &[f32]) -> f64 {
    losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / losses.len() as f64
}

/// Asks transformers for the losses of `windows`, and compares them with `losses`.
fn beside_transformers(
    python: &Path,
    paths: &ModelPaths,
    (windows, losses): (&[Vec<u32>], &[Vec<f32>]),
) -> Result<Against> {
    let failed = |reason: String| Error::Transformers { reason };
    let first = paths.weights.first().ok_or_else(|| failed("the model has no files".to_owned()))?;
    let folder = first.parent().unwrap_or(Path::new("."));
    let is_gguf = first.extension().is_some_and(|extension| extension == "gguf");
    let gguf = first.file_name().filter(|_| is_gguf).map(|name| name.to_string_lossy());
    let asked = serde_json::json!({"path": folder, "gguf": gguf, "windows": windows});
    let mut child = Command::new(python)
        .args(["-c", include_str!("transformers.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            failed(format!("cannot start {}: {error}; HEADWATER_PYTHON names another Python", python.display()))
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        // a script that has ended already says why below
        let _ = stdin.write_all(asked.to_string().as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.trim().lines().last().unwrap_or("it says nothing").to_owned();
        return Err(failed(format!("{last}; it needs torch and transformers, and of GGUF files the package gguf")));
    }
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|error| failed(format!("its answer is not understood: {error}")))?;
    let theirs = answer.losses.iter().flatten();
    let differences = losses.iter().flatten().zip(theirs).map(|(ours, theirs)| (f64::from(*ours) - theirs).abs());
    let largest_difference = differences.fold(0.0, |most: f64, off| if off.is_nan() { off } else { most.max(off) });
    Ok(Against { version: answer.version, largest_difference })
}
