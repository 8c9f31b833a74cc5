//! Who is ranked: documents with a finite influence, whatever the rank, that no guard keeps out.

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
pub(crate) enum Standing {
    Ranked,
    /// It has no finite influence.
    Unscored,
    /// The guard of this index keeps it out.
    Guarded(usize),
}

/// The rows of a unit, each with its domain, tokens and standing.
pub(crate) struct Roll {
    pub(crate) domains: Domains,
    pub(crate) tokens: Vec<u32>,
    pub(crate) influence: Vec<f32>,
    pub(crate) standing: Vec<Standing>,
}

impl Population {
    /// The population that the guards of `config` leave.
    pub(crate) fn new(config: &SelectConfig, seed: u64) -> Result<Self> {
        let own = config.domains.iter().filter(|(_, rule)| !rule.guards.is_empty());
        let others = own.map(|(domain, _)| Ok((domain.clone(), Guarding::new(config.guards_of(domain))?)));
        Ok(Self { seed, usual: Guarding::new(config.guards.clone())?, others: others.collect::<Result<_>>()? })
    }

    /// The sidecar columns that [`Population::roll`] reads.
    pub(crate) fn columns(&self) -> Vec<&'static str> {
        let mut columns = vec![column::DOMAIN, column::TOKENS, column::INFLUENCE];
        columns.extend(std::iter::once(&self.usual).chain(self.others.values()).flat_map(Guarding::columns));
        columns
    }

    /// Calls the roll of a unit's rows.
    pub(crate) fn roll(&self, rows: &UnitRows<'_>) -> Result<Roll> {
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
        let standing = influence.iter().zip(guarded).map(|(influence, guarded)| match guarded {
            _ if !influence.is_finite() => Standing::Unscored,
            Some(guard) => Standing::Guarded(guard),
            None => Standing::Ranked,
        });
        Ok(Roll { standing: standing.collect(), domains, tokens, influence })
    }
}

impl Roll {
    /// The rows that may be ranked, each with its domain.
    pub(crate) fn ranked(&self) -> impl Iterator<Item = (usize, &Arc<str>)> {
        let ranked = self.standing.iter().enumerate().filter(|(_, standing)| **standing == Standing::Ranked);
        ranked.map(|(row, _)| (row, self.domains.name(row)))
    }
}
