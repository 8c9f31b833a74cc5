//! The documents of a profile that people look at.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_record::profile::{Sample, SampleSet};
use headwater_record::sidecar::column;

use super::DomainCounts;
use super::counting::Places;
use crate::Result;
use crate::compare::NamedSelection;
use crate::config::RankBy;
use crate::correction::{COLUMNS, observations};
use crate::rank::Corrected;
use crate::rows::UnitRows;
use crate::scan::Scores;
use crate::shown::{Leaders, Shown, read_shown};

/// Characters of a text that are shown.
const CHARACTERS: usize = 1_200;

/// A document: its unit, and its row in it.
type Document = (usize, u64);

/// What is known of the documents that are shown.
struct Gallery {
    shown: BTreeMap<Document, Shown>,
    /// Corrected influence.
    corrected: BTreeMap<Document, f32>,
}

/// Reads what is shown of each domain: by the first selection's rank, by influence and by corrected influence.
pub(super) fn sets(
    scores: &Scores<'_>,
    arms: &[NamedSelection],
    corrected: &Corrected,
    counts: &DomainCounts,
) -> Result<BTreeMap<Arc<str>, Vec<SampleSet>>> {
    let side_by_side = [RankBy::Influence, RankBy::Corrected].map(|rank| rank.to_string());
    let is_wanted = |(at, arm): &(usize, &NamedSelection)| *at == 0 || side_by_side.contains(&arm.selection.file.rank);
    let wanted: Vec<(usize, &NamedSelection)> = arms.iter().enumerate().filter(is_wanted).collect();
    let mut documents: Vec<Document> = Vec::new();
    for counts in counts.values() {
        for Places { top, above, below, bottom } in wanted.iter().map(|(at, _)| &counts.places[*at]) {
            let leaders = [top, above, below, bottom].into_iter().flat_map(Leaders::iter);
            documents.extend(leaders.map(|ranked| (ranked.unit, ranked.offset)));
        }
    }
    let gallery = Gallery {
        corrected: corrected_values(scores, corrected, &documents)?,
        shown: read_shown(scores, documents, CHARACTERS)?,
    };
    let sets = counts.iter().map(|(name, counts)| {
        let sets = wanted.iter().map(|(at, arm)| gallery.set(arm, &counts.places[*at]));
        (name.clone(), sets.collect())
    });
    Ok(sets.collect())
}

impl Gallery {
    fn set(&self, arm: &NamedSelection, places: &Places) -> SampleSet {
        let list = |leaders: &Leaders| -> Vec<Sample> {
            leaders
                .iter()
                .filter_map(|ranked| {
                    let value = arm.selection.membership.rank.shown_value(ranked.key);
                    self.sample((ranked.unit, ranked.offset), value)
                })
                .collect()
        };
        let has_one_cut = arm.selection.file.domains.iter().all(|domain| domain.strata.is_empty());
        let at_cut = |leaders: &Leaders| if has_one_cut { list(leaders) } else { Vec::new() };
        SampleSet {
            rank: arm.selection.file.rank.clone(),
            top: list(&places.top),
            above: at_cut(&places.above),
            below: at_cut(&places.below),
            bottom: list(&places.bottom),
        }
    }

    fn sample(&self, document: Document, value: f64) -> Option<Sample> {
        let Shown { address, id, scores, text } = self.shown.get(&document)?.clone();
        let finite = |value: f32| Some(value).filter(|value| value.is_finite());
        Some(Sample {
            address,
            id,
            value,
            influence: scores.influence,
            influence_stderr: finite(scores.influence_stderr),
            corrected: self.corrected.get(&document).copied().and_then(finite),
            loss_base: scores.loss_base,
            compression: scores.compression,
            tokens: scores.tokens,
            is_cut_off: text.as_ref().is_some_and(|text| text.is_cut_off),
            text: text.map(|text| text.text),
        })
    }
}

fn corrected_values(
    scores: &Scores<'_>,
    corrected: &Corrected,
    documents: &[Document],
) -> Result<BTreeMap<Document, f32>> {
    let mut units: Vec<usize> = documents.iter().map(|(unit, _)| *unit).collect();
    units.sort_unstable();
    units.dedup();
    let digest = |rows: &UnitRows<'_>| {
        let (domains, observations) = (rows.domains()?, observations(rows)?);
        let in_unit = documents.iter().filter(|(unit, _)| *unit == rows.index);
        let each = in_unit.filter_map(|document| {
            let row = usize::try_from(document.1).ok()?;
            #[expect(clippy::cast_possible_truncation, reason = "shown to four digits")]
            let value = corrected.of(domains.name(row), &observations[row]?) as f32;
            Some((*document, value))
        });
        Ok(each.collect::<Vec<_>>())
    };
    let mut values = BTreeMap::new();
    scores.scan(&units, std::iter::once(column::DOMAIN).chain(COLUMNS), digest, |_, each| {
        values.extend(each);
        Ok(())
    })?;
    Ok(values)
}
