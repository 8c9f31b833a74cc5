//! The kept rows of every shard, as Parquet files of the shard's own schema.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use headwater_corpus::{KeptRows, PlannedShard, SubsetOptions, TextCheck};
use headwater_record::selection::Bucket;
use headwater_record::sidecar::column;
use headwater_run::{RunFolder, Unit};
use headwater_store::Place;

use crate::cut::Selection;
use crate::rows::UnitRows;
use crate::scan::Scores;
use crate::sidecars::Sidecars;
use crate::stored::StoredSidecars;
use crate::{Result, ShardError};

/// Shards copied at the same time, at most: each takes the memory of a row group of its output and of what it reads ahead.
const MOST_WRITERS: usize = 3;

/// The kept rows of some units of one shard in one bucket, rising, with their influence.
#[derive(Debug, Default)]
struct Kept {
    rows: Vec<u64>,
    texts: Vec<TextCheck>,
    influence: Vec<f32>,
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

/// Copies the kept rows of every shard of a run to `selected/<selection hash>/<source>/<relative path>` or, where the selection has
/// buckets, to `selected/<selection hash>/<bucket>/<source>/<relative path>`.
///
/// `sidecars` must have the shards that were scored, see [`StoredSidecars::with_shards`].
/// Each file appears whole or not at all, and files already there are left alone, so an interrupted call is simply repeated.
/// `on_progress` gets the number of units newly done.
///
/// # Errors
/// [`crate::Error::NotPlanned`] and [`crate::Error::ShardChanged`] if plan and run do not belong together; a sidecar or shard that cannot be
/// read; an output that cannot be written.
///
/// # Determinism
/// The same shards and selection give the same bytes.
pub fn write_subset(
    folder: &RunFolder,
    sidecars: &StoredSidecars<'_>,
    selection: &Selection,
    on_progress: &(dyn Fn(u64) + Sync),
) -> Result<SubsetSummary> {
    let place = folder.place();
    let subset = RunFolder::subset(&selection.file.hash);
    let there = place.list(&subset)?.into_iter().map(|entry| entry.path).collect();
    let buckets = (0..selection.file.buckets.len()).map(|bucket| format!("{subset}/{}", Bucket::name(bucket)));
    let folders = if selection.file.buckets.is_empty() { vec![subset] } else { buckets.collect() };
    let copying = Copying { place, sidecars, selection, folders, there, on_progress };
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

impl Copied {
    /// What became of two files of a shard together.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Written, _) | (_, Self::Written) => Self::Written,
            (Self::AlreadyThere, _) | (_, Self::AlreadyThere) => Self::AlreadyThere,
            (Self::Empty, Self::Empty) => Self::Empty,
        }
    }
}

/// What copying any shard needs.
struct Copying<'a> {
    place: &'a Place,
    sidecars: &'a StoredSidecars<'a>,
    selection: &'a Selection,
    /// Where each bucket goes; one folder if there are none.
    folders: Vec<String>,
    /// Paths of the files that are there already.
    there: BTreeSet<String>,
    on_progress: &'a (dyn Fn(u64) + Sync),
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
        let targets: Vec<String> =
            self.folders.iter().map(|folder| format!("{folder}/{}/{}", unit.source, with_suffix(&unit.path))).collect();
        // a bucket that keeps nothing of the shard never gets a file, so several buckets are looked at again
        if targets.iter().all(|target| self.there.contains(target)) {
            (self.on_progress)(range.len() as u64);
            return Ok(Copied::AlreadyThere);
        }
        let (shard, text) = self.sidecars.shard(unit)?;
        let kept = self.kept(range)?;
        let mut copied = Copied::Empty;
        for (target, kept) in targets.iter().zip(kept) {
            if kept.rows.is_empty() {
                continue;
            }
            if self.there.contains(target) {
                copied = copied.and(Copied::AlreadyThere);
            } else {
                self.write(target, unit, (shard, text), kept)?;
                copied = copied.and(Copied::Written);
            }
        }
        Ok(copied)
    }

    /// The kept rows of the units at `range`, by bucket.
    fn kept(&self, range: Range<usize>) -> Result<Vec<Kept>> {
        let mut kept: Vec<Kept> = self.folders.iter().map(|_| Kept::default()).collect();
        let scores = Scores { sidecars: self.sidecars, on_progress: self.on_progress };
        let wanted: Vec<usize> = range.collect();
        let digest = |rows: &UnitRows<'_>| {
            let mut members = self.selection.membership.members(rows)?;
            members.retain(|member| member.bucket.is_some());
            let checks = rows.text_checks(members.iter().map(|member| member.row))?;
            Ok(members.into_iter().zip(checks).collect::<Vec<_>>())
        };
        let columns = self.selection.membership.columns().into_iter().chain([column::BYTES, column::TEXT_HASH]);
        scores.scan(&wanted, columns, digest, |at, members| {
            let first = self.sidecars.units()[at].key.first_row;
            for (member, check) in members {
                if let Some(bucket) = member.bucket {
                    kept[bucket].rows.push(first + member.row as u64);
                    kept[bucket].texts.push(check);
                    kept[bucket].influence.push(member.influence);
                }
            }
            Ok(())
        })?;
        Ok(kept)
    }

    /// Writes the kept rows of the shard of `unit`.
    fn write(&self, target: &str, unit: &Unit, (shard, text): (&PlannedShard, &str), kept: Kept) -> Result<()> {
        let failed = |error| ShardError::of(unit, error);
        let rows = KeptRows::new(kept.rows).and_then(|rows| rows.with_texts(text, kept.texts));
        let mut rows = rows.map_err(failed)?;
        if let Some(name) = self.selection.influence_column.name() {
            rows = rows.with_column(name, kept.influence).map_err(failed)?;
        }
        let mut writer = self.place.writer(target)?;
        headwater_corpus::write_subset(shard, &rows, &SubsetOptions::default(), &mut writer).map_err(failed)?;
        Ok(writer.finish()?)
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
