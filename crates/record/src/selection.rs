//! `selection.json`: the cuts, what they keep, and the selection's hash.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::tokens::TextPart;
use crate::{ContentHash, DocumentAddress, TokenCount};

/// `selection.json`. Written last, so its presence means that the selection is complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelectionFile {
    /// Hash of rule and cuts; names the folder of the subset.
    pub hash: ContentHash,
    /// Name of the rank, such as `influence`.
    pub rank: String,
    /// `documents`, `tokens` or `token-budget`; `upsample` where documents are repeated by quality.
    pub by: String,
    /// Where documents are repeated by quality: what is kept, best first, as parts with a weight each. Empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<Bucket>,
    /// The cuts, ordered by domain.
    pub domains: Vec<DomainSelection>,
    /// Documents by status, over all domains.
    pub statuses: BTreeMap<String, u64>,
    /// Scored documents that each guard kept out of the ranking, one that several keep out counting for the first; under `no value`,
    /// those for which the rank has no finite value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub guarded: BTreeMap<String, u64>,
}

/// A stretch of every domain's ranking that a training run reads equally often. Its rows lie in a folder of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Share of each domain's ranked tokens that ranks before the bucket, in `[0, 1)`.
    pub from: f64,
    /// Share of each domain's ranked tokens that ranks before the bucket's end.
    pub to: f64,
    /// How often a training run reads each document, on average.
    pub repeat: f64,
    /// Documents in it.
    pub documents: u64,
    /// Their tokens, each document counted once.
    pub tokens: TokenCount,
}

impl Bucket {
    /// Returns the tokens that a training run reads of the bucket, repetitions counted.
    #[must_use]
    pub fn trained_tokens(&self) -> f64 {
        self.repeat * self.tokens.0 as f64
    }

    /// Returns the name of the `index`-th bucket, best first: that of its folders and of its part of a recipe.
    #[must_use]
    pub fn name(index: usize) -> String {
        TextPart::Bucket(index).name()
    }
}

/// What one domain keeps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DomainSelection {
    /// Name of the domain.
    pub domain: String,
    /// All rows of the domain, of every status.
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
    /// How sure the cut is; `None` if nothing is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certainty: Option<Certainty>,
    /// The domain's part of each of [`SelectionFile::buckets`], in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<DomainBucket>,
    /// Stretches of document length with a cut each, shortest first; empty if length plays no part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strata: Vec<Stratum>,
    /// What the rank took off influence; `None` unless the rank uses corrected influence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<Correction>,
}

/// How sure a cut is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certainty {
    /// Kept documents whose value has a standard error.
    pub judged: u64,
    /// Those of them that lie within one standard error of their value from the cut.
    pub within_one: u64,
    /// Those within two.
    pub within_two: u64,
    /// Standard error of the cut itself, as if the domain were one sample of many, by batch means; `None` with too few documents.
    pub cut_stderr: Option<f64>,
}

/// One domain's part of a bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainBucket {
    /// Documents in it.
    pub documents: u64,
    /// Their tokens.
    pub tokens: TokenCount,
    /// The last document in it; `None` if it is empty.
    pub cut: Option<RankedDocument>,
}

/// A stretch of document length in one domain, cut alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stratum {
    /// Tokens of the shortest documents that belong to it.
    pub from_tokens: u32,
    /// Tokens of the longest; `None` for the last stratum.
    pub to_tokens: Option<u32>,
    /// Documents that could be ranked.
    pub ranked_documents: u64,
    /// Their tokens.
    pub ranked_tokens: TokenCount,
    /// Documents kept.
    pub kept_documents: u64,
    /// Their tokens.
    pub kept_tokens: TokenCount,
    /// The last document kept; `None` if nothing is kept.
    pub cut: Option<RankedDocument>,
}

/// What corrected influence takes off log(1 + influence) in one domain, and how much of influence that was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Correction {
    /// Documents that the fit is over.
    pub documents: u64,
    /// The terms of the fit: `constant`, `linear`, `interactions`, `splines` or `fine splines`.
    pub terms: String,
    /// What is corrected for, in order, each with its knots.
    pub nuisances: Vec<Nuisance>,
    /// Coefficients, in the order of the terms.
    pub coefficients: Vec<f64>,
    /// Variance of what is left over beside noise: how much documents truly differ.
    pub signal_variance: f64,
    /// Noise variance of log(1 + influence) of a document with one target.
    pub noise_per_target: f64,
    /// Share of the variance of log(1 + influence) that the nuisances explain.
    pub r2_before: f64,
    /// The same of corrected influence, by a fit with other terms than the correction's.
    pub r2_after: f64,
}

/// Something that influence follows without being about retrieval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Nuisance {
    /// `loss_base`, `compression` or `scored_tokens`.
    pub name: String,
    /// Knots of its spline, over its logarithm.
    pub knots: Vec<f64>,
    /// Spearman correlation with influence.
    pub spearman_before: f64,
    /// Spearman correlation with corrected influence.
    pub spearman_after: f64,
}

/// A document and its place in a ranking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankedDocument {
    /// What it is ranked by, with its own sign: of `loss` and of `column:NAME:ascending` the least ranks first.
    pub value: f64,
    /// Where it is.
    pub address: DocumentAddress,
    /// The id its source gives it.
    pub id: Option<String>,
}

impl SelectionFile {
    /// Returns the tokens kept over all domains.
    #[must_use]
    pub fn kept_tokens(&self) -> TokenCount {
        self.domains.iter().map(|domain| domain.kept_tokens).sum()
    }

    /// Returns the documents kept over all domains.
    #[must_use]
    pub fn kept_documents(&self) -> u64 {
        self.domains.iter().map(|domain| domain.kept_documents).sum()
    }

    /// Returns the documents of the corpus over all domains.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.domains.iter().map(|domain| domain.documents).sum()
    }

    /// Returns the tokens that a training run reads of what is kept, repetitions counted; those kept unless documents are
    /// repeated.
    #[must_use]
    pub fn trained_tokens(&self) -> f64 {
        if self.buckets.is_empty() {
            return self.kept_tokens().0 as f64;
        }
        self.buckets.iter().map(Bucket::trained_tokens).sum()
    }

    /// Returns the tokens that a training run reads of one domain, as [`Self::trained_tokens`].
    #[must_use]
    pub fn trained_tokens_of(&self, domain: &DomainSelection) -> f64 {
        if self.buckets.is_empty() {
            return domain.kept_tokens.0 as f64;
        }
        let read = self.buckets.iter().zip(&domain.buckets).map(|(bucket, own)| bucket.repeat * own.tokens.0 as f64);
        read.sum()
    }

    /// Returns the parts of the data that a training run reads: the corpus, then what is selected, as a whole or bucket
    /// by bucket.
    #[must_use]
    pub fn parts(&self) -> Vec<TextPart> {
        let mut parts = vec![TextPart::Corpus];
        match self.buckets.len() {
            0 => parts.push(TextPart::Selected),
            buckets => parts.extend((0..buckets).map(TextPart::Bucket)),
        }
        parts
    }

    /// Returns the tokens of the corpus over all domains.
    #[must_use]
    pub fn tokens(&self) -> TokenCount {
        self.domains.iter().map(|domain| domain.tokens).sum()
    }
}
