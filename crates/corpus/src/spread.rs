//! Small pieces from all over a plan, to know a corpus without reading it.

use headwater_record::UnitKey;

use crate::units::part_of;
use crate::{Plan, PlannedShard, PlannedSource};

/// A part of a unit, and where it belongs.
#[derive(Clone, Debug)]
pub struct Piece<'a> {
    /// Its source.
    pub source: &'a PlannedSource,
    /// Its shard.
    pub shard: &'a PlannedShard,
    /// The rows, as a unit.
    pub unit: UnitKey,
}

/// Cuts every unit of `plan` into pieces of about `piece_bytes` of text, at least a row each, and takes at most `most` of them,
/// evenly over the plan and so over sources by their text.
///
/// However early the reader stops, what was read lies evenly over the plan: the pieces come in the order of the van der Corput
/// sequence, the first, one from the middle, one from each quarter, and so on. No piece comes twice.
#[must_use]
pub fn spread(plan: &Plan, piece_bytes: u64, most: usize) -> Vec<Piece<'_>> {
    let units = plan.sources.iter().flat_map(|source| {
        source.shards.iter().flat_map(move |shard| shard.units.iter().map(move |unit| (source, shard, unit)))
    });
    let cut = |(_, shard, unit): (&PlannedSource, &PlannedShard, &UnitKey)| {
        let bytes = shard.text_bytes(unit).0;
        bytes.div_ceil(piece_bytes.max(1)).max(1).min(unit.rows)
    };
    let all: u64 = units.clone().map(cut).sum();
    let taken = all.min(most.max(1) as u64);
    let wanted = |index: u64| u64::try_from(u128::from(index) * u128::from(all) / u128::from(taken.max(1)));
    let mut pieces = Vec::new();
    let mut before = 0;
    for (source, shard, unit) in units {
        let parts = cut((source, shard, unit));
        while let Ok(number) = wanted(pieces.len() as u64)
            && number < before + parts
        {
            let (skipped, rows) = part_of(unit.rows, number - before, parts);
            let first_row = unit.first_row + skipped;
            // a planned unit lies inside its shard, and so does a part of it
            let unit = shard.unit_of(first_row..first_row + rows).unwrap_or_else(|| unit.clone());
            pieces.push(Piece { source, shard, unit });
        }
        before += parts;
    }
    let mut numbered: Vec<(u64, Piece<'_>)> = (0_u64..).map(u64::reverse_bits).zip(pieces).collect();
    numbered.sort_by_key(|(place, _)| *place);
    numbered.into_iter().map(|(_, piece)| piece).collect()
}
