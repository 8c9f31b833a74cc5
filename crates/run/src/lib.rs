//! What a run leaves in its output: every path and every codec, once.
//!
//! [`RunFolder`] is the output of one run. Its associated functions name the artefacts, its methods read and write those in JSON:
//! `run.json` ([`RunFolder::begin`], [`RunFolder::change`]), `heads.json`, `selection.json` and `metrics.json`. An artefact that
//! cannot be understood is an [`Error::Damaged`] that names it.
//!
//! [`sidecar`] encodes, reads and relabels the Parquet files of scores; [`Unit`] is a unit of the plan and what its sidecar must say of
//! itself. [`RunFolder::statuses`] counts their rows and [`RejectsWriter`] writes `rejects.parquet`.
//!
//! What this crate is *not*: it scores nothing, selects nothing, and knows neither model nor corpus.

mod begin;
mod contested;
mod error;
mod folder;
mod heads;
mod json;
mod metrics;
mod parquet_guard;
mod rejects;
mod selection;
pub mod sidecar;
mod statuses;
mod student;
mod unit;
mod units;

pub use begin::{Candidate, OnChange, refuse_other_labels};
pub use contested::Contested;
pub use error::{Error, Result};
pub use folder::{Arm, RunFolder};
pub use rejects::{Rejects, RejectsWriter};
pub use sidecar::{SidecarFooter, SidecarRow};
pub use statuses::Statuses;
pub use unit::Unit;
pub use units::units;
