//! The shared types of Headwater: ids, units of measure, artefacts and their schemas.
//!
//! Stages exchange artefacts through these types, so that what one writes the next one reads. Nothing here does I/O, reads a clock or
//! draws a random number.
//!
//! - [`id`]: shards, units, document addresses
//! - [`measure`]: tokens and bytes
//! - [`number`]: numbers as people write them
//! - [`hash`]: content hashes
//! - [`json`]: how artefacts are written
//! - [`audit`]: whether a cut cares about the form of a text, `audit.json`
//! - [`fidelity`]: how a numerics class ranks, `fidelity.json`
//! - [`heads`]: attention heads and `heads.json`
//! - [`sidecar`]: the Parquet file of scores of one unit
//! - [`part`]: parts of a plan
//! - [`stability`]: how a search for heads settled that it has enough probes
//! - [`statistics`]: correlations and standard errors, which several crates report
//! - [`run`]: `run.json` and the fingerprint of what changes scores
//! - [`selection`]: cuts and what they keep, `selection.json`
//! - [`comparison`]: selections side by side
//! - [`metrics`]: where time went, `metrics.json`
//! - [`profile`]: the scores of a run, as a report shows them
//! - [`tokens`]: token files and their settings, `tokens.json`

pub mod audit;
pub mod comparison;
mod error;
pub mod fidelity;
pub mod hash;
pub mod heads;
pub mod id;
pub mod json;
pub mod measure;
pub mod metrics;
pub mod number;
pub mod part;
pub mod profile;
pub mod run;
pub mod selection;
pub mod sidecar;
pub mod stability;
pub mod statistics;
pub mod student;
pub mod tokens;

pub use error::Error;
pub use hash::ContentHash;
pub use heads::{HeadId, HeadSet, HeadsFile};
pub use id::{DocumentAddress, ShardId, UnitKey};
pub use measure::{ByteCount, TokenCount};
pub use metrics::Metrics;
pub use part::Part;
pub use run::{Fingerprint, RunFile};
pub use selection::SelectionFile;
pub use sidecar::{ScoreOf, Status};
pub use student::StudentFile;
pub use tokens::TokensFile;
