//! The control arm: as much text, drawn at random.

use headwater_record::SelectionFile;

use crate::config::{By, DomainOverride, RankBy, SelectConfig};

/// The rule that keeps of every domain as many tokens as `selection` does, at random, among the same documents. Where documents are
/// repeated, the same buckets are filled and repeated at random.
///
/// # Source
/// The reviewers of AttentionInfluence (ICLR 2026) asked whether repeating a random fifth of the corpus does as much as repeating the
/// selected one.
#[must_use]
pub fn control(config: &SelectConfig, selection: &SelectionFile) -> SelectConfig {
    let random = SelectConfig { rank: RankBy::Random, rank_sum: std::collections::BTreeMap::new(), ..config.clone() };
    if config.by == By::Upsample {
        return random;
    }
    let domains = selection.domains.iter().map(|domain| {
        let guards = config.domains.get(&domain.domain).map(|rule| rule.guards.clone()).unwrap_or_default();
        let rule = match domain.kept_tokens.0 {
            0 => DomainOverride { fraction: Some(0.0), tokens: None, guards },
            tokens => DomainOverride { fraction: None, tokens: Some(tokens as f64), guards },
        };
        (domain.domain.clone(), rule)
    });
    SelectConfig { by: By::Tokens, tokens: None, domains: domains.collect(), ..random }
}
