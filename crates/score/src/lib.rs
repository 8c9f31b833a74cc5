//! Units to sidecars: every document's losses, intact and with the head set masked.
//!
//! A sidecar under the current fingerprint *is* the done record: [`divide()`] tells which units of a plan have one, [`score_units`]
//! scores the others and writes each sidecar whole or not at all, so a run that is killed resumes by starting it again.
//!
//! - [`Scorer`]: an engine, a tokenizer, the masked heads, and how documents are cut
//! - [`score_document`]: one document, apart from any unit
//! - [`score_rows`]: scores without sidecars, on which [`FidelitySample`] and [`ThroughputSample`] rest
//! - [`Watch`]: follows the scoring, decides about errors and ends it early
//! - [`relabel()`]: other ids and domains for sidecars that are there
//! - [`run_file()`]: a plan as `run.json` describes it
//!
//! The arithmetic of one document is in [`document`], apart from all I/O.

mod batches;
mod config;
mod crew;
mod divide;
pub mod document;
mod error;
#[cfg(test)]
mod fake;
mod fidelity;
mod relabel;
mod run_file;
mod scorer;
mod single;
mod stream;
mod throughput;
mod unit;
mod watch;

pub use config::{LongDocuments, ScoreConfig, ScoredBy};
pub use divide::{Division, PlannedUnit, divide};
pub use document::DocumentScore;
pub use error::Error;
pub use fidelity::{Fidelity, FidelitySample};
pub use relabel::{Relabelled, relabel};
pub use run_file::{labels, run_file, with_labels_of, without_skipped};
pub use scorer::{By, ModelHashes, Scorer, Student, StudentDocument, Teacher, Tokenise};
pub use single::score_document;
pub use stream::{score_rows, score_units};
pub use throughput::{Speed, Throughput, ThroughputSample};
pub use unit::{Advance, UnitReport};
pub use watch::{Phase, Sink, UnitRows, Watch};
