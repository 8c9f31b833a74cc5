//! Finds the head set of a model.

use std::ops::RangeInclusive;

use headwater_model::{Engine, MaskKind, Model};
use headwater_record::heads::HeadSearch;
use headwater_record::{ContentHash, HeadsFile};

use crate::health::health_looks;
use crate::stability::{scores_until_stable, search_looks};
use crate::{
    Error, HeadsConfig, HealthOptions, MASKS_PER_PROBE, ProbeSettings, Sentences, Vocabulary, Watch, build_probes,
    bundled_sentences, head_set, health, weakness,
};

/// What [`find_heads`] needs beyond the `[heads]` table.
#[derive(Clone, Copy, Debug, Default)]
pub struct FindOptions<'a> {
    /// Seed of probes and control sets.
    pub seed: u64,
    /// What health is measured with: the mask that the run scores with.
    pub mask: MaskKind,
    /// Whether to return a head set that is not healthy, rather than an error.
    pub allow_weak: bool,
    /// Sentences of the corpus, for [`Sentences::Corpus`]; see [`extract_sentences`](crate::extract_sentences).
    pub corpus_sentences: &'a [String],
}

/// Returns the fewest and the most forward passes that [`find_heads`] makes. What its [`Watch`] is told of as done or spared adds up to the most.
#[must_use]
pub fn forward_passes(config: &HeadsConfig) -> RangeInclusive<u64> {
    let (search, health) = (search_looks(config), health_looks(config.until, config.probes));
    let passes = |search: Option<&usize>, health: Option<&usize>| {
        let (search, health) = (search.copied().unwrap_or(0), health.copied().unwrap_or(0));
        search.saturating_add(health * MASKS_PER_PROBE) as u64
    };
    passes(search.first(), health.first())..=passes(search.last(), health.last())
}

/// Finds the retrieval heads of `model` with as many probes as it takes, or all, as [`HeadsConfig::until`] says. Probes that `watch` has
/// measurements of are not measured again.
///
/// # Errors
/// [`Error::WeakHeads`] with all numbers if the head set is not healthy, unless `allow_weak`; [`Error::Config`], [`Error::BeyondModel`] and those of
/// [`build_probes`] for settings that do not work out; [`Error::Model`] if the model fails; [`Error::Stopped`].
///
/// # Determinism
/// The same inputs give the same file for any number of threads: each probe is measured alone, and means are taken in order.
pub fn find_heads(
    model: &Model,
    config: &HeadsConfig,
    options: &FindOptions<'_>,
    watch: &dyn Watch,
) -> Result<HeadsFile, Error> {
    let tokenizer = model.tokenizer();
    let subject = Subject {
        engine: model.engine(),
        vocabulary: Vocabulary { tokenise: &|text| tokenizer.encode_with_spans(text), leading: tokenizer.leading() },
        weights: model.weights_hash(),
    };
    subject.search(config, options, watch)
}

/// A model taken apart into what the search needs.
struct Subject<'a> {
    engine: &'a dyn Engine,
    vocabulary: Vocabulary<'a>,
    weights: ContentHash,
}

impl Subject<'_> {
    fn search(&self, config: &HeadsConfig, options: &FindOptions<'_>, watch: &dyn Watch) -> Result<HeadsFile, Error> {
        config.validate()?;
        let model_context = self.engine.shape().context_tokens;
        if config.context_tokens > model_context {
            return Err(Error::BeyondModel { context_tokens: config.context_tokens, model: model_context });
        }
        let sentences: Vec<&str> = match config.sentences {
            Sentences::Bundled => bundled_sentences().collect(),
            Sentences::Corpus if options.corpus_sentences.is_empty() => return Err(Error::NoCorpusSentences),
            Sentences::Corpus => options.corpus_sentences.iter().map(String::as_str).collect(),
        };
        let probes = build_probes(&sentences, &self.vocabulary, &ProbeSettings::new(config, options.seed))?;
        let (scores, stability) = scores_until_stable(self.engine, &probes, config, watch)?;
        let means = scores.mean();
        let heads = head_set(&means, config.fraction)?;
        let measure = HealthOptions { set: &heads, mask: options.mask, seed: options.seed, until: config.until };
        let health = health(self.engine, &probes, &scores, &measure, watch)?;
        let weakness = weakness(&health);
        let search = HeadSearch {
            probes: scores.probes(),
            shots: config.shots,
            context_tokens: config.context_tokens,
            fraction: config.fraction,
            rule: config.rule,
            sentences: config.sentences.as_str().to_owned(),
            seed: options.seed,
            reachable: scores.reachable(),
            stability: Some(stability),
            scores: means,
        };
        let file = HeadsFile { heads, weights: Some(self.weights), search: Some(search), health: Some(health) };
        match weakness {
            Some(weakness) if !options.allow_weak => Err(Error::WeakHeads { weakness, file: Box::new(file) }),
            _ => Ok(file),
        }
    }
}

#[cfg(test)]
mod tests;
