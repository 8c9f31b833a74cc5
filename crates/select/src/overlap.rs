//! How much two selections of the same documents share, whatever scores and units they are made from.
//!
//! Documents are known by shard and row. A bit for every row of the first selection's sidecars is held in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_record::comparison::DomainOverlap;
use headwater_record::{ShardId, TokenCount};
use headwater_run::Unit;

use crate::Result;
use crate::cut::{Rule, Selection, cut};
use crate::membership::Member;
use crate::rows::{Domains, UnitRows};
use crate::scan::Scores;
use crate::search::Tally;
use crate::sidecars::Sidecars;

/// Rows of a unit, a bit each.
struct KeptRows {
    first_row: u64,
    bits: Vec<u64>,
}

impl KeptRows {
    fn of(unit: &Unit, kept: &[usize]) -> Self {
        let mut rows = Self { first_row: unit.key.first_row, bits: Vec::new() };
        for row in kept {
            if rows.bits.len() <= row / 64 {
                rows.bits.resize(row / 64 + 1, 0);
            }
            rows.bits[row / 64] |= 1 << (row % 64);
        }
        rows
    }

    fn holds(&self, row: u64) -> bool {
        let at = row.checked_sub(self.first_row).and_then(|at| usize::try_from(at).ok());
        at.is_some_and(|at| self.bits.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1))
    }
}

/// Cuts each of two runs by its own rule and counts the documents that both keep, by the domains of the second. Writes nothing.
///
/// # Units
/// Tokens are those of the second run's model.
///
/// # Errors
/// As [`cut()`].
pub fn overlap(runs: [(&dyn Sidecars, Rule<'_>); 2], on_progress: &(dyn Fn(u64) + Sync)) -> Result<Vec<DomainOverlap>> {
    let [one, other] = runs;
    let mut kept: BTreeMap<ShardId, Vec<KeptRows>> = BTreeMap::new();
    each_unit(one, on_progress, |unit, members, _| {
        let rows: Vec<usize> = members.iter().map(|member| member.row).collect();
        if !rows.is_empty() {
            kept.entry(unit.key.shard.clone()).or_default().push(KeptRows::of(unit, &rows));
        }
    })?;
    kept.values_mut().for_each(|units| units.sort_by_key(|rows| rows.first_row));
    let mut shared: BTreeMap<Arc<str>, Tally> = BTreeMap::new();
    each_unit(other, on_progress, |unit, members, domains| {
        let units = kept.get(&unit.key.shard).map_or(&[][..], Vec::as_slice);
        for member in members {
            let row = unit.key.first_row + member.row as u64;
            let after = units.partition_point(|rows| rows.first_row <= row);
            let is_shared = after.checked_sub(1).is_some_and(|at| units[at].holds(row));
            let tally = shared.entry(domains.names[member.domain as usize].clone()).or_default();
            if is_shared {
                tally.count(member.tokens);
            }
        }
    })?;
    let domain = |(name, tally): (Arc<str>, Tally)| DomainOverlap {
        domain: name.to_string(),
        shared_documents: tally.documents,
        shared_tokens: TokenCount(tally.tokens),
    };
    Ok(shared.into_iter().map(domain).collect())
}

/// Cuts a run and visits every unit with the documents that are kept of it.
fn each_unit(
    (sidecars, rule): (&dyn Sidecars, Rule<'_>),
    on_progress: &(dyn Fn(u64) + Sync),
    mut visit: impl FnMut(&Unit, Vec<Member>, &Domains),
) -> Result<()> {
    let Selection { membership, .. } = cut(sidecars, rule, on_progress)?;
    let digest = |rows: &UnitRows<'_>| {
        let mut members = membership.members(rows)?;
        members.retain(|member| member.bucket.is_some());
        Ok((members, rows.domains()?))
    };
    let scores = Scores { sidecars, on_progress };
    scores.scan_all(membership.columns(), digest, |at, (members, domains)| {
        visit(&sidecars.units()[at], members, &domains);
        Ok(())
    })
}
