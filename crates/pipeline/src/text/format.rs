//! Numbers, times and foreign text for people.

use headwater_record::TokenCount;

/// `text` with control and direction-changing characters replaced, so that ids, domains and file names of a hostile corpus cannot
/// drive the terminal. Line ends stay.
#[must_use]
pub fn printable(text: &str) -> String {
    let is_direction =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c != '\n' && (c.is_control() || is_direction(c)) { '·' } else { c }).collect()
}

/// The last `width` characters of a printable `text` without line ends, `…` before what is left out.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    let text = printable(text).replace('\n', "·");
    let characters = text.chars().count();
    if characters <= width {
        return text;
    }
    std::iter::once('…').chain(text.chars().skip(characters + 1 - width)).collect()
}

/// A whole number for people, with commas.
pub(crate) fn counted(value: f64) -> String {
    TokenCount::nearest(value).to_string()
}

/// A time for people, in the unit that fits it.
pub(crate) fn duration(hours: f64) -> String {
    match hours {
        hours if hours < 1.0 / 60.0 => format!("{:.0} s", hours * 3600.0),
        hours if hours < 1.0 => format!("{:.0} min", hours * 60.0),
        hours if hours < 100.0 => format!("{hours:.1} h"),
        hours => format!("{} h", counted(hours)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_drives_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\u{202e}c\nd"), "a·[31mb·c\nd");
        assert_eq!(shortened("abcdef", 4), "…def");
        assert_eq!(shortened("ab\ncd", 9), "ab·cd");
    }

    #[test]
    fn times_are_written_in_the_unit_that_fits() {
        let cases =
            [(0.0, "0 s"), (0.01, "36 s"), (0.5, "30 min"), (1.0, "1.0 h"), (99.94, "99.9 h"), (12_345.6, "12,346 h")];
        for (hours, text) in cases {
            assert_eq!(duration(hours), text);
        }
    }
}
