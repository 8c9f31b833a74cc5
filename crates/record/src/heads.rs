//! Attention heads, head sets and `heads.json`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::stability::Stability;
use crate::{ContentHash, Error};

/// One query head: layer and index inside it, both 0-based. Written `[layer, head]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "(u16, u16)", into = "(u16, u16)")]
pub struct HeadId {
    /// Layer, 0-based.
    pub layer: u16,
    /// Query head inside the layer, 0-based.
    pub head: u16,
}

impl From<(u16, u16)> for HeadId {
    fn from((layer, head): (u16, u16)) -> Self {
        Self { layer, head }
    }
}

impl From<HeadId> for (u16, u16) {
    fn from(id: HeadId) -> Self {
        (id.layer, id.head)
    }
}

/// The heads that are masked together, ordered by (layer, head).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<HeadId>", into = "Vec<HeadId>")]
pub struct HeadSet(Vec<HeadId>);

impl HeadSet {
    /// Collects `heads` into a set.
    ///
    /// # Errors
    /// [`Error::DuplicateHead`] if a head is named twice.
    pub fn new(mut heads: Vec<HeadId>) -> Result<Self, Error> {
        heads.sort_unstable();
        match heads.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::DuplicateHead { layer: pair[0].layer, head: pair[0].head }),
            None => Ok(Self(heads)),
        }
    }

    /// Returns the heads, ordered by (layer, head).
    #[must_use]
    pub fn as_slice(&self) -> &[HeadId] {
        &self.0
    }

    /// Returns the lowest layer that has a head of the set; `None` for the empty set.
    #[must_use]
    pub fn first_layer(&self) -> Option<usize> {
        self.0.first().map(|id| usize::from(id.layer))
    }

    /// Returns the set's heads inside `layer`, ascending.
    pub fn in_layer(&self, layer: usize) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().filter(move |id| usize::from(id.layer) == layer).map(|id| usize::from(id.head))
    }

    /// Checks that every head exists in a model of `layers` layers with `heads` query heads each.
    ///
    /// # Errors
    /// [`Error::HeadOutOfRange`] naming the first head that does not.
    pub fn validate(&self, layers: usize, heads: usize) -> Result<(), Error> {
        let outside = |id: &&HeadId| usize::from(id.layer) >= layers || usize::from(id.head) >= heads;
        match self.0.iter().find(outside) {
            Some(id) => Err(Error::HeadOutOfRange { layer: id.layer, head: id.head, layers, heads }),
            None => Ok(()),
        }
    }
}

impl TryFrom<Vec<HeadId>> for HeadSet {
    type Error = Error;

    fn try_from(heads: Vec<HeadId>) -> Result<Self, Error> {
        Self::new(heads)
    }
}

impl From<HeadSet> for Vec<HeadId> {
    fn from(set: HeadSet) -> Self {
        set.0
    }
}

/// Where a head's argmax must fall to count as a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Its highest attention is on the same token inside the answer's place in the prompt (Wu et al. 2024).
    #[default]
    NeedleSpan,
    /// Its highest attention is on the same token anywhere before (AttentionInfluence §3, literally).
    Visible,
}

/// `heads.json`: the head set, pinned to a model, with the evidence for it.
///
/// A file that only pins a set needs no more than `{"heads": [[layer, head], ...]}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadsFile {
    /// The masked heads.
    pub heads: HeadSet,
    /// SHA-256 of the weights the set belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<ContentHash>,
    /// How the set was found; absent for a pinned set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<HeadSearch>,
    /// What masking the set does to the probes; absent for a pinned set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// `heads-partial.json`: what an unfinished search has measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuredProbes {
    /// SHA-256 of the weights.
    pub weights: ContentHash,
    /// What each probe gave, by a hash of the probe and of what was measured how.
    pub measured: BTreeMap<ContentHash, Vec<f64>>,
}

/// How a head set was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadSearch {
    /// Number of probes that were measured.
    pub probes: usize,
    /// Demonstrations a probe.
    pub shots: usize,
    /// Prompt plus answer, at most, in tokens.
    pub context_tokens: usize,
    /// Share of all heads in the set.
    pub fraction: f64,
    /// What counts as a copy.
    pub rule: Rule,
    /// Where the probes' sentences come from: `bundled` or `corpus`.
    pub sentences: String,
    /// Seed of the probes.
    pub seed: u64,
    /// Mean share of answer tokens that occur among the positions that the rule admits: the highest score in reach.
    pub reachable: f64,
    /// How the number of probes was settled; absent in files of versions that measured a fixed number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stability: Option<Stability>,
    /// Retrieval score of every head, `(layer, head)`.
    pub scores: Vec<Vec<f64>>,
}

/// Whether masking the set removes the ability that it was chosen for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Number of probes measured.
    pub probes: usize,
    /// Teacher-forced accuracy of the intact model on answer tokens.
    pub intact_accuracy: f64,
    /// Accuracy with the head set masked.
    pub masked_accuracy: f64,
    /// Accuracy with each control set masked: as many other heads in the same layers.
    pub control_accuracies: Vec<f64>,
    /// The control sets.
    pub controls: Vec<HeadSet>,
    /// Spearman correlation of the retrieval scores between two halves of the probes.
    pub split_half_correlation: f64,
    /// Whether intact ≥ 0.5 and intact − masked ≥ max(0.15, 2 × mean control cost).
    pub healthy: bool,
    /// How the number of probes was settled; absent in files of versions that measured a fixed number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<HealthDecision>,
}

/// On how many probes health was decided, and how clearly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthDecision {
    /// Numbers of probes after which health was looked at; it was decided at the last.
    pub looks: Vec<usize>,
    /// The most probes it might be measured on.
    pub most_probes: usize,
    /// Standard errors by which every condition must be met, or one missed, to decide before that.
    pub clear_stderrs: f64,
    /// Least accuracy of the intact model.
    pub least_intact: f64,
    /// Least cost of masking the head set, in accuracy.
    pub least_cost: f64,
    /// Least ratio of that cost to the mean cost of the control sets.
    pub least_cost_ratio: f64,
    /// By how much the intact model's accuracy is above the least.
    pub intact: Margin,
    /// By how much the head set's cost is above the least.
    pub cost: Margin,
    /// By how much the head set's cost is above what the control sets' asks for.
    pub beside_controls: Margin,
    /// Whether health was that clear.
    pub clear: bool,
}

/// By how much a condition is met, in accuracy; negative if it is missed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Margin {
    /// Mean over probes.
    pub mean: f64,
    /// Its standard error over probes; absent for one probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_set_needs_only_its_heads() -> Result<(), serde_json::Error> {
        let file: HeadsFile = serde_json::from_str(r#"{"heads": [[18, 6], [2, 1]]}"#)?;
        assert_eq!(file.heads.first_layer(), Some(2));
        assert_eq!(file.heads.in_layer(18).collect::<Vec<_>>(), [6]);
        assert_eq!(serde_json::to_string(&file)?, r#"{"heads":[[2,1],[18,6]]}"#);
        Ok(())
    }

    #[test]
    fn duplicates_and_strangers_are_refused() {
        assert!(serde_json::from_str::<HeadSet>("[[1, 1], [1, 1]]").is_err());
        let set = HeadSet::new(vec![HeadId { layer: 3, head: 9 }]).unwrap_or_default();
        assert!(set.validate(4, 9).is_err());
        assert!(set.validate(4, 10).is_ok());
    }
}
