//! What a report shows of the scores of a run: counts on grids of fixed size and a few samples, for a corpus of any size.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::comparison::Comparison;
use crate::selection::{Certainty, Correction};
use crate::{ContentHash, DocumentAddress, TokenCount};

/// The scores of a run, as far as they are there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Units of the plan.
    pub planned_units: u64,
    /// Those of them that are scored, which everything else is about.
    pub scored_units: u64,
    /// Rows by status, over all domains.
    pub statuses: BTreeMap<String, u64>,
    /// Hash of the selection that cuts and kept documents are of, which is made anew from the scores.
    pub selection: ContentHash,
    /// Name of the rank that cuts and kept documents are by.
    pub rank: String,
    /// What a fraction is a fraction of: `documents`, `tokens` or `token-budget`; `upsample` where documents are repeated by quality.
    pub by: String,
    /// The domains with the most documents, by name.
    pub domains: Vec<DomainProfile>,
    /// Domains that are not among [`Profile::domains`].
    pub left_out: u64,
    /// The usual ranks at the same fraction, side by side, over the same domains.
    pub comparison: Comparison,
}

/// The scores of one domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainProfile {
    /// Name of the domain.
    pub domain: String,
    /// All rows, of every status.
    pub documents: u64,
    /// Their tokens.
    pub tokens: TokenCount,
    /// Documents that could be ranked.
    pub ranked_documents: u64,
    /// The fraction that is asked for.
    pub fraction: f64,
    /// Documents that are kept.
    pub kept_documents: u64,
    /// Their tokens.
    pub kept_tokens: TokenCount,
    /// The value of the last document kept; `None` where there is no single cut.
    pub cut: Option<f64>,
    /// How sure it is.
    pub certainty: Option<Certainty>,
    /// What other fractions would keep, in whole per cents from nothing to everything; empty where documents are repeated by quality.
    pub cuts: Vec<CutPoint>,
    /// What the rank is by, over all ranked documents.
    pub value: Histogram,
    /// Length, base loss and compression, in this order.
    pub controls: Vec<Histogram>,
    /// Influence and corrected influence (rows) against base loss, compression and scored tokens (columns).
    pub densities: Vec<Vec<Density>>,
    /// What influence follows beside retrieval; `None` with too few documents.
    pub correction: Option<Correction>,
    /// Documents to look at: by the selection's rank, by influence and by corrected influence, each rank once.
    pub samples: Vec<SampleSet>,
}

/// What a domain keeps at one fraction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CutPoint {
    /// The fraction that is asked for.
    pub fraction: f64,
    /// Documents kept.
    pub documents: u64,
    /// Their tokens.
    pub tokens: TokenCount,
    /// The value of the last document kept; `None` where nothing is kept or there is no single cut.
    pub value: Option<f64>,
    /// Its standard error; `None` with too few documents.
    pub stderr: Option<f64>,
}

/// What is drawn along one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Axis {
    /// What it is, such as `base loss`.
    pub title: String,
    /// Its unit, such as `nats per token`; empty for a plain number.
    pub unit: String,
    /// How values are spread.
    pub scale: Scale,
}

/// How values are spread along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Equal steps are equal differences.
    Linear,
    /// Equal steps are equal ratios.
    Log,
}

/// How many documents have which values. Values beyond the outermost edges are in the outermost bins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// What is counted.
    pub axis: Axis,
    /// Edges of the bins, rising: one more than bins.
    pub edges: Vec<f64>,
    /// Documents in each bin.
    pub all: Vec<u64>,
    /// Kept documents in each bin.
    pub kept: Vec<u64>,
}

/// How many documents have which pairs of values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Density {
    /// What is drawn to the right.
    pub x: Axis,
    /// What is drawn upward.
    pub y: Axis,
    /// Edges of the columns, rising.
    pub x_edges: Vec<f64>,
    /// Edges of the rows, rising.
    pub y_edges: Vec<f64>,
    /// Documents in each cell: `(row, column)`, the lowest row first.
    pub counts: Vec<Vec<u64>>,
    /// Share of the variance upward that smooth functions of what is drawn to the right explain.
    pub r2: f64,
    /// Spearman correlation of the two.
    pub spearman: f64,
}

/// Documents at the places of one ranking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleSet {
    /// Name of the rank.
    pub rank: String,
    /// The best, best first.
    pub top: Vec<Sample>,
    /// The last ones kept, in the order of the ranking; empty where there is no single cut, like the next.
    pub above: Vec<Sample>,
    /// The first ones dropped.
    pub below: Vec<Sample>,
    /// The last.
    pub bottom: Vec<Sample>,
    /// One at every twentieth of the ranking, best first; of the selection's own rank alone.
    pub spread: Vec<Sample>,
}

/// A document to be looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Where it is.
    pub address: DocumentAddress,
    /// The id its source gives it.
    pub id: Option<String>,
    /// What the rank is by, with its own sign.
    pub value: f64,
    /// Influence.
    pub influence: f32,
    /// Its standard error.
    pub influence_stderr: Option<f32>,
    /// Corrected influence, where there is a correction.
    pub corrected: Option<f32>,
    /// Base loss, nats per target.
    pub loss_base: f32,
    /// Text bytes / compressed bytes.
    pub compression: f32,
    /// Tokens.
    pub tokens: u32,
    /// Whether the selection keeps it.
    pub is_kept: bool,
    /// The first of the domain's [`DomainProfile::cuts`] that keeps it; `None` if there are none, if a domain has several cuts at once,
    /// or if it cannot be ranked.
    pub kept_from: Option<usize>,
    /// The beginning of the text; `None` if it could not be read.
    pub text: Option<String>,
    /// Whether the text is cut off.
    pub is_cut_off: bool,
}
