//! How much of a training run is corpus and how much is selected subset, by tokens.

use std::borrow::Cow;

use headwater_record::selection::Bucket;
use headwater_record::tokens::TextPart;
use headwater_record::{SelectionFile, TokenCount};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The `[mixture]` table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MixtureConfig {
    /// Share of the training tokens that comes from the selected subset, 0 to 1. `"concatenate"`: as much as if the subset, with its
    /// repetitions, were appended to the corpus.
    pub selected: SelectedWeight,
    /// The same while the learning rate decays. Without it nothing changes then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay: Option<SelectedWeight>,
}

/// How much of a mixture is the selected subset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub enum SelectedWeight {
    /// As much as if the subset, with its repetitions, were appended to the corpus: selected / (corpus + selected).
    #[default]
    Concatenate,
    /// A share of the tokens that are trained on, in [0, 1].
    Weight(f64),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "\"concatenate\" or a weight between 0 and 1")]
enum Written {
    Word(Word),
    Weight(f64),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Concatenate,
}

impl JsonSchema for SelectedWeight {
    fn schema_name() -> Cow<'static, str> {
        "SelectedWeight".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "`\"concatenate\"` or number",
            "anyOf": [{ "const": "concatenate" }, { "type": "number", "minimum": 0, "maximum": 1 }]
        })
    }
}

impl From<Written> for SelectedWeight {
    fn from(written: Written) -> Self {
        match written {
            Written::Word(Word::Concatenate) => Self::Concatenate,
            Written::Weight(weight) => Self::Weight(weight),
        }
    }
}

impl From<SelectedWeight> for Written {
    fn from(weight: SelectedWeight) -> Self {
        match weight {
            SelectedWeight::Concatenate => Self::Word(Word::Concatenate),
            SelectedWeight::Weight(weight) => Self::Weight(weight),
        }
    }
}

impl MixtureConfig {
    /// Checks the weights.
    ///
    /// # Errors
    /// [`Error::Fraction`] if one is outside [0, 1].
    pub fn validate(&self) -> Result<()> {
        self.selected.validate("mixture.selected")?;
        self.decay.map_or(Ok(()), |weight| weight.validate("mixture.decay"))
    }
}

impl SelectedWeight {
    fn validate(self, key: &str) -> Result<()> {
        match self {
            Self::Weight(weight) if !(0.0..=1.0).contains(&weight) => {
                Err(Error::Fraction { key: key.to_owned(), got: weight })
            }
            _ => Ok(()),
        }
    }
}

/// What a training run reads, before its learning rate decays and while it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mixtures {
    /// Until the decay begins, or throughout.
    pub stable: Mixture,
    /// From then on, if it is another.
    pub decay: Option<Mixture>,
}

impl Mixtures {
    /// The mixtures of the stages of a run.
    ///
    /// # Errors
    /// As [`MixtureConfig::validate`] and [`Mixture::new`].
    pub fn new(selection: &SelectionFile, config: MixtureConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            stable: Mixture::new(selection, config.selected)?,
            decay: config.decay.map(|weight| Mixture::new(selection, weight)).transpose()?,
        })
    }
}

/// Shares of the tokens that a training run reads; corpus and selected sum to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mixture {
    /// Share drawn from the whole corpus.
    pub corpus_weight: f64,
    /// Share drawn from the selected subset.
    pub selected_weight: f64,
    /// How the weights come about, for people.
    pub arithmetic: String,
    /// The same by domain, in the selection's order; all weights together sum to 1.
    pub domains: Vec<DomainMixture>,
}

/// One domain's shares of the whole mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainMixture {
    /// Name of the domain.
    pub domain: String,
    /// Share drawn from the domain's part of the corpus.
    pub corpus_weight: f64,
    /// Share drawn from the domain's part of the subset.
    pub selected_weight: f64,
}

impl Mixture {
    /// Mixes a corpus with what was selected from it. Inside either part, domains have the shares of their tokens; what is selected
    /// counts as often as it is repeated.
    ///
    /// # Errors
    /// [`Error::Fraction`] for a weight outside [0, 1]; [`Error::EmptyCorpus`]; [`Error::NothingSelected`] if a weight above 0 is asked for and
    /// nothing is selected.
    ///
    /// # Source
    /// AttentionInfluence (arXiv 2505.07293) trains on the corpus and the selected subset concatenated.
    pub fn new(selection: &SelectionFile, selected_weight: SelectedWeight) -> Result<Self> {
        selected_weight.validate("mixture")?;
        let (corpus, trained) = (selection.tokens(), selection.trained_tokens());
        if corpus.0 == 0 {
            return Err(Error::EmptyCorpus);
        }
        let (selected_weight, arithmetic) = match selected_weight {
            SelectedWeight::Weight(weight) if weight > 0.0 && trained == 0.0 => {
                return Err(Error::NothingSelected { weight });
            }
            SelectedWeight::Weight(weight) => (weight, format!("{weight} of the tokens are selected, as configured")),
            SelectedWeight::Concatenate => {
                let weight = trained / (corpus.0 as f64 + trained);
                (weight, concatenation(selection, weight))
            }
        };
        let corpus_weight = 1.0 - selected_weight;
        let share = |part: f64, whole: f64| if whole == 0.0 { 0.0 } else { part / whole };
        let domains = selection.domains.iter().map(|domain| DomainMixture {
            domain: domain.domain.clone(),
            corpus_weight: corpus_weight * share(domain.tokens.0 as f64, corpus.0 as f64),
            selected_weight: selected_weight * share(selection.trained_tokens_of(domain), trained),
        });
        Ok(Self { corpus_weight, selected_weight, arithmetic, domains: domains.collect() })
    }

    /// The parts of `selection` that are read at all, the corpus first, each with its share of the tokens. Buckets share what is selected by
    /// the tokens that training reads of each, repetitions counted.
    #[must_use]
    pub fn parts(&self, selection: &SelectionFile) -> Vec<(TextPart, f64)> {
        let weight = |part| match part {
            TextPart::Corpus => self.corpus_weight,
            TextPart::Selected => self.selected_weight,
            TextPart::Bucket(index) => {
                let trained = selection.buckets.get(index).map_or(0.0, Bucket::trained_tokens);
                self.selected_weight * trained / selection.trained_tokens()
            }
        };
        // of what training never reads, the share is no number
        selection.parts().into_iter().map(|part| (part, weight(part))).filter(|(_, weight)| *weight > 0.0).collect()
    }
}

/// How a concatenation comes to its weight, for people.
fn concatenation(selection: &SelectionFile, weight: f64) -> String {
    let (corpus, selected) = (selection.tokens(), selection.kept_tokens());
    if selection.buckets.is_empty() {
        return format!("{selected} selected / ({corpus} corpus + {selected} selected) tokens = {weight:.6}");
    }
    let trained = TokenCount::nearest(selection.trained_tokens());
    format!(
        "{selected} selected × repeats = {trained} trained; {trained} trained / ({corpus} corpus + {trained} trained) tokens = {weight:.6}"
    )
}
