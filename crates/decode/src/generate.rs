//! The loop that writes a text.

use headwater_model::{Engine, Tokenizer};
use serde::Serialize;

use crate::{Error, Reflection, Sampler, Statistics};

/// When a text ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tokens at most.
    pub tokens: usize,
    /// Tokens that end it, which belong to it.
    pub ends: Vec<u32>,
}

/// A text by a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Generated {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// The tokens after the prompt.
    pub tokens: Vec<u32>,
    /// Their text.
    pub text: String,
    /// What was added to the logits of reflection tokens, by token.
    pub added: Vec<f32>,
    /// How much it reflects.
    pub statistics: Statistics,
}

/// Writes what follows `prompt`, one token after the other. `each` is called with each token, and ends the text by returning false.
///
/// # Errors
/// [`Error::EmptyPrompt`]; [`Error::NotFinite`]; [`Error::Model`] for an engine that cannot write, a token outside the vocabulary, or a text
/// beyond the model's context.
pub fn generate(
    (engine, tokenizer): (&dyn Engine, &Tokenizer),
    prompt: &[u32],
    limits: &Limits,
    (sampler, reflection): (&mut Sampler, &mut Reflection),
    mut each: impl FnMut(u32) -> bool,
) -> Result<Generated, Error> {
    if prompt.is_empty() {
        return Err(Error::EmptyPrompt);
    }
    let mut text = engine.continuation()?;
    let room = engine.shape().context_tokens.saturating_sub(prompt.len());
    let mut logits = text.extend(prompt)?;
    let (mut tokens, mut added) = (Vec::new(), Vec::new());
    while tokens.len() < limits.tokens.min(room) {
        added.push(reflection.process(&tokens, &mut logits));
        let next = sampler.draw(&logits).ok_or(Error::NotFinite { tokens: text.len() })?;
        tokens.push(next);
        if !each(next) || limits.ends.contains(&next) || tokens.len() == limits.tokens.min(room) {
            break;
        }
        logits = text.extend(&[next])?;
    }
    let statistics = Statistics::of(&tokens, reflection.tokens());
    Ok(Generated { prompt_tokens: prompt.len(), text: tokenizer.decode(&tokens)?, tokens, added, statistics })
}
