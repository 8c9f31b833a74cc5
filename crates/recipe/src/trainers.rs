//! The trainers, one module each: the schedules that it supports, and the files that it reads.

mod by_part;
mod documents;
pub(crate) mod hf;
pub(crate) mod levanter;
pub(crate) mod llm_foundry;
pub(crate) mod megatron;
pub(crate) mod nanotron;
pub(crate) mod olmo_core;
mod pieces;
pub(crate) mod torchtitan;
mod transformers4;
