//! `fidelity.json`: what a numerics class costs in ranks.

use serde::{Deserialize, Serialize};

use crate::run::{Numerics, ScoringInputs};
use crate::{ContentHash, HeadSet};

/// `fidelity.json`: how alike a numerics class and float32 rank documents of the corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FidelityFile {
    /// SHA-256 of the weights.
    pub weights: ContentHash,
    /// The masked heads.
    pub heads: HeadSet,
    /// `causal-uniform` or `zero`.
    pub mask: String,
    /// The class that is held against float32.
    pub numerics: Numerics,
    /// Documents that both scored, from all over the corpus.
    pub documents: usize,
    /// Tokens of each that were scored, at most.
    pub tokens_per_document: usize,
    /// Spearman's correlation of the influences, in [−1, 1].
    pub correlation: f64,
    /// Share of the fifth of highest influence that both have in common.
    pub overlap: f64,
    /// Root of the mean squared difference of influence.
    pub difference: f64,
    /// Root of the mean squared standard error of influence, over documents that have one: what the documents themselves leave open.
    pub stderr: Option<f64>,
}

impl FidelityFile {
    /// Whether the comparison is of this model, head set, mask and numerics class.
    #[must_use]
    pub fn is_of(&self, scoring: &ScoringInputs) -> bool {
        self.weights == scoring.weights
            && self.heads == scoring.heads
            && self.mask == scoring.mask
            && self.numerics == scoring.numerics
    }
}
