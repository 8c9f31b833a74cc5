//! What was understood of a model, for people.

use headwater_record::{ByteCount, TokenCount};

use super::format::printable;
use crate::stages::model::{CheckedSentence, ModelCheck};

/// Characters of a text that are shown.
const SHOWN: usize = 60;

/// The model, line by line.
#[must_use]
pub fn model_check(check: &ModelCheck) -> String {
    let ModelCheck { architecture, layers, heads, kv_heads, hidden, context_tokens, masked_heads, numerics, .. } =
        check;
    let or_none = |token: &Option<String>| token.as_deref().map_or("none".to_owned(), printable);
    let particulars = if check.particulars.is_empty() { "nothing".to_owned() } else { check.particulars.join("; ") };
    let mut text = format!(
        "{}\n\
         architecture  {architecture}; beside a Llama it has: {particulars}\n\
         size          {} parameters in {} of {}: {layers} layers of {heads} heads ({kv_heads} for keys and values), width {hidden}\n\
         tokenizer     {} tokens of {} rows; begins windows with {}, ends texts with {}\n\
         context       {context_tokens} tokens\n\
         masked        {masked_heads} of {} heads by default, the best of `headwater heads`\n\
         computes      {}, {} on {}, {}\n\
         memory        {} at the peak\n",
        printable(&check.name),
        TokenCount(check.parameters),
        check.bytes,
        if check.formats.is_empty() { "unknown numbers".to_owned() } else { check.formats.join(", ") },
        check.tokens,
        check.vocabulary,
        or_none(&(!check.leading.is_empty()).then(|| check.leading.join(" "))),
        or_none(&check.eos),
        layers * heads,
        numerics.engine,
        numerics.precision,
        numerics.device,
        numerics.instructions,
        check.peak_memory_bytes.map_or("unknown".to_owned(), |bytes| ByteCount(bytes).to_string()),
    );
    for CheckedSentence { text: sentence, tokens, loss, loss_as_it_comes } in &check.sentences {
        let begin: String = printable(sentence).replace('\n', "\\n").chars().take(SHOWN).collect();
        text.push_str(&format!(
            "loss          {loss:.4} nats a token in float32, {loss_as_it_comes:.4} as it computes, {tokens} tokens: {begin}…\n"
        ));
    }
    if let Some(against) = &check.against {
        text.push_str(&format!(
            "transformers  {}: the loss of a token differs by {:.1e} nats at most\n",
            against.version, against.largest_difference
        ));
    }
    text
}
