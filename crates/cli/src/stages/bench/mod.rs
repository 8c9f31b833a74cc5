//! How fast this machine scores: documents from all over the corpus go through the model for some seconds, exactly as `score` would
//! send them, and their scores are dropped.

mod meter;
mod report;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use headwater_corpus::{Piece, Plan, PlannedSource, spread};
use headwater_model::{Level, LevelError, Model, Precision, saturate};
use headwater_record::run::Numerics;
use headwater_score::{Scorer, UnitRows, Watch, score_rows};
use headwater_store::Place;

use self::meter::{Measured, Meter};
use self::report::{CorpusReport, HeadsReport, Report};
use super::heads::Substitute;
use super::model::cache_folder;
use super::score::now;
use crate::args::BenchArgs;
use crate::estimate::{Speed, tokens};
use crate::failure::{Chain, Outcome};
use crate::measurement::{Known, Measurement, Settings, processor};
use crate::meters::peak_memory_bytes;
use crate::stages::Session;

/// Text of one piece of the corpus, in bytes: small, so that even a slow machine sees several, and so that what is read in the middle
/// of a shard is not mostly thrown away.
const PIECE_BYTES: u64 = 32 << 10;

/// Pieces at most: 128 MiB of text.
const MOST_PIECES: usize = 4096;

/// Rounds in which the processor's peak is sought; the best counts.
const PEAK_ROUNDS: usize = 5;

/// Time of one such round.
const PEAK_ROUND: Duration = Duration::from_millis(50);

impl Session<'_> {
    /// Measures and prints; leaves nothing but the measurement in the user's cache.
    pub(crate) fn bench(&self, args: &BenchArgs) -> Result<Outcome> {
        let plan = self.plan()?;
        let pieces = spread(&plan, PIECE_BYTES, MOST_PIECES);
        if pieces.is_empty() {
            bail!("the corpus of {} has no documents to measure with: every shard is empty", self.file);
        }
        let model = self.load_model()?;
        let heads = self.heads_or_stand_in(&model)?;
        let scorer = self.scorer(&model, &heads.heads, self.window_tokens(&model));
        let measured = self.measure(&scorer, &pieces, args.seconds)?;
        self.keep(&model, measured.speed);
        self.report(&plan, &scorer, &heads, measured)?.print(self.console.format())?;
        Ok(Outcome::Done)
    }

    /// Scores `pieces` until the time is up.
    fn measure(&self, scorer: &Scorer<'_>, pieces: &[Piece<'_>], limit: Duration) -> Result<Measured> {
        let rows: Vec<UnitRows<'_>> = pieces.iter().map(UnitRows::from).collect();
        let meter = Meter::begin(self, scorer, limit);
        score_rows(scorer, &rows, &meter, &|_, _| Ok(()))?;
        let is_whole_corpus = !meter.is_over() && pieces.len() < MOST_PIECES;
        match meter.finish(rayon::current_num_threads()) {
            Some(measured) => Ok(Measured { is_whole_corpus, ..measured }),
            None if is_whole_corpus => bail!(
                "none of the corpus's documents has the {} tokens that [score] min_tokens asks for, so there is nothing to measure with",
                scorer.min_tokens
            ),
            None => bail!(
                "no document that can be scored was found in {} s; give more --seconds, or see whether [score] min_tokens = {} fits the corpus",
                limit.as_secs_f64(),
                scorer.min_tokens
            ),
        }
    }

    /// Keeps a measurement for `plan`; a cache that cannot be written takes nothing from what is printed.
    fn keep(&self, model: &Model, speed: Speed) {
        let measurement = Measurement {
            settings: Settings::of(&self.pipeline),
            measured: now(),
            headwater: env!("CARGO_PKG_VERSION").to_owned(),
            weights: model.weights_hash(),
            numerics: model.numerics(),
            speed,
        };
        if let Err(error) = measurement_cache().and_then(|cache| measurement.keep(&cache)) {
            tracing::warn!("`plan` will not know of this measurement: {}", Chain(&error));
        }
    }

    /// What earlier measurements tell about this pipeline.
    pub(super) fn known_speed(&self) -> Known {
        let known = measurement_cache().and_then(|cache| Known::find(&cache, &Settings::of(&self.pipeline)));
        known.unwrap_or_else(|error| {
            tracing::warn!("earlier measurements cannot be read: {}", Chain(&error));
            Known::default()
        })
    }

    fn report(&self, plan: &Plan, scorer: &Scorer<'_>, heads: &Substitute, measured: Measured) -> Result<Report> {
        let (model, speed) = (scorer.model, measured.speed);
        let text_bytes = plan.sources.iter().map(PlannedSource::text_bytes).sum();
        let corpus = CorpusReport {
            text_bytes,
            tokens: tokens(text_bytes, speed.bytes_per_token),
            machine_hours: speed.hours(text_bytes),
        };
        let masked = HeadsReport {
            origin: heads.origin.clone(),
            is_stand_in: heads.is_stand_in,
            count: heads.heads.as_slice().len(),
            first_layer: heads.heads.first_layer(),
            layers: model.shape().layers,
        };
        let numerics = model.numerics();
        Ok(Report {
            processor: processor(),
            threads: rayon::current_num_threads(),
            model: self.pipeline.model.name.clone(),
            weights: model.weights_hash(),
            window_tokens: scorer.windowing.window_tokens,
            heads: masked,
            peak_flops_per_second: peak_flops(&numerics, self.pipeline.model.precision)?,
            numerics,
            peak_memory_bytes: peak_memory_bytes(),
            measured,
            corpus,
        })
    }
}

/// The folder of the user's cache.
fn measurement_cache() -> Result<Place> {
    Ok(super::stores().open(&cache_folder()?.to_string_lossy())?)
}

/// Operations a second of all threads at once, each in its registers; `None` off the CPU.
///
/// Other work on the machine lowers what a round reaches, so the best round counts.
fn peak_flops(numerics: &Numerics, precision: Precision) -> Result<Option<f64>> {
    if numerics.device != "cpu" {
        return Ok(None);
    }
    // only the native engine names a level
    let level = numerics.instructions.parse::<Level>().ok();
    let mut peak = 0.0_f64;
    for _ in 0..PEAK_ROUNDS {
        let threads = rayon::broadcast(|_| {
            let (began, mut operations) = (Instant::now(), 0);
            while began.elapsed() < PEAK_ROUND {
                operations += saturate(precision, level)?;
            }
            Ok(operations as f64 / began.elapsed().as_secs_f64())
        });
        peak = peak.max(threads.into_iter().sum::<Result<f64, LevelError>>()?);
    }
    Ok(Some(peak))
}
