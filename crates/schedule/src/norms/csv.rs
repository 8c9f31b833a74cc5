//! Tables with commas, semicolons or tabs between their fields.

use std::io::BufRead;

use super::columns::{Columns, number};
use super::lines::{Line, lines};
use super::{NormLog, NormSource};
use crate::Error;

/// What may stand between fields.
const DELIMITERS: [char; 3] = [',', ';', '\t'];

/// Reads the log that `source` names; see [`NormSource::read_csv`].
pub(super) fn read(source: &NormSource<'_>, log: impl BufRead) -> Result<NormLog, Error> {
    let file = || source.file.to_owned();
    let mut lines = lines(source.file, log).peekable();
    let mut columns = Columns::new(source);
    let Some(first) = lines.next().transpose()? else { return columns.finish() };
    let delimiter = delimiter_of(&first.text);
    let header = fields(&first.text, delimiter).ok_or_else(|| Error::LogQuote { file: file(), line: first.number })?;
    let is_header = header.iter().any(|field| field.parse::<f64>().is_err());
    if !is_header && (header.len() > 1 || source.column.is_some()) {
        return Err(Error::NormHeader {
            file: file(),
            columns: header.len(),
            column: source.column.map(str::to_owned),
        });
    }
    let kept: Vec<Option<usize>> = match header.as_slice() {
        [only] => vec![Some(columns.sole(if is_header { only } else { "" }))],
        names => names.iter().map(|name| columns.column(name)).collect(),
    };
    let width = header.len();
    let mut rows = std::iter::once(Ok(first)).filter(|_| !is_header).chain(&mut lines).peekable();
    while let Some(row) = rows.next() {
        let Line { number: line, text, is_ended } = row?;
        let is_last = rows.peek().is_none();
        let read = fields(&text, delimiter).filter(|read| read.len() == width);
        let Some(read) = read else {
            if is_last {
                columns.pass_over(line);
                break;
            }
            let Some(read) = fields(&text, delimiter) else { return Err(Error::LogQuote { file: file(), line }) };
            return Err(Error::LogWidth { file: file(), line, got: read.len(), expected: width });
        };
        for (field, at) in read.iter().zip(&kept) {
            if let Some(at) = *at {
                columns.put(at, number(field, delimiter != ','), line);
            }
        }
        columns.end_row();
        let may_be_cut = is_last && !is_ended && !text.ends_with('"');
        if may_be_cut && read.last().is_some_and(|field| !field.is_empty() && is_cut(field)) {
            columns.forget_row(line);
        } else if may_be_cut {
            columns.forget_row_if_it_goes_back(line);
        }
    }
    columns.finish()
}

/// Whether a field is the beginning of a number that was cut before its exponent or its last sign.
fn is_cut(field: &str) -> bool {
    let is_begun = field.starts_with(|c: char| c.is_ascii_digit() || ['-', '+', '.'].contains(&c));
    is_begun && field.ends_with(['e', 'E', '-', '+', '.'])
}

/// What stands most often between the fields of a header line.
fn delimiter_of(header: &str) -> char {
    let (mut counts, mut is_quoted) = ([0_usize; 3], false);
    for c in header.chars() {
        is_quoted ^= c == '"';
        if let Some(at) = DELIMITERS.iter().position(|delimiter| *delimiter == c && !is_quoted) {
            counts[at] += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    counts.iter().position(|count| *count == most).map_or(',', |at| DELIMITERS[at])
}

/// The fields of a line, trimmed and without their quotes; `None` if a quote is not closed.
fn fields(line: &str, delimiter: char) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let start = if delimiter == '\t' { rest.trim_start_matches(' ') } else { rest.trim_start() };
        let (field, after) = match start.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = start.find(delimiter).unwrap_or(start.len());
                (start[..end].trim().to_owned(), &start[end..])
            }
        };
        fields.push(field);
        match after.split_once(delimiter) {
            Some((_, next)) => rest = next,
            None => return Some(fields),
        }
    }
}

/// What stands up to the closing quote, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let (mut field, mut rest) = (String::new(), text);
    loop {
        let (before, after) = rest.split_once('"')?;
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None => return Some((field.trim().to_owned(), after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split() {
        let split = |line, delimiter| fields(line, delimiter).map(|fields| fields.join("|"));
        assert_eq!(split("1, 2 ,3", ',').as_deref(), Some("1|2|3"));
        assert_eq!(split("\"a,b\" ,\"say \"\"x\"\"\",", ',').as_deref(), Some("a,b|say \"x\"|"));
        assert_eq!(split("1\t\t3", '\t').as_deref(), Some("1||3"));
        assert_eq!(split("1,\"2", ','), None);
    }

    #[test]
    fn the_header_tells_what_separates() {
        assert_eq!(["a,b;c,d", "a;b", "a\tb,c\td", "\"a,b,c\";d", "a"].map(delimiter_of), [',', ';', '\t', ';', ',']);
    }
}
