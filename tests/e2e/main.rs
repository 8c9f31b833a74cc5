//! The built `headwater` command on tiny models and corpora, from the pipeline to the artefacts.

mod audit;
mod bench;
mod cascade;
mod corpora;
mod corpus;
mod features;
mod generate;
mod hub;
mod kill;
mod machines;
mod memory;
mod models;
mod outputs;
mod readers;
mod recipes;
mod resume;
mod run;
mod schedule;
mod scores;
mod selection;
mod settings;
mod shards;
mod signals;
mod site;
#[path = "../skipped.rs"]
mod skipped;
mod smollm;
mod stores;
mod student;
mod tokens;
mod trial;
mod windows;
