//! The natural sentences that probes retrieve.

use std::collections::BTreeSet;

use unicode_segmentation::UnicodeSegmentation;

use crate::{Error, Vocabulary};

/// The longest sentence of a probe, in tokens.
///
/// Source: AttentionInfluence, footnote 1.
pub const MAX_SENTENCE_TOKENS: usize = 30;

/// Lengths of the corpus sentences that are worth tokenising, in characters: neither headings nor paragraphs.
const CORPUS_CHARACTERS: std::ops::RangeInclusive<usize> = 20..=200;

/// The bundled list: English prose of the public domain; `data/README.md` says from where.
static BUNDLED: &str = include_str!("../data/sentences.txt");

/// Returns the sentences that come with the crate.
pub fn bundled_sentences() -> impl Iterator<Item = &'static str> {
    BUNDLED.lines()
}

/// Returns the sentences of a document that could serve in a probe, white space folded to single spaces.
///
/// Paragraphs end at blank lines and sentences where Unicode says (UAX #29), so any script will do. What
/// [`build_probes`](crate::build_probes) cannot use is left out already, apart from its limit in tokens.
pub fn extract_sentences(document: &str) -> impl Iterator<Item = String> + '_ {
    document.split("\n\n").flat_map(|paragraph| {
        let folded = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        let whole: Vec<String> = folded.unicode_sentences().map(|sentence| sentence.trim().to_owned()).collect();
        whole.into_iter().filter(|sentence| is_plain(sentence) && CORPUS_CHARACTERS.contains(&sentence.chars().count()))
    })
}

/// Whether JSON can hold `sentence` without escapes, and it neither is empty nor begins or ends with white space.
fn is_plain(sentence: &str) -> bool {
    let forbidden = |c: char| c == '"' || c == '\\' || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    !sentence.is_empty() && sentence.trim() == sentence && !sentence.contains(forbidden)
}

/// Keeps the sentences that a probe can use, each once, in the order given.
pub(crate) fn usable<'a>(sentences: &[&'a str], vocabulary: &Vocabulary<'_>) -> Result<Vec<&'a str>, Error> {
    let mut seen = BTreeSet::new();
    let mut usable = Vec::new();
    for (index, &sentence) in sentences.iter().enumerate() {
        if !is_plain(sentence) || !seen.insert(sentence) {
            continue;
        }
        let tokens = (vocabulary.tokenise)(sentence).map_err(|source| Error::Sentence { sentence: index, source })?;
        if (1..=MAX_SENTENCE_TOKENS).contains(&tokens.len()) {
            usable.push(sentence);
        }
    }
    Ok(usable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_list_is_plain_and_without_repetition() {
        let all: Vec<&str> = bundled_sentences().collect();
        assert!(all.len() >= 600, "{}", all.len());
        assert!(all.iter().all(|sentence| is_plain(sentence) && sentence.split(' ').count() <= 24));
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn documents_fall_into_sentences() {
        let document = "A Heading of Some Length\n\nThe first\n  one is long enough. \"A quoted one is of no use.\" Short. The last one is usable, too!";
        let found: Vec<String> = extract_sentences(document).collect();
        assert_eq!(
            found,
            ["A Heading of Some Length", "The first one is long enough.", "The last one is usable, too!"]
        );
        let chinese = "这是第一个足够长的句子，它会被用在探针之中吗？这是第二个足够长的句子，它也会被用在探针之中。";
        assert_eq!(extract_sentences(chinese).count(), 2);
    }
}
