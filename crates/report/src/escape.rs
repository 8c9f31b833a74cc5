//! Escapes texts of documents, names and paths for a page: no character is invisible, changes direction or breaks the layout, and length
//! is bounded.
//!
//! Control characters become their pictures (`␀`); characters that are invisible or change direction are spelled out (`U+202E`).
//! Escaping for HTML is `maud`'s; here it is only counted.

use maud::{Markup, html};

/// Characters of a name that are shown.
const NAME_CHARACTERS: usize = 120;

/// Bytes of a name that are shown, escaped: what characters that are spelled out may take.
const NAME_BYTES: usize = 480;

/// How line ends and tabs are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    /// They stay, for text in a box of its own.
    Kept,
    /// They are shown as pictures, for names inside a line.
    Shown,
}

/// The beginning of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    /// What may be shown, not yet escaped.
    pub(crate) text: String,
    /// Bytes that it takes once escaped.
    pub(crate) bytes: usize,
    /// Whether something of the text is missing.
    pub(crate) is_cut_off: bool,
}

/// At most `characters` of a text that take at most `bytes` once escaped.
pub(crate) fn excerpt(text: &str, lines: Lines, (characters, bytes): (usize, usize)) -> Excerpt {
    let (mut shown, mut cost) = (String::new(), 0_usize);
    for (at, character) in text.chars().enumerate() {
        let before = shown.len();
        push(&mut shown, character, lines);
        let added = shown[before..].chars().map(escaped_bytes).sum::<usize>();
        if at >= characters || cost + added > bytes {
            shown.truncate(before);
            return Excerpt { text: shown, bytes: cost, is_cut_off: true };
        }
        cost += added;
    }
    Excerpt { text: shown, bytes: cost, is_cut_off: false }
}

/// A name, path or id on one line, shortened if it is very long. Plain text: for attributes and for pictures.
pub(crate) fn name(text: &str) -> String {
    let Excerpt { mut text, is_cut_off, .. } = excerpt(text, Lines::Shown, (NAME_CHARACTERS, NAME_BYTES));
    if is_cut_off {
        text.push('…');
    }
    text
}

/// The same, kept apart from the direction of what stands around it.
pub(crate) fn named(text: &str) -> Markup {
    html! { bdi { (name(text)) } }
}

fn push(shown: &mut String, character: char, lines: Lines) {
    let code = u32::from(character);
    match character {
        '\n' | '\t' if lines == Lines::Kept => shown.push(character),
        '\0'..='\u{1f}' => shown.push(char::from_u32(0x2400 + code).unwrap_or('\u{fffd}')),
        '\u{7f}' => shown.push('\u{2421}'),
        _ if is_hidden(character) => shown.push_str(&format!("⟨U+{code:04X}⟩")),
        _ => shown.push(character),
    }
}

/// Characters that change direction, are invisible, or are none at all. Joiners stay: scripts and emoji need them.
const fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\u{80}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'
            | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{fdd0}'..='\u{fdef}'
            | '\u{e0000}'..='\u{e007f}'
    ) || character as u32 & 0xfffe == 0xfffe
}

const fn escaped_bytes(character: char) -> usize {
    match character {
        '&' => 5,
        '<' | '>' => 4,
        '"' => 6,
        _ => character.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hides() {
        let text = excerpt("a\0\u{1b}[1m\u{7f}\u{85}\u{202e}b\u{feff}\u{e0041}\u{ffff}\n\tc", Lines::Kept, (99, 999));
        let shown = "a␀␛[1m␡⟨U+0085⟩⟨U+202E⟩b⟨U+FEFF⟩⟨U+E0041⟩⟨U+FFFF⟩\n\tc";
        assert_eq!(text, Excerpt { text: shown.to_owned(), bytes: shown.len(), is_cut_off: false });
        assert_eq!(name("a\r\n\tb"), "a␍␊␉b");
    }

    #[test]
    fn joiners_and_right_to_left_text_stay() {
        assert_eq!(name("👩\u{200d}🔬 سلام"), "👩\u{200d}🔬 سلام");
    }

    #[test]
    fn excerpts_end_at_characters_or_at_escaped_bytes() {
        let cut = |text: &str, limits| excerpt(text, Lines::Kept, limits);
        let shown = |text: &str, is_cut_off| Excerpt { text: text.to_owned(), bytes: text.len(), is_cut_off };
        assert_eq!(cut("abc", (3, 3)), shown("abc", false));
        assert_eq!(cut("abcd", (3, 99)), shown("abc", true));
        assert_eq!(cut("a<b", (9, 4)), shown("a", true));
        assert_eq!(cut("<\"&", (9, 99)).bytes, 15);
        assert_eq!(cut("ééé", (9, 5)).text, "éé");
        let long = name(&"x".repeat(1 << 20));
        assert_eq!(long.chars().count(), NAME_CHARACTERS + 1);
        assert!(long.ends_with('…'));
    }
}
