//! `audit.json`: whether a cut cares about changes of a text that keep its meaning.

use serde::{Deserialize, Serialize};

use crate::{ContentHash, ScoreOf};

/// `audit.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditFile {
    /// The selection that the documents were kept or dropped by.
    pub selection: ContentHash,
    /// Who scored the changed texts.
    pub by: ScoreOf,
    /// The run's seed, which the documents and changes follow from.
    pub seed: u64,
    /// Documents whose texts were changed.
    pub documents: u64,
    /// What became of them, by perturbation, then rank, then domain.
    pub crossings: Vec<Crossings>,
}

/// What one change does to one domain under one rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crossings {
    /// The change.
    pub perturbation: String,
    /// The rank, whose own cut counts.
    pub rank: String,
    /// The domain.
    pub domain: String,
    /// Documents above the cut that could be changed so.
    pub kept: u64,
    /// Of them, those that fell below it.
    pub fell: u64,
    /// Documents below the cut that could be changed so.
    pub dropped: u64,
    /// Of them, those that rose above it.
    pub rose: u64,
    /// Mean change of log(1 + influence).
    pub shift: f64,
    /// Standard deviation of that change.
    pub spread: f64,
}
