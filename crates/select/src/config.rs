//! The `[select]` table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fraction::Fraction;
use crate::{Error, Result};

/// What documents are ranked by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RankBy {
    /// Influence, greatest first.
    #[default]
    Influence,
    /// Base loss, lowest first.
    Loss,
    /// A value drawn from the run's seed and the document's address.
    Random,
}

impl RankBy {
    /// The rank as pipelines and artefacts write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Influence => "influence",
            Self::Loss => "loss",
            Self::Random => "random",
        }
    }

    /// The rank that `name` stands for.
    ///
    /// # Errors
    /// [`Error::UnknownRank`].
    pub fn from_name(name: &str) -> Result<Self> {
        [Self::Influence, Self::Loss, Self::Random]
            .into_iter()
            .find(|rank| rank.as_str() == name)
            .ok_or_else(|| Error::UnknownRank { rank: name.to_owned() })
    }
}

/// What a fraction is a fraction of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The domain's ranked documents.
    #[default]
    Documents,
    /// The tokens of the domain's ranked documents.
    Tokens,
    /// As tokens, with the fraction that `tokens` is of all ranked tokens.
    TokenBudget,
}

impl By {
    /// The word as pipelines and artefacts write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Tokens => "tokens",
            Self::TokenBudget => "token-budget",
        }
    }
}

/// The `[select]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelectConfig {
    /// What documents are ranked by.
    pub rank: RankBy,
    /// What a fraction is a fraction of.
    pub by: By,
    /// Share of each domain to keep; not used by a token budget.
    pub fraction: f64,
    /// Tokens to keep over all domains, for a token budget.
    pub tokens: Option<f64>,
    /// Whether the subset gets a trailing column with each row's influence.
    pub influence_column: bool,
    /// Domains that are cut otherwise, by name.
    pub domains: BTreeMap<String, DomainOverride>,
}

impl Default for SelectConfig {
    fn default() -> Self {
        Self {
            rank: RankBy::Influence,
            by: By::Documents,
            fraction: 0.2,
            tokens: None,
            influence_column: false,
            domains: BTreeMap::new(),
        }
    }
}

/// `[select.domains.NAME]`: exactly one of its keys. A token budget does not shrink for the domains that are overridden.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DomainOverride {
    /// Share of the domain to keep: of its documents if `select.by` is `documents`, else of its tokens.
    pub fraction: Option<f64>,
    /// Tokens to keep at most.
    pub tokens: Option<f64>,
}

/// What one domain is asked to keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Share {
    Documents(Fraction),
    Tokens(Fraction),
    /// A number of tokens.
    TokenCount(u64),
    /// The domain's part of a budget over all domains, in tokens.
    Budget(u64),
}

impl SelectConfig {
    /// Checks every number, without looking at any score.
    ///
    /// # Errors
    /// [`Error::Fraction`], [`Error::Tokens`], [`Error::NoBudget`], [`Error::UnusedBudget`], [`Error::Override`].
    pub fn check(&self) -> Result<()> {
        self.default_share()?;
        self.domains.keys().try_for_each(|domain| self.share(domain).map(drop))
    }

    /// What `domain` is asked to keep.
    pub(crate) fn share(&self, domain: &str) -> Result<Share> {
        let Some(rule) = self.domains.get(domain) else { return self.default_share() };
        let key = |name: &str| format!("select.domains.{domain}.{name}");
        match (rule.fraction, rule.tokens) {
            (Some(fraction), None) if self.by == By::Documents => {
                Fraction::new(&key("fraction"), fraction).map(Share::Documents)
            }
            (Some(fraction), None) => Fraction::new(&key("fraction"), fraction).map(Share::Tokens),
            (None, Some(tokens)) => whole_tokens(&key("tokens"), tokens).map(Share::TokenCount),
            _ => Err(Error::Override { domain: domain.to_owned() }),
        }
    }

    fn default_share(&self) -> Result<Share> {
        let fraction = Fraction::new("select.fraction", self.fraction)?;
        match (self.by, self.tokens) {
            (By::Documents, None) => Ok(Share::Documents(fraction)),
            (By::Tokens, None) => Ok(Share::Tokens(fraction)),
            (By::TokenBudget, Some(tokens)) => whole_tokens("select.tokens", tokens).map(Share::Budget),
            (By::TokenBudget, None) => Err(Error::NoBudget),
            (By::Documents | By::Tokens, Some(_)) => Err(Error::UnusedBudget),
        }
    }
}

/// Rounds a token count, written as people write them (`73.1e9`), down to a whole number.
fn whole_tokens(key: &str, tokens: f64) -> Result<u64> {
    const LIMIT: f64 = (1_u64 << 63) as f64;
    if !(tokens > 0.0 && tokens < LIMIT) {
        return Err(Error::Tokens { key: key.to_owned(), got: tokens });
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive and below 2^63, checked above"
    )]
    let whole = tokens as u64;
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(fraction: f64, by: By, tokens: Option<f64>) -> SelectConfig {
        SelectConfig { fraction, by, tokens, ..SelectConfig::default() }
    }

    #[test]
    fn numbers_are_checked() {
        assert!(SelectConfig::default().check().is_ok());
        for fraction in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(matches!(with(fraction, By::Documents, None).check(), Err(Error::Fraction { .. })));
        }
        for tokens in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e19] {
            assert!(matches!(with(0.2, By::TokenBudget, Some(tokens)).check(), Err(Error::Tokens { .. })));
        }
        assert!(matches!(with(0.2, By::TokenBudget, None).check(), Err(Error::NoBudget)));
        assert!(matches!(with(0.2, By::Tokens, Some(5.0)).check(), Err(Error::UnusedBudget)));
    }

    #[test]
    fn tables_are_read_as_written() {
        let text = r#"{"by": "token-budget", "tokens": 73.1e9, "domains": {"code": {"fraction": 1}}}"#;
        let config: SelectConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.share("prose").unwrap(), Share::Budget(73_100_000_000));
        assert!(matches!(config.share("code").unwrap(), Share::Tokens(_)));
        assert!(serde_json::from_str::<SelectConfig>(r#"{"fractoin": 0.2}"#).is_err());
        let both = r#"{"domains": {"code": {"fraction": 1, "tokens": 2}}}"#;
        let both: SelectConfig = serde_json::from_str(both).unwrap();
        assert!(matches!(both.check(), Err(Error::Override { .. })));
    }
}
