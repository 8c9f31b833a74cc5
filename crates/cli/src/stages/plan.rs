//! Planning: what there is to score, from footers alone.

use std::io::Write;

use anyhow::{Result, bail};
use comfy_table::{Cell, CellAlignment, Table, presets};
use headwater_corpus::{Domain, Plan, PlannedSource, plan};
use headwater_record::{ByteCount, TokenCount};

use crate::estimate::{ASSUMED_BYTES_PER_TOKEN, counted, duration, tokens};
use crate::failure::Outcome;
use crate::measurement::{Known, Measurement};
use crate::stages::Session;
use crate::text::printable;

impl Session<'_> {
    /// Plans the corpus.
    pub(super) fn plan(&self) -> Result<Plan> {
        let _timer = self.meters.stage("plan");
        let step = self.console.step("plan", "footers", 0);
        let plan =
            plan(&self.pipeline.corpus, &self.pipeline.plan_options(), &self.stores, &|footers| step.advance(footers))?;
        step.discard();
        self.refuse_own_output(&plan)?;
        let units: usize = plan.sources.iter().flat_map(|source| &source.shards).map(|shard| shard.units.len()).sum();
        let shards: usize = plan.sources.iter().map(|source| source.shards.len()).sum();
        self.console.say(&format!("{:>12} {units} units in {shards} shards", "plan"));
        Ok(plan)
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
        let plan = self.plan()?;
        let known = self.known_speed();
        let lines: Vec<Line> = plan.sources.iter().map(Line::of).collect();
        let total = Line::total(&lines);
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        let hours = known.here.as_ref().map(|_| "≈ time");
        table.set_header(HEADER.into_iter().chain(hours));
        for line in lines.iter().chain((lines.len() > 1).then_some(&total)) {
            table.add_row(line.cells(&known));
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "{table}")?;
        self.print_basis(&mut out, &known)?;
        for (source, shard) in plan.sources.iter().flat_map(|source| source.skipped.iter().map(move |s| (source, s))) {
            writeln!(out, "{}", printable(&format!("skipped {}/{}: {}", source.name, shard.path, shard.reason)))?;
        }
        let skipped = plan.sources.iter().any(|source| !source.skipped.is_empty());
        Ok(if skipped { Outcome::Partial } else { Outcome::Done })
    }

    /// Says what the estimates rest on.
    fn print_basis(&self, out: &mut impl Write, known: &Known) -> Result<()> {
        match known.bytes_per_token {
            Some(ratio) => writeln!(out, "≈ tokens: {ratio:.2} bytes of text each, as `headwater bench` measured")?,
            None => writeln!(out, "≈ tokens: {ASSUMED_BYTES_PER_TOKEN} bytes of text each (≈ assumed)")?,
        }
        match &known.here {
            Some(Measurement { speed, measured, .. }) => writeln!(
                out,
                "≈ time: of scoring on this machine, at {} tokens/s as `headwater bench` measured on {measured}; \
                 n such machines need an n-th",
                counted(speed.tokens_per_second)
            )?,
            None => writeln!(
                out,
                "run `headwater bench {}` (30 s) to learn how long scoring takes here",
                printable(&self.command_line)
            )?,
        }
        Ok(())
    }
}

/// Columns that need no measurement.
const HEADER: [&str; 10] = [
    "source",
    "text / id / domain",
    "shards",
    "skipped",
    "bytes",
    "to read",
    "units",
    "documents",
    "≈ text",
    "≈ tokens",
];

/// A line of the plan's table.
#[derive(Debug)]
struct Line {
    name: String,
    columns: String,
    shards: u64,
    skipped: u64,
    bytes: ByteCount,
    to_read: ByteCount,
    units: u64,
    documents: u64,
    text: ByteCount,
}

impl Line {
    fn of(source: &PlannedSource) -> Self {
        let units = source.shards.iter().flat_map(|shard| &shard.units);
        let (units, documents) = units.fold((0, 0), |(count, rows), unit| (count + 1, rows + unit.rows));
        let domain = match &source.columns.domain {
            Domain::Column(name) => name.clone(),
            Domain::Constant(value) => format!("all `{value}`"),
        };
        let id = source.columns.id.as_deref().unwrap_or("none");
        Self {
            name: source.name.clone(),
            columns: format!("{} / {id} / {domain}", source.columns.text),
            shards: source.shards.len() as u64,
            skipped: source.skipped.len() as u64,
            bytes: source.shards.iter().map(|shard| ByteCount(shard.bytes)).sum(),
            to_read: source.stored_bytes(),
            units,
            documents,
            text: source.text_bytes(),
        }
    }

    fn total(lines: &[Self]) -> Self {
        Self {
            name: "total".to_owned(),
            columns: String::new(),
            shards: lines.iter().map(|line| line.shards).sum(),
            skipped: lines.iter().map(|line| line.skipped).sum(),
            bytes: lines.iter().map(|line| line.bytes).sum(),
            to_read: lines.iter().map(|line| line.to_read).sum(),
            units: lines.iter().map(|line| line.units).sum(),
            documents: lines.iter().map(|line| line.documents).sum(),
            text: lines.iter().map(|line| line.text).sum(),
        }
    }

    fn cells(&self, known: &Known) -> Vec<Cell> {
        let ratio = known.bytes_per_token.unwrap_or(ASSUMED_BYTES_PER_TOKEN);
        let numbers = [
            TokenCount(self.shards).to_string(),
            TokenCount(self.skipped).to_string(),
            self.bytes.to_string(),
            self.to_read.to_string(),
            TokenCount(self.units).to_string(),
            TokenCount(self.documents).to_string(),
            self.text.to_string(),
            tokens(self.text, ratio).to_string(),
        ];
        let time = known.here.as_ref().map(|here| duration(here.speed.hours(self.text)));
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        let mut cells = vec![Cell::new(&self.name), Cell::new(&self.columns)];
        cells.extend(numbers.into_iter().chain(time).map(right));
        cells
    }
}
