//! Logs for people, as Megatron-LM prints them: `iteration  100/ 2000 | … | grad norm: 1.234 |`.

use std::io::BufRead;

use super::columns::{Columns, number};
use super::lines::lines;
use super::{NormLog, NormSource, json};
use crate::Error;

/// Reads the log that `source` names; see [`NormSource::read_text`].
pub(super) fn read(source: &NormSource<'_>, mut log: impl BufRead) -> Result<NormLog, Error> {
    let start = log.fill_buf().map_err(|error| Error::LogRead { place: source.file.to_owned(), source: error })?;
    if start.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
        return json::read_lines(source, log);
    }
    let mut columns = Columns::new(source);
    let mut lines = lines(source.file, log).peekable();
    while let Some(line) = lines.next() {
        let line = line?;
        let Some((iteration, all, rest)) = iteration(&line.text) else { continue };
        columns.plan.total = Some(all);
        if let Some(at) = columns.column("iteration") {
            columns.put(at, iteration, line.number);
        }
        for (name, value) in rest.split('|').filter_map(|field| field.split_once(':')) {
            if let Some(at) = columns.column(name.trim()) {
                columns.put(at, number(value.trim(), false), line.number);
            }
        }
        columns.end_row();
        let is_whole = line.is_ended || rest.trim_end().ends_with('|');
        if !is_whole && lines.peek().is_none() {
            columns.forget_row(line.number);
        }
    }
    columns.finish()
}

/// The iteration of a line, that of the end of the run, and what follows; `None` for a line that tells of something else.
fn iteration(line: &str) -> Option<(f64, f64, &str)> {
    let (_, after) = line.split_once("iteration")?;
    let (done, rest) = digits(after.strip_prefix(':').unwrap_or(after))?;
    let (all, rest) = digits(rest.trim_start().strip_prefix('/')?)?;
    Some((done, all, rest))
}

fn digits(text: &str) -> Option<(f64, &str)> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}
