//! How a search for heads settled that it has enough probes.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a search for heads ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// As soon as the head set is stable, after `probes` at the latest.
    #[default]
    Stable,
    /// After all `probes`.
    All,
}

impl Until {
    /// Returns the word that configuration and `heads.json` use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::All => "all",
        }
    }
}

/// How a search for heads settled that it has enough probes, with all that decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stability {
    /// When it was to end.
    pub until: Until,
    /// The most probes it might measure.
    pub most_probes: usize,
    /// Fewest probes with which a set can be stable.
    pub least_probes: usize,
    /// Least share of the set that both halves of the probes must choose.
    pub least_shared: f64,
    /// Standard errors above the first head outside below which a head of the set is in doubt.
    pub doubt_stderrs: f64,
    /// Most share of the set's total score that heads in doubt may hold.
    pub most_doubt: f64,
    /// Every look at the set, each after more probes; the last is of the set that was taken.
    pub looks: Vec<Look>,
    /// Why the search ended.
    pub decision: Decision,
}

/// One look at the head set that the probes so far give.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// Probes measured.
    pub probes: usize,
    /// Share of the set that the probes of even and those of odd index both choose.
    pub shared: f64,
    /// Heads of the set whose score is not clearly above that of the first head outside.
    pub heads_in_doubt: usize,
    /// Share of the set's total score that they hold.
    pub doubt: f64,
    /// By how many paired standard errors the last head inside is above the first outside; absent if none is outside, or if it is above by the
    /// same on every probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<f64>,
}

/// Why a search for heads ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The head set was stable.
    Stable,
    /// All probes were measured, and the head set was not stable.
    NotStable,
    /// All probes were measured, as was asked.
    All,
}

/// How many probes a search measured, and why it ended. [`fmt::Display`] says it of the head set, as the end of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ProbesUsed {
    /// Probes measured.
    pub probes: usize,
    /// The most that it might measure.
    pub most_probes: usize,
    /// Why it ended.
    pub decision: Decision,
}

impl Stability {
    /// Returns how many probes were measured, and why no more.
    #[must_use]
    pub fn used(&self) -> ProbesUsed {
        let probes = self.looks.last().map_or(0, |look| look.probes);
        ProbesUsed { probes, most_probes: self.most_probes, decision: self.decision }
    }
}

impl fmt::Display for ProbesUsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { probes, most_probes, decision } = self;
        match decision {
            Decision::Stable => write!(f, "stable after {probes} of at most {most_probes} probes"),
            Decision::NotStable => write!(f, "not stable after all {probes} probes"),
            Decision::All => write!(f, "found with all {probes} probes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_says_what_happened() {
        let said = |decision| ProbesUsed { probes: 24, most_probes: 64, decision }.to_string();
        assert_eq!(said(Decision::Stable), "stable after 24 of at most 64 probes");
        assert_eq!(said(Decision::NotStable), "not stable after all 24 probes");
        assert_eq!(said(Decision::All), "found with all 24 probes");
    }
}
