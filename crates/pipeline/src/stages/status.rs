//! How far a run is, from any machine: its description, one listing a source, and the ends of some sidecars.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use headwater_record::run::{RunFile, RunSource, SkippedShard};
use headwater_record::{Status, UnitKey};
use headwater_run::{RunFolder, Statuses};
use headwater_store::Entry;
use serde::Serialize;

use crate::{Arm, Error, Pipeline, Result};

/// Sidecars whose footers are read to count rejects; of more, as many from all over.
const MOST_FOOTERS: usize = 2_000;

/// How far back the rate looks from the unit finished last.
const RATE_WINDOW: Duration = Duration::from_secs(3600);

/// How far a source is.
struct Survey<'a> {
    source: &'a RunSource,
    /// Documents by the time when their unit was finished.
    finished: Vec<(SystemTime, u64)>,
    entries: Vec<Entry>,
    units: u64,
    units_done: u64,
    documents: u64,
    documents_done: u64,
}

impl<'a> Survey<'a> {
    fn of(source: &'a RunSource, mut done: BTreeMap<UnitKey, Entry>) -> Self {
        let mut survey = Self {
            source,
            finished: Vec::new(),
            entries: Vec::new(),
            units: 0,
            units_done: 0,
            documents: 0,
            documents_done: 0,
        };
        for unit in source.shards.iter().flat_map(|shard| &shard.units) {
            survey.units += 1;
            survey.documents += unit.rows;
            if let Some(entry) = done.remove(unit) {
                survey.units_done += 1;
                survey.documents_done += unit.rows;
                survey.finished.extend(entry.modified.map(|at| (at, unit.rows)));
                survey.entries.push(entry);
            }
        }
        survey
    }

    fn status(&self) -> SourceStatus {
        SourceStatus {
            name: self.source.name.clone(),
            units: self.units,
            units_done: self.units_done,
            documents: self.documents,
            documents_done: self.documents_done,
            skipped: self.source.skipped.clone(),
        }
    }
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatusReport {
    /// The run's output.
    pub output: String,
    /// Whether the output is in an object store, where uploads of killed processes stay hidden.
    pub is_remote: bool,
    /// Whether there is a head set.
    pub has_heads: bool,
    /// How far scoring is; absent before it began.
    pub scoring: Option<ScoringStatus>,
    /// Whether a selection was made.
    pub has_selection: bool,
}

/// How far scoring is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoringStatus {
    /// When the run began, RFC 3339.
    pub began: String,
    /// Version of Headwater that began it.
    pub headwater: String,
    /// Each source.
    pub sources: Vec<SourceStatus>,
    /// Documents without a score yet.
    pub documents_left: u64,
    /// How fast units are finished, by all workers; absent while too few are, and when none are left.
    pub rate: Option<Rate>,
    /// Rows by status; absent before the first sidecar.
    pub statuses: Option<StatusCounts>,
}

/// How far a source is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceStatus {
    /// Its name.
    pub name: String,
    /// Units of the plan.
    pub units: u64,
    /// Units that have a sidecar.
    pub units_done: u64,
    /// Documents of the plan.
    pub documents: u64,
    /// Documents in units that have a sidecar.
    pub documents_done: u64,
    /// Shards that were left out, with the reason.
    pub skipped: Vec<SkippedShard>,
}

/// How fast units are finished.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Documents a second, over the hour up to the unit finished last.
    pub documents_per_second: f64,
    /// When that one was finished, RFC 3339.
    pub last_unit: String,
    /// Hours until the rest is scored at that rate.
    pub hours_left: f64,
}

/// Rows by status, from the footers of sidecars.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatusCounts {
    /// Rows of each status.
    pub rows: BTreeMap<String, u64>,
    /// Sidecars whose rows were counted.
    pub sidecars_counted: u64,
    /// Whether there are more: those counted then lie evenly among them.
    pub is_sample: bool,
}

/// Where the scores of a run lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScoreFiles {
    /// The run's output.
    pub output: String,
    /// Paths or URLs of the sidecars of the plan that are there, in the plan's order.
    pub files: Vec<String>,
    /// Units of the plan; each has a sidecar once it is scored.
    pub units: u64,
}

impl Pipeline {
    /// Lists the sidecars that belong to the run: those of its plan, under its fingerprint. Reads `run.json` and one listing a source.
    ///
    /// # Errors
    /// [`Error::NotScored`] before the first one; [`Error::Score`] for a damaged `run.json`; what the store says.
    pub fn score_files(&self) -> Result<ScoreFiles> {
        let output = self.place().to_string();
        let run = self.folder.run_file()?;
        let surveys = run.as_ref().map_or_else(|| Ok(Vec::new()), |run| self.surveys(run))?;
        let entries = surveys.iter().flat_map(|survey| &survey.entries);
        let files: Vec<String> = entries.map(|entry| self.place().describe(&entry.path)).collect();
        if files.is_empty() {
            return Err(Error::NotScored { output, pipeline: self.name.clone() });
        }
        Ok(ScoreFiles { output, files, units: surveys.iter().map(|survey| survey.units).sum() })
    }

    fn surveys<'a>(&self, run: &'a RunFile) -> Result<Vec<Survey<'a>>> {
        run.sources.iter().map(|source| Ok(Survey::of(source, self.folder.done_units(source)?))).collect()
    }

    /// Says how far the run is, whichever process works on it: reads `run.json`, one listing a source, and the footers of at most
    /// 2,000 sidecars.
    ///
    /// # Errors
    /// [`Error::Score`] for a damaged `run.json` or sidecar; what the store says.
    pub fn status(&self) -> Result<StatusReport> {
        let exists = |path: &str| Ok::<_, crate::Error>(self.place().read_if_exists(path)?.is_some());
        Ok(StatusReport {
            output: self.place().to_string(),
            is_remote: self.place().local_path().is_none(),
            has_heads: exists(RunFolder::HEADS)?,
            scoring: self.scoring_status()?,
            has_selection: exists(RunFolder::selection_file(Arm::Selection))?,
        })
    }

    fn scoring_status(&self) -> Result<Option<ScoringStatus>> {
        let Some(run) = self.folder.run_file()? else { return Ok(None) };
        let surveys = self.surveys(&run)?;
        let left = surveys.iter().map(|survey| survey.documents - survey.documents_done).sum();
        let finished: Vec<(SystemTime, u64)> = surveys.iter().flat_map(|survey| survey.finished.clone()).collect();
        let rate = finishing_rate(&finished).filter(|_| left > 0).map(|(per_second, last)| Rate {
            documents_per_second: per_second,
            last_unit: humantime::format_rfc3339_seconds(last).to_string(),
            hours_left: left as f64 / per_second / 3600.0,
        });
        Ok(Some(ScoringStatus {
            rate,
            statuses: self.status_counts(&surveys)?,
            documents_left: left,
            sources: surveys.iter().map(Survey::status).collect(),
            began: run.began,
            headwater: run.headwater,
        }))
    }

    fn status_counts(&self, surveys: &[Survey<'_>]) -> Result<Option<StatusCounts>> {
        let entries: Vec<&Entry> = surveys.iter().flat_map(|survey| &survey.entries).collect();
        if entries.is_empty() {
            return Ok(None);
        }
        let is_sample = entries.len() > MOST_FOOTERS;
        let sample: Vec<&Entry> = if is_sample {
            (0..MOST_FOOTERS).map(|at| entries[at * entries.len() / MOST_FOOTERS]).collect()
        } else {
            entries
        };
        let counted: Statuses = self.folder.statuses(&sample)?;
        let rows = Status::ALL.map(|status| (status.to_string(), counted.get(&status).copied().unwrap_or(0)));
        Ok(Some(StatusCounts { rows: rows.into(), sidecars_counted: sample.len() as u64, is_sample }))
    }
}

/// Documents a second of the last hour up to the unit finished last, and when that was; the first unit of that time only begins it. `None` if there is no other.
fn finishing_rate(finished: &[(SystemTime, u64)]) -> Option<(f64, SystemTime)> {
    let last = finished.iter().map(|(at, _)| *at).max()?;
    let recent: Vec<_> = finished.iter().filter(|(at, _)| *at + RATE_WINDOW >= last).collect();
    let (first, first_rows) = recent.iter().min_by_key(|(at, _)| *at)?;
    let rows = recent.iter().map(|(_, rows)| rows).sum::<u64>() - first_rows;
    let seconds = last.duration_since(*first).ok()?.as_secs_f64();
    (seconds > 0.0).then(|| (rows as f64 / seconds, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_hour() {
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds);
        let finished = [(at(0), 1_000_000), (at(10_000), 50), (at(10_100), 300), (at(10_200), 100)];
        assert_eq!(finishing_rate(&finished), Some((2.0, at(10_200))));
        assert!(finishing_rate(&finished[..1]).is_none() && finishing_rate(&[]).is_none());
        assert!(finishing_rate(&[(at(1), 5), (at(1), 5)]).is_none());
    }
}
