//! The first reading: what there is of every domain, and the first digit of every key.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use headwater_record::Status;
use headwater_record::sidecar::column;
use headwater_run::sidecar::{word_indices, words};
use headwater_run::{Error as RunError, Rejects, RejectsWriter, Unit};

use crate::draws::{Purpose, draws};
use crate::guards;
use crate::population::{Eligibility, Population, PopulationRows};
use crate::rank::Rank;
use crate::reservoir::{Reservoir, Samples};
use crate::rows::UnitRows;
use crate::scan::Scores;
use crate::search::{COARSE_BITS, FINE_BITS, MOST_FINE, Outcome, Ranked, Tally};
use crate::strata::Strata;
use crate::{Error, Result};

/// The most domains there may be, and the most stretches of them that are cut alone.
pub(crate) const GROUP_LIMIT: usize = 65_536;

/// The documents that are cut, and by what.
pub(crate) struct Ranking<'a> {
    pub(crate) scores: Scores<'a>,
    pub(crate) rank: &'a dyn Rank,
    pub(crate) population: &'a Population,
    pub(crate) strata: &'a Strata,
}

/// A ranked document: where it is, and in which group it is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contender {
    /// Index of domain × strata + stratum.
    pub(crate) group: usize,
    pub(crate) ranked: Ranked,
    pub(crate) tokens: u32,
}

/// What the first reading learns.
pub(crate) struct Census {
    /// Bits of the key that groups are counted by.
    first_bits: u32,
    pub(crate) index: BTreeMap<Arc<str>, usize>,
    pub(crate) domains: Vec<DomainCensus>,
    /// By domain, then stratum.
    pub(crate) groups: Vec<GroupCensus>,
    pub(crate) statuses: [u64; Status::ALL.len()],
    pub(crate) guarded: [u64; guards::NAMES.len()],
    /// A sample of the keys of every domain.
    pub(crate) keys: Samples<u32>,
}

pub(crate) struct DomainCensus {
    pub(crate) name: Arc<str>,
    pub(crate) all: Tally,
    pub(crate) guarded: [u64; guards::NAMES.len()],
    /// Documents that could be ranked but for a value of the rank.
    pub(crate) valueless: u64,
    pub(crate) highest: Option<Ranked>,
    pub(crate) lowest: Option<Ranked>,
}

pub(crate) struct GroupCensus {
    pub(crate) ranked: Tally,
    pub(crate) lowest: Option<Ranked>,
    pub(crate) buckets: Vec<Tally>,
}

/// The rows of a unit with their keys.
struct Ranks {
    population_rows: PopulationRows,
    keys: Vec<Option<u32>>,
}

/// A unit as the first reading sees it.
struct Counted {
    ranks: Ranks,
    statuses: [u64; Status::ALL.len()],
    draws: Vec<u32>,
    rejected: Vec<RecordBatch>,
}

impl GroupCensus {
    /// What a goal keeps that asks for all of it.
    pub(crate) const fn everything(&self) -> Outcome {
        Outcome { kept: self.ranked, cut: self.lowest, refused: None }
    }
}

impl Ranking<'_> {
    fn ranks(&self, rows: &UnitRows<'_>) -> Result<Ranks> {
        let (population_rows, mut keys) = (self.population.rows(rows)?, self.rank.keys(rows)?);
        for (key, eligibility) in keys.iter_mut().zip(&population_rows.eligibility) {
            if *eligibility != Eligibility::Ranked {
                *key = None;
            }
        }
        Ok(Ranks { population_rows, keys })
    }

    /// The sidecar columns that ranking reads.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &'static str> {
        self.population.columns().into_iter().chain(self.rank.columns())
    }

    /// Reads everything for the first time, and lists what was not scored if `rejects` is given.
    pub(crate) fn census(&self, mut rejects: Option<&mut RejectsWriter>) -> Result<Census> {
        let mut census = Census {
            first_bits: FINE_BITS,
            index: BTreeMap::new(),
            domains: Vec::new(),
            groups: Vec::new(),
            statuses: [0; Status::ALL.len()],
            guarded: [0; guards::NAMES.len()],
            keys: Samples::new(),
        };
        let mut sample = Reservoir::new();
        let taken = rejects.is_some().then(Rejects::new).transpose()?;
        let of_rejects = taken.iter().flat_map(|_| Rejects::COLUMNS);
        let columns = self.columns().chain([column::STATUS]).chain(of_rejects);
        let digest = |rows: &UnitRows<'_>| {
            let draws: Vec<u32> = draws(self.population.seed, rows.unit, Purpose::Sample).take(rows.len()).collect();
            let rejected = taken.as_ref().map_or_else(|| Ok(Vec::new()), |taken| taken.of(rows.unit, rows.batches))?;
            Ok(Counted { ranks: self.ranks(rows)?, statuses: statuses(rows.unit, rows.batches)?, draws, rejected })
        };
        self.scores.scan_all(columns, digest, |at, counted| {
            let Counted { ranks, statuses, draws, rejected } = counted;
            if let Some(rejects) = &mut rejects {
                rejected.iter().try_for_each(|rows| rejects.write(rows))?;
            }
            census.statuses.iter_mut().zip(statuses).for_each(|(sum, count)| *sum += count);
            let unit = &self.scores.sidecars.units()[at];
            let names = &ranks.population_rows.domains.names;
            let domains =
                names.iter().map(|name| census.enlist(unit, name, self.strata)).collect::<Result<Vec<_>>>()?;
            for (row, &of) in ranks.population_rows.domains.of.iter().enumerate() {
                let (name, domain) = (&names[of as usize], domains[of as usize]);
                let (tokens, key) = (ranks.population_rows.tokens[row], ranks.keys[row]);
                census.count(domain, tokens, ranks.population_rows.eligibility[row]);
                let Some(key) = key else {
                    let is_ranked = ranks.population_rows.eligibility[row] == Eligibility::Ranked;
                    census.domains[domain].valueless += u64::from(is_ranked);
                    continue;
                };
                let group = domain * self.strata.count() + self.strata.of(name, tokens);
                census.rank(domain, &Contender { group, ranked: Ranked { key, unit: at, offset: row as u64 }, tokens });
                sample.offer(name, (draws[row], at, row), || key);
            }
            Ok(())
        })?;
        census.keys = sample.samples();
        Ok(census)
    }

    /// Calls the ranked documents of a unit in order, each with its row.
    pub(crate) fn contenders(
        &self,
        rows: &UnitRows<'_>,
        census: &Census,
        mut call: impl FnMut(usize, Contender),
    ) -> Result<()> {
        let Ranks { population_rows, keys } = self.ranks(rows)?;
        let domains = census.known(&population_rows.domains.names)?;
        for (row, key) in keys.into_iter().enumerate() {
            let Some(key) = key else { continue };
            let (of, tokens) = (population_rows.domains.of[row] as usize, population_rows.tokens[row]);
            let group = domains[of] * self.strata.count() + self.strata.of(&population_rows.domains.names[of], tokens);
            call(row, Contender { group, ranked: Ranked { key, unit: rows.index, offset: row as u64 }, tokens });
        }
        Ok(())
    }

    /// Visits the ranked documents of some units.
    pub(crate) fn visit(&self, census: &Census, wanted: &[usize], mut visit: impl FnMut(&Contender)) -> Result<()> {
        let digest = |rows: &UnitRows<'_>| {
            let mut contenders = Vec::with_capacity(rows.len());
            self.contenders(rows, census, |_, contender| contenders.push(contender))?;
            Ok(contenders)
        };
        self.scores.scan(wanted, self.columns(), digest, |_, contenders| {
            contenders.iter().for_each(&mut visit);
            Ok(())
        })
    }
}

impl Census {
    fn enlist(&mut self, unit: &Unit, name: &Arc<str>, strata: &Strata) -> Result<usize> {
        if let Some(&at) = self.index.get(name) {
            return Ok(at);
        }
        if self.groups.len() + strata.count() > GROUP_LIMIT && strata.count() > 1 {
            return Err(Error::TooManyStrata { strata: strata.count(), limit: GROUP_LIMIT });
        }
        if self.domains.len() == GROUP_LIMIT {
            return Err(Error::TooManyDomains {
                limit: GROUP_LIMIT,
                domain: name.to_string(),
                source_name: unit.source.to_string(),
                path: unit.path.to_string(),
            });
        }
        self.domains.push(DomainCensus {
            name: name.clone(),
            all: Tally::default(),
            guarded: [0; guards::NAMES.len()],
            valueless: 0,
            highest: None,
            lowest: None,
        });
        if self.first_bits > COARSE_BITS && self.groups.len() + strata.count() > MOST_FINE {
            self.coarsen();
        }
        let buckets = 1 << self.first_bits;
        let group = || GroupCensus { ranked: Tally::default(), lowest: None, buckets: vec![Tally::default(); buckets] };
        self.groups.extend(std::iter::repeat_with(group).take(strata.count()));
        self.index.insert(name.clone(), self.domains.len() - 1);
        Ok(self.domains.len() - 1)
    }

    /// Counts by fewer bits, so that more groups take no more memory.
    fn coarsen(&mut self) {
        let each = 1 << (self.first_bits - COARSE_BITS);
        let sum = |tallies: &[Tally]| {
            let mut sum = Tally::default();
            tallies.iter().for_each(|tally| sum.add(*tally));
            sum
        };
        for group in &mut self.groups {
            group.buckets = group.buckets.chunks(each).map(sum).collect();
        }
        self.first_bits = COARSE_BITS;
    }

    /// The indices of domains that an earlier reading met.
    pub(crate) fn known(&self, names: &[Arc<str>]) -> Result<Vec<usize>> {
        let index =
            |name: &Arc<str>| self.index.get(name).copied().ok_or_else(|| Error::Changed { domain: name.to_string() });
        names.iter().map(index).collect()
    }

    fn count(&mut self, domain: usize, tokens: u32, eligibility: Eligibility) {
        self.domains[domain].all.count(tokens);
        if let Eligibility::Guarded(guard) = eligibility {
            self.guarded[guard] += 1;
            self.domains[domain].guarded[guard] += 1;
        }
    }

    fn rank(&mut self, domain: usize, contender: &Contender) {
        let &Contender { group, ranked, tokens } = contender;
        let bucket = (ranked.key >> (u32::BITS - self.first_bits)) as usize;
        let group = &mut self.groups[group];
        group.ranked.count(tokens);
        group.buckets[bucket].count(tokens);
        ranked.keep_last(&mut group.lowest);
        ranked.keep_first(&mut self.domains[domain].highest);
        ranked.keep_last(&mut self.domains[domain].lowest);
    }

    /// The groups of a domain.
    pub(crate) fn groups_of(&self, domain: usize) -> std::ops::Range<usize> {
        let strata = self.groups.len() / self.domains.len().max(1);
        domain * strata..(domain + 1) * strata
    }

    /// What could be ranked of a domain.
    pub(crate) fn ranked(&self, domain: usize) -> Tally {
        let mut ranked = Tally::default();
        self.groups[self.groups_of(domain)].iter().for_each(|group| ranked.add(group.ranked));
        ranked
    }

    /// What could be ranked of each group of a domain.
    pub(crate) fn ranked_groups(&self, domain: usize) -> Vec<Tally> {
        self.groups[self.groups_of(domain)].iter().map(|group| group.ranked).collect()
    }

    /// The `most` domains with the most documents, those with as many by name.
    pub(crate) fn largest(&self, most: usize) -> Vec<usize> {
        let mut largest: Vec<usize> = self.index.values().copied().collect();
        largest.sort_by_key(|domain| std::cmp::Reverse(self.domains[*domain].all.documents));
        largest.truncate(most);
        largest
    }

    /// The tokens that could be ranked, of all domains.
    pub(crate) fn ranked_tokens(&self) -> u64 {
        self.groups.iter().map(|group| group.ranked.tokens).sum()
    }
}

fn statuses(unit: &Unit, batches: &[RecordBatch]) -> Result<[u64; Status::ALL.len()]> {
    let mut statuses = [0; Status::ALL.len()];
    for batch in batches {
        let (rows, names) = words(unit, batch, column::STATUS)?;
        let mut counts = vec![0_u64; names.len()];
        word_indices(rows).for_each(|word| counts[word] += 1);
        for (name, count) in names.iter().zip(counts).filter(|(_, count)| *count > 0) {
            let known = Status::ALL.iter().position(|status| Some(status.as_str()) == name);
            let known = known
                .ok_or_else(|| RunError::sidecar(unit, column::STATUS, &"a known status", &name.unwrap_or("null")))?;
            statuses[known] += count;
        }
    }
    Ok(statuses)
}
