//! Headwater as a library: a pipeline file, and its stages as calls.
//!
//! A [`Pipeline`] is what a TOML file says (see [`PipelineConfig`]) together with the place its results go to. Each stage is a
//! method. What a stage leaves in the output is what the next one reads, so stages may run in other processes and on other
//! machines, and a call that was interrupted goes on where it stopped.
//!
//! | call | does |
//! |---|---|
//! | [`Pipeline::run`] | every stage |
//! | [`Pipeline::plan_summary`] | says what there is to score, from footers |
//! | [`Pipeline::heads`] | finds the retrieval heads |
//! | [`Pipeline::distill`] | fits a student to a sample of scores |
//! | [`Pipeline::score`] | scores a part of the plan |
//! | [`Pipeline::relabel`] | takes ids and domains from other columns |
//! | [`Pipeline::select`] | cuts each domain and writes the subset |
//! | [`Pipeline::compare`] | says what several rules would keep |
//! | [`Pipeline::tokens`], [`Pipeline::recipe`] | writes token files and trainers' configs |
//! | [`Pipeline::trial`] | trains small models on competing selections and judges these |
//! | [`Pipeline::report`] | writes one page of everything that is known |
//! | [`Pipeline::compare_runs`] | writes one page of two runs |
//! | [`Pipeline::status`], [`Pipeline::bench`] | says how far a run is, and how fast this machine scores |
//!
//! Results are values that serialise; [`text`] renders them for people.
//!
//! ```no_run
//! use std::path::Path;
//! use std::time::SystemTime;
//!
//! use headwater_pipeline::{Arm, Environment, HeadsRequest, Pipeline, ScoreRequest, Stores};
//!
//! # fn main() -> Result<(), headwater_pipeline::Error> {
//! let stores = Stores::from_variables(std::env::vars());
//! let environment = Environment::new(stores, "/var/cache/headwater".into(), SystemTime::now);
//! let pipeline = Pipeline::load(Path::new("pipeline.toml"), &["select.fraction=0.1".to_owned()], environment)?;
//! pipeline.heads(HeadsRequest::default())?;
//! pipeline.score(ScoreRequest::default())?;
//! for domain in pipeline.select(Arm::Selection)?.selection.domains {
//!     println!("{}: {} of {} documents kept", domain.domain, domain.kept_documents, domain.documents);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What it does not do
//! It prints nothing, reads no environment variable and no clock, and installs no signal handler. All of that comes with the
//! [`Environment`]: variables and the clock as values, an [`Events`] that is told of the work, a [`CancelToken`] that stops it.
//! Warnings are [`tracing`] events.
//!
//! # Errors
//! Every call returns [`Error`], whose message names the thing and what to do, and whose [`Error::class`] says whether to change
//! something, to try again, or to report a bug.

mod cancel;
mod config;
mod environment;
mod error;
mod estimate;
mod events;
mod explain;
mod extends;
mod generate;
mod inline;
mod measurement;
mod meters;
mod metrics_server;
mod pipeline;
mod run;
pub mod schedules;
pub mod schema;
mod stages;
pub mod text;
mod verdict;
mod written;

pub use cancel::CancelToken;
pub use config::{InstructionsChoice, ModelConfig, PipelineConfig, RunConfig};
pub use environment::Environment;
pub use error::{Class, Error, Result};
pub use events::{Event, Events, ProbeAccuracy, Progress, Silent, Step, Total};
pub use generate::{GenerateRequest, WrittenText, generate};
pub use headwater_decode::{Kind as ReflectionKind, Sampling, ScheduleSettings, Words};
pub use headwater_model::Precision;
pub use headwater_record::metrics::TrafficMetrics;
pub use headwater_record::stability::{Decision, ProbesUsed};
pub use headwater_record::{Metrics, Part, number};
pub use headwater_run::{Arm, OnChange};
pub use headwater_score::{Speed, Throughput};
pub use headwater_store::Stores;
pub use meters::Meters;
pub use metrics_server::serve_metrics;
pub use pipeline::Pipeline;
pub use run::{RunOptions, RunSummary};
pub use stages::audit::AuditSummary;
pub use stages::bench::{BenchReport, CorpusEstimate, MaskedHeads, OtherPrecision};
pub use stages::distill::{DistillRequest, DistillSummary};
pub use stages::heads::HeadsRequest;
pub use stages::model::{
    Against, CheckedSentence, ModelCheck, WrittenTokenizer, check_model, fetch_model, write_tokenizer,
};
pub use stages::plan::{Basis, Extent, PlanSummary, PlannedCommand, SourceSummary};
pub use stages::score::{ScoreRequest, ScoreSummary};
pub use stages::select::SelectSummary;
pub use stages::status::{Rate, ScoreFiles, ScoringStatus, SourceStatus, StatusCounts, StatusReport};
pub use stages::tokens::TokensSummary;
pub use stages::trial::{TrialForecast, TrialSummary};
pub use verdict::Verdict;
