//! What a text repeats of itself.

use std::collections::HashSet;
use std::ops::Range;

/// Characters that must be the same for a stretch to be a repetition: five or six English words.
pub(crate) const LEAST_CHARACTERS: usize = 32;

/// The stretches of a text that stood before in it, as ranges of bytes, rising and apart from each other. Blank stretches do not count.
pub(crate) fn repeats(text: &str) -> Vec<Range<usize>> {
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut found: Vec<Range<usize>> = Vec::new();
    for window in starts.windows(LEAST_CHARACTERS + 1) {
        let stretch = window[0]..window[LEAST_CHARACTERS];
        let words = &text[stretch.clone()];
        if seen.insert(words) || words.trim().is_empty() {
            continue;
        }
        match found.last_mut() {
            Some(last) if last.end >= stretch.start => last.end = stretch.end,
            _ => found.push(stretch),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(text: &str) -> Vec<(usize, usize)> {
        repeats(text).into_iter().map(|stretch| (stretch.start, stretch.end)).collect()
    }

    #[test]
    fn a_stretch_that_stood_before_is_found_whole() {
        let line = "All rights reserved. No part may be copied – at all.\n";
        let text = format!("{line}Then something new.\n{line}And an end.");
        let from = text.rfind("All rights").unwrap();
        assert_eq!(ends(&text), [(from, from + line.len())]);
    }

    #[test]
    fn short_and_blank_stretches_do_not_count() {
        assert_eq!(ends("the cat and the dog and the bird and the fish"), []);
        assert_eq!(ends(&" ".repeat(200)), []);
        assert_eq!(ends(""), []);
        assert_eq!(ends(&"大".repeat(LEAST_CHARACTERS)), []);
    }

    #[test]
    fn what_goes_on_and_on_is_one_stretch() {
        assert_eq!(ends(&"ab".repeat(100)), [(2, 200)]);
        assert_eq!(ends(&"大".repeat(LEAST_CHARACTERS + 1)), [(3, 3 * (LEAST_CHARACTERS + 1))]);
    }
}
