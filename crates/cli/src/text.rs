//! Foreign text on a terminal.

/// `text` with control and direction-changing characters replaced, so that ids, domains and file names of a hostile corpus cannot
/// drive the terminal. Line ends stay.
pub(crate) fn printable(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_drives_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\u{202e}c\nd"), "a·[31mb·c\nd");
        assert_eq!(shortened("abcdef", 4), "…def");
        assert_eq!(shortened("ab\ncd", 9), "ab·cd");
    }
}
