//! The changes, each one function of a text and a seed.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Columns at which paragraphs are wrapped anew.
const WRAP: usize = 72;

/// Lines of a paragraph are prose, rather than code or a table, if they have so many characters on average.
const PROSE_LINE: usize = 40;

/// The part of the length that padding adds, one in this many.
const PADDING_PART: usize = 8;

/// A change of a text that keeps its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Perturbation {
    /// None: what crosses the cut then is a fault of the measurement.
    Identity,
    /// Markdown's headings, lists and emphasis as a wiki writes them, and a wiki's as Markdown does.
    Wiki,
    /// Paragraphs of prose wrapped at 72 columns, and those that were wrapped in one line.
    Wrap,
    /// Trailing spaces, blank lines doubled, tabs for leading spaces.
    Whitespace,
    /// Headings in capitals.
    Headings,
    /// A line of navigation before and a notice after the text.
    Boilerplate,
    /// A paragraph a second time, at the end.
    Repetition,
    /// Key-value lines at the end, each key twice: what a retrieval head looks for.
    Padding,
    /// The last quarter cut off, at the end of a line.
    Truncation,
}

impl Perturbation {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Identity,
        Self::Wiki,
        Self::Wrap,
        Self::Whitespace,
        Self::Headings,
        Self::Boilerplate,
        Self::Repetition,
        Self::Padding,
        Self::Truncation,
    ];

    /// The name in artefacts and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Wiki => "wiki",
            Self::Wrap => "wrap",
            Self::Whitespace => "whitespace",
            Self::Headings => "headings",
            Self::Boilerplate => "boilerplate",
            Self::Repetition => "repetition",
            Self::Padding => "padding",
            Self::Truncation => "truncation",
        }
    }

    /// The changed text; `None` if there is nothing in it to change.
    #[must_use]
    pub fn apply(self, text: &str, seed: u64) -> Option<String> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let changed = match self {
            Self::Identity => return Some(text.to_owned()),
            Self::Wiki => each_line(text, reformatted),
            Self::Wrap => each_paragraph(text, rewrapped),
            Self::Whitespace => with_whitespace(text, &mut random),
            Self::Headings => each_line(text, in_capitals),
            Self::Boilerplate => with_boilerplate(text, &mut random),
            Self::Repetition => with_repetition(text, &mut random)?,
            Self::Padding => with_padding(text, &mut random),
            Self::Truncation => without_last_quarter(text)?.to_owned(),
        };
        (changed != text).then_some(changed)
    }
}

/// The text with `change` made to each line; the ends of lines stay.
fn each_line(text: &str, change: impl Fn(&str) -> Option<String>) -> String {
    let mut changed = String::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\n', '\r']);
        match change(content) {
            Some(other) => changed.push_str(&other),
            None => changed.push_str(content),
        }
        changed.push_str(&line[content.len()..]);
    }
    changed
}

/// The text with `change` made to each paragraph: lines between blank ones.
fn each_paragraph(text: &str, change: impl Fn(&[&str]) -> Option<String>) -> String {
    let lines: Vec<&str> = text.split('\n').collect();
    let paragraphs = lines.chunk_by(|one, other| !one.trim().is_empty() && !other.trim().is_empty());
    let changed = paragraphs.map(|lines| change(lines).unwrap_or_else(|| lines.join("\n")));
    changed.collect::<Vec<_>>().join("\n")
}

/// A heading's level and title, if a line is one in Markdown.
fn markdown_heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    let title = line[level..].strip_prefix(' ')?.trim();
    (1..=6).contains(&level).then_some((level, title)).filter(|(_, title)| !title.is_empty())
}

/// A heading's level and title, if a line is one of a wiki.
fn wiki_heading(line: &str) -> Option<(usize, &str)> {
    let line = line.trim_end();
    let level = line.bytes().take_while(|byte| *byte == b'=').count();
    let title = line[level..].strip_suffix(&line[..level])?.trim();
    ((2..=6).contains(&level) && !title.is_empty() && !title.contains('=')).then_some((level, title))
}

/// A line as the other markup writes it.
fn reformatted(line: &str) -> Option<String> {
    if let Some((level, title)) = markdown_heading(line) {
        let marks = "=".repeat((level + 1).min(6));
        return Some(format!("{marks} {} {marks}", emphasised(title)));
    }
    if let Some((level, title)) = wiki_heading(line) {
        return Some(format!("{} {}", "#".repeat(level - 1), emphasised(title)));
    }
    if let Some(item) = line.strip_prefix("- ") {
        return Some(format!("* {}", emphasised(item)));
    }
    if let Some(item) = line.strip_prefix("* ") {
        return Some(format!("- {}", emphasised(item)));
    }
    Some(emphasised(line))
}

/// Strong emphasis as the other markup writes it.
fn emphasised(text: &str) -> String {
    if text.contains("**") { text.replace("**", "'''") } else { text.replace("'''", "**") }
}

/// A paragraph of prose in other lines; `None` of code, lists, tables and headings.
fn rewrapped(lines: &[&str]) -> Option<String> {
    let characters: usize = lines.iter().map(|line| line.chars().count()).sum();
    let is_plain = |line: &&str| line.starts_with(|first: char| first.is_alphabetic()) && !line.contains("  ");
    if characters < PROSE_LINE * lines.len() || !lines.iter().all(is_plain) {
        return None;
    }
    let words = lines.iter().flat_map(|line| line.split_whitespace());
    if lines.len() > 1 {
        return Some(words.collect::<Vec<_>>().join(" "));
    }
    let mut wrapped = String::with_capacity(characters + characters / WRAP);
    let mut column = 0;
    for word in words {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > WRAP {
            wrapped.push('\n');
            column = 0;
        } else if column > 0 {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(word);
        column += length;
    }
    Some(wrapped)
}

fn with_whitespace(text: &str, random: &mut ChaCha8Rng) -> String {
    let mut changed = String::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\n', '\r']);
        let indent = content.len() - content.trim_start_matches(' ').len();
        changed.push_str(&"\t".repeat(indent / 4));
        changed.push_str(&content[indent / 4 * 4..]);
        if !content.trim().is_empty() && random.random_bool(0.25) {
            changed.push_str("  ");
        }
        changed.push_str(&line[content.len()..]);
        if content.trim().is_empty() && content.len() < line.len() {
            changed.push('\n');
        }
    }
    changed
}

/// A heading of either markup in capitals.
fn in_capitals(line: &str) -> Option<String> {
    let title = markdown_heading(line).or_else(|| wiki_heading(line)).map(|(_, title)| title)?;
    Some(line.replacen(title, &title.to_uppercase(), 1))
}

fn with_boilerplate(text: &str, random: &mut ChaCha8Rng) -> String {
    const HEADS: [&str; 3] = [
        "Home | About | Documentation | Contact | Log in",
        "Skip to main content\nMenu\nSearch",
        "You are here: Home > Library > Articles",
    ];
    const FEET: [&str; 3] = [
        "Copyright The Authors. All rights reserved. | Privacy policy | Terms of use",
        "Share this page: Facebook Twitter LinkedIn Email",
        "Last modified on Monday. Report a problem with this page.",
    ];
    let (head, foot) = (HEADS[random.random_range(0..HEADS.len())], FEET[random.random_range(0..FEET.len())]);
    format!("{head}\n\n{text}\n\n{foot}\n")
}

/// A paragraph of the text that is neither short nor most of it, a second time at the end.
fn with_repetition(text: &str, random: &mut ChaCha8Rng) -> Option<String> {
    let is_fit = |paragraph: &&str| paragraph.len() >= 80 && paragraph.len() <= text.len() / 2;
    let paragraphs: Vec<&str> = text.split("\n\n").filter(is_fit).collect();
    let paragraph = paragraphs.get(random.random_range(0..paragraphs.len().max(1)))?;
    Some(format!("{}\n\n{}\n", text.trim_end(), paragraph.trim()))
}

fn with_padding(text: &str, random: &mut ChaCha8Rng) -> String {
    let mut word = |letters: std::ops::Range<usize>| -> String {
        let length = random.random_range(letters);
        (0..length).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect()
    };
    let mut pairs = Vec::new();
    let mut bytes = 0;
    while bytes < text.len() / PADDING_PART {
        let line = format!("{}: {}", word(4..9), word(5..12));
        bytes += 2 * (line.len() + 1);
        pairs.push(line);
    }
    let lines = pairs.join("\n");
    format!("{}\n\n{lines}\n{lines}\n", text.trim_end())
}

fn without_last_quarter(text: &str) -> Option<&str> {
    let kept = text.floor_char_boundary(text.len() / 4 * 3);
    let end = text[..kept].rfind('\n').or_else(|| text[..kept].rfind(' '))?;
    Some(&text[..end]).filter(|start| !start.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "# A title\n\nFirst a paragraph of some length that goes on and on, as paragraphs of prose \
                        do, until it is longer than a line of a terminal.\n\n## Next **bold** title\n\n- one\n- two\n\n    \
                        code = 1\n\nAnother paragraph that is written over two lines,\nof which this is the second one, \
                        with a full stop at its end.\n";

    fn applied(perturbation: Perturbation) -> String {
        perturbation.apply(TEXT, 1).expect("there is something to change")
    }

    #[test]
    fn each_changes_what_it_says() {
        assert_eq!(applied(Perturbation::Identity), TEXT);
        let wiki = applied(Perturbation::Wiki);
        assert!(wiki.starts_with("== A title ==\n") && wiki.contains("=== Next '''bold''' title ===\n\n* one\n* two"));
        let again = Perturbation::Wiki.apply(&wiki, 1);
        assert_eq!(again.as_deref(), Some(TEXT), "there and back");
        let wrapped = applied(Perturbation::Wrap);
        assert!(wrapped.lines().all(|line| line.chars().count() <= WRAP || line.starts_with("Another")), "{wrapped}");
        assert!(wrapped.contains("two lines, of which") && wrapped.contains("    code = 1"));
        assert!(applied(Perturbation::Headings).starts_with("# A TITLE\n"));
        let boilerplate = applied(Perturbation::Boilerplate);
        assert!(boilerplate.contains(TEXT) && !boilerplate.starts_with("# A title"));
        assert!(applied(Perturbation::Whitespace).contains("\n\tcode = 1"));
        let padded = applied(Perturbation::Padding);
        let pairs: Vec<&str> = padded.lines().filter(|line| line.contains(": ")).collect();
        assert!(pairs.len() >= 2 && pairs[..pairs.len() / 2] == pairs[pairs.len() / 2..], "each key stands twice");
        let repeated = applied(Perturbation::Repetition);
        assert_eq!(repeated.matches("Another paragraph").count() + repeated.matches("First a paragraph").count(), 3);
        let cut = applied(Perturbation::Truncation);
        assert!(TEXT.starts_with(&cut) && cut.len() < TEXT.len() * 3 / 4);
    }

    #[test]
    fn words_stay_where_only_their_form_changes() {
        let words = |text: &str| {
            let letters = text.to_lowercase();
            letters
                .split(|c: char| !c.is_alphanumeric())
                .filter(|w| !w.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        for same in [Perturbation::Wiki, Perturbation::Wrap, Perturbation::Whitespace, Perturbation::Headings] {
            assert_eq!(words(&applied(same)), words(TEXT), "{}", same.as_str());
        }
    }

    #[test]
    fn a_text_with_nothing_to_change_is_left_out() {
        for (perturbation, text) in [
            (Perturbation::Wiki, "plain words"),
            (Perturbation::Headings, "plain words"),
            (Perturbation::Wrap, "int x;"),
            (Perturbation::Repetition, "short"),
            (Perturbation::Truncation, "word"),
        ] {
            assert_eq!(perturbation.apply(text, 1), None, "{}", perturbation.as_str());
        }
    }

    proptest! {
        #[test]
        fn any_text_and_seed_give_the_same_change_twice(text in "\\PC{0,200}|[ -~\n#=*'-]{0,200}", seed: u64) {
            for perturbation in Perturbation::ALL {
                prop_assert_eq!(perturbation.apply(&text, seed), perturbation.apply(&text, seed));
            }
        }
    }
}
