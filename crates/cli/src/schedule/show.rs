//! `schedule show`: one schedule.

use std::io::Write as _;

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets};
use headwater_recipe::schedule_csv;
use headwater_record::TokenCount;
use headwater_report::schedule_svg;
use headwater_schedule::ScheduleSummary;

use super::spec::resolved;
use super::write_file;
use crate::args::ShowArgs;
use crate::progress::Console;

pub(super) fn run(args: &ShowArgs, console: &Console) -> Result<()> {
    let shown = resolved(&args.schedule, &args.size)?;
    let (schedule, tokens_per_step) = (&shown.schedule, shown.length.batch.tokens());
    let summary = ScheduleSummary::new(schedule, tokens_per_step, args.rows);
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{}: {} steps of {} tokens, peak {:?}, mean {:.4} of the peak",
        summary.kind,
        TokenCount(summary.steps),
        TokenCount(tokens_per_step),
        summary.peak_lr,
        summary.mean
    )?;
    writeln!(out, "{}", schedule.sparkline(schedule.peak_lr()))?;
    writeln!(out, "{}", table(&summary))?;
    write_file(args.csv.as_ref(), || schedule_csv(schedule, tokens_per_step), console)?;
    write_file(args.svg.as_ref(), || schedule_svg(schedule, tokens_per_step), console)
}

fn table(summary: &ScheduleSummary) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(["step", "tokens", "learning rate", "of peak", "phase"]);
    for row in &summary.rows {
        let numbers = [
            TokenCount(row.step).to_string(),
            TokenCount(row.tokens).to_string(),
            format!("{:.6e}", row.lr),
            format!("{:.4}", row.share_of_peak),
        ];
        let cells = numbers.into_iter().map(|text| Cell::new(text).set_alignment(CellAlignment::Right));
        table.add_row(cells.chain([Cell::new(row.phase)]));
    }
    table
}
