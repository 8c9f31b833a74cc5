//! `selection.json`: the cuts, what they keep, and the selection's hash.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ContentHash, DocumentAddress, TokenCount};

/// `selection.json`. Written last, so its presence means that the selection is complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelectionFile {
    /// Hash of rule and cuts; names the folder of the subset.
    pub hash: ContentHash,
    /// Name of the rank, such as `influence`.
    pub rank: String,
    /// `documents`, `tokens` or `token-budget`.
    pub by: String,
    /// The cuts, ordered by domain.
    pub domains: Vec<DomainSelection>,
    /// Documents by status, over all domains.
    pub statuses: BTreeMap<String, u64>,
}

/// What one domain keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainSelection {
    /// Name of the domain.
    pub domain: String,
    /// All rows of the domain, whatever their status.
    pub documents: u64,
    /// Tokens of all rows.
    pub tokens: TokenCount,
    /// Rows that could be ranked.
    pub ranked_documents: u64,
    /// Tokens of the rows that could be ranked.
    pub ranked_tokens: TokenCount,
    /// The fraction that was asked for.
    pub fraction: f64,
    /// Rows kept.
    pub kept_documents: u64,
    /// Tokens kept.
    pub kept_tokens: TokenCount,
    /// The last document kept; `None` if nothing is kept.
    pub cut: Option<RankedDocument>,
    /// The first in the ranking; `None` if nothing could be ranked.
    pub highest: Option<RankedDocument>,
    /// The last in the ranking.
    pub lowest: Option<RankedDocument>,
}

/// A document and its place in a ranking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankedDocument {
    /// What it is ranked by; greater is better.
    pub value: f64,
    /// Where it is.
    pub address: DocumentAddress,
    /// The id its source gives it.
    pub id: Option<String>,
}

impl SelectionFile {
    /// Tokens kept over all domains.
    #[must_use]
    pub fn kept_tokens(&self) -> TokenCount {
        self.domains.iter().map(|domain| domain.kept_tokens).sum()
    }

    /// Tokens of the corpus over all domains.
    #[must_use]
    pub fn tokens(&self) -> TokenCount {
        self.domains.iter().map(|domain| domain.tokens).sum()
    }
}
