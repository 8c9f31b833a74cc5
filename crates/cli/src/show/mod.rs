//! Results on standard output: for people, or as JSON.

pub(crate) mod generate;
pub(crate) mod schedule;

use std::io::Write;

use anyhow::Result;
use serde::Serialize;

use crate::args::OutputArgs;

/// Prints `value` as JSON if that is asked for, else as the text that `text` makes for a terminal of a width in characters.
pub(crate) fn show(value: &impl Serialize, output: OutputArgs, text: impl FnOnce(usize) -> String) -> Result<()> {
    if output.json {
        return print(&format!("{}\n", serde_json::to_string(value)?));
    }
    // no bound where standard output is no terminal
    print(&text(console::Term::stdout().size_checked().map_or(usize::MAX, |(_, columns)| usize::from(columns))))
}

/// Prints `text` to standard output.
pub(crate) fn print(text: &str) -> Result<()> {
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}
