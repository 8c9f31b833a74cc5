//! `schedule compare`: several schedules side by side.

use std::io::Write as _;

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets};
use headwater_report::{PlottedCurve, curves_svg};
use headwater_schedule::{NamedSchedule, ScheduleComparison};

use super::spec::resolved;
use super::write_file;
use crate::args::CompareArgs;
use crate::progress::Console;

pub(super) fn run(args: &CompareArgs, console: &Console) -> Result<()> {
    let runs = args.schedules.iter().map(|name| resolved(name, &args.size)).collect::<Result<Vec<_>>>()?;
    let named = runs.iter().map(|run| NamedSchedule { name: &run.name, schedule: &run.schedule });
    let comparison = ScheduleComparison::new(&named.collect::<Vec<_>>());
    let highest = comparison.schedules.iter().map(|schedule| schedule.peak_lr).fold(0.0, f64::max);
    let mut out = std::io::stdout().lock();
    for ((number, compared), run) in (1..).zip(&comparison.schedules).zip(&runs) {
        writeln!(out, "({number}) {}: {} steps, peak {:?}", compared.name, compared.steps, compared.peak_lr)?;
        writeln!(out, "    {}", run.schedule.sparkline(highest))?;
    }
    writeln!(out, "{}", table(&comparison))?;
    let curves: Vec<PlottedCurve> = runs.iter().map(|run| PlottedCurve::of(run.name.as_str(), &run.schedule)).collect();
    let picture = || curves_svg("Learning rates", "learning rate by completed steps", &curves);
    write_file(args.svg.as_ref(), picture, console)
}

fn table(comparison: &ScheduleComparison) -> Table {
    let mut table = Table::new();
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let rate = |lr: f64| right(format!("{lr:.4e}"));
    table.load_style(presets::UTF8_FULL_CONDENSED);
    let numbers = (1..=comparison.schedules.len()).map(|number| format!("({number})"));
    table.set_header(std::iter::once("of the run".to_owned()).chain(numbers));
    for row in &comparison.rows {
        table.add_row(std::iter::once(right(format!("{} %", row.percent))).chain(row.lrs.iter().copied().map(rate)));
    }
    let means = comparison.schedules.iter().map(|schedule| rate(schedule.mean_lr));
    table.add_row(std::iter::once(Cell::new("mean")).chain(means));
    table
}
