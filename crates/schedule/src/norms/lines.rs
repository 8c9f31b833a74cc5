//! The lines of a log, with their numbers.

use std::io::BufRead;

use crate::Error;

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number, from 1.
    pub(super) number: u64,
    /// What it holds, without its end; what is no UTF-8 is replaced.
    pub(super) text: String,
    /// Whether it has an end; the last line of a log that was cut has none.
    pub(super) is_ended: bool,
}

/// The lines of `log` that are not blank.
///
/// # Errors
/// [`Error::LogRead`] with `file` and the line.
pub(super) fn lines(file: &str, mut log: impl BufRead) -> impl Iterator<Item = Result<Line, Error>> {
    let (mut number, mut bytes) = (0_u64, Vec::new());
    std::iter::from_fn(move || {
        loop {
            number += 1;
            bytes.clear();
            match log.read_until(b'\n', &mut bytes) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(source) => return Some(Err(Error::LogRead { place: format!("{file}:{number}"), source })),
            }
            let is_ended = bytes.ends_with(b"\n");
            let text = String::from_utf8_lossy(&bytes);
            let text = if number == 1 { text.trim_start_matches('\u{feff}') } else { &text };
            let text = text.trim_end_matches(['\r', '\n']);
            if !text.trim().is_empty() {
                return Some(Ok(Line { number, text: text.to_owned(), is_ended }));
            }
        }
    })
}
