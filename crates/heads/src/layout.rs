//! The text of a probe: wording, JSON object, demonstrations, question, answer.
//!
//! Source: AttentionInfluence, appendix A. Departs: the paper's demonstrations are not labelled; here each is a `key: …` and an
//! `answer: …` line, as the question already was.

use std::ops::Range;

/// What stands before the JSON object.
const WORDING: &str = "Please extract the value corresponding to the specified key from the following JSON object. Output only the value of the corresponding key and nothing else. The JSON data is as follows:\n";

/// One entry of the JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair<'a> {
    /// 32 characters of a-z and 0-9.
    pub(crate) key: String,
    /// A sentence that JSON need not escape.
    pub(crate) value: &'a str,
}

/// A probe as text, answer included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbeText {
    /// Prompt and answer.
    pub(crate) text: String,
    /// Where the answer begins (with its space), in bytes.
    pub(crate) answer_start: usize,
    /// The characters of the value in the JSON object, without quotes, in bytes.
    pub(crate) needle: Range<usize>,
}

impl Pair<'_> {
    /// The pair's line in the JSON object, without comma and line end.
    pub(crate) fn line(&self) -> String {
        format!(" \"{}\": \"{}\"", self.key, self.value)
    }
}

/// Writes a probe: `pairs` in the order of `order`, then one block for each of `asked`, of which the last is the question.
///
/// Both lists hold indices of `pairs`; the question's pair must be in `order`.
pub(crate) fn render(pairs: &[Pair<'_>], order: &[usize], asked: &[usize]) -> ProbeText {
    let question = asked.last().copied();
    let mut probe = ProbeText { text: format!("{WORDING}{{\n"), answer_start: 0, needle: 0..0 };
    for (place, &pair) in order.iter().enumerate() {
        probe.text.push_str(&pairs[pair].line());
        if Some(pair) == question {
            let end = probe.text.len() - 1;
            probe.needle = end - pairs[pair].value.len()..end;
        }
        probe.text.push_str(if place + 1 == order.len() { "\n" } else { ",\n" });
    }
    probe.text.push('}');
    for &pair in asked {
        probe.text.push_str("\nkey: ");
        probe.text.push_str(&pairs[pair].key);
        probe.text.push_str("\nanswer:");
        probe.answer_start = probe.text.len();
        probe.text.push(' ');
        probe.text.push_str(pairs[pair].value);
    }
    probe
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A probe's text taken apart again: pairs in JSON order and the pairs asked about.
    pub(crate) fn parse(text: &str) -> Option<(Vec<Pair<'_>>, Vec<usize>)> {
        let (object, blocks) = text.strip_prefix(WORDING)?.strip_prefix("{\n")?.split_once("\n}\n")?;
        let pair = |line: &'_ str| -> Option<(String, usize, usize)> {
            let (key, value) = line.strip_prefix(" \"")?.strip_suffix('"')?.split_once("\": \"")?;
            Some((key.to_owned(), value.as_ptr() as usize - text.as_ptr() as usize, value.len()))
        };
        let mut pairs = Vec::new();
        for line in object.split(",\n") {
            let (key, start, length) = pair(line)?;
            pairs.push(Pair { key, value: &text[start..start + length] });
        }
        let mut asked = Vec::new();
        let lines: Vec<&str> = blocks.lines().collect();
        for block in lines.chunks(2) {
            let key = block.first()?.strip_prefix("key: ")?;
            let answer = block.get(1)?.strip_prefix("answer: ")?;
            asked.push(pairs.iter().position(|pair| pair.key == key && pair.value == answer)?);
        }
        Some((pairs, asked))
    }

    #[test]
    fn the_layout_is_as_documented() {
        let pairs = ["a", "b"].map(|key| Pair { key: key.repeat(32), value: if key == "a" { "One." } else { "Two." } });
        let probe = render(&pairs, &[1, 0], &[1, 0]);
        let (a, b) = (&pairs[0].key, &pairs[1].key);
        let tail =
            format!("{{\n \"{b}\": \"Two.\",\n \"{a}\": \"One.\"\n}}\nkey: {b}\nanswer: Two.\nkey: {a}\nanswer: One.");
        assert_eq!(probe.text, format!("{WORDING}{tail}"));
        assert_eq!(&probe.text[probe.needle.clone()], "One.");
        assert_eq!(&probe.text[probe.answer_start..], " One.");
        assert!(probe.text[..probe.answer_start].ends_with("answer:"));
    }
}
