//! Several selections of the same scores side by side: which documents of a unit each keeps.

use std::sync::Arc;

use headwater_record::ContentHash;
use headwater_record::sidecar::column;
use headwater_run::Unit;

use crate::config::SelectConfig;
use crate::cut::{Rule, Selection, cut};
use crate::rows::UnitRows;
use crate::scan::Scores;
use crate::sidecars::Sidecars;
use crate::{Result, compare};

/// A rule with a name and a seed of its own.
#[derive(Clone, Debug)]
pub struct ArmRule {
    /// What it is called.
    pub name: String,
    /// The `[select]` table.
    pub config: SelectConfig,
    /// Decides what a random rank draws.
    pub seed: u64,
}

impl ArmRule {
    const fn rule(&self) -> Rule<'_> {
        Rule { config: &self.config, seed: self.seed }
    }
}

/// A scored document and who keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmDocument {
    /// Its row in the shard.
    pub row: u64,
    /// Its domain.
    pub domain: Arc<str>,
    /// Its tokens, as they were scored.
    pub tokens: u32,
    /// The hash of its text; `None` in scores of versions that had none.
    pub text_hash: Option<u64>,
    /// Whether each selection keeps it, in the order of the rules.
    pub kept: Vec<bool>,
}

/// Selections by several rules.
pub struct Arms<'a> {
    sidecars: &'a dyn Sidecars,
    arms: Vec<(String, Selection)>,
}

impl<'a> Arms<'a> {
    /// Cuts `sidecars` by each of `rules`; `on_progress` is as for [`cut()`].
    ///
    /// # Errors
    /// As [`cut()`], of the first rule that cannot be cut by.
    pub fn cut(sidecars: &'a dyn Sidecars, rules: &[ArmRule], on_progress: &(dyn Fn(u64) + Sync)) -> Result<Self> {
        rules.iter().try_for_each(|rule| compare::will_read(sidecars, rule.rule()))?;
        let cut_by = |rule: &ArmRule| Ok((rule.name.clone(), cut(sidecars, rule.rule(), on_progress)?));
        Ok(Self { sidecars, arms: rules.iter().map(cut_by).collect::<Result<_>>()? })
    }

    /// The name of each rule and the hash of its selection.
    pub fn selections(&self) -> impl Iterator<Item = (&str, ContentHash)> {
        self.arms.iter().map(|(name, selection)| (name.as_str(), selection.file.hash))
    }

    /// The domains with the tokens that can be ranked in each, by the first rule.
    pub fn domains(&self) -> impl Iterator<Item = (&str, u64)> {
        let domains = self.arms.first().map(|(_, selection)| selection.file.domains.as_slice()).unwrap_or_default();
        domains.iter().map(|domain| (domain.domain.as_str(), domain.tokens.0))
    }

    /// The units of the scores.
    #[must_use]
    pub fn units(&self) -> &[Unit] {
        self.sidecars.units()
    }

    /// The documents of the unit at `index` that can be ranked by the first rule, in order.
    ///
    /// # Errors
    /// A sidecar that cannot be read or does not hold what its unit says.
    pub fn documents(&self, index: usize) -> Result<Vec<ArmDocument>> {
        let memberships = || self.arms.iter().map(|(_, selection)| &selection.membership);
        let columns =
            memberships().flat_map(|membership| membership.columns()).chain([column::BYTES, column::TEXT_HASH]);
        let digest = |rows: &UnitRows<'_>| {
            let members = memberships().map(|membership| membership.members(rows)).collect::<Result<Vec<_>>>()?;
            let Some(first) = members.first() else { return Ok(Vec::new()) };
            let (domains, checks) = (rows.domains()?, rows.text_checks(first.iter().map(|member| member.row))?);
            let first_row = rows.unit.key.first_row;
            let keeps = |of: &[crate::membership::Member], row: usize| {
                of.binary_search_by_key(&row, |member| member.row).is_ok_and(|at| of[at].bucket.is_some())
            };
            let document = |(member, check): (&crate::membership::Member, headwater_corpus::TextCheck)| ArmDocument {
                row: first_row + member.row as u64,
                domain: domains.name(member.row).clone(),
                tokens: member.tokens,
                text_hash: check.hash,
                kept: members.iter().map(|of| keeps(of, member.row)).collect(),
            };
            Ok(first.iter().zip(checks).map(document).collect())
        };
        let mut documents = Vec::new();
        let scores = Scores { sidecars: self.sidecars, on_progress: &|_| {} };
        scores.scan(&[index], columns, digest, |_, of_unit: Vec<ArmDocument>| {
            documents = of_unit;
            Ok(())
        })?;
        Ok(documents)
    }
}
