//! What this process has done so far: for `metrics.json` at the end and for whoever asks over HTTP meanwhile.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headwater_record::{ByteCount, Status};
use headwater_score::{Phase, UnitReport};
use headwater_store::{Stores, Traffic};
use serde::Serialize;

/// Counts of one process. Threads add to them, none waits for another for long.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    stores: Stores,
    stages: Mutex<Stages>,
    phases: [AtomicU64; PHASES.len()],
    documents: AtomicU64,
    tokens: AtomicU64,
    rejects: AtomicU64,
    units: AtomicU64,
    units_wanted: AtomicU64,
    needed_bytes: AtomicU64,
}

/// Names of the phases of scoring.
const PHASES: [(Phase, &str); 4] =
    [(Phase::Read, "read"), (Phase::Tokenise, "tokenise"), (Phase::Forward, "forward"), (Phase::Write, "write")];

/// The stage being worked on, and what the earlier ones took.
#[derive(Debug, Default)]
struct Stages {
    current: Option<(&'static str, Instant)>,
    seconds: BTreeMap<&'static str, f64>,
}

/// `metrics.json`: where the time of this process went. The only artefact, with `run.json`, that holds times.
#[derive(Debug, Serialize)]
pub(crate) struct Metrics {
    headwater: &'static str,
    /// The stage that was being worked on, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stage: Option<&'static str>,
    /// Seconds by stage, of the clock.
    pub(crate) seconds: BTreeMap<&'static str, f64>,
    /// Seconds by phase of scoring, summed over threads.
    pub(crate) phase_seconds: BTreeMap<&'static str, f64>,
    /// Seconds that threads waited for bytes of shards that were not there yet; a part of `read` while scoring.
    pub(crate) fetch_wait_seconds: f64,
    /// Units scored by this process.
    pub(crate) units: u64,
    /// Units that this process is to score.
    pub(crate) units_wanted: u64,
    /// Documents scored by this process.
    pub(crate) documents: u64,
    /// Tokens scored by this process.
    pub(crate) tokens: u64,
    /// Rows that this process found unusable.
    pub(crate) rejects: u64,
    /// Compressed size of the columns that scoring needs.
    pub(crate) needed_bytes: u64,
    pub(crate) traffic: TrafficMetrics,
    /// Greatest resident memory of this process.
    pub(crate) peak_memory_bytes: Option<u64>,
}

/// What went over the wire.
#[derive(Debug, Serialize)]
pub(crate) struct TrafficMetrics {
    /// Bytes of shards that were asked for, from disks and stores: footers, columns, and rows that are copied.
    pub(crate) read_bytes: u64,
    pub(crate) requests: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    /// Requests that failed in a way that passes; each was repeated, unless it was the last try.
    pub(crate) retries: u64,
    /// The same by reason.
    pub(crate) retries_by_reason: BTreeMap<&'static str, u64>,
}

impl From<Traffic> for TrafficMetrics {
    fn from(traffic: Traffic) -> Self {
        let reasons = [
            ("throttled", traffic.throttled),
            ("server", traffic.server_errors),
            ("connection", traffic.lost),
            ("cut-body", traffic.cut),
        ];
        Self {
            read_bytes: traffic.read_bytes,
            requests: traffic.requests,
            received_bytes: traffic.received_bytes,
            sent_bytes: traffic.sent_bytes,
            retries: traffic.retries(),
            retries_by_reason: reasons.into(),
        }
    }
}

impl Meters {
    /// Counts of nothing yet; traffic is that of `stores`.
    pub(crate) fn new(stores: Stores) -> Self {
        Self { stores, ..Self::default() }
    }

    /// Notes that work on a stage begins; it ends when the value is dropped.
    pub(crate) fn stage(&self, name: &'static str) -> StageTimer<'_> {
        let span = tracing::info_span!("stage", name).entered();
        self.stages().current = Some((name, Instant::now()));
        StageTimer { meters: self, _span: span }
    }

    /// Notes what is to be scored.
    pub(crate) fn wants(&self, units: u64, bytes: ByteCount) {
        self.units_wanted.fetch_add(units, Ordering::Relaxed);
        self.needed_bytes.fetch_add(bytes.0, Ordering::Relaxed);
    }

    /// Notes time that a thread spent on scoring.
    pub(crate) fn spent(&self, phase: Phase, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(at) = PHASES.iter().position(|(known, _)| *known == phase) {
            self.phases[at].fetch_add(nanos, Ordering::Relaxed);
        }
    }

    /// Notes tokens that went through the model.
    pub(crate) fn advance(&self, documents: u64, tokens: u64) {
        self.documents.fetch_add(documents, Ordering::Relaxed);
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
    }

    /// Notes a unit whose sidecar is written.
    pub(crate) fn unit(&self, report: &UnitReport) {
        self.units.fetch_add(1, Ordering::Relaxed);
        self.rejects.fetch_add(unusable(report), Ordering::Relaxed);
    }

    /// Everything so far.
    pub(crate) fn metrics(&self) -> Metrics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (stage, seconds) = {
            let stages = self.stages();
            let mut seconds = stages.seconds.clone();
            if let Some((name, began)) = stages.current {
                *seconds.entry(name).or_default() += began.elapsed().as_secs_f64();
            }
            (stages.current.map(|(name, _)| name), seconds)
        };
        let phases = PHASES.iter().zip(&self.phases).map(|((_, name), nanos)| (*name, get(nanos)));
        let traffic = self.stores.traffic();
        Metrics {
            headwater: env!("CARGO_PKG_VERSION"),
            stage,
            seconds,
            phase_seconds: phases.map(|(name, nanos)| (name, Duration::from_nanos(nanos).as_secs_f64())).collect(),
            fetch_wait_seconds: traffic.waited.as_secs_f64(),
            units: get(&self.units),
            units_wanted: get(&self.units_wanted),
            documents: get(&self.documents),
            tokens: get(&self.tokens),
            rejects: get(&self.rejects),
            needed_bytes: get(&self.needed_bytes),
            traffic: traffic.into(),
            peak_memory_bytes: peak_memory_bytes(),
        }
    }

    fn stages(&self) -> MutexGuard<'_, Stages> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rows of a unit that cannot be used.
pub(crate) fn unusable(report: &UnitReport) -> u64 {
    Status::UNUSABLE.iter().filter_map(|status| report.statuses.get(status)).sum()
}

/// Times a stage until it is dropped.
#[derive(Debug)]
pub(crate) struct StageTimer<'a> {
    meters: &'a Meters,
    _span: tracing::span::EnteredSpan,
}

impl Drop for StageTimer<'_> {
    fn drop(&mut self) {
        let mut stages = self.meters.stages();
        if let Some((name, began)) = stages.current.take() {
            *stages.seconds.entry(name).or_default() += began.elapsed().as_secs_f64();
        }
    }
}

/// `VmHWM` of this process, where the system tells.
pub(crate) fn peak_memory_bytes() -> Option<u64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
