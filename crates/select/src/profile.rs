//! What a report shows of the scores of a run.
//!
//! Everything is counted on grids of fixed size while the sidecars stream by, so that neither memory nor the report grows with the
//! corpus. Only where the grids lie, and correlations, come from samples.

mod counting;
mod grids;
mod samples;

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_record::profile::{DomainProfile, Profile};

use crate::compare::{NamedSelection, compare_cut, will_read};
use crate::config::{RankBy, SelectConfig};
use crate::correction::{COLUMNS, Nuisances, Observation, observations};
use crate::cut::{Rule, cut, cut_exploring};
use crate::explore::Explored;
use crate::population::Population;
use crate::rank::{Corrected, Rank};
use crate::reservoir::{Samples, sample};
use crate::scan::Scores;
use crate::sidecars::Sidecars;
use crate::{Result, Selection};

use counting::{Counts, Rankings};
use grids::Grids;

/// Domains that a report shows in full: those with the most documents.
const MOST_DOMAINS: usize = 12;

/// The ranks that every report compares.
const USUAL: [RankBy; 4] = [RankBy::Influence, RankBy::Corrected, RankBy::Loss, RankBy::Random];

/// A document of a sample, as grids are laid out by.
#[derive(Clone, Copy, Debug)]
struct Sampled {
    /// What the selection ranks it by.
    value: f64,
    observation: Observation,
}

/// Profiles the sidecars that there are: of `planned_units`, if all are scored.
///
/// `rule` is what documents are selected by, and `on_progress` as for [`cut()`].
///
/// # Errors
/// As [`cut()`].
pub fn profile(
    sidecars: &dyn Sidecars,
    planned_units: usize,
    rule: Rule<'_>,
    on_progress: &(dyn Fn(u64) + Sync),
) -> Result<Profile> {
    let Rule { config, seed } = rule;
    let scores = Scores { sidecars, on_progress };
    let population = Population::new(config, seed)?;
    sidecars.will_read(&COLUMNS);
    let (arms, explored) = arms(sidecars, rule, on_progress)?;
    let chosen = &arms[0];
    let corrected = Corrected::fit(&scores, &population, Nuisances::of(&config.correct_for))?;
    let file = &chosen.selection.file;
    let mut largest: Vec<_> = file.domains.iter().collect();
    largest.sort_by_key(|domain| std::cmp::Reverse(domain.documents));
    largest.truncate(MOST_DOMAINS);
    let shown: Vec<Arc<str>> = largest.iter().map(|domain| Arc::from(domain.domain.as_str())).collect();

    let samples = drawn(&scores, &population, (&chosen.selection, corrected.nuisances))?;
    let grids = shown.iter().map(|name| {
        let drawn = samples.get(name).map_or(&[][..], |sample| sample.drawn.as_slice());
        (name.clone(), Grids::of(&file.rank, drawn, |observation| corrected.of(name, observation)))
    });
    let grids: BTreeMap<Arc<str>, Grids> = grids.collect();
    let mut counts = counting::count(&scores, &population, Rankings { arms: &arms, corrected: &corrected }, &grids)?;
    let mut sets = samples::sets(&scores, Rankings { arms: &arms, corrected: &corrected }, &explored, &counts)?;
    let domains = file.domains.iter().filter_map(|domain| {
        let name: Arc<str> = Arc::from(domain.domain.as_str());
        let (grids, counts) = (grids.get(&name)?, counts.remove(&name)?);
        let (value, controls, densities) = grids.filled(counts.value, counts.controls, counts.densities);
        Some(DomainProfile {
            domain: domain.domain.clone(),
            documents: domain.documents,
            tokens: domain.tokens,
            ranked_documents: domain.ranked_documents,
            fraction: domain.fraction,
            kept_documents: domain.kept_documents,
            kept_tokens: domain.kept_tokens,
            cut: domain.cut.as_ref().map(|cut| cut.value),
            certainty: domain.certainty,
            cuts: explored.points.get(&name).cloned().unwrap_or_default(),
            value,
            controls,
            densities,
            correction: corrected.correction(&domain.domain).cloned(),
            samples: sets.remove(&name).unwrap_or_default(),
        })
    });
    let domains: Vec<DomainProfile> = domains.collect();
    let comparison = compare_cut(&scores, &arms, |domain| grids.contains_key(domain))?;
    Ok(Profile {
        planned_units: planned_units as u64,
        scored_units: sidecars.units().len() as u64,
        statuses: file.statuses.clone(),
        selection: file.hash,
        rank: file.rank.clone(),
        by: file.by.clone(),
        left_out: (file.domains.len() - domains.len()) as u64,
        domains,
        comparison,
    })
}

/// The selection by `config` with what other fractions would keep, and then that by each of the usual ranks that it is not by. One of
/// these that cannot be cut, as where a rank keeps too few tokens for a target, is left out with a warning.
fn arms(
    sidecars: &dyn Sidecars,
    Rule { config, seed }: Rule<'_>,
    on_progress: &(dyn Fn(u64) + Sync),
) -> Result<(Vec<NamedSelection>, Explored)> {
    let others = USUAL.into_iter().filter(|rank| *rank != config.rank);
    let others = others.map(|rank| SelectConfig { rank, rank_sum: BTreeMap::new(), ..config.clone() });
    let others: Vec<SelectConfig> = others.collect();
    std::iter::once(config).chain(&others).try_for_each(|config| will_read(sidecars, Rule { config, seed }))?;
    let named = |config: &SelectConfig, selection| NamedSelection { name: config.rank.to_string(), selection };
    let (selection, explored) = cut_exploring(sidecars, Rule { config, seed }, MOST_DOMAINS, on_progress)?;
    let mut arms = vec![named(config, selection)];
    for config in &others {
        match cut(sidecars, Rule { config, seed }, on_progress) {
            Ok(selection) => arms.push(named(config, selection)),
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => tracing::warn!("rank `{}` is left out of the comparison: {error}", config.rank),
        }
    }
    Ok((arms, explored))
}

/// A sample of every domain's ranked documents.
fn drawn(
    scores: &Scores<'_>,
    population: &Population,
    (chosen, nuisances): (&Selection, Nuisances),
) -> Result<Samples<Sampled>> {
    let rank: &dyn Rank = &*chosen.membership.rank;
    let columns = rank.columns().into_iter().chain(COLUMNS).collect();
    sample(scores, population, columns, |rows| {
        let described = observations(rows, nuisances)?.into_iter().zip(rank.keys(rows)?);
        Ok(described
            .map(|(observation, key)| Some(Sampled { value: rank.shown_value(key?), observation: observation? }))
            .collect())
    })
}

/// Everything that is counted of one domain.
type DomainCounts = BTreeMap<Arc<str>, Counts>;
