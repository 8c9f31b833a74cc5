//! Planning: what there is to score, from footers alone.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use comfy_table::{Cell, CellAlignment, Table, presets};
use headwater_corpus::{Domain, Plan, plan};
use headwater_record::{ByteCount, TokenCount};

use crate::failure::Outcome;
use crate::stages::Session;
use crate::text::printable;

impl Session<'_> {
    /// Plans the corpus.
    pub(super) fn plan(&self) -> Result<(Plan, Duration)> {
        let began = Instant::now();
        let step = self.console.step("plan", "footers", 0);
        let plan = plan(&self.pipeline.corpus, &self.pipeline.plan_options(), &|footers| step.advance(footers))?;
        step.discard();
        self.refuse_own_output(&plan)?;
        let took = began.elapsed();
        let units: usize = plan.sources.iter().flat_map(|source| &source.shards).map(|shard| shard.units.len()).sum();
        let shards: usize = plan.sources.iter().map(|source| source.shards.len()).sum();
        self.console.say(&format!("{:>12} {units} units in {shards} shards", "plan"));
        Ok((plan, took))
    }

    /// Refuses a corpus that holds what this run writes.
    fn refuse_own_output(&self, plan: &Plan) -> Result<()> {
        let output = format!("{}/", self.place);
        for source in &plan.sources {
            if let Some(shard) = source.shards.iter().find(|shard| shard.location().starts_with(&output)) {
                bail!(
                    "the paths of corpus source `{}` match {}, inside the run's own output; write elsewhere or narrow the paths",
                    source.name,
                    shard.location()
                );
            }
        }
        Ok(())
    }

    /// Prints the plan.
    pub(crate) fn show_plan(&self) -> Result<Outcome> {
        let (plan, _) = self.plan()?;
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["source", "text / id / domain", "shards", "skipped", "bytes", "units", "documents"]);
        for source in &plan.sources {
            let units = source.shards.iter().flat_map(|shard| &shard.units);
            let (count, rows) = units.fold((0_u64, 0_u64), |(count, rows), unit| (count + 1, rows + unit.rows));
            let bytes: ByteCount = source.shards.iter().map(|shard| ByteCount(shard.bytes)).sum();
            let domain = match &source.columns.domain {
                Domain::Column(name) => name.clone(),
                Domain::Constant(value) => format!("all `{value}`"),
            };
            let id = source.columns.id.as_deref().unwrap_or("none");
            let numbers = [
                TokenCount(source.shards.len() as u64).to_string(),
                TokenCount(source.skipped.len() as u64).to_string(),
                bytes.to_string(),
                TokenCount(count).to_string(),
                TokenCount(rows).to_string(),
            ];
            let mut row =
                vec![Cell::new(&source.name), Cell::new(format!("{} / {id} / {domain}", source.columns.text))];
            row.extend(numbers.map(|number| Cell::new(number).set_alignment(CellAlignment::Right)));
            table.add_row(row);
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "{table}")?;
        for (source, shard) in plan.sources.iter().flat_map(|source| source.skipped.iter().map(move |s| (source, s))) {
            writeln!(out, "{}", printable(&format!("skipped {}/{}: {}", source.name, shard.path, shard.reason)))?;
        }
        let skipped = plan.sources.iter().any(|source| !source.skipped.is_empty());
        Ok(if skipped { Outcome::Partial } else { Outcome::Done })
    }
}
