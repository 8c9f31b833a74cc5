//! Retrieval scores: how strongly each head copies.

use std::ops::Range;

use headwater_model::{AttentionArgmax, Concurrency, Engine};
use headwater_record::heads::Rule;
use headwater_record::statistics::spearman;
use headwater_record::{ContentHash, HeadId};
use rayon::prelude::*;

use crate::{Error, Probe, Watch};

/// How strongly each head copies, probe by probe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetrievalScores {
    /// Heads of a layer.
    heads: usize,
    /// `(probe, layer × heads + head)`, in [0, 1].
    by_probe: Vec<Vec<f64>>,
    /// `(probe,)`, in [0, 1].
    reachable: Vec<f64>,
}

impl RetrievalScores {
    /// Scores as a test says, `(probe, layer × heads + head)`.
    #[cfg(test)]
    pub(crate) fn planted(heads: usize, by_probe: Vec<Vec<f64>>) -> Self {
        let reachable = vec![1.0; by_probe.len()];
        Self { heads, by_probe, reachable }
    }

    /// Returns how many probes were measured.
    #[must_use]
    pub fn probes(&self) -> usize {
        self.by_probe.len()
    }

    /// Returns the mean over all probes, `(layer, head)`, in [0, 1].
    #[must_use]
    pub fn mean(&self) -> Vec<Vec<f64>> {
        self.by_layer(&self.mean_of(0, 1))
    }

    /// Returns the mean over probes of the share of answer tokens whose id occurs among the positions that the rule
    /// admits: the highest score in reach.
    #[must_use]
    pub fn reachable(&self) -> f64 {
        mean(self.reachable.iter().copied())
    }

    /// Spearman's correlation of the heads' scores between the probes of even and of odd index; 0 if either half gives all heads
    /// the same score.
    #[must_use]
    pub fn split_half_correlation(&self) -> f64 {
        spearman(&self.mean_of(0, 2), &self.mean_of(1, 2))
    }

    /// The mean over the probes of even (`first` = 0) or of odd index (1), `(layer, head)`, in [0, 1].
    pub(crate) fn mean_of_half(&self, first: usize) -> Vec<Vec<f64>> {
        self.by_layer(&self.mean_of(first, 2))
    }

    /// How much higher `head` scores than `other`, `(probe,)`, in [−1, 1].
    pub(crate) fn differences(&self, head: HeadId, other: HeadId) -> Vec<f64> {
        let place = |id: HeadId| usize::from(id.layer) * self.heads + usize::from(id.head);
        self.by_probe.iter().map(|scores| scores[place(head)] - scores[place(other)]).collect()
    }

    /// The mean over every `step`-th probe from `first`, `(layer × heads + head,)`.
    fn mean_of(&self, first: usize, step: usize) -> Vec<f64> {
        let heads = self.by_probe.first().map_or(0, Vec::len);
        (0..heads).map(|head| mean(self.by_probe.iter().skip(first).step_by(step).map(|scores| scores[head]))).collect()
    }

    fn by_layer(&self, scores: &[f64]) -> Vec<Vec<f64>> {
        scores.chunks(self.heads.max(1)).map(<[f64]>::to_vec).collect()
    }

    /// Measures those of `probes` that come after the ones measured already; see [`retrieval_scores`].
    pub(crate) fn extend(
        &mut self,
        engine: &dyn Engine,
        probes: &[Probe],
        rule: Rule,
        watch: &dyn Watch,
    ) -> Result<(), Error> {
        let (layers, heads) = (engine.shape().layers, engine.shape().heads);
        let kind = match rule {
            Rule::NeedleSpan => "retrieval, needle span",
            Rule::Visible => "retrieval, visible",
        };
        let measuring = Measuring { engine, kind: kind.to_owned(), values: layers * heads, passes: 1, watch };
        let new = self.by_probe.len()..probes.len();
        let by_probe = measuring.each(probes, new.clone(), |probe| {
            let argmax = engine.attention_argmax(&probe.ids, probe.query_rows())?;
            let addresses = (0..layers).flat_map(|layer| (0..heads).map(move |head| (layer, head)));
            Ok(addresses.map(|address| copied_share(probe, rule, &argmax, address)).collect())
        })?;
        self.heads = heads;
        self.by_probe.extend(by_probe);
        self.reachable.extend(probes[new].iter().map(|probe| reachable_share(probe, rule)));
        Ok(())
    }
}

/// Measures every head on every probe, teacher-forced, one forward pass a probe.
///
/// For answer token *i* the head's row is query position *i* − 1; it copies if the visible position it looks at most holds the id of token *i* and,
/// under [`Rule::NeedleSpan`], lies inside the value. A probe's score is the share of answer tokens copied.
/// `watch` is told of each forward pass.
///
/// # Errors
/// [`Error::NoProbes`] without probes, [`Error::Model`] if the engine fails, [`Error::Stopped`].
///
/// # Determinism
/// Each probe alone, sums in f64 in the order of probes.
///
/// # Source
/// AttentionInfluence §3 (rule `visible`); Wu et al. (2024) §2 (rule `needle-span`). Departs: teacher-forced, no success gate.
pub fn retrieval_scores(
    engine: &dyn Engine,
    probes: &[Probe],
    rule: Rule,
    watch: &dyn Watch,
) -> Result<RetrievalScores, Error> {
    if probes.is_empty() {
        return Err(Error::NoProbes);
    }
    let mut scores = RetrievalScores::default();
    scores.extend(engine, probes, rule, watch)?;
    Ok(scores)
}

/// How probes are measured.
pub(crate) struct Measuring<'a> {
    pub(crate) engine: &'a dyn Engine,
    /// What is measured, with all that it depends on beside probe and engine.
    pub(crate) kind: String,
    /// Numbers that a probe gives.
    pub(crate) values: usize,
    /// Forward passes that a probe takes.
    pub(crate) passes: u64,
    pub(crate) watch: &'a dyn Watch,
}

impl Measuring<'_> {
    /// Measures those of `probes` that are `new`, unless they were measured before, on all threads if the engine runs a window on each; results
    /// are in the order of probes.
    pub(crate) fn each(
        &self,
        probes: &[Probe],
        new: Range<usize>,
        measure: impl Fn(&Probe) -> Result<Vec<f64>, headwater_model::Error> + Sync,
    ) -> Result<Vec<Vec<f64>>, Error> {
        let measured = |index: usize| {
            let probe = &probes[index];
            let name = self.name(probe);
            let kept = self.watch.find(&name).filter(|kept| kept.len() == self.values);
            let values = match kept {
                Some(kept) => kept,
                None if self.watch.is_over() => return Err(Error::Stopped),
                None => {
                    let values = measure(probe).map_err(|source| Error::Model { probe: index, source })?;
                    self.watch.keep(name, &values);
                    values
                }
            };
            self.watch.advance(self.passes);
            Ok(values)
        };
        match self.engine.concurrency() {
            Concurrency::WindowPerThread => new.into_par_iter().map(measured).collect(),
            Concurrency::Batch { .. } => new.map(measured).collect(),
        }
    }

    /// The name of what is measured of a probe.
    fn name(&self, probe: &Probe) -> ContentHash {
        let numerics = self.engine.numerics();
        let ids: Vec<u8> = probe.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        let places = format!("{} {:?}", probe.answer_start, probe.needle);
        let computes = [&numerics.engine, &numerics.device, &numerics.precision, &numerics.instructions];
        let fields = [&ids, places.as_bytes(), self.kind.as_bytes()].into_iter();
        ContentHash::of_fields(fields.chain(computes.map(|text| text.as_bytes())))
    }
}

/// The share of answer tokens that one head copies.
fn copied_share(probe: &Probe, rule: Rule, argmax: &AttentionArgmax, (layer, head): (usize, usize)) -> f64 {
    share(probe.answer().enumerate().map(|(row, target)| {
        let position = argmax.position(layer, head, row);
        admits(probe, rule, position) && probe.ids.get(position) == Some(&probe.ids[target])
    }))
}

/// The share of answer tokens that some admitted, visible position holds.
fn reachable_share(probe: &Probe, rule: Rule) -> f64 {
    share(probe.answer().map(|target| {
        let holds = |position: usize| admits(probe, rule, position) && probe.ids[position] == probe.ids[target];
        (0..target).any(holds)
    }))
}

fn admits(probe: &Probe, rule: Rule, position: usize) -> bool {
    match rule {
        Rule::NeedleSpan => probe.needle.contains(&position),
        Rule::Visible => true,
    }
}

/// The mean of `values` summed in order; 0 without values.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

/// The share of `hits` that are true.
pub(crate) fn share(hits: impl Iterator<Item = bool>) -> f64 {
    mean(hits.map(|hit| if hit { 1.0 } else { 0.0 }))
}

#[cfg(test)]
mod tests;
