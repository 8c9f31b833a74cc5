//! The `[heads]` table of a pipeline.

use headwater_record::heads::Rule;
use headwater_record::stability::Until;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;

/// How heads are sought. The default is the CPU preset; the paper's is 800 probes of 4,096 tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeadsConfig {
    /// Most probes (synthetic retrieval prompts), 2 to 100,000. The paper uses 800. More give a more reliable head set and take
    /// longer.
    pub probes: usize,
    /// When to stop adding probes.
    pub until: Until,
    /// Solved examples in each probe before the question.
    pub shots: usize,
    /// Most tokens of a probe with its answer. The paper uses 4,096. At most the model's context.
    pub context_tokens: usize,
    /// Share of all heads that is masked, above 0 and at most 1.
    pub fraction: f64,
    /// When a head counts as copying an answer token.
    pub rule: Rule,
    /// Where the sentences of the probes come from.
    pub sentences: Sentences,
    /// A `heads.json` whose heads are used instead of finding them; `{"heads": [[layer, head], ...]}` is enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// Where the probes' sentences come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sentences {
    /// A bundled list of English sentences in the public domain.
    #[default]
    Bundled,
    /// The corpus, for models of other languages.
    Corpus,
}

impl Sentences {
    /// Returns the word that configuration and `heads.json` use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bundled => "bundled",
            Self::Corpus => "corpus",
        }
    }
}

impl Default for HeadsConfig {
    fn default() -> Self {
        Self {
            probes: 64,
            until: Until::Stable,
            shots: 3,
            context_tokens: 1024,
            fraction: 0.05,
            rule: Rule::NeedleSpan,
            sentences: Sentences::Bundled,
            file: None,
        }
    }
}

/// The most probes: beyond it more of them change nothing but the time.
const MAX_PROBES: usize = 100_000;

impl HeadsConfig {
    /// Checks what can be checked without a model.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first key whose value cannot be used.
    pub fn validate(&self) -> Result<(), Error> {
        let wrong = |key, value: String, reason| Err(Error::Config { key, value, reason });
        if !(2..=MAX_PROBES).contains(&self.probes) {
            return wrong("probes", self.probes.to_string(), "from 2 (two halves are compared) to 100,000");
        }
        if self.context_tokens == 0 {
            return wrong("context_tokens", "0".to_owned(), "a probe needs some hundred tokens");
        }
        if self.shots >= self.context_tokens {
            return wrong("shots", self.shots.to_string(), "fewer than context_tokens; 3 is usual");
        }
        if !(self.fraction > 0.0 && self.fraction <= 1.0) {
            return wrong("fraction", self.fraction.to_string(), "above 0, at most 1");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_is_the_cpu_preset() -> Result<(), serde_json::Error> {
        let config: HeadsConfig = serde_json::from_str("{}")?;
        assert_eq!(config, HeadsConfig::default());
        assert!(config.validate().is_ok());
        let written: HeadsConfig =
            serde_json::from_str(r#"{"rule": "visible", "sentences": "corpus", "probes": 800, "until": "all"}"#)?;
        assert_eq!((written.rule, written.sentences), (Rule::Visible, Sentences::Corpus));
        assert_eq!((written.probes, written.until), (800, Until::All));
        assert!(serde_json::from_str::<HeadsConfig>(r#"{"probe": 3}"#).is_err());
        Ok(())
    }

    #[test]
    fn unusable_values_are_named() {
        let default = HeadsConfig::default;
        let cases = [
            ("probes", HeadsConfig { probes: 1, ..default() }),
            ("probes", HeadsConfig { probes: usize::MAX, ..default() }),
            ("context_tokens", HeadsConfig { context_tokens: 0, ..default() }),
            ("shots", HeadsConfig { shots: usize::MAX, ..default() }),
            ("fraction", HeadsConfig { fraction: 0.0, ..default() }),
            ("fraction", HeadsConfig { fraction: 1.5, ..default() }),
            ("fraction", HeadsConfig { fraction: f64::NAN, ..default() }),
        ];
        for (key, config) in cases {
            let text = config.validate().err().map(|error| error.to_string()).unwrap_or_default();
            assert!(text.contains(key), "{key}: {text}");
        }
    }
}
