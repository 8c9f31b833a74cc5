//! Documents that people are to look at: the first or last of a ranking, with ids and texts.

use std::collections::BTreeMap;

use headwater_corpus::BeginningText;
use headwater_record::DocumentAddress;
use headwater_record::sidecar::column;

use crate::Result;
use crate::rows::UnitRows;
use crate::scan::Scores;
use crate::search::Ranked;

/// The first or the last few documents of a ranking.
#[derive(Clone, Debug)]
pub(crate) struct Leaders {
    /// In the order of the ranking.
    held: Vec<Ranked>,
    most: usize,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    First,
    Last,
}

impl Leaders {
    /// The first `most` that are offered, by rank.
    pub(crate) const fn first(most: usize) -> Self {
        Self { held: Vec::new(), most, end: End::First }
    }

    /// The last `most` that are offered, by rank.
    pub(crate) const fn last(most: usize) -> Self {
        Self { held: Vec::new(), most, end: End::Last }
    }

    pub(crate) fn offer(&mut self, document: Ranked) {
        let place = self.held.partition_point(|held| document.is_after(held));
        if self.held.len() < self.most {
            self.held.insert(place, document);
        } else if self.end == End::First && place < self.most {
            self.held.pop();
            self.held.insert(place, document);
        } else if self.end == End::Last && place > 0 {
            self.held.insert(place, document);
            self.held.remove(0);
        }
    }

    /// Those held, in the order of the ranking.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Ranked> {
        self.held.iter()
    }
}

/// A document, as people see it.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) address: DocumentAddress,
    pub(crate) id: Option<String>,
    pub(crate) scores: ShownScores,
    /// The beginning of its text, if that can be read.
    pub(crate) text: Option<BeginningText>,
}

/// What its sidecar says of a document.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ShownScores {
    pub(crate) tokens: u32,
    pub(crate) influence: f32,
    pub(crate) influence_stderr: f32,
    pub(crate) loss_base: f32,
    pub(crate) compression: f32,
}

/// Reads documents at (unit, row of the unit), with the first `characters` of their texts.
///
/// A text that cannot be read is left out with a warning: what is shown of scores does not depend on it.
pub(crate) fn read_shown(
    scores: &Scores<'_>,
    documents: impl IntoIterator<Item = (usize, u64)>,
    characters: usize,
) -> Result<BTreeMap<(usize, u64), Shown>> {
    let mut wanted: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    documents.into_iter().for_each(|(unit, row)| wanted.entry(unit).or_default().push(row));
    wanted.values_mut().for_each(|rows| {
        rows.sort_unstable();
        rows.dedup();
    });
    let columns = [
        column::ID,
        column::TOKENS,
        column::INFLUENCE,
        column::INFLUENCE_STDERR,
        column::LOSS_BASE,
        column::COMPRESSION,
    ];
    let digest = |rows: &UnitRows<'_>| {
        let wanted = wanted.get(&rows.index).map_or(&[][..], Vec::as_slice);
        let texts = rows.sidecars.source_texts(rows.unit, wanted, characters).unwrap_or_else(|error| {
            tracing::warn!("texts of {} cannot be shown: {error}", rows.unit.address(0));
            vec![None; wanted.len()]
        });
        let ids = rows.ids(wanted)?;
        let tokens = rows.counts(column::TOKENS)?;
        let (influence, stderr) = (rows.floats(column::INFLUENCE)?, rows.floats(column::INFLUENCE_STDERR)?);
        let (loss, compression) = (rows.floats(column::LOSS_BASE)?, rows.floats(column::COMPRESSION)?);
        let shown = wanted.iter().zip(ids).zip(texts).map(|((&row, id), text)| {
            let at = usize::try_from(row).unwrap_or_default();
            let scores = ShownScores {
                tokens: tokens[at],
                influence: influence[at],
                influence_stderr: stderr[at],
                loss_base: loss[at],
                compression: compression[at],
            };
            (row, Shown { address: rows.unit.address(row), id, scores, text })
        });
        Ok(shown.collect::<Vec<_>>())
    };
    let units: Vec<usize> = wanted.keys().copied().collect();
    let mut all = BTreeMap::new();
    scores.scan(&units, columns, digest, |unit, shown| {
        all.extend(shown.into_iter().map(|(row, shown)| ((unit, row), shown)));
        Ok(())
    })?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_held_in_order() {
        let (mut first, mut last) = (Leaders::first(2), Leaders::last(2));
        for (offset, key) in [5, 9, 5, 1, 7].into_iter().enumerate() {
            let document = Ranked { key, unit: 0, offset: offset as u64 };
            first.offer(document);
            last.offer(document);
        }
        let places = |leaders: &Leaders| leaders.iter().map(|held| (held.key, held.offset)).collect::<Vec<_>>();
        assert_eq!(places(&first), [(9, 1), (7, 4)]);
        assert_eq!(places(&last), [(5, 2), (1, 3)]);
    }
}
