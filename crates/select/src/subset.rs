//! The kept rows of every shard, as Parquet files of the shard's own schema.

use std::collections::BTreeSet;

use headwater_corpus::{KeptRows, Plan, PlannedShard, SubsetOptions};
use headwater_record::{RunFile, SelectionFile, ShardId};
use headwater_store::Place;

use crate::config::SelectConfig;
use crate::membership::Membership;
use crate::sidecars::{Sidecars, scan};
use crate::stored::StoredSidecars;
use crate::{Error, Result};

/// The kept rows of some units of one shard, rising, with their influence.
#[derive(Debug, Default)]
struct Kept {
    rows: Vec<u64>,
    influence: Vec<f32>,
}

impl Extend<(u64, f32)> for Kept {
    fn extend<I: IntoIterator<Item = (u64, f32)>>(&mut self, rows: I) {
        for (row, influence) in rows {
            self.rows.push(row);
            self.influence.push(influence);
        }
    }
}

/// What became of a subset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubsetSummary {
    /// Files written now.
    pub written: usize,
    /// Files that were there already, under the same selection.
    pub already_there: usize,
    /// Shards of which nothing is kept.
    pub empty: usize,
}

/// The folder of a selection's subset, relative to the run.
#[must_use]
pub fn subset_folder(selection: &SelectionFile) -> String {
    format!("selected/{}", selection.hash)
}

/// Copies the kept rows of every shard of a run to `selected/<selection hash>/<source>/<relative path>`.
///
/// `config` is the rule that `selection` was made by. `plan` says where the shards are and must hold those that were scored.
/// Each file appears whole or not at all, and files already there are left alone, so an interrupted call is simply repeated.
/// `on_progress` gets the number of units newly done.
///
/// # Errors
/// [`Error::NotPlanned`] and [`Error::ShardChanged`] if plan and run do not belong together; a sidecar or shard that cannot be
/// read; an output that cannot be written.
///
/// # Determinism
/// The same shards and selection give the same bytes.
pub fn write_subset(
    place: &Place,
    run: &RunFile,
    plan: &Plan,
    rule: (&SelectionFile, &SelectConfig, u64),
    on_progress: &(dyn Fn(u64) + Sync),
) -> Result<SubsetSummary> {
    let (selection, config, seed) = rule;
    let sidecars = StoredSidecars::open(place, run)?;
    let membership = Membership::new(selection, seed)?;
    let folder = subset_folder(selection);
    let there: BTreeSet<String> = place.list(&folder)?.into_iter().map(|entry| entry.path).collect();
    let units = sidecars.units();
    let mut summary = SubsetSummary::default();
    let mut first = 0;
    for shard_units in units.chunk_by(|a, b| a.source == b.source && a.path == b.path) {
        let unit = &shard_units[0];
        let wanted: Vec<usize> = (first..first + shard_units.len()).collect();
        first += shard_units.len();
        let target = format!("{folder}/{}/{}", unit.source, with_suffix(&unit.path));
        if there.contains(&target) {
            summary.already_there += 1;
            on_progress(wanted.len() as u64);
            continue;
        }
        let shard = planned(plan, &unit.source, &unit.path, &unit.key.shard)?;
        let mut kept = Kept::default();
        scan(&sidecars, &wanted, membership.columns(), on_progress, |_, unit, batches| {
            kept.extend(membership.kept_rows(unit, batches)?);
            Ok(())
        })?;
        if kept.rows.is_empty() {
            summary.empty += 1;
            continue;
        }
        write_shard(place, &target, shard, kept, config)?;
        summary.written += 1;
    }
    Ok(summary)
}

fn write_shard(place: &Place, target: &str, shard: &PlannedShard, kept: Kept, config: &SelectConfig) -> Result<()> {
    let mut rows = KeptRows::new(kept.rows)?;
    if config.influence_column {
        rows = rows.with_influence(kept.influence)?;
    }
    let mut writer = place.writer(target)?;
    headwater_corpus::write_subset(shard, &rows, &SubsetOptions::default(), &mut writer)?;
    Ok(writer.finish()?)
}

/// The path of a shard's subset: that of the shard, ending in `.parquet`.
fn with_suffix(path: &str) -> String {
    if path.ends_with(".parquet") { path.to_owned() } else { format!("{path}.parquet") }
}

fn planned<'a>(plan: &'a Plan, source: &str, path: &str, id: &ShardId) -> Result<&'a PlannedShard> {
    let sources = plan.sources.iter().filter(|planned| planned.name == source);
    let shard = sources.flat_map(|planned| &planned.shards).find(|shard| shard.path == path);
    match shard {
        None => Err(Error::NotPlanned { source_name: source.to_owned(), path: path.to_owned() }),
        Some(shard) if shard.id != *id => Err(Error::ShardChanged {
            source_name: source.to_owned(),
            path: path.to_owned(),
            expected: id.to_string(),
            got: shard.id.to_string(),
        }),
        Some(shard) => Ok(shard),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_is_not_doubled() {
        assert_eq!(with_suffix("a/b.parquet"), "a/b.parquet");
        assert_eq!(with_suffix("a/b.parq"), "a/b.parq.parquet");
    }
}
