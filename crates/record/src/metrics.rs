//! `metrics.json`: where the time of one process went.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `metrics.json`: where the time of one process went. The only artefact, with `run.json`, that holds times.
///
/// What a file of another version lacks counts as zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// Version of Headwater.
    pub headwater: String,
    /// The stage that was being worked on, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Seconds by stage, of the clock.
    pub seconds: BTreeMap<String, f64>,
    /// Seconds by phase of scoring, summed over threads.
    pub phase_seconds: BTreeMap<String, f64>,
    /// Seconds that threads waited for bytes of shards that were not there yet; a part of `read` while scoring.
    pub fetch_wait_seconds: f64,
    /// Forward passes over probes to find the heads; those that an earlier process kept are among them.
    pub probe_passes: u64,
    /// Forward passes over probes that were not needed, of the most that `[heads]` allows.
    pub spared_probe_passes: u64,
    /// Units scored by this process.
    pub units: u64,
    /// Units that this process is to score.
    pub units_wanted: u64,
    /// Documents scored by this process.
    pub documents: u64,
    /// Tokens scored by this process.
    pub tokens: u64,
    /// Rows that this process found unusable.
    pub rejects: u64,
    /// Compressed size of the columns that scoring needs.
    pub needed_bytes: u64,
    /// What went over the wire.
    pub traffic: TrafficMetrics,
    /// What was read of sidecars to select and to report.
    pub sidecars: SidecarMetrics,
    /// Greatest resident memory of this process, where the system tells.
    pub peak_memory_bytes: Option<u64>,
}

/// What was read of sidecars to select and to report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SidecarMetrics {
    /// How often all sidecars were read, each in part: reads over sidecars.
    pub passes: f64,
    /// Reads of one sidecar.
    pub reads: u64,
    /// Requests that they took, of the disk or store.
    pub requests: u64,
    /// Bytes that were fetched.
    pub read_bytes: u64,
    /// Compressed size of the columns that were wanted; the rest of what was fetched is footers and gaps between columns.
    pub projected_bytes: u64,
}

impl SidecarMetrics {
    /// Adds what another stage read.
    pub fn add(&mut self, other: &Self) {
        self.passes += other.passes;
        self.reads += other.reads;
        self.requests += other.requests;
        self.read_bytes += other.read_bytes;
        self.projected_bytes += other.projected_bytes;
    }
}

/// What went over the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrafficMetrics {
    /// Bytes of shards and sidecars that were asked for, from disks and stores: footers, columns, and rows that are copied.
    pub read_bytes: u64,
    /// Requests to object stores.
    pub requests: u64,
    /// Bytes that came.
    pub received_bytes: u64,
    /// Bytes that went.
    pub sent_bytes: u64,
    /// Requests that failed in a way that passes; each was repeated, unless it was the last try.
    pub retries: u64,
    /// The same by reason.
    pub retries_by_reason: BTreeMap<String, u64>,
}
