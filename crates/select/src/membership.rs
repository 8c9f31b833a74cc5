//! Which documents a selection keeps, and in which bucket.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_record::DocumentAddress;
use headwater_record::sidecar::column;
use headwater_run::Unit;

use crate::population::{Eligibility, Population};
use crate::rank::Rank;
use crate::rows::UnitRows;
use crate::search::Outcome;
use crate::strata::Strata;
use crate::{Error, Result};

/// The cuts of a selection, ready to be asked.
#[derive(Debug)]
pub struct Membership {
    pub(crate) index: BTreeMap<Arc<str>, usize>,
    pub(crate) strata: Strata,
    /// By group, then bucket: the last document of each, the best bucket first.
    pub(crate) cuts: Vec<Vec<Option<Cut>>>,
    pub(crate) rank: Box<dyn Rank>,
    pub(crate) population: Population,
}

/// The last document that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(crate) key: u32,
    pub(crate) address: DocumentAddress,
}

/// A document of a unit, as a selection sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    /// Its row in the unit.
    pub(crate) row: usize,
    /// Index of its name among those of the unit.
    pub(crate) domain: u32,
    pub(crate) key: u32,
    pub(crate) tokens: u32,
    pub(crate) influence: f32,
    /// The bucket it is kept in; 0 if there are none; `None` if it is dropped.
    pub(crate) bucket: Option<usize>,
}

impl Membership {
    /// The sidecar columns that [`Membership::members`] reads.
    pub(crate) fn columns(&self) -> Vec<&'static str> {
        let mut columns = self.population.columns();
        columns.push(column::INFLUENCE);
        columns.extend(self.rank.columns());
        columns
    }

    /// The ranked documents of a unit, in order.
    pub(crate) fn members(&self, rows: &UnitRows<'_>) -> Result<Vec<Member>> {
        self.members_under(&self.cuts, rows)
    }

    /// The same under other nested cuts of the same ranking: by group, the one that keeps least first.
    pub(crate) fn members_under(&self, cuts: &[Vec<Option<Cut>>], rows: &UnitRows<'_>) -> Result<Vec<Member>> {
        let (population_rows, keys) = (self.population.rows(rows)?, self.rank.keys(rows)?);
        let names = &population_rows.domains.names;
        let domains = names
            .iter()
            .map(|name| self.index.get(name).copied().ok_or_else(|| Error::Changed { domain: name.to_string() }));
        let domains = domains.collect::<Result<Vec<_>>>()?;
        let mut members = Vec::new();
        for (row, (key, eligibility)) in keys.into_iter().zip(&population_rows.eligibility).enumerate() {
            let (Some(key), Eligibility::Ranked) = (key, eligibility) else { continue };
            let (domain, tokens) = (population_rows.domains.of[row], population_rows.tokens[row]);
            let of = domain as usize;
            let group = domains[of] * self.strata.count() + self.strata.of(&names[of], tokens);
            let keeps =
                |cut: &Option<Cut>| cut.as_ref().is_some_and(|cut| cut.keeps(key, || rows.unit.address(row as u64)));
            let first = cuts[group].partition_point(|cut| !keeps(cut));
            let bucket = (first < cuts[group].len()).then_some(first);
            members.push(Member { row, domain, key, tokens, influence: population_rows.influence[row], bucket });
        }
        Ok(members)
    }
}

impl Cut {
    /// The cut of what a goal keeps.
    pub(crate) fn of(outcome: &Outcome, units: &[Unit]) -> Option<Self> {
        outcome.cut.map(|cut| Self { key: cut.key, address: units[cut.unit].address(cut.offset) })
    }

    fn keeps(&self, key: u32, address: impl FnOnce() -> DocumentAddress) -> bool {
        key > self.key || (key == self.key && address() <= self.address)
    }
}
