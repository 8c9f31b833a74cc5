//! Stretches of document length, each of which keeps the same share of a domain.
//!
//! Influence favours long documents. Cut by strata, what is kept has the corpus's distribution of lengths, to within a document a
//! stratum. The bounds are quantiles of the lengths in the domain's sample; documents of one length are in one stratum, and a
//! small domain has as many strata as give each [`LEAST_DOCUMENTS`].

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_record::sidecar::column;

use crate::Result;
use crate::population::Population;
use crate::reservoir::sample;
use crate::scan::Scores;

/// Documents that a stratum should have.
const LEAST_DOCUMENTS: u64 = 10;

/// The strata of every domain.
#[derive(Debug)]
pub(crate) struct Strata {
    count: usize,
    /// By domain, the most tokens of each stratum but the last, rising.
    bounds: BTreeMap<Arc<str>, Vec<u32>>,
}

impl Strata {
    /// One stratum: length plays no part.
    pub(crate) const fn none() -> Self {
        Self { count: 1, bounds: BTreeMap::new() }
    }

    /// Cuts every domain into `count` strata, where it has documents enough.
    pub(crate) fn cut(count: u32, scores: &Scores<'_>, population: &Population) -> Result<Self> {
        if count <= 1 {
            return Ok(Self::none());
        }
        let lengths = sample(scores, population, vec![column::TOKENS], |rows| {
            Ok(rows.counts(column::TOKENS)?.into_iter().map(Some).collect())
        })?;
        let bounds = lengths.into_iter().map(|(domain, sample)| {
            let most = (sample.documents / LEAST_DOCUMENTS).clamp(1, u64::from(count));
            let mut lengths = sample.drawn;
            lengths.sort_unstable();
            (domain, bounds(&lengths, usize::try_from(most).unwrap_or(1)))
        });
        Ok(Self { count: count as usize, bounds: bounds.collect() })
    }

    /// Strata of a domain, at most.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// The stratum of a document with `tokens` tokens.
    fn of_tokens(bounds: &[u32], tokens: u32) -> usize {
        bounds.partition_point(|most| *most < tokens)
    }

    /// The stratum of a document of `domain` with `tokens` tokens.
    pub(crate) fn of(&self, domain: &str, tokens: u32) -> usize {
        if self.count == 1 { 0 } else { Self::of_tokens(self.bounds(domain), tokens) }
    }

    /// The most tokens of each stratum of a domain but the last.
    pub(crate) fn bounds(&self, domain: &str) -> &[u32] {
        self.bounds.get(domain).map_or(&[], Vec::as_slice)
    }
}

/// The greatest of each of `count` equal parts of sorted lengths but the last, each once.
fn bounds(sorted: &[u32], count: usize) -> Vec<u32> {
    let mut bounds: Vec<u32> =
        (1..count).filter_map(|part| sorted.get((part * sorted.len() / count).checked_sub(1)?).copied()).collect();
    bounds.dedup();
    if bounds.last() == sorted.last() {
        bounds.pop();
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lengths_share_a_stratum() {
        let sorted: Vec<u32> = [vec![5; 60], (10..50).collect()].concat();
        let bounds = bounds(&sorted, 5);
        assert_eq!(bounds, [5, 29]);
        assert_eq!([5, 6, 29, 30, 90].map(|tokens| Strata::of_tokens(&bounds, tokens)), [0, 1, 1, 2, 2]);
        assert_eq!(super::bounds(&[7; 40], 4), Vec::<u32>::new());
    }
}
