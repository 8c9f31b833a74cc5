//! How sure a cut is: how many kept documents it could have gone the other way for, and how far it would move on another sample.

use std::collections::BTreeMap;

use headwater_record::selection::Certainty;

use crate::Result;
use crate::census::{Census, Ranking};
use crate::rows::UnitRows;
use crate::search::{Outcome, Ranked, Tally};
use crate::statistics::{mean, quantile};

/// Batches that a domain's sample is dealt into.
const BATCHES: usize = 20;

/// Documents that a batch should have on either side of its own cut: a quantile beyond its outermost documents says nothing.
const LEAST_SIDE: f64 = 1.0;

/// Kept documents by their distance from the cut.
#[derive(Clone, Copy, Debug, Default)]
struct Near {
    judged: u64,
    within_one: u64,
    within_two: u64,
}

/// The certainty of every domain's cut, by domain.
///
/// The distance is taken from the cut of the document's own stratum or, where documents are repeated, from where dropping begins.
pub(crate) fn certainties(ranking: &Ranking<'_>, census: &Census, outcomes: &[Vec<Outcome>]) -> Result<Vec<Certainty>> {
    let near = near(ranking, census, outcomes)?;
    let certainty = |(at, near): (usize, Near)| {
        let domain = &census.domains[at];
        let mut kept = Tally::default();
        let last = |group: &Vec<Outcome>| group.last().copied().unwrap_or_default();
        outcomes[census.groups_of(at)].iter().for_each(|group| kept.add(last(group).kept));
        let share = kept.documents as f64 / census.ranked(at).documents.max(1) as f64;
        let single = ranking.strata.count() == 1;
        let cut_stderr = CutErrors::of(ranking, census, &domain.name).filter(|_| single);
        let cut_stderr = cut_stderr.and_then(|errors| errors.at(share));
        let Near { judged, within_one, within_two } = near;
        Certainty { judged, within_one, within_two, cut_stderr }
    };
    Ok(near.into_iter().enumerate().map(certainty).collect())
}

/// How sure any cut of a domain is, from a sample of it in random order.
pub(crate) struct CutErrors {
    /// The sample dealt into batches, each sorted.
    batches: Vec<Vec<f64>>,
    sampled: usize,
    /// Documents that it is a sample of.
    documents: u64,
}

impl CutErrors {
    /// Those of a domain; `None` if it has no ranked document.
    pub(crate) fn of(ranking: &Ranking<'_>, census: &Census, domain: &str) -> Option<Self> {
        let sample = census.keys.get(domain)?;
        let values: Vec<f64> = sample.drawn.iter().map(|key| ranking.rank.value(*key)).collect();
        Some(Self::new(&values, sample.documents))
    }

    fn new(sample: &[f64], documents: u64) -> Self {
        let batch = |batch: usize| {
            let mut values: Vec<f64> = sample.iter().skip(batch).step_by(BATCHES).copied().collect();
            values.sort_unstable_by(f64::total_cmp);
            values
        };
        Self { batches: (0..BATCHES).map(batch).collect(), sampled: sample.len(), documents }
    }

    /// The standard error of the value above which `share` of the documents lie: that of batches' own cuts, as it shrinks with the
    /// root of the number of documents.
    pub(crate) fn at(&self, share: f64) -> Option<f64> {
        let batch_documents = self.sampled as f64 / BATCHES as f64;
        if batch_documents * share.min(1.0 - share) < LEAST_SIDE {
            return None;
        }
        let cuts: Vec<f64> = self.batches.iter().map(|values| quantile(values, 1.0 - share)).collect();
        let centre = mean(&cuts);
        let variance = cuts.iter().map(|cut| (cut - centre) * (cut - centre)).sum::<f64>() / (BATCHES - 1) as f64;
        Some((variance * batch_documents / self.documents as f64).sqrt())
    }
}

fn near(ranking: &Ranking<'_>, census: &Census, outcomes: &[Vec<Outcome>]) -> Result<Vec<Near>> {
    let mut all = vec![Near::default(); census.domains.len()];
    if ranking.rank.stderr_columns().is_empty() {
        return Ok(all);
    }
    let cuts: Vec<Option<(f64, Ranked)>> = outcomes
        .iter()
        .map(|group| group.last().and_then(|outcome| outcome.cut).map(|cut| (ranking.rank.value(cut.key), cut)))
        .collect();
    let columns = ranking.columns().chain(ranking.rank.stderr_columns());
    let digest = |rows: &UnitRows<'_>| {
        let stderrs = ranking.rank.stderrs(rows)?;
        let mut near: BTreeMap<usize, Near> = BTreeMap::new();
        ranking.contenders(rows, census, |row, contender| {
            let Some((cut, cut_at)) = cuts[contender.group] else { return };
            let (value, stderr) = (ranking.rank.value(contender.ranked.key), f64::from(stderrs[row]));
            let is_kept = contender.ranked == cut_at || cut_at.is_after(&contender.ranked);
            if is_kept && stderr.is_finite() {
                let near = near.entry(contender.group / ranking.strata.count()).or_default();
                near.judged += 1;
                near.within_one += u64::from(value - cut <= stderr);
                near.within_two += u64::from(value - cut <= 2.0 * stderr);
            }
        })?;
        Ok(near)
    };
    ranking.scores.scan_all(columns, digest, |_, unit| {
        for (domain, near) in unit {
            all[domain].judged += near.judged;
            all[domain].within_one += near.within_one;
            all[domain].within_two += near.within_two;
        }
        Ok(())
    })?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn the_error_of_a_cut_is_that_of_a_quantile() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let uniform: Vec<f64> = (0..20_000).map(|_| f64::from(rng.next_u32()) / f64::from(u32::MAX)).collect();
        // √(q (1 − q) / n) over the density, which is 1
        let expected = (0.2_f64 * 0.8 / 20_000.0).sqrt();
        let got = CutErrors::new(&uniform, 20_000).at(0.2).unwrap();
        assert!((0.6..1.7).contains(&(got / expected)), "{got} against {expected}");
        let larger = CutErrors::new(&uniform, 80_000).at(0.2).unwrap();
        assert!((larger * 2.0 - got).abs() < 1e-12);
    }

    #[test]
    fn few_documents_tell_nothing() {
        let stderr = |documents: usize, share| CutErrors::new(&vec![1.0; documents], documents as u64).at(share);
        assert_eq!(stderr(99, 0.2), None);
        assert_eq!(stderr(10_000, 0.001), None, "a batch has half a document above");
        assert_eq!(stderr(10_000, 1.0), None);
        assert_eq!(stderr(200, 0.5), Some(0.0));
    }
}
