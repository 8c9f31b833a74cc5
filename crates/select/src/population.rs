//! What is ranked: documents with a finite influence, whatever the rank, that no guard keeps out.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_record::sidecar::column;

use crate::Result;
use crate::config::SelectConfig;
use crate::guards::Guarding;
use crate::rows::{Domains, UnitRows};

/// The documents that may be ranked.
#[derive(Debug)]
pub(crate) struct Population {
    /// The seed of the run: decides draws.
    pub(crate) seed: u64,
    usual: Guarding,
    /// Domains with guards of their own.
    others: BTreeMap<String, Guarding>,
}

/// Whether a row may be ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eligibility {
    Ranked,
    /// It has no finite influence.
    Unscored,
    /// The guard of this index keeps it out.
    Guarded(usize),
}

/// The rows of a unit, each with its domain, tokens and eligibility.
pub(crate) struct PopulationRows {
    pub(crate) domains: Domains,
    pub(crate) tokens: Vec<u32>,
    pub(crate) influence: Vec<f32>,
    pub(crate) eligibility: Vec<Eligibility>,
}

impl Population {
    /// The population that the guards of `config` leave.
    pub(crate) fn new(config: &SelectConfig, seed: u64) -> Result<Self> {
        let own = config.domains.iter().filter(|(_, rule)| !rule.guards.is_empty());
        let others = own.map(|(domain, _)| Ok((domain.clone(), Guarding::new(config.guards_of(domain))?)));
        Ok(Self { seed, usual: Guarding::new(config.guards.clone())?, others: others.collect::<Result<_>>()? })
    }

    /// The sidecar columns that [`Population::rows`] reads.
    pub(crate) fn columns(&self) -> Vec<&'static str> {
        let mut columns = vec![column::DOMAIN, column::TOKENS, column::INFLUENCE];
        columns.extend(std::iter::once(&self.usual).chain(self.others.values()).flat_map(Guarding::columns));
        columns
    }

    /// Says of each row of a unit whether it may be ranked.
    pub(crate) fn rows(&self, rows: &UnitRows<'_>) -> Result<PopulationRows> {
        let (domains, tokens) = (rows.domains()?, rows.counts(column::TOKENS)?);
        let influence = rows.floats(column::INFLUENCE)?;
        let mut guarded = self.usual.verdicts(rows, &tokens)?;
        for (index, name) in (0_u32..).zip(&domains.names) {
            if let Some(own) = self.others.get(&**name) {
                let verdicts = own.verdicts(rows, &tokens)?;
                let of_domain = domains.of.iter().enumerate().filter(|(_, of)| **of == index);
                of_domain.for_each(|(row, _)| guarded[row] = verdicts[row]);
            }
        }
        let eligibility = influence.iter().zip(guarded).map(|(influence, guarded)| match guarded {
            _ if !influence.is_finite() => Eligibility::Unscored,
            Some(guard) => Eligibility::Guarded(guard),
            None => Eligibility::Ranked,
        });
        Ok(PopulationRows { eligibility: eligibility.collect(), domains, tokens, influence })
    }
}

impl PopulationRows {
    /// The rows that may be ranked, each with its domain.
    pub(crate) fn ranked(&self) -> impl Iterator<Item = (usize, &Arc<str>)> {
        let ranked =
            self.eligibility.iter().enumerate().filter(|(_, eligibility)| **eligibility == Eligibility::Ranked);
        ranked.map(|(row, _)| (row, self.domains.name(row)))
    }
}
