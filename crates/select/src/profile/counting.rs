//! The one reading in which histograms and densities are filled, and the documents to be shown are found.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{DomainCounts, Grids};
use crate::Result;
use crate::compare::NamedSelection;
use crate::correction::{COLUMNS, Observation, observations};
use crate::membership::Member;
use crate::population::Population;
use crate::rank::Corrected;
use crate::rows::{Domains, UnitRows};
use crate::scan::Scores;
use crate::search::Ranked;
use crate::shown::Leaders;

/// Documents shown at each of the four places of a ranking.
const SHOWN: usize = 6;

/// What is counted of one domain: pairs are of all ranked documents and of the kept ones.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    pub(super) value: [Vec<u64>; 2],
    pub(super) controls: [[Vec<u64>; 2]; 3],
    /// Raw and corrected by nuisance: `(row, column)`.
    pub(super) densities: [Vec<Vec<Vec<u64>>>; 2],
    /// By selection.
    pub(super) places: Vec<Places>,
}

/// The documents to be shown of one ranking.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) top: Leaders,
    pub(super) above: Leaders,
    pub(super) below: Leaders,
    pub(super) bottom: Leaders,
}

impl Counts {
    fn new(grids: &Grids, selections: usize) -> Self {
        let pair = |bins: usize| [vec![0; bins], vec![0; bins]];
        let density = |row: usize, at: usize| vec![vec![0; grids.nuisances[at].bins()]; grids.influences[row].bins()];
        let places = Places {
            top: Leaders::first(SHOWN),
            above: Leaders::last(SHOWN),
            below: Leaders::first(SHOWN),
            bottom: Leaders::last(SHOWN),
        };
        Self {
            value: pair(grids.value.bins()),
            controls: [0, 1, 2].map(|at: usize| pair(grids.controls[at].bins())),
            densities: [0, 1].map(|row| (0..grids.nuisances.len()).map(|at| density(row, at)).collect()),
            places: vec![places; selections],
        }
    }

    fn count(&mut self, grids: &Grids, document: &Document) {
        let kinds = if document.is_kept { 0..2 } else { 0..1 };
        let [loss, compression, ..] = document.observation.nuisances;
        for kind in kinds {
            self.value[kind][grids.value.bin(document.value)] += 1;
            let lengths = [libm::log(f64::from(document.tokens.max(1))), loss, compression];
            for ((counts, grid), value) in self.controls.iter_mut().zip(&grids.controls).zip(lengths) {
                counts[kind][grid.bin(value)] += 1;
            }
        }
        let influences = [document.observation.influence, document.corrected];
        for ((cells, grid), influence) in self.densities.iter_mut().zip(&grids.influences).zip(influences) {
            let row = grid.bin(influence);
            for ((counts, grid), nuisance) in cells.iter_mut().zip(&grids.nuisances).zip(document.observation.nuisances)
            {
                counts[row][grid.bin(nuisance)] += 1;
            }
        }
    }
}

/// A ranked document.
struct Document {
    value: f64,
    corrected: f64,
    observation: Observation,
    tokens: u32,
    is_kept: bool,
}

/// A unit as the profile sees it.
struct Seen {
    domains: Domains,
    observations: Vec<Option<Observation>>,
    /// By selection.
    members: Vec<Vec<Member>>,
}

/// What documents are ranked by.
#[derive(Clone, Copy)]
pub(super) struct Rankings<'a> {
    pub(super) arms: &'a [NamedSelection],
    pub(super) corrected: &'a Corrected,
}

/// Reads everything once; the first of `arms` is what kept documents and values are by.
pub(super) fn count(
    scores: &Scores<'_>,
    population: &Population,
    Rankings { arms, corrected }: Rankings<'_>,
    grids: &BTreeMap<Arc<str>, Grids>,
) -> Result<DomainCounts> {
    let new = |(name, grids): (&Arc<str>, &Grids)| (name.clone(), Counts::new(grids, arms.len()));
    let mut counts: DomainCounts = grids.iter().map(new).collect();
    let columns = arms.iter().flat_map(|arm| arm.selection.membership.columns());
    let columns = columns.chain(population.columns()).chain(COLUMNS);
    let digest = |rows: &UnitRows<'_>| {
        Ok(Seen {
            domains: rows.domains()?,
            observations: observations(rows, corrected.nuisances)?,
            members: arms.iter().map(|arm| arm.selection.membership.members(rows)).collect::<Result<_>>()?,
        })
    };
    scores.scan_all(columns, digest, |unit, seen| {
        for (arm, members) in seen.members.iter().enumerate() {
            for member in members {
                let name = &seen.domains.names[member.domain as usize];
                let (Some(counts), Some(grids)) = (counts.get_mut(name), grids.get(name)) else { continue };
                let ranked = Ranked { key: member.key, unit, offset: member.row as u64 };
                counts.places[arm].offer(ranked, member.bucket.is_some());
                let Some(observation) = seen.observations[member.row].filter(|_| arm == 0) else { continue };
                let document = Document {
                    value: arms[0].selection.membership.rank.shown_value(member.key),
                    corrected: corrected.of(name, &observation),
                    observation,
                    tokens: member.tokens,
                    is_kept: member.bucket.is_some(),
                };
                counts.count(grids, &document);
            }
        }
        Ok(())
    })?;
    Ok(counts)
}

impl Places {
    fn offer(&mut self, document: Ranked, is_kept: bool) {
        self.top.offer(document);
        self.bottom.offer(document);
        if is_kept {
            self.above.offer(document);
        } else {
            self.below.offer(document);
        }
    }
}
