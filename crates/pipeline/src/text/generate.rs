//! A text by a model, for people.

use crate::WrittenText;

/// The text, and under it how much it reflects.
#[must_use]
pub fn written_text(written: &WrittenText) -> String {
    let WrittenText { generated, reflection_tokens, seconds, .. } = written;
    let (statistics, tokens) = (&generated.statistics, generated.tokens.len());
    let ended = if statistics.has_ended_thinking { "until thinking ended" } else { "without an end of thinking" };
    format!(
        "{}\n\n{tokens} tokens in {seconds:.1} s ({:.1} a second)\n{} reflection tokens in {} {ended}: {:.2} in a hundred, {} thoughts\n\
         reflection tokens: {}\n",
        generated.text,
        tokens as f64 / seconds.max(1e-9),
        statistics.positions.len(),
        statistics.thinking_tokens,
        statistics.reflections_per_hundred,
        statistics.thoughts,
        reflection_tokens.join(" "),
    )
}
