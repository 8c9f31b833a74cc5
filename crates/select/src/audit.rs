//! Documents on both sides of a cut, and on which side a changed text of theirs would be.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use headwater_record::sidecar::column;
use headwater_record::{ContentHash, DocumentAddress};
use headwater_run::sidecar::batch;
use headwater_run::{SidecarFooter, SidecarRow, Unit};

use crate::compare::{NamedRule, NamedSelection, will_read};
use crate::cut::{Rule, cut};
use crate::draws::{Purpose, draws};
use crate::membership::Member;
use crate::rows::{Domains, UnitRows};
use crate::scan::Scores;
use crate::sidecars::Sidecars;
use crate::{Error, Result};

/// A document of an audit.
#[derive(Clone, Debug)]
pub struct AuditedDocument {
    /// Its domain.
    pub domain: String,
    /// Its id.
    pub id: Option<String>,
    /// Its text.
    pub text: String,
    /// Its influence.
    pub influence: f32,
    /// Whether each rule keeps it.
    pub kept: Vec<bool>,
    /// Its unit, cut down to its row.
    unit: Unit,
}

impl AuditedDocument {
    /// Where it is.
    #[must_use]
    pub fn address(&self) -> DocumentAddress {
        self.unit.address(0)
    }
}

/// Documents that were drawn on both sides of a cut.
pub struct Audit<'a> {
    sidecars: &'a dyn Sidecars,
    arms: Vec<NamedSelection>,
    /// The documents.
    pub documents: Vec<AuditedDocument>,
}

/// A document that may be drawn. Those with the lowest draws are, so that comes first in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    draw: u32,
    unit: usize,
    row: u64,
    influence_bits: u32,
}

/// A side of the cut of a domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Side {
    domain: Arc<str>,
    is_kept: bool,
}

impl<'a> Audit<'a> {
    /// Cuts `sidecars` by each of `rules` and draws up to `each` documents above and below the first one's cut in every domain.
    ///
    /// A further rule that cannot be cut by is left out with a warning. `on_progress` is as for [`cut()`].
    ///
    /// # Errors
    /// As [`cut()`] by the first rule; what keeps texts from being read.
    ///
    /// # Determinism
    /// The same scores, rules and seed give the same documents.
    pub fn draw(
        sidecars: &'a dyn Sidecars,
        rules: &[NamedRule],
        (seed, each): (u64, usize),
        on_progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Self> {
        rules.iter().try_for_each(|rule| will_read(sidecars, Rule { config: &rule.config, seed }))?;
        let mut arms = Vec::new();
        for NamedRule { name, config } in rules {
            match cut(sidecars, Rule { config, seed }, on_progress) {
                Ok(selection) => arms.push(NamedSelection { name: name.clone(), selection }),
                Err(error) if arms.is_empty() || error.is_transient() => return Err(error),
                Err(error) => tracing::warn!("rank `{name}` is left out of the audit: {error}"),
            }
        }
        let scores = Scores { sidecars, on_progress };
        let drawn = drawn(&scores, &arms[0], (seed, each))?;
        let documents = documents(&scores, &arms, &drawn)?;
        Ok(Self { sidecars, arms, documents })
    }

    /// The hash of the selection by the first rule.
    #[must_use]
    pub fn selection(&self) -> ContentHash {
        self.arms[0].selection.file.hash
    }

    /// The names of the rules that were cut by.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.arms.iter().map(|arm| arm.name.as_str())
    }

    /// Whether each rule would keep `document` if its row were `row`.
    ///
    /// # Errors
    /// What keeps a column of the source from being read.
    pub fn keeps(&self, document: &AuditedDocument, row: &SidecarRow) -> Result<Vec<bool>> {
        let unit = &document.unit;
        let batches = [batch(&SidecarFooter::of(unit), std::slice::from_ref(row))?];
        let rows = UnitRows { index: 0, unit, batches: &batches, sidecars: self.sidecars };
        let keeps = |arm: &NamedSelection| {
            let members = arm.selection.membership.members(&rows)?;
            Ok(members.first().is_some_and(|member| member.bucket.is_some()))
        };
        self.arms.iter().map(keeps).collect()
    }
}

/// The documents with the lowest draws on each side of every domain, in the order of their addresses.
fn drawn(scores: &Scores<'_>, arm: &NamedSelection, (seed, each): (u64, usize)) -> Result<Vec<(Candidate, Side)>> {
    let membership = &arm.selection.membership;
    let digest = |rows: &UnitRows<'_>| {
        let draws: Vec<u32> = draws(seed, rows.unit, Purpose::Sample).take(rows.len()).collect();
        Ok((membership.members(rows)?, rows.domains()?, draws))
    };
    let mut sides: BTreeMap<Side, BinaryHeap<Candidate>> = BTreeMap::new();
    let visit = |unit: usize, (members, domains, draws): (Vec<Member>, Domains, Vec<u32>)| {
        for member in members {
            let (row, influence_bits) = (member.row as u64, member.influence.to_bits());
            let side = Side { domain: domains.name(member.row).clone(), is_kept: member.bucket.is_some() };
            let heap = sides.entry(side).or_default();
            heap.push(Candidate { draw: draws[member.row], unit, row, influence_bits });
            if heap.len() > each {
                heap.pop();
            }
        }
        Ok(())
    };
    scores.scan_all(membership.columns(), digest, visit)?;
    let of_side = |(side, heap): (Side, BinaryHeap<Candidate>)| heap.into_iter().map(move |of| (of, side.clone()));
    let mut drawn: Vec<(Candidate, Side)> = sides.into_iter().flat_map(of_side).collect();
    drawn.sort_by_key(|(of, _)| (of.unit, of.row));
    Ok(drawn)
}

/// What each of `arms` keeps of some units.
fn kept(scores: &Scores<'_>, arms: &[NamedSelection], units: &[usize]) -> Result<Vec<BTreeSet<(usize, u64)>>> {
    let mut kept = vec![BTreeSet::new(); arms.len()];
    let columns = arms.iter().flat_map(|arm| arm.selection.membership.columns());
    let digest = |rows: &UnitRows<'_>| arms.iter().map(|arm| arm.selection.membership.members(rows)).collect();
    scores.scan(units, columns, digest, |unit, by_arm: Vec<Vec<Member>>| {
        for (kept, members) in kept.iter_mut().zip(by_arm) {
            kept.extend(members.iter().filter(|of| of.bucket.is_some()).map(|of| (unit, of.row as u64)));
        }
        Ok(())
    })?;
    Ok(kept)
}

/// Reads the texts of the documents that were drawn.
fn documents(
    scores: &Scores<'_>,
    arms: &[NamedSelection],
    drawn: &[(Candidate, Side)],
) -> Result<Vec<AuditedDocument>> {
    let units = scores.sidecars.units();
    let mut of_drawn: Vec<usize> = drawn.iter().map(|(of, _)| of.unit).collect();
    of_drawn.dedup();
    let kept = kept(scores, arms, &of_drawn)?;
    let mut documents = Vec::new();
    for of_unit in drawn.chunk_by(|one, other| one.0.unit == other.0.unit) {
        let unit = &units[of_unit[0].0.unit];
        let rows: Vec<u64> = of_unit.iter().map(|(of, _)| of.row).collect();
        let texts = scores.sidecars.source_texts(unit, &rows, usize::MAX)?;
        let (index, sidecars) = (of_unit[0].0.unit, scores.sidecars);
        let batches = sidecars.read(index, &[column::ID])?;
        let ids = UnitRows { index, unit, batches: &batches, sidecars }.ids(&rows)?;
        for (((of, side), text), id) in of_unit.iter().zip(texts).zip(ids) {
            let mut unit = unit.clone();
            unit.key.first_row += of.row;
            unit.key.rows = 1;
            let unread = || Error::NotPlanned { source_name: unit.source.to_string(), path: unit.path.to_string() };
            documents.push(AuditedDocument {
                domain: side.domain.to_string(),
                id,
                text: text.ok_or_else(unread)?.text,
                influence: f32::from_bits(of.influence_bits),
                kept: kept.iter().map(|kept| kept.contains(&(of.unit, of.row))).collect(),
                unit,
            });
        }
    }
    Ok(documents)
}
