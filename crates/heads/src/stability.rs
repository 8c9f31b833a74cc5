//! When a search has enough probes: looks at the head set as probes are added.

use headwater_model::Engine;
use headwater_record::stability::{Decision, Look, Stability, Until};
use headwater_record::statistics::mean_and_stderr;

use crate::ranking::Ranking;
use crate::retrieval::share;
use crate::{Error, HeadsConfig, Probe, RetrievalScores, Watch};

/// Probes at the first look: with fewer, halves agree and errors are small by chance.
const FIRST_LOOK: usize = 16;

/// Least share of the set that both halves of the probes must choose.
const LEAST_SHARED: f64 = 0.75;

/// Standard errors above the first head outside below which a head of the set is in doubt.
const DOUBT_STDERRS: f64 = 2.0;

/// Most share of the set's total score that heads in doubt may hold.
const MOST_DOUBT: f64 = 0.2;

/// Returns those of the ascending `steps` that are below `most`, and `most`.
pub(crate) fn looks(steps: impl IntoIterator<Item = usize>, most: usize) -> Vec<usize> {
    steps.into_iter().take_while(|step| *step < most).chain([most]).collect()
}

/// Returns the numbers of probes after which a search looks at its head set: 16, 24, 32, 48, 64, 96, … and the most.
pub(crate) fn search_looks(config: &HeadsConfig) -> Vec<usize> {
    match config.until {
        Until::Stable => {
            let steps = std::iter::successors(Some(FIRST_LOOK), |step| step.checked_mul(2));
            looks(steps.flat_map(|step| [step, step.saturating_add(step / 2)]), config.probes)
        }
        Until::All => vec![config.probes],
    }
}

/// Measures `probes` until the head set is stable, or all of them; see [`retrieval_scores`](crate::retrieval_scores). `watch` is told of the
/// forward passes that are spared.
///
/// A head set is stable if both halves of the probes (of even and of odd index) choose three quarters of it, and if the heads in doubt hold at most a
/// fifth of its total score: those whose mean score is not two standard errors above that of the first head outside. Standard errors
/// are of the differences between the two heads, probe by probe. A set of fewer than 16 probes is not stable.
///
/// # Determinism
/// The decision depends on scores alone, so it is the same for any number of threads and after an interruption.
pub(crate) fn scores_until_stable(
    engine: &dyn Engine,
    probes: &[Probe],
    config: &HeadsConfig,
    watch: &dyn Watch,
) -> Result<(RetrievalScores, Stability), Error> {
    let mut scores = RetrievalScores::default();
    let mut stability = Stability {
        until: config.until,
        most_probes: probes.len(),
        least_probes: FIRST_LOOK,
        least_shared: LEAST_SHARED,
        doubt_stderrs: DOUBT_STDERRS,
        most_doubt: MOST_DOUBT,
        looks: Vec::new(),
        decision: match config.until {
            Until::Stable => Decision::NotStable,
            Until::All => Decision::All,
        },
    };
    for count in search_looks(config) {
        scores.extend(engine, &probes[..count], config.rule, watch)?;
        let look = look(&scores, config.fraction)?;
        stability.looks.push(look);
        if config.until == Until::Stable && is_stable(&look) {
            stability.decision = Decision::Stable;
            watch.spare((probes.len() - count) as u64);
            break;
        }
    }
    Ok((scores, stability))
}

fn is_stable(look: &Look) -> bool {
    look.probes >= FIRST_LOOK && look.shared >= LEAST_SHARED && look.doubt <= MOST_DOUBT
}

/// Looks at the head set that `scores` give.
fn look(scores: &RetrievalScores, fraction: f64) -> Result<Look, Error> {
    let means = scores.mean();
    let ranking = Ranking::new(&means, fraction)?;
    let [even, odd] = [0, 1].map(|first| Ranking::new(&scores.mean_of_half(first), fraction));
    let (even, odd) = (even?, odd?);
    let shared = share(even.inside().iter().map(|head| odd.inside().contains(head)));
    let mut look = Look { probes: scores.probes(), shared, heads_in_doubt: 0, doubt: 0.0, distance: None };
    let Some(outside) = ranking.first_outside() else { return Ok(look) };
    let (mut total, mut doubted) = (0.0, 0.0);
    for &head in ranking.inside() {
        let (mean, stderr) = mean_and_stderr(&scores.differences(head, outside));
        let score = means[usize::from(head.layer)][usize::from(head.head)];
        total += score;
        if stderr.is_none_or(|stderr| mean <= DOUBT_STDERRS * stderr) {
            look.heads_in_doubt += 1;
            doubted += score;
        }
        // the last in the set is the last to be looked at
        look.distance = stderr.and_then(|stderr| if mean > 0.0 { finite(mean / stderr) } else { Some(0.0) });
    }
    look.doubt = match look.heads_in_doubt {
        0 => 0.0,
        _ if total > 0.0 => doubted / total,
        _ => 1.0,
    };
    Ok(look)
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests;
