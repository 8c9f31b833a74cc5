//! How far a run is, from any machine: its description, one listing a source, and the ends of some sidecars.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use headwater_record::run::RunSource;
use headwater_record::{RunFile, Status, TokenCount, UnitKey};
use headwater_run::{Arm, RunFolder, Statuses};
use headwater_store::Entry;

use crate::estimate::{counted, duration};
use crate::failure::Outcome;
use crate::stages::Session;
use crate::text::printable;

/// Sidecars whose footers are read to count rejects; of more, as many from all over.
const MOST_FOOTERS: usize = 2_000;

/// How far back the rate looks from the unit finished last.
const RATE_WINDOW: Duration = Duration::from_secs(3600);

/// What a bucket needs so that killed uploads cost nothing for ever.
const LIFECYCLE: &str = "uploads of killed processes stay hidden in the bucket and cost money: a lifecycle rule that aborts unfinished \
                         multipart uploads after a few days (S3 AbortIncompleteMultipartUpload, GCS the same; Azure drops them after \
                         a week) clears them";

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
}

impl Session<'_> {
    /// Prints units done and left by source, the rate, and rejects.
    pub(crate) fn status(&self) -> Result<Outcome> {
        let mut out = std::io::stdout().lock();
        let Some(run) = self.folder().run_file()? else {
            let heads = self.place.read_if_exists("heads.json")?.is_some();
            let found = if heads { "heads are found, nothing is scored yet" } else { "nothing is there yet" };
            writeln!(out, "{}: {found}", self.place)?;
            return Ok(Outcome::Done);
        };
        writeln!(out, "{}: begun {} by headwater {}", self.place, run.began, run.headwater)?;
        let surveys = run.sources.iter().map(|source| Ok(Survey::of(source, self.folder().done_units(source)?)));
        let surveys = surveys.collect::<Result<Vec<_>>>()?;
        for survey in &surveys {
            let Survey { source, units, units_done, .. } = survey;
            let left = TokenCount(survey.documents - survey.documents_done);
            writeln!(out, "  {}: {units_done} of {units} units scored, {left} documents left", source.name)?;
            for shard in &source.skipped {
                let line = format!("  {}: skipped {}: {}", source.name, shard.path, shard.reason);
                writeln!(out, "{}", printable(&line))?;
            }
        }
        self.print_rate(&mut out, &surveys)?;
        self.print_rejects(&mut out, &surveys)?;
        let selection = self.place.read_if_exists(RunFolder::selection_file(Arm::Selection))?.is_some();
        writeln!(out, "  selection: {}", if selection { "written" } else { "not made yet" })?;
        if self.place.local_path().is_none() {
            writeln!(out, "  note: {LIFECYCLE}")?;
        }
        Ok(Outcome::Done)
    }

    /// Reads the description of the run, or says how to begin it.
    pub(super) fn begun_run(&self) -> Result<RunFile> {
        let run = self.folder().run_file()?;
        run.with_context(|| format!("{} has no run.json yet: run `headwater run {}` first", self.place, self.file))
    }

    fn print_rate(&self, out: &mut impl Write, surveys: &[Survey<'_>]) -> Result<()> {
        let left: u64 = surveys.iter().map(|survey| survey.documents - survey.documents_done).sum();
        let finished: Vec<(SystemTime, u64)> = surveys.iter().flat_map(|survey| survey.finished.clone()).collect();
        let Some(rate) = rate(&finished).filter(|_| left > 0) else { return Ok(()) };
        writeln!(
            out,
            "  rate: {} documents/s by all workers, over the hour up to the last finished unit ({}); {} left at that rate",
            if rate.per_second < 10.0 { format!("{:.2}", rate.per_second) } else { counted(rate.per_second) },
            humantime::format_rfc3339_seconds(rate.last),
            duration(left as f64 / rate.per_second / 3600.0)
        )?;
        Ok(())
    }

    fn print_rejects(&self, out: &mut impl Write, surveys: &[Survey<'_>]) -> Result<()> {
        let entries: Vec<&Entry> = surveys.iter().flat_map(|survey| &survey.entries).collect();
        if entries.is_empty() {
            return Ok(());
        }
        let sample: Vec<&Entry> = if entries.len() <= MOST_FOOTERS {
            entries.clone()
        } else {
            (0..MOST_FOOTERS).map(|at| entries[at * entries.len() / MOST_FOOTERS]).collect()
        };
        let counted: Statuses = self.folder().statuses(&sample)?;
        let rows = counted.values().copied().fold(0, u64::saturating_add);
        let parts = counted.iter().filter(|(status, rows)| **status != Status::Scored && **rows > 0);
        let parts: Vec<String> = parts.map(|(status, rows)| format!("{} {status}", TokenCount(*rows))).collect();
        let of = match sample.len() == entries.len() {
            true => format!("of {} documents", TokenCount(rows)),
            false => format!("of {} documents in {MOST_FOOTERS} units from all over", TokenCount(rows)),
        };
        let rejects = if parts.is_empty() { "none".to_owned() } else { parts.join(", ") };
        writeln!(out, "  not scored: {rejects} {of}")?;
        Ok(())
    }
}

/// How fast units are finished.
struct Rate {
    per_second: f64,
    last: SystemTime,
}

/// The rate of the last hour up to the unit finished last; the first unit of that time only begins it. `None` if there is no other.
fn rate(finished: &[(SystemTime, u64)]) -> Option<Rate> {
    let last = finished.iter().map(|(at, _)| *at).max()?;
    let recent: Vec<_> = finished.iter().filter(|(at, _)| *at + RATE_WINDOW >= last).collect();
    let (first, first_rows) = recent.iter().min_by_key(|(at, _)| *at)?;
    let rows = recent.iter().map(|(_, rows)| rows).sum::<u64>() - first_rows;
    let seconds = last.duration_since(*first).ok()?.as_secs_f64();
    (seconds > 0.0).then(|| Rate { per_second: rows as f64 / seconds, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_hour() {
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds);
        let finished = [(at(0), 1_000_000), (at(10_000), 50), (at(10_100), 300), (at(10_200), 100)];
        let rate = rate(&finished).expect("several units");
        assert_eq!((rate.per_second, rate.last), (2.0, at(10_200)));
        assert!(super::rate(&finished[..1]).is_none() && super::rate(&[]).is_none());
        assert!(super::rate(&[(at(1), 5), (at(1), 5)]).is_none());
    }
}
