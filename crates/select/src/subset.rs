//! The kept rows of every shard, as Parquet files of the shard's own schema.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use headwater_corpus::{KeptRows, Plan, PlannedShard, SubsetOptions};
use headwater_record::{RunFile, SelectionFile};
use headwater_store::Place;

use crate::config::SelectConfig;
use crate::membership::Membership;
use crate::sidecars::{Sidecars, Unit, scan};
use crate::stored::StoredSidecars;
use crate::{Error, Result};

/// Shards copied at the same time, at most: each takes the memory of a row group of its output and of what it reads ahead.
const MOST_WRITERS: usize = 3;

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
    let folder = subset_folder(selection);
    let there = place.list(&folder)?.into_iter().map(|entry| entry.path).collect();
    let copying = Copying {
        place,
        sidecars: &sidecars,
        membership: Membership::new(selection, seed)?,
        planned: planned_shards(plan),
        folder,
        there,
        config,
        on_progress,
    };
    let mut first = 0;
    let ranges = sidecars.units().chunk_by(|a, b| a.source == b.source && a.path == b.path).map(|units| {
        first += units.len();
        first - units.len()..first
    });
    copying.all(&ranges.collect::<Vec<_>>())
}

/// What became of one shard's subset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copied {
    Written,
    AlreadyThere,
    Empty,
}

/// What copying any shard needs.
struct Copying<'a> {
    place: &'a Place,
    sidecars: &'a StoredSidecars,
    membership: Membership,
    planned: PlannedShards<'a>,
    folder: String,
    /// Paths of the files that are there already.
    there: BTreeSet<String>,
    config: &'a SelectConfig,
    on_progress: &'a (dyn Fn(u64) + Sync),
}

/// Shards of a plan by source and path.
type PlannedShards<'a> = BTreeMap<(&'a str, &'a str), &'a PlannedShard>;

fn planned_shards(plan: &Plan) -> PlannedShards<'_> {
    let shards = plan.sources.iter().flat_map(|source| source.shards.iter().map(move |shard| (source, shard)));
    shards.map(|(source, shard)| ((source.name.as_str(), shard.path.as_str()), shard)).collect()
}

impl Copying<'_> {
    /// Copies the shards whose units are at `ranges`, several at a time. Of several errors the first by address is reported.
    fn all(&self, ranges: &[Range<usize>]) -> Result<SubsetSummary> {
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let outcomes = Mutex::new(Vec::new());
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_WRITERS).min(ranges.len());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(range) = ranges.get(next.fetch_add(1, Ordering::Relaxed))
                        && !failed.load(Ordering::Relaxed)
                    {
                        let outcome = self.shard(range.clone());
                        failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
                        outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((range.start, outcome));
                    }
                });
            }
        });
        let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcomes.sort_unstable_by_key(|(start, _)| *start);
        let mut summary = SubsetSummary::default();
        for (_, outcome) in outcomes {
            match outcome? {
                Copied::Written => summary.written += 1,
                Copied::AlreadyThere => summary.already_there += 1,
                Copied::Empty => summary.empty += 1,
            }
        }
        Ok(summary)
    }

    /// Copies the shard whose units are at `range`.
    fn shard(&self, range: Range<usize>) -> Result<Copied> {
        let unit = &self.sidecars.units()[range.start];
        let target = format!("{}/{}/{}", self.folder, unit.source, with_suffix(&unit.path));
        if self.there.contains(&target) {
            (self.on_progress)(range.len() as u64);
            return Ok(Copied::AlreadyThere);
        }
        let shard = self.planned(unit)?;
        let (wanted, mut kept): (Vec<usize>, _) = (range.collect(), Kept::default());
        scan(self.sidecars, &wanted, self.membership.columns(), self.on_progress, |_, unit, batches| {
            kept.extend(self.membership.kept_rows(unit, batches)?);
            Ok(())
        })?;
        if kept.rows.is_empty() {
            return Ok(Copied::Empty);
        }
        self.write(&target, shard, kept)?;
        Ok(Copied::Written)
    }

    fn write(&self, target: &str, shard: &PlannedShard, kept: Kept) -> Result<()> {
        let mut rows = KeptRows::new(kept.rows)?;
        if self.config.influence_column {
            rows = rows.with_influence(kept.influence)?;
        }
        let mut writer = self.place.writer(target)?;
        headwater_corpus::write_subset(shard, &rows, &SubsetOptions::default(), &mut writer)?;
        Ok(writer.finish()?)
    }

    fn planned(&self, unit: &Unit) -> Result<&PlannedShard> {
        match self.planned.get(&(&*unit.source, &*unit.path)) {
            None => Err(Error::NotPlanned { source_name: unit.source.to_string(), path: unit.path.to_string() }),
            Some(shard) if shard.id != unit.key.shard => Err(Error::ShardChanged {
                source_name: unit.source.to_string(),
                path: unit.path.to_string(),
                expected: unit.key.shard.to_string(),
                got: shard.id.to_string(),
            }),
            Some(shard) => Ok(shard),
        }
    }
}

/// The path of a shard's subset: that of the shard, ending in `.parquet`.
fn with_suffix(path: &str) -> String {
    if path.ends_with(".parquet") { path.to_owned() } else { format!("{path}.parquet") }
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
