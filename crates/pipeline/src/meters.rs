//! What a pipeline has done so far: for `metrics.json` at the end, and over HTTP meanwhile.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headwater_record::metrics::{SidecarMetrics, TrafficMetrics};
use headwater_record::{ByteCount, Metrics, Status};
use headwater_score::{Phase, UnitReport};
use headwater_store::{Stores, Traffic};

/// Counts of one pipeline. Threads add to them, none waits for another for long.
pub struct Meters {
    stores: Stores,
    stages: Mutex<Stages>,
    phases: [AtomicU64; PHASES.len()],
    probe_passes: AtomicU64,
    spared_probe_passes: AtomicU64,
    documents: AtomicU64,
    tokens: AtomicU64,
    rejects: AtomicU64,
    units: AtomicU64,
    units_wanted: AtomicU64,
    needed_bytes: AtomicU64,
    sidecars: Mutex<SidecarMetrics>,
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

/// What went over the wire.
fn traffic_metrics(traffic: Traffic) -> TrafficMetrics {
    let reasons = [
        ("throttled", traffic.throttled),
        ("server", traffic.server_errors),
        ("connection", traffic.lost),
        ("cut-body", traffic.cut),
    ];
    TrafficMetrics {
        read_bytes: traffic.read_bytes,
        requests: traffic.requests,
        received_bytes: traffic.received_bytes,
        sent_bytes: traffic.sent_bytes,
        retries: traffic.retries(),
        retries_by_reason: reasons.map(|(reason, count)| (reason.to_owned(), count)).into(),
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").field("metrics", &self.metrics()).finish()
    }
}

impl Meters {
    /// Counts of nothing yet; traffic is that of `stores`.
    pub(crate) fn new(stores: Stores) -> Self {
        Self {
            stores,
            stages: Mutex::default(),
            phases: Default::default(),
            probe_passes: AtomicU64::new(0),
            spared_probe_passes: AtomicU64::new(0),
            documents: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            rejects: AtomicU64::new(0),
            units: AtomicU64::new(0),
            units_wanted: AtomicU64::new(0),
            needed_bytes: AtomicU64::new(0),
            sidecars: Mutex::default(),
        }
    }

    /// Notes that work on a stage begins; it ends when the value is dropped.
    pub(crate) fn stage(&self, name: &'static str) -> StageTimer<'_> {
        let span = tracing::info_span!("stage", stage = name).entered();
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

    /// Notes forward passes over probes that are done.
    pub(crate) fn probed(&self, passes: u64) {
        self.probe_passes.fetch_add(passes, Ordering::Relaxed);
    }

    /// Notes forward passes over probes that need not be done.
    pub(crate) fn spared(&self, passes: u64) {
        self.spared_probe_passes.fetch_add(passes, Ordering::Relaxed);
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

    /// Notes what a stage read of sidecars.
    pub(crate) fn read_sidecars(&self, read: &SidecarMetrics) {
        self.sidecars.lock().unwrap_or_else(PoisonError::into_inner).add(read);
    }

    /// Everything so far.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (stage, seconds) = {
            let stages = self.stages();
            let mut seconds: BTreeMap<String, f64> =
                stages.seconds.iter().map(|(name, seconds)| ((*name).to_owned(), *seconds)).collect();
            if let Some((name, began)) = stages.current {
                *seconds.entry(name.to_owned()).or_default() += began.elapsed().as_secs_f64();
            }
            (stages.current.map(|(name, _)| name.to_owned()), seconds)
        };
        let phases = PHASES.iter().zip(&self.phases).map(|((_, name), nanos)| ((*name).to_owned(), get(nanos)));
        let traffic = self.stores.traffic();
        Metrics {
            headwater: env!("CARGO_PKG_VERSION").to_owned(),
            stage,
            seconds,
            phase_seconds: phases.map(|(name, nanos)| (name, Duration::from_nanos(nanos).as_secs_f64())).collect(),
            fetch_wait_seconds: traffic.waited.as_secs_f64(),
            probe_passes: get(&self.probe_passes),
            spared_probe_passes: get(&self.spared_probe_passes),
            units: get(&self.units),
            units_wanted: get(&self.units_wanted),
            documents: get(&self.documents),
            tokens: get(&self.tokens),
            rejects: get(&self.rejects),
            needed_bytes: get(&self.needed_bytes),
            traffic: traffic_metrics(traffic),
            sidecars: *self.sidecars.lock().unwrap_or_else(PoisonError::into_inner),
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
