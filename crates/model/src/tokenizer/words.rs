//! Where text is cut before byte-pair encoding, for the patterns of common models, in one pass over the bytes.
//!
//! The patterns are those of [`crate::pretokenizer`], whose regular expressions take most of the time of tokenising. What is here must cut
//! exactly as they do: the tests hold it against them on every character and on random texts.

use std::sync::LazyLock;

use regex_syntax::hir::{Class as HirClass, HirKind};
use tokenizers::PreTokenizerWrapper;

use crate::pretokenizer;

/// A pattern that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    /// GPT-2's.
    Gpt2,
    /// GPT-2's, after every digit was taken out by itself.
    Gpt2Digits,
    /// Llama 3's, with numbers of up to so many digits; one in Qwen 2.
    Llama3 {
        /// Digits of a number at most.
        digits: usize,
    },
}

/// What the patterns ask of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Letter,
    Number,
    Space,
    Other,
}

/// The kind of every character.
static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let mut kinds = vec![Kind::Other; char::MAX as usize + 1];
    for (class, kind) in [(r"\p{L}", Kind::Letter), (r"\p{N}", Kind::Number), (r"\s", Kind::Space)] {
        for (first, last) in ranges(class) {
            kinds[first as usize..=last as usize].fill(kind);
        }
    }
    kinds
});

/// The characters of a class, as the regular expressions' own library knows them.
fn ranges(class: &str) -> Vec<(char, char)> {
    match regex_syntax::parse(class).map(regex_syntax::hir::Hir::into_kind) {
        Ok(HirKind::Class(HirClass::Unicode(class))) => {
            class.iter().map(|range| (range.start(), range.end())).collect()
        }
        _ => Vec::new(),
    }
}

impl Words {
    /// Finds the pattern that `split` cuts by, if it is one of those known.
    pub(super) fn of(split: &PreTokenizerWrapper) -> Option<Self> {
        let json = |split: &PreTokenizerWrapper| serde_json::to_value(split).ok();
        let wanted = json(split)?;
        let known = [
            ("gpt-2", Self::Gpt2),
            ("smollm", Self::Gpt2Digits),
            ("llama3", Self::Llama3 { digits: 3 }),
            ("qwen2", Self::Llama3 { digits: 1 }),
        ];
        let is_wanted = |name: &str| json(&pretokenizer::named(name)?.split).map(|json| json == wanted);
        known.into_iter().find(|(name, _)| is_wanted(name) == Some(true)).map(|(_, words)| words)
    }

    /// Where the word ends that begins at byte `start` of `text`, which is not its end.
    pub(super) fn end(self, text: &str, start: usize) -> usize {
        match self {
            Self::Gpt2 => gpt2(&Cursor { text, takes_digits_out: false }, start),
            Self::Gpt2Digits => gpt2(&Cursor { text, takes_digits_out: true }, start),
            Self::Llama3 { digits } => llama3(&Cursor { text, takes_digits_out: false }, start, digits),
        }
    }
}

/// Looks at the characters of a text.
struct Cursor<'t> {
    text: &'t str,
    /// Whether the text ends, for the pattern, before every digit.
    takes_digits_out: bool,
}

impl Cursor<'_> {
    /// The kind of the character at `at`, and where it ends; `None` at the end of the text.
    #[inline(always)]
    fn kind(&self, at: usize) -> Option<(Kind, usize)> {
        let byte = *self.text.as_bytes().get(at)?;
        if let Some(kind) = ASCII[usize::from(byte)] {
            return Some((kind, at + 1));
        }
        let character = self.text[at..].chars().next()?;
        // digits are taken out by the standard library's tables, which may know more of them than the regular expressions'
        let kind =
            if self.takes_digits_out && character.is_numeric() { Kind::Number } else { KINDS[character as usize] };
        Some((kind, at + character.len_utf8()))
    }

    /// As [`Self::kind`], but the text ends before a digit that is taken out.
    #[inline(always)]
    fn inside(&self, at: usize) -> Option<(Kind, usize)> {
        self.kind(at).filter(|(kind, _)| !(self.takes_digits_out && *kind == Kind::Number))
    }

    /// Where the characters of `kind` end that begin at `at`.
    fn run(&self, kind: Kind, mut at: usize) -> usize {
        // nearly all of most texts; digits that are taken out are no part of a run
        let is_ascii_run = !(self.takes_digits_out && kind == Kind::Number);
        loop {
            if kind == Kind::Letter {
                at += ascii_letters(&self.text.as_bytes()[at..]);
            } else if is_ascii_run {
                let rest = &self.text.as_bytes()[at..];
                at += rest.iter().take_while(|byte| ASCII[usize::from(**byte)] == Some(kind)).count();
            }
            match self.inside(at) {
                Some((found, end)) if found == kind => at = end,
                _ => return at,
            }
        }
    }

    #[inline(always)]
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// `\s+(?!\S)|\s+` at `start`, where white space is: all of it if nothing follows, else all but the last, but one at least.
    fn spaces(&self, start: usize) -> usize {
        let end = self.run(Kind::Space, start);
        if self.inside(end).is_none() {
            return end;
        }
        let last = self.text[start..end].char_indices().next_back().map_or(0, |(at, _)| at);
        if last == 0 { end } else { start + last }
    }
}

/// How many ASCII letters `bytes` begin with, eight at a time: where a word ends no branch is guessed.
#[inline(always)]
fn ascii_letters(bytes: &[u8]) -> usize {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = EACH << 7;
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut count = 0;
    for eight in eights {
        let bytes = u64::from_le_bytes(*eight);
        // no sum of seven bits and what is added carries over to the next byte
        let lower = (bytes | (EACH << 5)) & !HIGH;
        let from_a = lower + EACH * (0x80 - b'a' as u64);
        let beyond_z = lower + EACH * (0x7f - b'z' as u64);
        let others = !(from_a & !beyond_z & !bytes) & HIGH;
        count += others.trailing_zeros() as usize / 8;
        if others != 0 {
            return count;
        }
    }
    count + rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count()
}

/// The kind of each byte that is a character.
const ASCII: [Option<Kind>; 256] = {
    let mut kinds = [None; 256];
    let mut byte = 0;
    while byte < 0x80 {
        kinds[byte as usize] = Some(ascii(byte));
        byte += 1;
    }
    kinds
};

const fn ascii(byte: u8) -> Kind {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' => Kind::Letter,
        b'0'..=b'9' => Kind::Number,
        b'\t'..=b'\r' | b' ' => Kind::Space,
        _ => Kind::Other,
    }
}

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
fn gpt2(cursor: &Cursor<'_>, start: usize) -> usize {
    let Some((kind, end)) = cursor.kind(start) else { return start };
    if cursor.takes_digits_out && kind == Kind::Number {
        return end;
    }
    let contraction = match (cursor.byte(start), cursor.byte(start + 1), cursor.byte(start + 2)) {
        (Some(b'\''), Some(b's' | b't' | b'm' | b'd'), _) => 2,
        (Some(b'\''), Some(b'r' | b'v'), Some(b'e')) | (Some(b'\''), Some(b'l'), Some(b'l')) => 3,
        _ => 0,
    };
    if contraction > 0 {
        return start + contraction;
    }
    let is_blank = cursor.byte(start) == Some(b' ');
    match cursor.inside(end) {
        Some((next, after)) if is_blank && next != Kind::Space => cursor.run(next, after),
        _ if kind == Kind::Space => cursor.spaces(start),
        _ => cursor.run(kind, end),
    }
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`.
fn llama3(cursor: &Cursor<'_>, start: usize, digits: usize) -> usize {
    let Some((kind, end)) = cursor.kind(start) else { return start };
    let first = cursor.byte(start);
    if let Some(length) = (first == Some(b'\'')).then(|| any_case(&cursor.text[end..])).flatten() {
        return end + length;
    }
    let is_newline = matches!(first, Some(b'\r' | b'\n'));
    match (kind, cursor.kind(end)) {
        (Kind::Letter, _) => cursor.run(Kind::Letter, end),
        (Kind::Number, _) => {
            let more = std::iter::successors(Some(end), |at| match cursor.kind(*at) {
                Some((Kind::Number, end)) => Some(end),
                _ => None,
            });
            more.take(digits).last().unwrap_or(end)
        }
        (_, Some((Kind::Letter, after))) if !is_newline => cursor.run(Kind::Letter, after),
        (Kind::Other, _) => newlines(cursor, cursor.run(Kind::Other, end)),
        (Kind::Space, Some((Kind::Other, after))) if first == Some(b' ') => {
            newlines(cursor, cursor.run(Kind::Other, after))
        }
        (Kind::Space, _) => {
            let spaces = &cursor.text[start..cursor.run(Kind::Space, start)];
            spaces.rfind(['\r', '\n']).map_or_else(|| cursor.spaces(start), |last| start + last + 1)
        }
    }
}

/// Where the newlines at `at` end.
fn newlines(cursor: &Cursor<'_>, mut at: usize) -> usize {
    while matches!(cursor.byte(at), Some(b'\r' | b'\n')) {
        at += 1;
    }
    at
}

/// Bytes of what may follow an apostrophe, in upper or lower case; U+017F is a lower case of S.
fn any_case(text: &str) -> Option<usize> {
    let mut characters = text.chars();
    let first = characters.next()?;
    let second = characters.next().map(|character| character.to_ascii_lowercase());
    match (first.to_ascii_lowercase(), second) {
        ('s' | 't' | 'm' | 'd' | '\u{17f}', _) => Some(first.len_utf8()),
        ('r' | 'v', Some('e')) | ('l', Some('l')) => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _};

    use super::*;

    const ALL: [(&str, Words); 4] = [
        ("gpt-2", Words::Gpt2),
        ("smollm", Words::Gpt2Digits),
        ("llama3", Words::Llama3 { digits: 3 }),
        ("qwen2", Words::Llama3 { digits: 1 }),
    ];

    #[test]
    fn letters_are_told_from_all_other_bytes_wherever_they_stand() {
        for byte in 0..=u8::MAX {
            for place in 0..20 {
                let mut bytes = *b"zaZAmMqQzaZAmMqQbcBC";
                bytes[place] = byte;
                let expected = if byte.is_ascii_alphabetic() { bytes.len() } else { place };
                assert_eq!(ascii_letters(&bytes), expected, "{byte} at {place}");
            }
        }
    }

    /// The ends of the words of `text` by the library.
    fn library(name: &str, text: &str) -> Vec<usize> {
        let split = pretokenizer::named(name).expect("it is known").split;
        let mut pieces = PreTokenizedString::from(text);
        split.pre_tokenize(&mut pieces).expect("any text can be cut");
        let pieces = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
        pieces.into_iter().map(|(_, (_, end), _)| end).collect()
    }

    fn ours(words: Words, text: &str) -> Vec<usize> {
        let mut ends = Vec::new();
        while ends.last().copied().unwrap_or(0) < text.len() {
            ends.push(words.end(text, ends.last().copied().unwrap_or(0)));
        }
        ends
    }

    fn agree(text: &str) {
        for (name, words) in ALL {
            assert_eq!(ours(words, text), library(name, text), "{name}: {text:?}");
        }
    }

    #[test]
    fn the_patterns_are_found_and_others_are_not() {
        for (name, words) in ALL {
            assert_eq!(Words::of(&pretokenizer::named(name).expect("it is known").split), Some(words));
        }
        let digits = tokenizers::pre_tokenizers::digits::Digits::new(true);
        assert_eq!(Words::of(&PreTokenizerWrapper::Digits(digits)), None);
    }

    /// Every character beside a letter, a digit, a space and punctuation; the other two patterns use the same tables.
    #[test]
    fn every_character_is_of_the_kind_that_the_library_says() {
        let all: Vec<char> = ('\0'..=char::MAX).collect();
        let beside = |character: &char| ['a', *character, '1', *character, ' ', *character, '-'];
        for some in all.chunks(1 << 14) {
            let text: String = some.iter().flat_map(beside).collect();
            if ALL[1..3].iter().any(|(name, words)| ours(*words, &text) != library(name, &text)) {
                // names the character
                some.iter().for_each(|character| agree(&beside(character).iter().collect::<String>()));
            }
        }
    }

    #[test]
    fn contractions_white_space_and_numbers_are_cut_alike() {
        for text in [
            "it's IT'S it\u{2019}s don't we'll WE'LL they've 'RE 'ſ x'ſy ' s 's",
            "a  b   c\n\n d \n  e\t\tf \r\n\r\n  g   ",
            "12345 1 22 333 4444 x1y22z 1.5e10 ½ Ⅳ ٣٤٥",
            "a  1  22 \n 3",
            "!!\n\n?? --\r\nx .\n . \n\n",
            "  ",
            "\n",
            " \u{a0}x\u{a0} \u{3000}y",
            "'",
            " '",
            " 's",
            "''ll",
        ] {
            agree(text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn random_texts_are_cut_alike(text in "[a-cSsTtLlEeRrVvMmDd'’ſ0-3½Ⅳ \\t\\r\\n\u{a0}\u{3000}.!-é漢🦀\u{301}]{0,40}") {
            agree(&text);
        }

        #[test]
        fn any_text_is_cut_alike(text in any::<String>()) {
            agree(&text);
        }
    }
}
