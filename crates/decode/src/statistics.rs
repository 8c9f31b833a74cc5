//! How much a text reflects.

use serde::Serialize;

use crate::ReflectionTokens;

/// How much a text reflects while its model thinks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statistics {
    /// Tokens until the end of thinking, that one excluded; all of them if it does not come.
    pub thinking_tokens: usize,
    /// Whether it comes.
    pub has_ended_thinking: bool,
    /// Positions of reflection tokens while thinking, from 0.
    pub positions: Vec<usize>,
    /// Reflection tokens per hundred tokens of thinking.
    pub reflections_per_hundred: f64,
    /// Thoughts: stretches that reflection tokens begin, and the one before the first.
    pub thoughts: usize,
}

impl Statistics {
    /// Counts in `generated`, prompt excluded.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "texts are shorter than 2⁵³ tokens")]
    pub fn of(generated: &[u32], tokens: &ReflectionTokens) -> Self {
        let end = tokens.end.and_then(|end| generated.iter().position(|id| *id == end));
        let thinking = &generated[..end.unwrap_or(generated.len())];
        let is_reflection = |(at, id): (usize, &u32)| tokens.reflection.binary_search(id).is_ok().then_some(at);
        let positions: Vec<usize> = thinking.iter().enumerate().filter_map(is_reflection).collect();
        let begins_first = positions.first() == Some(&0);
        Self {
            thinking_tokens: thinking.len(),
            has_ended_thinking: end.is_some(),
            reflections_per_hundred: 100.0 * positions.len() as f64 / thinking.len().max(1) as f64,
            thoughts: positions.len() + usize::from(!thinking.is_empty() && !begins_first),
            positions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reflections_are_counted_until_thinking_ends() {
        let tokens = ReflectionTokens { reflection: vec![1, 3], wait: None, end: Some(5) };
        let all = Statistics::of(&[0, 1, 0, 3, 5, 1, 1], &tokens);
        assert_eq!((all.thinking_tokens, all.has_ended_thinking, all.thoughts), (4, true, 3));
        assert_eq!((all.positions, all.reflections_per_hundred), (vec![1, 3], 50.0));
        let first = Statistics::of(&[1, 0], &tokens);
        assert_eq!((first.thinking_tokens, first.has_ended_thinking, first.thoughts), (2, false, 1));
        let none = Statistics::of(&[], &tokens);
        assert_eq!((none.thinking_tokens, none.thoughts, none.reflections_per_hundred), (0, 0, 0.0));
    }
}
