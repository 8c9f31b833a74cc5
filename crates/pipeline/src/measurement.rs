//! Measured speeds, kept in the user's cache so that `plan` can tell how long a corpus takes.
//!
//! One small file for each machine, model and way of running it. What a file is found by is what a pipeline says, so that no model
//! has to be loaded to find it.

use headwater_model::MaskKind;
use headwater_record::ContentHash;
use headwater_record::run::Numerics;
use headwater_score::{LongDocuments, Speed};
use headwater_store::Place;
use serde::{Deserialize, Serialize};

use crate::config::{ModelConfig, PipelineConfig};
use crate::pipeline::json_bytes;
use crate::{Error, Result};

/// Where measurements lie in the cache.
const FOLDER: &str = "bench";

/// Digits of a hash that name a file.
const DIGITS: usize = 16;

/// What decides how fast a machine scores.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Settings {
    pub(crate) processor: String,
    pub(crate) threads: usize,
    /// As the pipeline says; a path as name is given in full.
    pub(crate) model: ModelConfig,
    pub(crate) window_tokens: usize,
    pub(crate) long_documents: LongDocuments,
    pub(crate) mask: MaskKind,
}

impl Settings {
    /// Those of `pipeline` on this machine.
    pub(crate) fn of(pipeline: &PipelineConfig) -> Self {
        let (mut model, score) = (pipeline.model.clone(), &pipeline.score);
        if let Ok(full) = fs_err::canonicalize(&model.name) {
            model.name = full.display().to_string();
        }
        Self {
            processor: processor(),
            threads: rayon::current_num_threads(),
            model,
            window_tokens: score.window_tokens,
            long_documents: score.long_documents,
            mask: score.mask,
        }
    }

    /// The folder of all measurements of the model.
    fn folder(&self) -> String {
        format!("{FOLDER}/{}", ContentHash::of(self.model.name.as_bytes()).short(DIGITS))
    }

    fn path(&self) -> Result<String> {
        let hash = ContentHash::of(
            &serde_json::to_vec(self)
                .map_err(|source| Error::Json { what: "the settings of a measurement", source })?,
        );
        Ok(format!("{}/{}.json", self.folder(), hash.short(DIGITS)))
    }
}

/// A measured speed.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Measurement {
    pub(crate) settings: Settings,
    /// When, as RFC 3339.
    pub(crate) measured: String,
    /// The version that measured.
    pub(crate) headwater: String,
    pub(crate) weights: ContentHash,
    pub(crate) numerics: Numerics,
    pub(crate) speed: Speed,
}

impl Measurement {
    /// Keeps the measurement in `cache`, in place of an older one of the same settings.
    pub(crate) fn keep(&self, cache: &Place) -> Result<()> {
        Ok(cache.write(&self.settings.path()?, json_bytes("a measurement", self)?)?)
    }
}

/// What earlier measurements tell about a pipeline.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Known {
    /// The measurement with the pipeline's own settings on this machine.
    pub(crate) here: Option<Measurement>,
    /// Bytes of text a token of the model's tokenizer, from the latest measurement of any settings.
    pub(crate) bytes_per_token: Option<f64>,
}

impl Known {
    /// Looks for measurements in `cache`. Files that cannot be read count for nothing.
    pub(crate) fn find(cache: &Place, settings: &Settings) -> Result<Self> {
        let entries = cache.list(&settings.folder())?;
        let read = |path: &str| {
            let json = cache.read(path).ok()?;
            let measurement: Measurement = serde_json::from_slice(&json).ok()?;
            (measurement.settings.model.name == settings.model.name).then_some(measurement)
        };
        let mut all: Vec<Measurement> = entries.iter().filter_map(|entry| read(&entry.path)).collect();
        all.sort_by(|a, b| a.measured.cmp(&b.measured));
        let here = all.iter().rfind(|measurement| measurement.settings == *settings).cloned();
        let latest = here.as_ref().or(all.last());
        Ok(Self { bytes_per_token: latest.map(|measurement| measurement.speed.bytes_per_token), here })
    }
}

/// What the system calls the processor.
pub(crate) fn processor() -> String {
    let cpuinfo = fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.trim_start().strip_prefix(':'));
    name.map_or_else(|| format!("unnamed {}", std::env::consts::ARCH), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use headwater_model::{BATCH_MEMORY, EngineChoice, Precision};

    use super::*;
    use crate::config::InstructionsChoice;

    fn measurement(window_tokens: usize, measured: &str, bytes_per_token: f64) -> Measurement {
        let settings = Settings {
            processor: "p".to_owned(),
            threads: 2,
            model: ModelConfig {
                name: "m".to_owned(),
                engine: EngineChoice::Auto,
                instructions: InstructionsChoice(None),
                device: "cpu".to_owned(),
                precision: Precision::Bf16,
                batch_memory: BATCH_MEMORY,
            },
            window_tokens,
            long_documents: LongDocuments::All,
            mask: MaskKind::Zero,
        };
        let numerics = Numerics {
            engine: "native".to_owned(),
            device: "cpu".to_owned(),
            precision: "bf16".to_owned(),
            instructions: "plain".to_owned(),
        };
        let speed = Speed { tokens_per_second: 1.0, bytes_per_token, scored_share: 1.0 };
        let weights = ContentHash::of(b"w");
        Measurement { settings, measured: measured.to_owned(), headwater: "0".to_owned(), weights, numerics, speed }
    }

    #[test]
    fn the_same_settings_are_found_and_others_only_lend_their_ratio() -> Result<()> {
        let cache = Place::in_memory("measurements")?;
        let (old, new) = (measurement(64, "2026-01-01T00:00:00Z", 3.0), measurement(128, "2026-01-02T00:00:00Z", 5.0));
        assert_eq!(Known::find(&cache, &old.settings)?, Known::default());
        old.keep(&cache)?;
        new.keep(&cache)?;
        cache.write(&format!("{}/damaged.json", old.settings.folder()), Bytes::from_static(b"{"))?;
        let known = Known::find(&cache, &old.settings)?;
        assert_eq!((known.here, known.bytes_per_token), (Some(old.clone()), Some(3.0)));
        let others = Settings { threads: 64, ..old.settings.clone() };
        assert_eq!(Known::find(&cache, &others)?, Known { here: None, bytes_per_token: Some(5.0) }, "the latest");
        let model = ModelConfig { name: "n".to_owned(), ..old.settings.model.clone() };
        let other_model = Settings { model, ..old.settings };
        assert_eq!(Known::find(&cache, &other_model)?, Known::default());
        Ok(())
    }
}
