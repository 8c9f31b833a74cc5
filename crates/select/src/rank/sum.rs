//! `rank-sum`: the weighted sum of a document's percentiles under other ranks, greatest first.
//!
//! A percentile is the share of the domain's sample that ranks below, ties counted half. Up to 16 domains are sampled with 65,536
//! documents each, which makes percentiles exact in a smaller domain and off by about 0.2 % in a larger one; with more domains samples
//! are smaller, 1,024 documents and 1.6 % at 1,000 domains.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_record::selection::Correction;

use super::key::{Rank, ordered_bits};
use crate::Result;
use crate::population::Population;
use crate::reservoir::sample;
use crate::rows::UnitRows;
use crate::scan::Scores;

#[derive(Debug)]
pub(super) struct RankSum {
    parts: Vec<Part>,
}

/// A rank that is added, with the keys of every domain's sample.
#[derive(Debug)]
struct Part {
    rank: Box<dyn Rank>,
    weight: f64,
    /// By domain, rising.
    keys: BTreeMap<Arc<str>, Vec<u32>>,
}

impl RankSum {
    /// Samples the keys of every domain under each of `parts`, ranks with their weights.
    pub(super) fn sample(
        parts: Vec<(Box<dyn Rank>, f64)>,
        scores: &Scores<'_>,
        population: &Population,
    ) -> Result<Self> {
        let parts = parts.into_iter().map(|(rank, weight)| {
            let samples = sample(scores, population, rank.columns(), |rows| rank.keys(rows))?;
            let sorted = samples.into_iter().map(|(domain, sample)| {
                let mut keys = sample.drawn;
                keys.sort_unstable();
                (domain, keys)
            });
            Ok(Part { keys: sorted.collect(), rank, weight })
        });
        Ok(Self { parts: parts.collect::<Result<_>>()? })
    }
}

/// The share of sorted keys below `key`, ties counted half.
fn percentile(sorted: &[u32], key: u32) -> f64 {
    let below = sorted.partition_point(|other| *other < key);
    let up_to = sorted.partition_point(|other| *other <= key);
    (below + up_to) as f64 / 2.0 / sorted.len().max(1) as f64
}

impl Rank for RankSum {
    fn columns(&self) -> Vec<&'static str> {
        self.parts.iter().flat_map(|part| part.rank.columns()).collect()
    }

    fn keys(&self, rows: &UnitRows<'_>) -> Result<Vec<Option<u32>>> {
        let domains = rows.domains()?;
        let mut sums = vec![Some(0.0); domains.of.len()];
        for part in &self.parts {
            let sorted: Vec<&[u32]> =
                domains.names.iter().map(|name| part.keys.get(name).map_or(&[][..], Vec::as_slice)).collect();
            for ((sum, domain), key) in sums.iter_mut().zip(&domains.of).zip(part.rank.keys(rows)?) {
                let share = key.map(|key| part.weight * percentile(sorted[*domain as usize], key));
                *sum = sum.zip(share).map(|(sum, share)| sum + share);
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "a rank is by 32-bit floats")]
        let keys = sums.into_iter().map(|sum: Option<f64>| sum.and_then(|sum| ordered_bits(sum as f32)));
        Ok(keys.collect())
    }

    fn correction(&self, domain: &str) -> Option<&Correction> {
        self.parts.iter().find_map(|part| part.rank.correction(domain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_count_half() {
        assert_eq!(percentile(&[1, 2, 2, 3], 2), 0.5);
        assert_eq!(percentile(&[1, 2, 2, 3], 9), 1.0);
        assert_eq!(percentile(&[], 9), 0.0);
    }
}
