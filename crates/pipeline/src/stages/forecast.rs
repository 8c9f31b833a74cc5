//! How long a run takes, told before its long stages begin.

use std::time::{Duration, Instant};

use headwater_corpus::Plan;
use headwater_heads::{forward_passes, placeholder_heads};
use headwater_model::{Concurrency, HeadMask, Model};
use headwater_record::TokenCount;

use crate::estimate::{ASSUMED_BYTES_PER_TOKEN, tokens};
use crate::measurement::{Known, Settings};
use crate::{Event, Pipeline};

/// Tokens of the window that is timed, where each thread takes one and where all share a batch.
const THREAD_TOKENS: usize = 256;
const SHARED_TOKENS: usize = 1024;

/// Windows of a batch that is timed, at most.
const BATCH_WINDOWS: usize = 16;

impl Pipeline {
    /// Tells about how long a search for heads, unless they are known, and scoring all of `plan` take on this machine: by what
    /// [`Pipeline::bench`] measured here, or else by one short window a thread. Tells nothing if that fails: the stages will say why.
    pub(crate) fn tell_forecast(&self, plan: &Plan, model: &Model) {
        if matches!(self.folder.run_file(), Ok(None))
            && let Some(forecast) = self.forecast(plan, model)
        {
            self.tell(&forecast);
        }
    }

    fn forecast(&self, plan: &Plan, model: &Model) -> Option<Event> {
        let (config, shape) = (&self.config, model.shape());
        let set = placeholder_heads(shape.layers, shape.heads, config.heads.fraction).ok()?;
        let mask = HeadMask { set, kind: config.score.mask };
        let known = self.measurement_cache().and_then(|cache| Known::find(&cache, &Settings::of(config))).ok()?;
        let text = plan.sources.iter().map(|source| source.text_bytes()).sum();
        let all = tokens(text, known.bytes_per_token.unwrap_or(ASSUMED_BYTES_PER_TOKEN)).0;
        let rows: u64 = plan.sources.iter().flat_map(|source| source.units()).map(|(_, unit)| unit.rows).sum();
        let window = config.score.window_tokens;
        let most = config.score.long_documents.most_windows().saturating_mul(window) as u64;
        let scored = all.min(rows.saturating_mul(most));
        let speed = known.here.map(|measurement| measurement.speed);
        let timed = flops_per_second(model, &mask)?;
        // windows are as long as documents are on average, at most as long as windows may be
        let length = usize::try_from(scored / rows.max(1)).unwrap_or(window).clamp(1, window);
        let scoring = match speed {
            Some(speed) => 3600.0 * speed.hours(text),
            None => scored as f64 / length as f64 * shape.losses_flops(length, &mask) / timed,
        };
        let is_searched = config.heads.file.is_none() && matches!(self.folder.heads(), Ok(None));
        let passes = if is_searched { forward_passes(&config.heads) } else { 0..=0 };
        let pass = shape.losses_flops(config.heads.context_tokens, &HeadMask::default()) / timed;
        let seconds = |passes: u64| Some(Duration::try_from_secs_f64(passes as f64 * pass + scoring).ok()?.as_secs());
        Some(Event::Forecast {
            least_probe_passes: *passes.start(),
            most_probe_passes: *passes.end(),
            tokens: TokenCount(scored),
            least_seconds: seconds(*passes.start())?,
            most_seconds: seconds(*passes.end())?,
        })
    }
}

/// Operations a second with which `model` scores short windows; `None` if it cannot.
fn flops_per_second(model: &Model, mask: &HeadMask) -> Option<f64> {
    let (engine, shape) = (model.engine(), model.shape());
    let (windows, most) = match engine.concurrency() {
        Concurrency::WindowPerThread => (rayon::current_num_threads(), THREAD_TOKENS),
        Concurrency::Batch { tokens } => ((tokens / SHARED_TOKENS).clamp(1, BATCH_WINDOWS), SHARED_TOKENS),
    };
    let length = most.min(shape.context_tokens);
    let window = |length: usize| -> Vec<u32> { (0_u32..).take(length).map(|id| id % 50).collect() };
    let score = |length: usize| {
        let window = window(length);
        match engine.concurrency() {
            Concurrency::WindowPerThread => {
                rayon::broadcast(|_| engine.losses(&window, mask).is_ok()).into_iter().all(|is_ok| is_ok)
            }
            Concurrency::Batch { .. } => engine.batch_losses(&vec![&window[..]; windows], mask).is_ok(),
        }
    };
    // weights are read from the disk the first time
    if !score(length.min(16)) {
        return None;
    }
    let began = Instant::now();
    let is_scored = score(length);
    let seconds = began.elapsed().as_secs_f64();
    (is_scored && seconds > 0.0).then(|| windows as f64 * shape.losses_flops(length, mask) / seconds)
}
