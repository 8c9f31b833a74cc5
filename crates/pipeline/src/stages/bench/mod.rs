//! How fast this machine scores: documents from all over the corpus go through the model for some seconds, exactly as `score` would
//! send them, and their scores are dropped.

mod report;

use std::time::{Duration, Instant};

use headwater_corpus::{Plan, PlannedSource};
use headwater_model::{Model, Precision, saturate};
use headwater_record::run::Numerics;
use headwater_record::{ByteCount, HeadSet};
use headwater_score::{Speed, Throughput, ThroughputSample};
use headwater_store::Place;

pub use self::report::{BenchReport, CorpusEstimate, MaskedHeads, OtherPrecision};
use super::heads::Substitute;
use super::score::MeasureFollower;
use crate::error::chain;
use crate::estimate::tokens;
use crate::measurement::{Measurement, Settings, processor};
use crate::meters::peak_memory_bytes;
use crate::{Error, Pipeline, Result, Total};

/// Rounds in which the processor's peak is sought; the best counts.
const PEAK_ROUNDS: usize = 5;

/// Time of one such round.
const PEAK_ROUND: Duration = Duration::from_millis(50);

/// Part of the time that every other precision is measured for.
const OTHERS_PART: u32 = 4;

impl Pipeline {
    /// Measures for about `limit` how fast this machine scores documents of the corpus, and estimates how long all of it takes; then, for a
    /// quarter of that each, how fast it would be in the other precisions. Leaves nothing but the first measurement in the cache, which
    /// [`Pipeline::plan_summary`] then uses.
    ///
    /// # Errors
    /// [`Error::NothingToMeasure`]; [`Error::Cancelled`]; [`Error::Score`] if no document is long enough, none is found in time, or one cannot be scored.
    pub fn bench(&self, limit: Duration) -> Result<BenchReport> {
        let plan = self.plan()?;
        let sample = ThroughputSample::new(&plan);
        if sample.is_empty() {
            return Err(Error::NothingToMeasure { pipeline: self.name.clone() });
        }
        let model = self.load_model()?;
        let heads = self.heads_or_stand_in(&model)?;
        let measured = self.throughput(&sample, (&model, &heads.heads), limit)?;
        self.keep(&model, measured.speed);
        let report = self.bench_report(&plan, &model, (&heads, measured))?;
        drop(model);
        let others = self.other_precisions(&sample, &heads.heads, (&report.numerics, limit / OTHERS_PART))?;
        Ok(BenchReport { others, ..report })
    }

    /// Measures `model` with `heads` masked.
    fn throughput(
        &self,
        sample: &ThroughputSample<'_>,
        (model, heads): (&Model, &HeadSet),
        limit: Duration,
    ) -> Result<Throughput> {
        let step = self.step("bench", "documents", Total::Unknown);
        let measured = sample.measure(&self.scorer(model, heads), limit, &MeasureFollower { pipeline: self, step });
        self.heed_cancel()?;
        Ok(measured?)
    }

    /// Measures every other precision that the engine of `numerics` has; one that scores nothing in time is left out.
    fn other_precisions(
        &self,
        sample: &ThroughputSample<'_>,
        heads: &HeadSet,
        (numerics, limit): (&Numerics, Duration),
    ) -> Result<Vec<OtherPrecision>> {
        let mut others = Vec::new();
        for precision in Precision::of_engine(&numerics.engine) {
            if precision.class() == numerics.precision {
                continue;
            }
            let (model, _) = self.load_model_in(*precision)?;
            match self.throughput(sample, (&model, heads), limit) {
                Ok(Throughput { speed: Speed { tokens_per_second, .. }, .. }) => {
                    others.push(OtherPrecision { precision: *precision, tokens_per_second });
                }
                Err(Error::Score(headwater_score::Error::NothingInTime { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(others)
    }

    /// Keeps a measurement for `plan`; a cache that cannot be written takes nothing from what is printed.
    fn keep(&self, model: &Model, speed: Speed) {
        let measurement = Measurement {
            settings: Settings::of(&self.config),
            measured: self.now(),
            headwater: env!("CARGO_PKG_VERSION").to_owned(),
            weights: model.weights_hash(),
            numerics: model.numerics(),
            speed,
        };
        if let Err(error) = self.measurement_cache().and_then(|cache| measurement.keep(&cache)) {
            tracing::warn!("`plan` will not know of this measurement: {}", chain(&error));
        }
    }

    /// Where measurements are kept.
    pub(crate) fn measurement_cache(&self) -> Result<Place> {
        Ok(self.environment.stores.open(&self.environment.cache()?.to_string_lossy())?)
    }

    fn bench_report(
        &self,
        plan: &Plan,
        model: &Model,
        (heads, measured): (&Substitute, Throughput),
    ) -> Result<BenchReport> {
        let speed = measured.speed;
        let text_bytes: ByteCount = plan.sources.iter().map(PlannedSource::text_bytes).sum();
        let corpus = CorpusEstimate {
            text_bytes,
            tokens: tokens(text_bytes, speed.bytes_per_token),
            machine_hours: speed.hours(text_bytes),
        };
        let masked = MaskedHeads {
            origin: heads.origin.clone(),
            is_stand_in: heads.is_stand_in,
            count: heads.heads.as_slice().len(),
            first_layer: heads.heads.first_layer(),
            layers: model.shape().layers,
        };
        let numerics = model.numerics();
        Ok(BenchReport {
            processor: processor(),
            threads: rayon::current_num_threads(),
            model: self.config.model.name.clone(),
            weights: model.weights_hash(),
            window_tokens: self.scorer(model, &heads.heads).windowing.window_tokens,
            heads: masked,
            peak_flops_per_second: peak_flops(&numerics),
            numerics,
            peak_memory_bytes: peak_memory_bytes(),
            measured,
            corpus,
            others: Vec::new(),
        })
    }
}

/// Operations a second of all threads at once, each in its registers; `None` off the CPU.
///
/// Other work on the machine lowers what a round reaches, so the best round counts.
fn peak_flops(numerics: &Numerics) -> Option<f64> {
    if numerics.device != "cpu" {
        return None;
    }
    let mut peak = None;
    for _ in 0..PEAK_ROUNDS {
        let threads = rayon::broadcast(|_| {
            let (began, mut operations) = (Instant::now(), 0);
            while began.elapsed() < PEAK_ROUND {
                operations += saturate(numerics)?;
            }
            Some(operations as f64 / began.elapsed().as_secs_f64())
        });
        let all = threads.into_iter().sum::<Option<f64>>()?;
        peak = Some(peak.map_or(all, |peak: f64| peak.max(all)));
    }
    peak
}
