//! Units to sidecars: every document's losses, intact and with the head set masked.
//!
//! [`begin()`] fixes what a run is made of in `run.json`, or compares with what began it. A sidecar under the current fingerprint
//! *is* the done record ([`done_units`] finds them by one listing). [`score_units`] scores units and writes each sidecar
//! whole or not at all. So a run that is killed resumes by starting it again. [`score_rows`] scores without sidecars.
//!
//! The arithmetic of one document is in [`document`], apart from all I/O.

mod begin;
mod config;
mod crew;
pub mod document;
mod error;
mod relabel;
mod sidecar;
mod stream;
mod survey;
mod unit;
mod watch;

pub use begin::{Candidate, OnChange, begin, change, read, skip_shard};
pub use config::{LongDocuments, ScoreConfig};
pub use error::Error;
pub use relabel::{Relabelled, relabel_units};
pub use sidecar::{SidecarFooter, SidecarRow, encode_sidecar};
pub use stream::{UnitWork, score_rows, score_units};
pub use survey::{Statuses, done_units, statuses};
pub use unit::{Advance, Scorer, UnitReport};
pub use watch::{Phase, Sink, UnitRows, Watch};
