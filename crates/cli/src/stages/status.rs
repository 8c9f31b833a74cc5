//! How far a run is, from its description and one listing a source.

use std::io::Write;

use anyhow::{Context, Result};
use headwater_record::{RunFile, TokenCount};
use headwater_score::{done_units, read};

use crate::failure::Outcome;
use crate::stages::Session;
use crate::text::printable;

impl Session<'_> {
    /// Prints units done and left by source.
    pub(crate) fn status(&self) -> Result<Outcome> {
        let mut out = std::io::stdout().lock();
        let Some(run) = read(&self.place)? else {
            let heads = self.place.read_if_exists("heads.json")?.is_some();
            let found = if heads { "heads are found, nothing is scored yet" } else { "nothing is there yet" };
            writeln!(out, "{}: {found}", self.place)?;
            return Ok(Outcome::Done);
        };
        writeln!(out, "{}: begun {} by headwater {}", self.place, run.began, run.headwater)?;
        for source in &run.sources {
            let done = done_units(&self.place, source)?;
            let units = source.shards.iter().flat_map(|shard| &shard.units);
            let (mut all, mut finished, mut left) = (0_u64, 0_u64, 0_u64);
            for unit in units {
                all += 1;
                if done.contains(unit) {
                    finished += 1;
                } else {
                    left += unit.rows;
                }
            }
            let documents = TokenCount(left);
            writeln!(out, "  {}: {finished} of {all} units scored, {documents} documents left", source.name)?;
            for shard in &source.skipped {
                writeln!(
                    out,
                    "{}",
                    printable(&format!("  {}: skipped {}: {}", source.name, shard.path, shard.reason))
                )?;
            }
        }
        let selection = self.place.read_if_exists("selection.json")?.is_some();
        writeln!(out, "  selection: {}", if selection { "written" } else { "not made yet" })?;
        Ok(Outcome::Done)
    }

    /// Reads the description of the run, or says how to begin it.
    pub(super) fn begun_run(&self) -> Result<RunFile> {
        let run = read(&self.place)?;
        run.with_context(|| format!("{} has no run.json yet: run `headwater run {}` first", self.place, self.file))
    }
}
