//! A random sample of every domain, of bounded size, that does not depend on the order of reading.
//!
//! Each document has a draw by its address, as for the `random` rank but another; a domain's sample is the documents with the lowest draws. Once there are many
//! domains, samples shrink, and the lowest draws of a sample are again a sample. A domain with no more documents than that is
//! sampled whole.

use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use crate::Result;
use crate::draws::{Purpose, draws};
use crate::population::Population;
use crate::rows::UnitRows;
use crate::scan::Scores;

/// Documents of all samples together, unless there are very many domains.
const ALL: usize = 1 << 20;

/// Documents of one sample, at most, as long as there are no more than 16 domains. A share is then known to about 0.2 %.
const MOST: usize = 1 << 16;

/// Documents of one sample that there is always room for.
const LEAST: usize = 16;

/// The samples of all domains by name.
pub(crate) type Samples<T> = BTreeMap<Arc<str>, Sample<T>>;

/// A domain's sample.
#[derive(Debug)]
pub(crate) struct Sample<T> {
    /// How many documents it is a sample of.
    pub(crate) documents: u64,
    /// The documents, those with the lowest draws first.
    pub(crate) drawn: Vec<T>,
}

/// A document with its draw; ordered by it, then by address.
#[derive(Debug)]
struct Drawn<T> {
    place: (u32, usize, usize),
    document: T,
}

impl<T> PartialEq for Drawn<T> {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl<T> Eq for Drawn<T> {}

impl<T> PartialOrd for Drawn<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Drawn<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place.cmp(&other.place)
    }
}

/// Samples being drawn.
pub(crate) struct Reservoir<T> {
    domains: BTreeMap<Arc<str>, (u64, BinaryHeap<Drawn<T>>)>,
    room: usize,
}

impl<T> Reservoir<T> {
    pub(crate) fn new() -> Self {
        Self { domains: BTreeMap::new(), room: MOST }
    }

    /// Offers a document of `domain`, the `row`-th of the `unit`-th unit; `document` is asked for only if it is drawn.
    pub(crate) fn offer(&mut self, domain: &Arc<str>, place: (u32, usize, usize), document: impl FnOnce() -> T) {
        if !self.domains.contains_key(domain) {
            self.domains.insert(domain.clone(), (0, BinaryHeap::new()));
            self.make_room();
        }
        let Some((documents, heap)) = self.domains.get_mut(domain) else { return };
        *documents += 1;
        if heap.len() < self.room {
            heap.push(Drawn { place, document: document() });
        } else if let Some(mut last) = heap.peek_mut()
            && place < last.place
        {
            *last = Drawn { place, document: document() };
        }
    }

    fn make_room(&mut self) {
        let room = (ALL / self.domains.len().next_power_of_two()).clamp(LEAST, MOST);
        if room < self.room {
            self.room = room;
            for (_, heap) in self.domains.values_mut() {
                while heap.len() > room {
                    heap.pop();
                }
                heap.shrink_to(room);
            }
        }
    }

    pub(crate) fn samples(self) -> Samples<T> {
        let sample = |(documents, heap): (u64, BinaryHeap<Drawn<T>>)| Sample {
            documents,
            drawn: heap.into_sorted_vec().into_iter().map(|drawn| drawn.document).collect(),
        };
        self.domains.into_iter().map(|(domain, drawn)| (domain, sample(drawn))).collect()
    }
}

/// Draws samples of the ranked documents. `describe` says of each row of a unit what the sample holds of it; `None` leaves it out.
pub(crate) fn sample<T: Send>(
    scores: &Scores<'_>,
    population: &Population,
    columns: Vec<&'static str>,
    describe: impl Fn(&UnitRows<'_>) -> Result<Vec<Option<T>>> + Sync,
) -> Result<Samples<T>> {
    let mut reservoir = Reservoir::new();
    let digest = |rows: &UnitRows<'_>| {
        let draws: Vec<u32> = draws(population.seed, rows.unit, Purpose::Sample).take(rows.len()).collect();
        Ok((population.rows(rows)?, draws, describe(rows)?))
    };
    let columns = population.columns().into_iter().chain(columns);
    scores.scan_all(columns, digest, |at, (population_rows, draws, mut described)| {
        for (row, domain) in population_rows.ranked() {
            if let Some(document) = described[row].take() {
                reservoir.offer(domain, (draws[row], at, row), || document);
            }
        }
        Ok(())
    })?;
    Ok(reservoir.samples())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_draws_stay_whatever_the_order() {
        let domain: Arc<str> = Arc::from("web");
        let documents: Vec<u32> = (0..200_000).map(|at: u32| at.wrapping_mul(2_654_435_761)).collect();
        let drawn = |order: &mut dyn Iterator<Item = (usize, &u32)>| {
            let mut reservoir = Reservoir::new();
            order.for_each(|(at, draw)| reservoir.offer(&domain, (*draw, 0, at), || at));
            reservoir.samples().remove(&domain).unwrap()
        };
        let (forward, backward) =
            (drawn(&mut documents.iter().enumerate()), drawn(&mut documents.iter().enumerate().rev()));
        assert_eq!((forward.documents, forward.drawn.len()), (200_000, MOST));
        assert_eq!(forward.drawn, backward.drawn);
        let mut lowest: Vec<u32> = documents.clone();
        lowest.sort_unstable();
        let held: Vec<u32> = forward.drawn.iter().map(|at| documents[*at]).collect();
        assert_eq!(held, lowest[..MOST]);
    }

    #[test]
    fn samples_shrink_as_domains_come() {
        let mut reservoir = Reservoir::new();
        let first: Arc<str> = Arc::from("0");
        (0..50_000).for_each(|at| reservoir.offer(&first, (u32::MAX - at, 0, at as usize), || at));
        (1..1_000).for_each(|domain: u32| reservoir.offer(&Arc::from(domain.to_string()), (0, 0, 0), || domain));
        let samples = reservoir.samples();
        assert_eq!(samples.len(), 1_000);
        assert_eq!(samples[&first].drawn.len(), ALL / 1_024);
        assert_eq!(samples[&first].drawn[0], 49_999);
    }
}
