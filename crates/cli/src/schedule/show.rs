//! `schedule show`: one schedule.

use std::io::Write as _;

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets};
use headwater_recipe::schedule_csv;
use headwater_record::TokenCount;
use headwater_report::schedule_svg;

use super::spec::{Resolved, resolved};
use super::{sparkline, write_file};
use crate::args::ShowArgs;
use crate::progress::Console;

pub(super) fn run(args: &ShowArgs, console: &Console) -> Result<()> {
    let shown = resolved(&args.schedule, &args.size)?;
    let mut out = std::io::stdout().lock();
    let (schedule, tokens_per_step) = (&shown.schedule, shown.run.batch.tokens());
    writeln!(
        out,
        "{}: {} steps of {} tokens, peak {:?}, mean {:.4} of the peak",
        schedule.kind(),
        TokenCount(schedule.steps()),
        TokenCount(tokens_per_step),
        schedule.peak_lr(),
        schedule.mean()
    )?;
    writeln!(out, "{}", sparkline(schedule, schedule.peak_lr()))?;
    writeln!(out, "{}", table(&shown, args.rows))?;
    write_file(args.csv.as_ref(), || schedule_csv(schedule, tokens_per_step), console)?;
    write_file(args.svg.as_ref(), || schedule_svg(schedule, tokens_per_step), console)
}

fn table(shown: &Resolved, rows: u64) -> Table {
    let schedule = &shown.schedule;
    let (phases, bounds) = (schedule.phases(), schedule.boundaries());
    let spacing = (schedule.steps() / rows.max(1)).max(1);
    let mut steps: Vec<u64> = (0..=schedule.steps() / spacing).map(|row| row * spacing).collect();
    // of many boundaries as many as there are rows, evenly
    let every = bounds.len().div_ceil(usize::try_from(rows).unwrap_or(usize::MAX)).max(1);
    steps.extend(bounds.into_iter().step_by(every));
    steps.push(schedule.steps());
    steps.sort_unstable();
    steps.dedup();
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(["step", "tokens", "learning rate", "of peak", "phase"]);
    for step in steps {
        let lr = schedule.lr(step);
        let phase =
            phases.iter().find(|phase| (phase.from..phase.to).contains(&step)).map_or("end", |phase| phase.name);
        let tokens = step.saturating_mul(shown.run.batch.tokens());
        let numbers = [
            TokenCount(step).to_string(),
            TokenCount(tokens).to_string(),
            format!("{lr:.6e}"),
            format!("{:.4}", lr / schedule.peak_lr()),
        ];
        let cells = numbers.into_iter().map(|text| Cell::new(text).set_alignment(CellAlignment::Right));
        table.add_row(cells.chain([Cell::new(phase)]));
    }
    table
}
