//! Measures whether masking a head set removes retrieval, and whether masking other heads does not.

use headwater_model::{Engine, HeadMask, MaskKind};
use headwater_record::heads::Health;
use headwater_record::{HeadId, HeadSet};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::retrieval::{Measuring, mean, share};
use crate::{Error, Probe, RetrievalScores, Watch, Weakness};

/// The most probes that health is measured on.
pub const HEALTH_PROBES: usize = 16;

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
}

/// Measures what masking `options.set` does to the first 16 probes, beside three control sets of as many other heads in the same layers.
///
/// Accuracy is teacher-forced: the share of answer tokens that the model thinks most likely, a probe, and the mean of that over probes.
/// `watch` is told of the forward passes, [`MASKS_PER_PROBE`] a probe.
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
    let measured = &probes[..probes.len().min(HEALTH_PROBES)];
    if measured.is_empty() {
        return Err(Error::NoProbes);
    }
    let heads = engine.shape().heads;
    let controls =
        (0..CONTROLS).map(|index| control_set(options, heads, index as u64)).collect::<Result<Vec<_>, _>>()?;
    let sets = [HeadSet::default(), options.set.clone()].into_iter().chain(controls.iter().cloned());
    let masks: Vec<HeadMask> = sets.map(|set| HeadMask { set, kind: options.mask }).collect();
    let (kind, passes) = (format!("predictions under {masks:?}"), masks.len() as u64);
    let measuring = Measuring { engine, kind, values: masks.len(), passes, watch };
    let accuracies = measuring.each(measured, 0..measured.len(), |probe| {
        let predicted = engine.predictions(&probe.ids, probe.query_rows(), &masks)?;
        let targets = &probe.ids[probe.answer()];
        let accuracy = |row: &Vec<u32>| share(row.iter().zip(targets).map(|(a, b)| a == b));
        Ok(predicted.iter().map(accuracy).collect())
    })?; // (probe, mask)
    let accuracy = |mask: usize| mean(accuracies.iter().map(|probe| probe[mask]));
    let mut health = Health {
        probes: measured.len(),
        intact_accuracy: accuracy(0),
        masked_accuracy: accuracy(1),
        control_accuracies: (2..masks.len()).map(accuracy).collect(),
        controls,
        split_half_correlation: scores.split_half_correlation(),
        healthy: false,
    };
    health.healthy = weakness(&health).is_none();
    Ok(health)
}

/// Says what is wrong with a head set of this health; `None` if nothing is.
///
/// Healthy: intact ≥ 0.5 and intact − masked ≥ max(0.15, 2 × mean control cost).
#[must_use]
pub fn weakness(health: &Health) -> Option<Weakness> {
    let (intact, masked) = (health.intact_accuracy, health.masked_accuracy);
    let control_cost = mean(health.control_accuracies.iter().map(|control| intact - control));
    let needed = (LEAST_RATIO * control_cost).max(LEAST_COST);
    if intact < LEAST_INTACT {
        Some(Weakness::CannotRetrieve { intact, needed: LEAST_INTACT })
    } else if intact - masked < needed {
        Some(Weakness::MaskCostsLittle { intact, masked, control_cost, needed })
    } else {
        None
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
