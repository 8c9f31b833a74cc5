//! Which tokens are reflection.

use headwater_model::Tokenizer;

use crate::Error;

/// Words that begin another thought. Each counts alone and after a space.
pub const WORDS: [&str; 6] = ["wait", "Wait", "but", "But", "Alternatively", "alternatively"];

/// The words of CyclicReflex's public code, which looks each up alone.
pub const PAPER_WORDS: [&str; 5] = ["wait", "Wait", "but", "But", "Alternatively"];

/// The token that ends the thinking of most reasoning models.
const END: &str = "</think>";

/// What S1 appends.
const WAIT: &str = "Wait";

/// What is looked up in a vocabulary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Reflection words; [`WORDS`] if there are none.
    pub words: Vec<String>,
    /// Exactly [`PAPER_WORDS`], alone.
    pub paper: bool,
    /// The token that ends thinking; `</think>` if the vocabulary has it.
    pub end: Option<String>,
}

/// The tokens that schedules act on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReflectionTokens {
    /// Ids of reflection tokens, ascending.
    pub reflection: Vec<u32>,
    /// The token that S1 appends.
    pub wait: Option<u32>,
    /// The token that ends thinking; without one, thinking never ends.
    pub end: Option<u32>,
}

impl ReflectionTokens {
    /// Looks up `words` in a vocabulary.
    ///
    /// # Errors
    /// [`Error::NoToken`] for a word that is no single token, alone or after a space (one of [`WORDS`] is left out instead);
    /// [`Error::NoEnd`] for a named end that is no token.
    pub fn resolve(tokenizer: &Tokenizer, words: &Words) -> Result<Self, Error> {
        let single = |text: &str| -> Result<Option<u32>, Error> {
            Ok(<[u32; 1]>::try_from(tokenizer.encode(text)?).ok().map(|[id]| id))
        };
        let named: Vec<&str> = match (words.paper, words.words.is_empty()) {
            (true, _) => PAPER_WORDS.to_vec(),
            (false, true) => WORDS.to_vec(),
            (false, false) => words.words.iter().map(String::as_str).collect(),
        };
        let mut reflection = Vec::new();
        for word in named {
            let spaced = if words.paper { None } else { single(&format!(" {word}"))? };
            let forms: Vec<u32> = single(word)?.into_iter().chain(spaced).collect();
            let is_chosen = words.paper || !words.words.is_empty();
            if forms.is_empty() && is_chosen {
                return Err(Error::NoToken { word: word.to_owned() });
            }
            reflection.extend(forms);
        }
        reflection.sort_unstable();
        reflection.dedup();
        let end = match &words.end {
            Some(token) => {
                let found = tokenizer.token_to_id(token).map_or_else(|| single(token), |id| Ok(Some(id)))?;
                Some(found.ok_or_else(|| Error::NoEnd { token: token.clone() })?)
            }
            None => tokenizer.token_to_id(END),
        };
        Ok(Self { reflection, wait: single(WAIT)?, end })
    }
}
