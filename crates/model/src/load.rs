//! Loads a model from its files.

use std::collections::BTreeSet;
use std::path::Path;

use half::bf16;
use headwater_kernels::{Instructions, Int8Weights, Level, Weights};
use headwater_record::ContentHash;
use headwater_record::run::Numerics;

use crate::architectures::{Architecture, described};
use crate::candle::CandleEngine;
use crate::gguf::GgufFile;
use crate::keys::Keys;
use crate::native::NativeEngine;
use crate::options::CPU;
use crate::paths::read;
use crate::safetensors::SafetensorsFiles;
use crate::tensors::{Checkpoint, TensorFiles};
use crate::torch::TorchEngine;
use crate::{DecoderSpec, Engine, EngineChoice, EngineOptions, Error, ModelPaths, ModelShape, Precision, Tokenizer};

/// A tokenizer and an engine of the same model.
pub struct Model {
    tokenizer: Tokenizer,
    engine: Box<dyn Engine>,
    spec: Option<DecoderSpec>,
    formats: BTreeSet<String>,
    weights_hash: ContentHash,
    config_hash: Option<ContentHash>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("shape", self.shape()).field("weights_hash", &self.weights_hash).finish()
    }
}

impl Model {
    /// Loads the model in `paths`.
    ///
    /// # Errors
    /// Names the file and what is wrong with it: a hostile or truncated header, an architecture or pre-tokenizer that this
    /// version does not know, a tensor that is missing, unused or of the wrong shape, a tokenizer of another model.
    pub fn load(paths: &ModelPaths, options: &EngineOptions) -> Result<Self, Error> {
        let is_torch = match options.engine {
            EngineChoice::Auto => options.device != CPU,
            EngineChoice::Torch => true,
            EngineChoice::Native | EngineChoice::Candle => false,
        };
        if !is_torch {
            return Self::load_own(paths, options);
        }
        match TorchEngine::load(paths, options) {
            Ok(engine) => {
                let tokenizer = Tokenizer::load(paths)?;
                tokenizer
                    .validate(paths.tokenizer.as_deref().unwrap_or(Path::new("the model")), engine.shape().vocab)?;
                let config_hash = paths.config.as_ref().map(|path| Ok::<_, Error>(ContentHash::of(&read(path)?)));
                let (engine, weights_hash) = (Box::new(engine), paths.weights_hash);
                let (formats, config_hash) = (BTreeSet::new(), config_hash.transpose()?);
                Ok(Self { tokenizer, engine, spec: None, formats, weights_hash, config_hash })
            }
            Err(Error::TorchUnusable { reason: of_torch }) if options.engine == EngineChoice::Auto => {
                let own = Self::load_own(paths, options).map_err(|error| match error {
                    Error::Device { device, reason } => {
                        Error::Device { device, reason: format!("{reason}; nor has PyTorch it: {of_torch}") }
                    }
                    error => error,
                })?;
                tracing::warn!("the candle engine runs the model, as the torch engine cannot be used: {of_torch}");
                Ok(own)
            }
            Err(error) => Err(error),
        }
    }

    /// Loads a model that one of this crate's own engines runs.
    fn load_own(paths: &ModelPaths, options: &EngineOptions) -> Result<Self, Error> {
        if let Some(first) = paths.gguf() {
            let file = GgufFile::open(first)?;
            let keys = file.keys()?;
            let (architecture, mut spec) = described(&keys)?;
            for rope in &mut spec.ropes {
                if let Some(divisors) = file.rope_divisors(rope)? {
                    rope.scaling = divisors;
                }
            }
            let tokenizer = match &paths.tokenizer {
                Some(path) => Tokenizer::open_beside(path, &file)?,
                None => Tokenizer::from_gguf(&file, paths.weights_hash)?,
            };
            tokenizer.validate(paths.tokenizer.as_deref().unwrap_or(first), spec.shape.vocab)?;
            return Self::assemble((&file, architecture, spec), tokenizer, paths, options);
        }
        let config = paths.config.as_ref().ok_or_else(|| paths.lacks("config.json"))?;
        let config_text = read(config)?;
        let (architecture, spec) = described(&Keys::of_json(config, &config_text)?)?;
        let path = paths.tokenizer.as_ref().ok_or_else(|| paths.lacks("tokenizer.json"))?;
        let tokenizer = Tokenizer::open(path)?;
        tokenizer.validate(path, spec.shape.vocab)?;
        let files = SafetensorsFiles::open(&paths.weights)?;
        let model = Self::assemble((&files, architecture, spec), tokenizer, paths, options)?;
        Ok(Self { config_hash: Some(ContentHash::of(&config_text)), ..model })
    }

    fn assemble(
        (files, architecture, spec): (&dyn TensorFiles, &'static Architecture, DecoderSpec),
        tokenizer: Tokenizer,
        paths: &ModelPaths,
        options: &EngineOptions,
    ) -> Result<Self, Error> {
        let checkpoint = Checkpoint::new(files, &architecture.layout, &spec);
        let engine = load_engine(&checkpoint, spec.clone(), options)?;
        let formats = checkpoint.formats();
        checkpoint.finish()?;
        let (weights_hash, config_hash) = (paths.weights_hash, None);
        Ok(Self { tokenizer, engine, spec: Some(spec), formats, weights_hash, config_hash })
    }

    /// Returns what the file stores numbers as, such as `BF16` or `Q4_1`; nothing of a model that the torch engine runs.
    #[must_use]
    pub fn formats(&self) -> &BTreeSet<String> {
        &self.formats
    }

    /// Returns the tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Returns the engine.
    #[must_use]
    pub fn engine(&self) -> &dyn Engine {
        self.engine.as_ref()
    }

    /// Returns the sizes of the model.
    #[must_use]
    pub fn shape(&self) -> &ModelShape {
        self.engine.shape()
    }

    /// Returns what the forward pass does; `None` of a model that transformers runs.
    #[must_use]
    pub fn spec(&self) -> Option<&DecoderSpec> {
        self.spec.as_ref()
    }

    /// SHA-256 of the weights.
    #[must_use]
    pub fn weights_hash(&self) -> ContentHash {
        self.weights_hash
    }

    /// SHA-256 of `config.json`; `None` for weights that hold their configuration themselves.
    #[must_use]
    pub fn config_hash(&self) -> Option<ContentHash> {
        self.config_hash
    }

    /// Returns what decides the last bits of a loss.
    #[must_use]
    pub fn numerics(&self) -> Numerics {
        self.engine.numerics()
    }
}

fn load_engine(
    checkpoint: &Checkpoint<'_>,
    spec: DecoderSpec,
    options: &EngineOptions,
) -> Result<Box<dyn Engine>, Error> {
    let native = match options.engine {
        EngineChoice::Auto => options.device == CPU,
        EngineChoice::Native => true,
        EngineChoice::Candle | EngineChoice::Torch => false,
    };
    if !native {
        if let Some(level) = options.instructions {
            return Err(Error::InstructionsUnused { level });
        }
        if options.precision == Precision::Int8 {
            let why = "the candle engine has none; the native engine on the cpu has".to_owned();
            return Err(Error::Precision { precision: options.precision, why });
        }
        let precision = if options.precision == Precision::Auto { Precision::Bf16 } else { options.precision };
        return Ok(Box::new(CandleEngine::load(checkpoint, spec, &EngineOptions { precision, ..options.clone() })?));
    }
    if options.device != CPU {
        let reason = "the native engine runs on the cpu; the candle engine runs on others".to_owned();
        return Err(Error::Device { device: options.device.clone(), reason });
    }
    let instructions = options.instructions.map_or_else(|| Ok(Instructions::of_family()), Instructions::new)?;
    let precision = match options.precision {
        Precision::Auto if instructions.level() >= Level::Avx2 => Precision::Int8,
        Precision::Auto => Precision::Bf16,
        precision => precision,
    };
    let setting = (instructions, precision);
    Ok(match precision {
        Precision::F32 => Box::new(NativeEngine::<f32, Weights<f32>>::load(checkpoint, spec, setting)?),
        Precision::Auto | Precision::Bf16 => {
            Box::new(NativeEngine::<bf16, Weights<bf16>>::load(checkpoint, spec, setting)?)
        }
        Precision::Int8 if instructions.multiplies_bf16() => {
            Box::new(NativeEngine::<bf16, Int8Weights>::load(checkpoint, spec, setting)?)
        }
        Precision::Int8 => Box::new(NativeEngine::<f32, Int8Weights>::load(checkpoint, spec, setting)?),
    })
}
