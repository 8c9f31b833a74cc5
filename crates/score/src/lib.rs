//! Units to sidecars: every document's losses, intact and with the head set masked.
//!
//! A sidecar under the current fingerprint *is* the done record. [`score_units`] scores units and writes each sidecar whole or not
//! at all, so a run that is killed resumes by starting it again. [`score_rows`] scores without sidecars.
//!
//! The arithmetic of one document is in [`document`], apart from all I/O.

mod config;
mod crew;
pub mod document;
mod error;
mod relabel;
mod stream;
mod unit;
mod watch;

pub use config::{LongDocuments, ScoreConfig};
pub use error::Error;
pub use relabel::{LabelSource, Relabelled, SidecarToRelabel, relabel_units};
pub use stream::{UnitWork, score_rows, score_units};
pub use unit::{Advance, Scorer, UnitReport};
pub use watch::{Phase, Sink, UnitRows, Watch};
