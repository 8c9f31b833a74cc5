//! `schedule compare`: several schedules side by side.

use std::io::Write as _;

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets};
use headwater_report::{PlottedCurve, curves_svg};
use headwater_schedule::Schedule;

use super::spec::{Resolved, resolved};
use super::{sparkline, step_of, write_file};
use crate::args::CompareArgs;
use crate::progress::Console;

pub(super) fn run(args: &CompareArgs, console: &Console) -> Result<()> {
    let compared = args.schedules.iter().map(|name| resolved(name, &args.size)).collect::<Result<Vec<_>>>()?;
    let highest = compared.iter().map(|resolved| resolved.schedule.peak_lr()).fold(0.0, f64::max);
    let mut out = std::io::stdout().lock();
    let names: Vec<String> = (1..=compared.len()).map(|number| format!("({number})")).collect();
    for (Resolved { spec, schedule, .. }, number) in compared.iter().zip(&names) {
        writeln!(out, "{number} {}: {} steps, peak {:?}", spec.name, schedule.steps(), schedule.peak_lr())?;
        writeln!(out, "    {}", sparkline(schedule, highest))?;
    }
    writeln!(out, "{}", table(&compared, &names))?;
    let curve = |resolved: &Resolved| PlottedCurve::of(resolved.spec.name.as_str(), &resolved.schedule);
    let curves: Vec<PlottedCurve> = compared.iter().map(curve).collect();
    let picture = || curves_svg("Learning rates", "learning rate by completed steps", &curves);
    write_file(args.svg.as_ref(), picture, console)
}

fn table(compared: &[Resolved], names: &[String]) -> Table {
    let mut table = Table::new();
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(std::iter::once("of the run".to_owned()).chain(names.iter().cloned()));
    for percent in [0_u32, 1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 100] {
        let share = f64::from(percent) / 100.0;
        let at = |schedule: &Schedule| schedule.lr(step_of((schedule.steps() as f64 * share).round()));
        let cells = compared.iter().map(|resolved| right(format!("{:.4e}", at(&resolved.schedule))));
        table.add_row(std::iter::once(right(format!("{percent} %"))).chain(cells));
    }
    let means = compared
        .iter()
        .map(|resolved| right(format!("{:.4e}", resolved.schedule.mean() * resolved.schedule.peak_lr())));
    table.add_row(std::iter::once(Cell::new("mean")).chain(means));
    table
}
