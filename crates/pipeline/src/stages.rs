//! The stages of a pipeline: each is a method of [`Pipeline`](crate::Pipeline) and goes on from what earlier ones left in the output.

pub(crate) mod audit;
pub(crate) mod bench;
mod cascade;
mod compare;
mod compare_runs;
pub(crate) mod distill;
mod features;
mod fidelity;
mod forecast;
pub(crate) mod heads;
pub(crate) mod model;
pub(crate) mod plan;
mod probe_journal;
mod recipe;
mod relabel;
mod report;
pub(crate) mod score;
pub(crate) mod select;
pub(crate) mod status;
mod student;
pub(crate) mod tokens;
pub(crate) mod trial;
