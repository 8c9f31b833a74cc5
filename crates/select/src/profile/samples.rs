//! The documents of a profile that people look at.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_record::profile::{Sample, SampleSet};

use super::DomainCounts;
use super::counting::{Places, Rankings};
use crate::Result;
use crate::compare::NamedSelection;
use crate::config::RankBy;
use crate::correction::{COLUMNS, observations};
use crate::explore::Explored;
use crate::membership::Member;
use crate::rows::UnitRows;
use crate::scan::Scores;
use crate::search::Ranked;
use crate::shown::{Leaders, Shown, read_shown};

/// Characters of a text that are shown, as far as the page has room.
const CHARACTERS: usize = 20_000;

/// A document: its unit, and its row in it.
type Document = (usize, u64);

/// What is known of the documents that are shown.
struct Gallery {
    shown: BTreeMap<Document, Shown>,
    standings: BTreeMap<Document, Standing>,
}

/// What the selection says of a document.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    /// Corrected influence.
    corrected: Option<f32>,
    is_kept: bool,
    /// The first explored cut that keeps it.
    kept_from: Option<usize>,
}

/// Reads what is shown of each domain: by the first selection's rank, by influence and by corrected influence.
pub(super) fn sets(
    scores: &Scores<'_>,
    rankings: Rankings<'_>,
    explored: &Explored,
    counts: &DomainCounts,
) -> Result<BTreeMap<Arc<str>, Vec<SampleSet>>> {
    let side_by_side = [RankBy::Influence, RankBy::Corrected].map(|rank| rank.to_string());
    let is_wanted = |(at, arm): &(usize, &NamedSelection)| *at == 0 || side_by_side.contains(&arm.selection.file.rank);
    let wanted: Vec<(usize, &NamedSelection)> = rankings.arms.iter().enumerate().filter(is_wanted).collect();
    let spread = |name| explored.spread.get(name).map_or(&[][..], Vec::as_slice);
    let mut documents: Vec<Document> = Vec::new();
    for (name, counts) in counts {
        let places = wanted.iter().map(|(at, _)| &counts.places[*at]);
        let leaders = places.flat_map(|Places { top, above, below, bottom }| [top, above, below, bottom]);
        let ranked = leaders.flat_map(Leaders::iter).chain(spread(name));
        documents.extend(ranked.map(|ranked| (ranked.unit, ranked.offset)));
    }
    let gallery = Gallery {
        standings: standings(scores, rankings, explored, &documents)?,
        shown: read_shown(scores, documents, CHARACTERS)?,
    };
    let sets = counts.iter().map(|(name, counts)| {
        let set = |(at, arm): &(usize, &NamedSelection)| {
            let spread = if *at == 0 { spread(name) } else { &[] };
            gallery.set(arm, &counts.places[*at], spread)
        };
        (name.clone(), wanted.iter().map(set).collect())
    });
    Ok(sets.collect())
}

impl Gallery {
    fn set(&self, arm: &NamedSelection, places: &Places, spread: &[Ranked]) -> SampleSet {
        let sample = |ranked: &Ranked| {
            let value = arm.selection.membership.rank.shown_value(ranked.key);
            self.sample((ranked.unit, ranked.offset), value)
        };
        let list = |leaders: &Leaders| -> Vec<Sample> { leaders.iter().filter_map(sample).collect() };
        let has_one_cut = arm.selection.file.domains.iter().all(|domain| domain.strata.is_empty());
        let at_cut = |leaders: &Leaders| if has_one_cut { list(leaders) } else { Vec::new() };
        SampleSet {
            rank: arm.selection.file.rank.clone(),
            top: list(&places.top),
            above: at_cut(&places.above),
            below: at_cut(&places.below),
            bottom: list(&places.bottom),
            spread: spread.iter().filter_map(sample).collect(),
        }
    }

    fn sample(&self, document: Document, value: f64) -> Option<Sample> {
        let Shown { address, id, scores, text } = self.shown.get(&document)?.clone();
        let Standing { corrected, is_kept, kept_from } = self.standings.get(&document).copied().unwrap_or_default();
        let finite = |value: f32| Some(value).filter(|value| value.is_finite());
        Some(Sample {
            address,
            id,
            value,
            influence: scores.influence,
            influence_stderr: finite(scores.influence_stderr),
            corrected: corrected.and_then(finite),
            loss_base: scores.loss_base,
            compression: scores.compression,
            tokens: scores.tokens,
            is_kept,
            kept_from,
            is_cut_off: text.as_ref().is_some_and(|text| text.is_cut_off),
            text: text.map(|text| text.text),
        })
    }
}

/// What the first selection says of some documents.
fn standings(
    scores: &Scores<'_>,
    Rankings { arms, corrected }: Rankings<'_>,
    explored: &Explored,
    documents: &[Document],
) -> Result<BTreeMap<Document, Standing>> {
    let mut units: Vec<usize> = documents.iter().map(|(unit, _)| *unit).collect();
    units.sort_unstable();
    units.dedup();
    let membership = &arms[0].selection.membership;
    let digest = |rows: &UnitRows<'_>| {
        let (domains, observations) = (rows.domains()?, observations(rows, corrected.nuisances)?);
        let buckets = |members: Vec<Member>| -> BTreeMap<usize, Option<usize>> {
            members.into_iter().map(|member| (member.row, member.bucket)).collect()
        };
        let kept = buckets(membership.members(rows)?);
        let kept_from = buckets(membership.members_under(&explored.cuts, rows)?);
        let in_unit = documents.iter().filter(|(unit, _)| *unit == rows.index);
        let each = in_unit.filter_map(|document| {
            let row = usize::try_from(document.1).ok()?;
            let corrected = observations[row].map(|observation| corrected.of(domains.name(row), &observation));
            let bucket = |of: &BTreeMap<usize, Option<usize>>| of.get(&row).copied().flatten();
            let standing = Standing {
                #[expect(clippy::cast_possible_truncation, reason = "shown to four digits")]
                corrected: corrected.map(|corrected| corrected as f32),
                is_kept: bucket(&kept).is_some(),
                kept_from: bucket(&kept_from),
            };
            Some((*document, standing))
        });
        Ok(each.collect::<Vec<_>>())
    };
    let mut standings = BTreeMap::new();
    scores.scan(&units, membership.columns().into_iter().chain(COLUMNS), digest, |_, each| {
        standings.extend(each);
        Ok(())
    })?;
    Ok(standings)
}
