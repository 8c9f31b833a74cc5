//! What was measured of probes, kept while heads are sought, so that a search that was stopped goes on where it was.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headwater_heads::Watch;
use headwater_record::ContentHash;
use headwater_record::heads::MeasuredProbes;

use crate::{Event, Pipeline, Progress, Result};

/// Time between two writes: what a search that is killed loses.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// Shows a search, keeps what it measures, and stops it when the pipeline is cancelled.
pub(super) struct ProbeJournal<'a> {
    pipeline: &'a Pipeline,
    step: Box<dyn Progress>,
    /// What an earlier search measured.
    found: BTreeMap<ContentHash, Vec<f64>>,
    state: Mutex<State>,
}

struct State {
    probes: MeasuredProbes,
    written: Instant,
    /// Whether a write failed; it is told once.
    has_failed: bool,
}

impl<'a> ProbeJournal<'a> {
    /// Takes up what is kept of a search with the same `weights`.
    pub(super) fn open(pipeline: &'a Pipeline, weights: ContentHash, step: Box<dyn Progress>) -> Result<Self> {
        let kept = match pipeline.folder.measured_probes() {
            Err(error @ headwater_run::Error::Damaged { .. }) => {
                tracing::warn!("{error}; all probes are measured again");
                None
            }
            kept => kept?.filter(|kept| kept.weights == weights),
        };
        let probes = kept.unwrap_or_else(|| MeasuredProbes { weights, measured: BTreeMap::new() });
        if !probes.measured.is_empty() {
            pipeline.tell(&Event::ProbesFound { measurements: probes.measured.len() as u64 });
        }
        let found = probes.measured.clone();
        let state = State { probes, written: Instant::now(), has_failed: false };
        Ok(Self { pipeline, step, found, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is measured. Failing takes nothing from the search itself, so it is a warning.
    fn write(&self, state: &mut State) {
        state.written = Instant::now();
        if let Err(error) = self.pipeline.folder.write_measured_probes(&state.probes)
            && !state.has_failed
        {
            state.has_failed = true;
            tracing::warn!("a search for heads that is stopped begins anew: {}", crate::error::chain(&error));
        }
    }

    /// Ends a search without a result: what it measured serves the next.
    pub(super) fn keep_all(&self) {
        let mut state = self.state();
        if state.probes.measured.len() > self.found.len() {
            self.write(&mut state);
        }
    }

    /// Ends a search that found heads.
    pub(super) fn finish(&self) {
        self.step.finish();
    }
}

impl Watch for ProbeJournal<'_> {
    fn advance(&self, passes: u64) {
        self.pipeline.meters.probed(passes);
        self.step.advance(passes);
    }

    fn spare(&self, passes: u64) {
        self.pipeline.meters.spared(passes);
        self.step.spare(passes);
    }

    fn find(&self, name: &ContentHash) -> Option<Vec<f64>> {
        self.found.get(name).cloned()
    }

    fn keep(&self, name: ContentHash, measured: &[f64]) {
        let mut state = self.state();
        state.probes.measured.insert(name, measured.to_vec());
        if state.written.elapsed() >= WRITE_EVERY {
            self.write(&mut state);
        }
    }

    fn is_over(&self) -> bool {
        self.pipeline.is_cancelled()
    }
}
