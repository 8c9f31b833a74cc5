//! `headwater schedule`: schedules without a corpus.

mod branch;
mod compare;
mod export;
mod norms;
mod refine;
mod show;
mod spec;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bytes::Bytes;
use headwater_schedule::Schedule;
use headwater_store::Stores;

use crate::args::ScheduleCommand;
use crate::failure::Outcome;
use crate::progress::Console;

/// Does what `command` says.
pub(crate) fn run(command: &ScheduleCommand, console: &Console) -> Result<Outcome> {
    match command {
        ScheduleCommand::Show(args) => show::run(args, console)?,
        ScheduleCommand::Compare(args) => compare::run(args, console)?,
        ScheduleCommand::Refine(args) => refine::run(args, console)?,
        ScheduleCommand::Branch(args) => branch::run(args, console)?,
        ScheduleCommand::Export(args) => export::run(args, console)?,
    }
    Ok(Outcome::Done)
}

/// Writes a file whole, if one is asked for, and says so.
fn write_file(path: Option<&PathBuf>, content: impl FnOnce() -> String, console: &Console) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{} names no file", path.display()))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Stores::default().open(&folder.display().to_string())?.write(name, Bytes::from(content()))?;
    console.say(&format!("{:>12} {}", "written", path.display()));
    Ok(())
}

/// Heights of a sparkline, lowest first.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Characters of a sparkline.
const WIDTH: u64 = 60;

/// Rates that make a bar.
const SAMPLES: u32 = 32;

/// The fractional part of the golden ratio.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// The rate over the run in one line; a bar is the mean of its stretch, relative to `highest`.
fn sparkline(schedule: &Schedule, highest: f64) -> String {
    let width = WIDTH.min(schedule.steps());
    let bar = |column: u64| {
        // places without pattern, so that cycles do not beat with them
        let at = |sample: u32| {
            let part = (f64::from(sample) * GOLDEN + column as f64 * GOLDEN).fract();
            step_of((schedule.steps() as f64 * (column as f64 + part) / width as f64).floor())
        };
        let sum: f64 = (0..SAMPLES).map(|sample| schedule.lr(at(sample))).sum();
        let height = sum / f64::from(SAMPLES) / highest * BARS.len() as f64;
        BARS[usize::try_from(step_of(height)).unwrap_or(0).min(BARS.len() - 1)]
    };
    (0..width).map(bar).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "callers pass steps, as floats")]
fn step_of(value: f64) -> u64 {
    value.max(0.0) as u64
}
