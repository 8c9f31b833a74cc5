//! `headwater schedule`: schedules without a corpus.

mod branch;
mod compare;
mod export;
mod refine;
mod show;
mod spec;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bytes::Bytes;
use headwater_store::{Place, Stores};

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
    let (place, name) = folder_and_name(path)?;
    place.write(&name, Bytes::from(content()))?;
    console.say(&format!("{:>12} {}", "written", path.display()));
    Ok(())
}

/// Opens the folder that a file lies in.
fn folder_and_name(path: &Path) -> Result<(Place, String)> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{} names no file", path.display()))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((Stores::default().open(&folder.display().to_string())?, name.to_owned()))
}
