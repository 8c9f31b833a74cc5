//! The `[select]` table.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::correction::Nuisance;
use crate::fraction::Fraction;
use crate::guards::Guards;
use crate::influence_column::InfluenceColumn;
use crate::upsample::UpsampleConfig;
use crate::{Error, Result};

/// What documents are ranked by, as pipelines and artefacts write it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RankBy {
    /// Influence, greatest first.
    #[default]
    Influence,
    /// What influence says beyond base loss, compression and length, greatest first.
    Corrected,
    /// Base loss, lowest first.
    Loss,
    /// Bytes of text by bytes of zstd, greatest first.
    Compression,
    /// The share of the tokens that follow from where the two before them stood last, greatest first.
    Copied,
    /// A value drawn from the run's seed and the document's address.
    Random,
    /// A numeric column of the source.
    Column(ImportedColumn),
    /// Weighted sum of percentiles under other ranks, as [`SelectConfig::rank_sum`] says.
    RankSum,
}

/// A numeric column of the source, as a rank.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImportedColumn {
    /// Its name.
    pub name: String,
    /// Which end comes first.
    pub order: Order,
}

/// Which end of a column comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Lowest first.
    Ascending,
    /// Greatest first.
    Descending,
}

const COLUMN: &str = "column:";
const ASCENDING: &str = ":ascending";
const DESCENDING: &str = ":descending";

impl RankBy {
    /// Ranks without a parameter.
    const NAMED: [(&'static str, Self); 7] = [
        ("influence", Self::Influence),
        ("corrected", Self::Corrected),
        ("loss", Self::Loss),
        ("compression", Self::Compression),
        ("copied", Self::Copied),
        ("random", Self::Random),
        ("rank-sum", Self::RankSum),
    ];
}

impl fmt::Display for RankBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(ImportedColumn { name, order: Order::Ascending }) => write!(f, "{COLUMN}{name}{ASCENDING}"),
            Self::Column(ImportedColumn { name, order: Order::Descending }) => write!(f, "{COLUMN}{name}"),
            plain => {
                let named = Self::NAMED.iter().find(|(_, rank)| rank == plain);
                f.write_str(named.map_or("", |(name, _)| name))
            }
        }
    }
}

impl JsonSchema for RankBy {
    fn schema_name() -> Cow<'static, str> {
        "RankBy".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = Self::NAMED.map(|(name, _)| name).join("|");
        json_schema!({ "title": "rank", "type": "string", "pattern": format!("^({names}|{COLUMN}.+)$") })
    }
}

impl TryFrom<String> for RankBy {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        if let Some((_, rank)) = Self::NAMED.iter().find(|(name, _)| *name == text) {
            return Ok(rank.clone());
        }
        let Some(column) = text.strip_prefix(COLUMN) else { return Err(Error::UnknownRank { rank: text }) };
        let (name, order) = match (column.strip_suffix(ASCENDING), column.strip_suffix(DESCENDING)) {
            (Some(name), _) => (name, Order::Ascending),
            (None, Some(name)) => (name, Order::Descending),
            (None, None) => (column, Order::Descending),
        };
        if name.is_empty() {
            return Err(Error::UnknownRank { rank: text });
        }
        Ok(Self::Column(ImportedColumn { name: name.to_owned(), order }))
    }
}

impl From<RankBy> for String {
    fn from(rank: RankBy) -> Self {
        rank.to_string()
    }
}

/// What a fraction is a fraction of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// `fraction` of the documents of each domain.
    #[default]
    Documents,
    /// The best documents of each domain with `fraction` of its tokens.
    Tokens,
    /// The same share of the tokens of each domain, `tokens` in all.
    TokenBudget,
    /// All but the worst, the better ones repeated, until `tokens` are reached.
    Upsample,
}

impl By {
    /// The word as pipelines and artefacts write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Tokens => "tokens",
            Self::TokenBudget => "token-budget",
            Self::Upsample => "upsample",
        }
    }
}

/// The `[select]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SelectConfig {
    /// What documents are ranked by, inside their domain: `influence`; `corrected`, without what base loss, compression and length, or
    /// `correct_for`, explain; `loss`, lowest first; `compression` and `copied`,
    /// greatest first; `random`; `column:NAME`, a numeric column of the corpus, greatest first, or
    /// `column:NAME:ascending`; `rank-sum`.
    pub rank: RankBy,
    /// Ranks that `rank-sum` adds, each with its weight, such as `{ influence = 1.0, loss = 0.5 }`. A negative weight reverses a rank.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rank_sum: BTreeMap<RankBy, f64>,
    /// What `corrected` takes off: any of `loss_base`, `compression`, `scored_tokens` and `copied`, the share of a document's tokens that follow
    /// from where the two before them stood last.
    #[serde(skip_serializing_if = "is_usual")]
    pub correct_for: Vec<Nuisance>,
    /// How the number of kept documents is determined.
    pub by: By,
    /// Share of each domain that is kept, 0 to 1, by `documents` or `tokens`.
    pub fraction: f64,
    /// Tokens over all domains: to keep under `token-budget`, to train on under `upsample`. Required there, an error elsewhere.
    pub tokens: Option<f64>,
    /// How documents are repeated under `upsample`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upsample: Option<UpsampleConfig>,
    /// Number of groups by document length, 1 to 100. The same share of each is kept, so that the lengths of the corpus are. 1 for no
    /// groups.
    pub length_strata: u32,
    /// Conditions that a scored document must meet to be ranked.
    #[serde(skip_serializing_if = "Guards::is_empty")]
    pub guards: Guards,
    /// Whether the subset gets a last column with the influence: `true` for the name `influence`, or another name.
    pub influence_column: InfluenceColumn,
    /// Other settings for single domains, by name.
    pub domains: BTreeMap<String, DomainOverride>,
}

impl Default for SelectConfig {
    fn default() -> Self {
        Self {
            rank: RankBy::Influence,
            rank_sum: BTreeMap::new(),
            correct_for: Nuisance::USUAL.to_vec(),
            by: By::Documents,
            fraction: 0.2,
            tokens: None,
            upsample: None,
            length_strata: 1,
            guards: Guards::default(),
            influence_column: InfluenceColumn::No,
            domains: BTreeMap::new(),
        }
    }
}

/// `[select.domains.NAME]`: one of `fraction` and `tokens`, or guards, or both. A token budget does not shrink for the domains that
/// are overridden.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DomainOverride {
    /// Share of this domain that is kept, 0 to 1: of its documents if `by = "documents"`, else of its tokens. 0 leaves it out.
    pub fraction: Option<f64>,
    /// Most tokens of this domain that are kept, instead of `fraction`.
    pub tokens: Option<f64>,
    /// Guards of this domain. Each replaces the general guard of the same name.
    #[serde(skip_serializing_if = "Guards::is_empty")]
    pub guards: Guards,
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

/// Whether nothing else is corrected for than usual, so that hashes of selections stay as they were.
fn is_usual(nuisances: &[Nuisance]) -> bool {
    nuisances == Nuisance::USUAL
}

/// The most stretches of document length.
const MOST_STRATA: u32 = 100;

/// What cuts by a share, as opposed to upsampling.
const CUTS: &str = "`select.by` = \"documents\", \"tokens\" or \"token-budget\"";

impl SelectConfig {
    /// Checks every number, without looking at any score.
    ///
    /// # Errors
    /// [`Error::Fraction`], [`Error::Tokens`], [`Error::NoBudget`], [`Error::UnusedBudget`], [`Error::Override`],
    /// [`Error::UnusedKey`], [`Error::Number`], [`Error::RankSum`], [`Error::Filter`].
    pub fn validate(&self) -> Result<()> {
        self.validate_ranks()?;
        self.guards.validate("select.guards")?;
        if !(1..=MOST_STRATA).contains(&self.length_strata) {
            let got = f64::from(self.length_strata);
            return Err(Error::number("select.length_strata", got, "a whole number from 1 to 100"));
        }
        if self.by == By::Upsample {
            self.validate_upsample()?;
        } else {
            if self.upsample.is_some() {
                return Err(Error::unused("select.upsample", "select.by = \"upsample\""));
            }
            self.default_share()?;
        }
        self.domains.iter().try_for_each(|(domain, rule)| self.validate_override(domain, rule))
    }

    fn validate_ranks(&self) -> Result<()> {
        if self.correct_for.is_empty() {
            return Err(Error::CorrectForNothing);
        }
        if self.rank != RankBy::RankSum {
            return if self.rank_sum.is_empty() {
                Ok(())
            } else {
                Err(Error::unused("select.rank_sum", "select.rank = \"rank-sum\""))
            };
        }
        if self.rank_sum.contains_key(&RankBy::RankSum) {
            return Err(Error::RankSum { problem: "`rank-sum` cannot add itself up".to_owned() });
        }
        if self.rank_sum.is_empty() {
            let problem = "it names no rank; write for example `influence = 1.0` and `loss = 0.5` there".to_owned();
            return Err(Error::RankSum { problem });
        }
        match self.rank_sum.iter().find(|(_, weight)| !weight.is_finite() || **weight == 0.0) {
            Some((rank, weight)) => {
                Err(Error::number(&format!("select.rank_sum.{rank}"), *weight, "a weight other than 0"))
            }
            None => Ok(()),
        }
    }

    fn validate_upsample(&self) -> Result<()> {
        if self.length_strata > 1 {
            return Err(Error::unused("select.length_strata", CUTS));
        }
        self.token_target()?;
        self.upsample.clone().unwrap_or_default().validate()
    }

    fn validate_override(&self, domain: &str, rule: &DomainOverride) -> Result<()> {
        rule.guards.validate(&format!("select.domains.{domain}.guards"))?;
        let shares = [("fraction", rule.fraction), ("tokens", rule.tokens)];
        let share = shares.into_iter().find_map(|(name, share)| share.map(|_| name));
        match share {
            // upsampling has one curve for all domains
            Some(name) if self.by == By::Upsample => {
                Err(Error::unused(&format!("select.domains.{domain}.{name}"), CUTS))
            }
            None if rule.guards.is_empty() => Err(Error::Override { domain: domain.to_owned() }),
            None if self.by == By::Upsample => Ok(()),
            _ => self.share(domain).map(drop),
        }
    }

    /// Whether a selection depends on the run's seed.
    pub(crate) fn draws(&self) -> bool {
        matches!(self.rank, RankBy::Random | RankBy::Corrected | RankBy::RankSum) || self.length_strata > 1
    }

    /// The share that `domain` is asked to keep; where the cut is not by a share, the default one.
    #[must_use]
    pub fn fraction_of(&self, domain: &str) -> f64 {
        self.domains.get(domain).and_then(|rule| rule.fraction).unwrap_or(self.fraction)
    }

    /// The guards of `domain`.
    pub(crate) fn guards_of(&self, domain: &str) -> Guards {
        match self.domains.get(domain) {
            Some(rule) => rule.guards.over(&self.guards),
            None => self.guards.clone(),
        }
    }

    /// The tokens that upsampling reaches.
    pub(crate) fn token_target(&self) -> Result<u64> {
        self.tokens
            .map_or(Err(Error::NoBudget { by: self.by.as_str() }), |tokens| whole_tokens("select.tokens", tokens))
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
            (None, None) => self.default_share(),
            (Some(_), Some(_)) => Err(Error::Override { domain: domain.to_owned() }),
        }
    }

    fn default_share(&self) -> Result<Share> {
        let fraction = Fraction::new("select.fraction", self.fraction)?;
        match (self.by, self.tokens) {
            (By::Documents, None) => Ok(Share::Documents(fraction)),
            (By::Tokens, None) => Ok(Share::Tokens(fraction)),
            (By::TokenBudget | By::Upsample, _) => self.token_target().map(Share::Budget),
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
        assert!(SelectConfig::default().validate().is_ok());
        for fraction in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(matches!(with(fraction, By::Documents, None).validate(), Err(Error::Fraction { .. })));
        }
        for tokens in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e19] {
            assert!(matches!(with(0.2, By::TokenBudget, Some(tokens)).validate(), Err(Error::Tokens { .. })));
        }
        assert!(matches!(with(0.2, By::TokenBudget, None).validate(), Err(Error::NoBudget { .. })));
        assert!(matches!(with(0.2, By::Tokens, Some(5.0)).validate(), Err(Error::UnusedBudget)));
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
        assert!(matches!(both.validate(), Err(Error::Override { .. })));
    }
}
