//! How selections of the same scores differ: what each keeps, what they share, what each keeps alone.

use serde::{Deserialize, Serialize};

use crate::{DocumentAddress, TokenCount};

/// Several selections of the same scores side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The selections, in the order of every list below.
    pub arms: Vec<Arm>,
    /// Their domains, by name.
    pub domains: Vec<DomainComparison>,
}

/// One of the selections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arm {
    /// What it is called: its pipeline, or its rank.
    pub name: String,
    /// Name of its rank.
    pub rank: String,
    /// `documents`, `tokens`, `token-budget` or `upsample`.
    pub by: String,
}

/// What the selections keep of one domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainComparison {
    /// Name of the domain.
    pub domain: String,
    /// Documents with a score.
    pub documents: u64,
    /// Their tokens.
    pub tokens: TokenCount,
    /// What each selection keeps.
    pub kept: Vec<Kept>,
    /// Documents that both the row's and the column's selection keep; on the diagonal, what one keeps.
    pub shared_documents: Vec<Vec<u64>>,
    /// Their tokens.
    pub shared_tokens: Vec<Vec<u64>>,
    /// For each selection, the first by its rank of the documents that no other one keeps.
    pub alone: Vec<Vec<Example>>,
}

/// What one selection keeps of one domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Documents.
    pub documents: u64,
    /// Their tokens.
    pub tokens: TokenCount,
    /// Mean tokens a document; `None` if nothing is kept, as for the other means.
    pub mean_tokens: Option<f64>,
    /// Mean base loss, nats per target.
    pub mean_loss: Option<f64>,
    /// Mean compression, text bytes / compressed bytes.
    pub mean_compression: Option<f64>,
    /// Mean influence.
    pub mean_influence: Option<f64>,
    /// Documents that no other selection keeps.
    pub alone: u64,
}

/// A document to be looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Where it is.
    pub address: DocumentAddress,
    /// The id its source gives it.
    pub id: Option<String>,
    /// What the selection ranks it by, with its own sign.
    pub value: f64,
    /// Its first line that is not blank; `None` if its text was not read.
    pub first_line: Option<String>,
}

/// What two runs have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOverlap {
    /// Shards of the plan of each.
    pub shards: [u64; 2],
    /// Shards that both have, by identity.
    pub common_shards: u64,
    /// By domain of the second run; empty without a common shard.
    pub domains: Vec<DomainOverlap>,
}

/// What two runs both keep of one domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainOverlap {
    /// Name of the domain.
    pub domain: String,
    /// Documents that both keep.
    pub shared_documents: u64,
    /// Their tokens, as the second run counts them.
    pub shared_tokens: TokenCount,
}
