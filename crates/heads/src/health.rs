//! Measures whether masking a head set removes retrieval, and whether masking other heads does not.

use headwater_model::{Engine, HeadMask, MaskKind};
use headwater_record::heads::{Health, HealthDecision, Margin};
use headwater_record::stability::Until;
use headwater_record::statistics::mean_and_stderr;
use headwater_record::{HeadId, HeadSet};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::retrieval::{Measuring, mean, share};
use crate::stability::looks;
use crate::{Error, Probe, RetrievalScores, Watch, Weakness};

/// The most probes that health is measured on.
pub const HEALTH_PROBES: usize = 16;

/// Numbers of probes after which health is looked at before that.
const EARLY_LOOKS: [usize; 3] = [6, 8, 12];

/// Standard errors by which every condition of health must be met, or one missed, to decide early. Of six probes, a mean is that far from the truth
/// by chance in one case of a hundred, against one of two for a condition that is just met and decided by its sign.
const CLEAR_STDERRS: f64 = 4.0;

/// Number of control sets.
const CONTROLS: usize = 3;

/// Forward passes a probe: intact, head set masked, each control set masked.
pub const MASKS_PER_PROBE: usize = 2 + CONTROLS;

/// Least accuracy of the intact model.
const LEAST_INTACT: f64 = 0.5;

/// Least cost of masking the head set, in accuracy.
const LEAST_COST: f64 = 0.15;

/// Least ratio of that cost to the mean cost of the control sets.
const LEAST_RATIO: f64 = 2.0;

/// What health is measured with.
#[derive(Clone, Copy, Debug)]
pub struct HealthOptions<'a> {
    /// The head set in question.
    pub set: &'a HeadSet,
    /// What replaces the output of a masked head.
    pub mask: MaskKind,
    /// Seed of the control sets.
    pub seed: u64,
    /// Whether to stop as soon as health is clear, or to measure all probes.
    pub until: Until,
}

/// Returns the numbers of probes after which health is looked at, of at most `probes`.
pub(crate) fn health_looks(until: Until, probes: usize) -> Vec<usize> {
    let most = probes.min(HEALTH_PROBES);
    match until {
        Until::Stable => looks(EARLY_LOOKS, most),
        Until::All => vec![most],
    }
}

/// Measures what masking `options.set` does to the first probes, beside three control sets of as many other heads in the same layers.
///
/// Accuracy is teacher-forced: the share of answer tokens that the model thinks most likely, a probe, and the mean of that over probes.
/// After 6, 8 and 12 probes it ends if every condition of health (see [`weakness`]) is met by four standard errors over probes or one is missed by
/// as many, after 16 in any case. `watch` is told of the forward passes, [`MASKS_PER_PROBE`] a probe, done or spared.
///
/// # Errors
/// [`Error::NoProbes`] without probes, [`Error::Model`] if the engine fails, [`Error::Stopped`].
///
/// # Determinism
/// Control set *c* draws from ChaCha8 under the seed, stream 2⁶⁴ − 1 − *c*, layer by layer upwards: one step of a Fisher–Yates shuffle of the layer's
/// other heads for each head of the set there. A layer with fewer other heads gives all it has.
///
/// # Source
/// DESIGN.md, "Head set".
pub fn health(
    engine: &dyn Engine,
    probes: &[Probe],
    scores: &RetrievalScores,
    options: &HealthOptions<'_>,
    watch: &dyn Watch,
) -> Result<Health, Error> {
    if probes.is_empty() {
        return Err(Error::NoProbes);
    }
    let heads = engine.shape().heads;
    let controls =
        (0..CONTROLS).map(|index| control_set(options, heads, index as u64)).collect::<Result<Vec<_>, _>>()?;
    let sets = [HeadSet::default(), options.set.clone()].into_iter().chain(controls.iter().cloned());
    let masks: Vec<HeadMask> = sets.map(|set| HeadMask { set, kind: options.mask }).collect();
    let (kind, passes) = (format!("predictions under {masks:?}"), masks.len() as u64);
    let measuring = Measuring { engine, kind, values: masks.len(), passes, watch };
    let measure = |probe: &Probe| {
        let predicted = engine.predictions(&probe.ids, probe.query_rows(), &masks)?;
        let targets = &probe.ids[probe.answer()];
        let accuracy = |row: &Vec<u32>| share(row.iter().zip(targets).map(|(a, b)| a == b));
        Ok(predicted.iter().map(accuracy).collect())
    };
    let (mut accuracies, mut looked) = (Vec::new(), Vec::new()); // accuracies: (probe, mask)
    for count in health_looks(options.until, probes.len()) {
        accuracies.extend(measuring.each(probes, accuracies.len()..count, measure)?);
        looked.push(count);
        if is_clear(&margins_over_probes(&accuracies)) {
            break;
        }
    }
    let decision = decision(&accuracies, looked, probes.len().min(HEALTH_PROBES));
    watch.spare((decision.most_probes - accuracies.len()) as u64 * passes);
    let accuracy = |mask: usize| mean(accuracies.iter().map(|probe| probe[mask]));
    let mut health = Health {
        probes: accuracies.len(),
        intact_accuracy: accuracy(0),
        masked_accuracy: accuracy(1),
        control_accuracies: (2..masks.len()).map(accuracy).collect(),
        controls,
        split_half_correlation: scores.split_half_correlation(),
        healthy: false,
        decision: Some(decision),
    };
    health.healthy = weakness(&health).is_none();
    Ok(health)
}

/// Says what is wrong with a head set of this health; `None` if nothing is.
///
/// Healthy: intact ≥ 0.5 and intact − masked ≥ max(0.15, 2 × mean control cost).
#[must_use]
pub fn weakness(health: &Health) -> Option<Weakness> {
    let (intact, masked, controls) = (health.intact_accuracy, health.masked_accuracy, &health.control_accuracies);
    let control_cost = control_cost(intact, controls);
    let needed = (LEAST_RATIO * control_cost).max(LEAST_COST);
    let [above_least, above_cost, above_controls] = margins(intact, masked, controls);
    if above_least < 0.0 {
        Some(Weakness::CannotRetrieve { intact, needed: LEAST_INTACT })
    } else if above_cost.min(above_controls) < 0.0 {
        Some(Weakness::MaskCostsLittle { intact, masked, control_cost, needed })
    } else {
        None
    }
}

/// By how much accuracies are above what health asks for: the intact model's above the least, the head set's cost above the least, and above
/// what the control sets' cost asks for; negative where they fall short.
fn margins(intact: f64, masked: f64, controls: &[f64]) -> [f64; 3] {
    let cost = intact - masked;
    [intact - LEAST_INTACT, cost - LEAST_COST, cost - LEAST_RATIO * control_cost(intact, controls)]
}

/// The mean cost of the control sets, in accuracy.
fn control_cost(intact: f64, controls: &[f64]) -> f64 {
    mean(controls.iter().map(|control| intact - control))
}

/// The margins of `accuracies`, `(probe, mask)`, over probes. Margins are linear, so their means are the margins of the means.
fn margins_over_probes(accuracies: &[Vec<f64>]) -> [Margin; 3] {
    let by_probe: Vec<[f64; 3]> = accuracies.iter().map(|probe| margins(probe[0], probe[1], &probe[2..])).collect();
    [0, 1, 2].map(|condition| {
        let (mean, stderr) = mean_and_stderr(&by_probe.iter().map(|margins| margins[condition]).collect::<Vec<_>>());
        Margin { mean, stderr }
    })
}

/// Whether every condition is met by [`CLEAR_STDERRS`], or one is missed by as many.
fn is_clear(margins: &[Margin]) -> bool {
    let beyond =
        |margin: &Margin, sign: f64| margin.stderr.is_some_and(|stderr| sign * margin.mean > CLEAR_STDERRS * stderr);
    margins.iter().all(|margin| beyond(margin, 1.0)) || margins.iter().any(|margin| beyond(margin, -1.0))
}

fn decision(accuracies: &[Vec<f64>], looks: Vec<usize>, most_probes: usize) -> HealthDecision {
    let margins @ [intact, cost, beside_controls] = margins_over_probes(accuracies);
    HealthDecision {
        looks,
        most_probes,
        clear_stderrs: CLEAR_STDERRS,
        least_intact: LEAST_INTACT,
        least_cost: LEAST_COST,
        least_cost_ratio: LEAST_RATIO,
        intact,
        cost,
        beside_controls,
        clear: is_clear(&margins),
    }
}

/// Draws as many heads outside the set, layer by layer, as it has there.
fn control_set(options: &HealthOptions<'_>, heads: usize, index: u64) -> Result<HeadSet, Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    rng.set_stream(u64::MAX - index);
    let mut drawn = Vec::new();
    for layer in options.set.as_slice().chunk_by(|a, b| a.layer == b.layer) {
        let taken = |id: &HeadId| layer.iter().any(|masked| masked.head == id.head);
        let all = (0..heads).filter_map(|head| u16::try_from(head).ok());
        let mut others: Vec<HeadId> =
            all.map(|head| HeadId { layer: layer[0].layer, head }).filter(|id| !taken(id)).collect();
        for place in 0..layer.len().min(others.len()) {
            let other = rng.random_range(place..others.len());
            others.swap(place, other);
            drawn.push(others[place]);
        }
    }
    Ok(HeadSet::new(drawn)?)
}

#[cfg(test)]
mod tests;
