//! Texts by a model, with scheduled reflection.

use std::time::{Duration, SystemTime};

use headwater_decode::{
    Generated, Limits, Reflection, ReflectionTokens, Sampler, Sampling, Schedule, ScheduleSettings, Words,
};
use headwater_model::{EngineChoice, EngineOptions, Model, Precision};
use headwater_report::reflection_svg;
use serde::Serialize;

use crate::stages::model::model_paths;
use crate::{Environment, Result, Step, Total};

/// What to write.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateRequest {
    /// The model, as for [`fetch_model`](crate::fetch_model).
    pub model: String,
    /// The text to go on from.
    pub prompt: String,
    /// Tokens at most.
    pub tokens: usize,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// The reflection words.
    pub words: Words,
    /// What is done to them.
    pub schedule: ScheduleSettings,
    /// `cpu`, `cuda:N` or `metal`.
    pub device: String,
    /// The numbers to compute with; `auto` is float32 on the CPU.
    pub precision: Precision,
}

/// A text by a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WrittenText {
    /// The model's name.
    pub model: String,
    /// The tokens that count as reflection, as the vocabulary writes them.
    pub reflection_tokens: Vec<String>,
    /// What was done to them.
    pub schedule: Schedule,
    /// How tokens were drawn.
    pub sampling: Sampling,
    /// The text.
    #[serde(flatten)]
    pub generated: Generated,
    /// How long it took, the model's loading apart.
    pub seconds: f64,
}

impl WrittenText {
    /// A picture of what was added to the logits, and where the text reflects.
    #[must_use]
    pub fn svg(&self) -> String {
        reflection_svg("Reflection", &self.generated.added, &self.generated.statistics.positions)
    }
}

/// Writes what follows a prompt.
///
/// # Errors
/// Those of loading a model; [`Error::Decode`](crate::Error::Decode) for settings and words that cannot work;
/// [`Error::Cancelled`](crate::Error::Cancelled).
pub fn generate(request: &GenerateRequest, environment: &Environment) -> Result<WrittenText> {
    let (mut sampler, schedule) = (Sampler::new(request.sampling)?, request.schedule.schedule()?);
    let (paths, name) = model_paths(&request.model, environment)?;
    let precision = match request.precision {
        Precision::Auto if request.device == "cpu" => Precision::F32,
        precision => precision,
    };
    let (engine, device) = (EngineChoice::Candle, request.device.clone());
    let model = Model::load(&paths, &EngineOptions { engine, device, precision, ..EngineOptions::default() })?;
    let tokenizer = model.tokenizer();
    let tokens = ReflectionTokens::resolve(tokenizer, &request.words)?;
    let spelt = |id: &u32| tokenizer.id_to_token(*id).unwrap_or_else(|| id.to_string());
    let reflection_tokens = tokens.reflection.iter().map(spelt).collect();
    let mut reflection = Reflection::new(schedule, tokens)?;
    let prompt: Vec<u32> = tokenizer.leading().iter().copied().chain(tokenizer.encode(&request.prompt)?).collect();
    let limits = Limits { tokens: request.tokens, ends: tokenizer.eos()?.into_iter().collect() };
    let step = environment.events.begin(Step {
        name: "generate",
        unit: "tokens",
        total: Total::AtMost(request.tokens as u64),
    });
    let began: SystemTime = (environment.now)();
    let _watched = environment.cancel.watch();
    let generated = headwater_decode::generate(
        (model.engine(), tokenizer),
        &prompt,
        &limits,
        (&mut sampler, &mut reflection),
        |_| {
            step.advance(1);
            !environment.cancel.is_cancelled()
        },
    )?;
    if environment.cancel.is_cancelled() {
        return Err(crate::Error::Cancelled);
    }
    step.finish();
    let seconds = (environment.now)().duration_since(began).unwrap_or(Duration::ZERO).as_secs_f64();
    let sampling = request.sampling;
    Ok(WrittenText { model: name, reflection_tokens, schedule, sampling, generated, seconds })
}
