//! Sidecar rows → the exact cut of every domain.
//!
//! Readings: a census (counts, first digit, highest and lowest document), two or three more digits, the documents at the
//! boundary key, and the ids of the documents that `selection.json` names. From the second digit on, only the units that still
//! hold a document of some boundary bucket are read.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::UInt64Type;
use headwater_record::selection::{DomainSelection, RankedDocument};
use headwater_record::sidecar::column;
use headwater_record::{ContentHash, SelectionFile, Status, TokenCount};

use crate::config::{RankBy, SelectConfig, Share};
use crate::fraction::floor_share;
use crate::rank::{Rank, Row, each_row};
use crate::search::{FIRST_BITS, FIRST_BUCKETS, Goal, Ranked, Search, Tally, later_bits};
use crate::sidecars::{Sidecars, Unit, numbers, scan, word_indices, words, wrong};
use crate::{Error, Result};

/// The most domains there may be.
const DOMAIN_LIMIT: usize = 65_536;

/// Domains that an error lists.
const LISTED_DOMAINS: usize = 20;

/// Enters the selection's hash; raised when the same scores and rule would give another subset.
const SEMANTICS: u32 = 1;

/// Cuts every domain of the sidecars' documents.
///
/// `seed` decides the `random` rank and is not used by the others. `on_progress` gets the number of sidecars newly read; every
/// sidecar is read twice and some of them up to six times.
///
/// # Errors
/// What [`SelectConfig::check`] finds, [`Error::UnknownDomain`], [`Error::TooManyDomains`], a sidecar that does not hold what its
/// unit says, or whatever keeps a sidecar from being read.
///
/// # Determinism
/// The same rows under the same units give an equal selection, in whatever order sources and shards were listed.
///
/// # Source
/// DESIGN.md, "Selection". Departs: the histograms take 8, 12 and 12 bits (8, 8, 8 and 8 beyond 4,096 domains) instead of 16 and
/// 16, which bounds memory for the most domains allowed without another reading.
pub fn cut(
    sidecars: &dyn Sidecars,
    config: &SelectConfig,
    seed: u64,
    on_progress: &(dyn Fn(u64) + Sync),
) -> Result<SelectionFile> {
    config.check()?;
    let ranking = Ranking { sidecars, rank: Rank::new(config.rank, seed), on_progress };
    let mut census = ranking.census()?;
    if let Some(domain) = config.domains.keys().find(|domain| !census.index.contains_key(domain.as_str())) {
        let mut present: Vec<&str> = census.index.keys().take(LISTED_DOMAINS).map(|name| &**name).collect();
        if census.index.len() > LISTED_DOMAINS {
            present.push("…");
        }
        return Err(Error::UnknownDomain { domain: domain.clone(), present: present.join(", ") });
    }
    let goals = goals(&census, config)?;
    let outcomes = ranking.boundaries(&mut census, &goals)?;
    let statuses = Status::ALL.iter().zip(census.statuses).map(|(status, n)| (status.to_string(), n)).collect();
    let domains = ranking.describe(&census, &goals, &outcomes)?;
    let used_seed = (config.rank == RankBy::Random).then_some(seed);
    Ok(SelectionFile {
        hash: selection_hash(sidecars.units(), config, used_seed, &domains)?,
        rank: config.rank.as_str().to_owned(),
        by: config.by.as_str().to_owned(),
        domains,
        statuses,
    })
}

/// What the first reading learns.
struct Census {
    index: BTreeMap<Arc<str>, usize>,
    domains: Vec<DomainCensus>,
    statuses: [u64; Status::ALL.len()],
}

struct DomainCensus {
    name: Arc<str>,
    all: Tally,
    ranked: Tally,
    highest: Option<Ranked>,
    lowest: Option<Ranked>,
    buckets: Vec<Tally>,
}

/// What one domain is to keep, and the fraction of it that was asked for.
struct DomainGoal {
    goal: Goal,
    fraction: f64,
}

/// What one domain keeps.
#[derive(Clone, Copy, Default)]
struct Outcome {
    kept: Tally,
    cut: Option<Ranked>,
}

struct Ranking<'a> {
    sidecars: &'a dyn Sidecars,
    rank: Rank,
    on_progress: &'a (dyn Fn(u64) + Sync),
}

impl Ranking<'_> {
    fn census(&self) -> Result<Census> {
        let mut census = Census { index: BTreeMap::new(), domains: Vec::new(), statuses: [0; Status::ALL.len()] };
        let everything: Vec<usize> = (0..self.sidecars.units().len()).collect();
        let columns = [self.rank.columns(), &[column::ROW, column::STATUS]].concat();
        scan(self.sidecars, &everything, &columns, self.on_progress, |at, unit, batches| {
            check_rows(unit, batches)?;
            count_statuses(unit, batches, &mut census.statuses)?;
            let Census { index, domains, .. } = &mut census;
            let mut resolve = |name: &str| enlist(index, domains, unit, name);
            let mut rows = Vec::new();
            each_row(unit, batches, self.rank, &mut resolve, |row| rows.push(*row))?;
            rows.iter().for_each(|row| domains[row.domain].count(at, row));
            Ok(())
        })?;
        Ok(census)
    }

    /// Finds what every domain keeps.
    fn boundaries(&self, census: &mut Census, goals: &[DomainGoal]) -> Result<Vec<Outcome>> {
        let mut outcomes = vec![Outcome::default(); goals.len()];
        let mut searches: Vec<Option<Search>> = Vec::new();
        for ((domain, asked), outcome) in census.domains.iter_mut().zip(goals).zip(&mut outcomes) {
            let buckets = std::mem::take(&mut domain.buckets);
            let everything = match asked.goal {
                Goal::Documents(documents) => documents >= domain.ranked.documents,
                Goal::Tokens(tokens) => tokens >= domain.ranked.tokens,
            };
            searches.push(if everything {
                *outcome = Outcome { kept: domain.ranked, cut: domain.lowest };
                None
            } else if asked.goal == Goal::Documents(0) {
                None
            } else {
                let begun = Search::begin(asked.goal, buckets);
                Some(begun.map_err(|_| Error::Changed { domain: domain.name.to_string() })?)
            });
        }
        self.search(census, &mut searches)?;
        for (search, outcome) in searches.iter().zip(&mut outcomes) {
            if let Some(search) = search {
                let (kept, cut) = search.outcome();
                *outcome = Outcome { kept, cut };
            }
        }
        Ok(outcomes)
    }

    fn search(&self, census: &Census, searches: &mut [Option<Search>]) -> Result<()> {
        let open = searches.iter().flatten().count();
        if open == 0 {
            return Ok(());
        }
        let width = later_bits(open);
        let mut wanted: Vec<usize> = (0..self.sidecars.units().len()).collect();
        for _ in 0..(u32::BITS - FIRST_BITS) / width {
            searches.iter_mut().flatten().for_each(|search| search.widen(width));
            let mut next = Vec::new();
            self.visit(census, &wanted, |at, row| {
                let (Some(search), Some(key)) = (&mut searches[row.domain], row.key) else { return };
                let inside = search.count(Ranked { key, unit: at, offset: row.offset }, row.tokens);
                if inside && next.last() != Some(&at) {
                    next.push(at);
                }
            })?;
            for (search, domain) in searches.iter_mut().zip(&census.domains) {
                if let Some(search) = search {
                    search.descend().map_err(|_| Error::Changed { domain: domain.name.to_string() })?;
                }
            }
            wanted = next;
        }
        self.visit(census, &wanted, |at, row| {
            if let (Some(search), Some(key)) = (&mut searches[row.domain], row.key) {
                search.settle(Ranked { key, unit: at, offset: row.offset }, row.tokens);
            }
        })
    }

    /// Visits every row of some units, with the index of its unit.
    fn visit(&self, census: &Census, wanted: &[usize], mut visit: impl FnMut(usize, &Row)) -> Result<()> {
        let mut resolve =
            |name: &str| census.index.get(name).copied().ok_or_else(|| Error::Changed { domain: name.to_owned() });
        scan(self.sidecars, wanted, self.rank.columns(), self.on_progress, |at, unit, batches| {
            each_row(unit, batches, self.rank, &mut resolve, |row| visit(at, row))
        })
    }

    fn describe(&self, census: &Census, goals: &[DomainGoal], outcomes: &[Outcome]) -> Result<Vec<DomainSelection>> {
        let mut named: BTreeMap<usize, BTreeMap<u64, Option<String>>> = BTreeMap::new();
        for (domain, outcome) in census.domains.iter().zip(outcomes) {
            for document in [outcome.cut, domain.highest, domain.lowest].into_iter().flatten() {
                named.entry(document.unit).or_default().insert(document.offset, None);
            }
        }
        let wanted: Vec<usize> = named.keys().copied().collect();
        scan(self.sidecars, &wanted, &[column::ID], self.on_progress, |at, unit, batches| {
            named.get_mut(&at).map_or(Ok(()), |rows| read_ids(unit, batches, rows))
        })?;
        let document = |ranked: Option<Ranked>| {
            ranked.map(|ranked| RankedDocument {
                value: self.rank.value(ranked.key),
                address: self.sidecars.units()[ranked.unit].address(ranked.offset),
                id: named.get(&ranked.unit).and_then(|rows| rows.get(&ranked.offset).cloned().flatten()),
            })
        };
        let selections = census.index.values().map(|&at| {
            let (domain, outcome) = (&census.domains[at], &outcomes[at]);
            DomainSelection {
                domain: domain.name.to_string(),
                documents: domain.all.documents,
                tokens: TokenCount(domain.all.tokens),
                ranked_documents: domain.ranked.documents,
                ranked_tokens: TokenCount(domain.ranked.tokens),
                fraction: goals[at].fraction,
                kept_documents: outcome.kept.documents,
                kept_tokens: TokenCount(outcome.kept.tokens),
                cut: document(outcome.cut),
                highest: document(domain.highest),
                lowest: document(domain.lowest),
            }
        });
        Ok(selections.collect())
    }
}

impl DomainCensus {
    fn count(&mut self, unit: usize, row: &Row) {
        let &Row { offset, tokens, .. } = row;
        self.all.count(tokens);
        let Some(key) = row.key else { return };
        self.ranked.count(tokens);
        self.buckets[(key >> (u32::BITS - FIRST_BITS)) as usize].count(tokens);
        let document = Ranked { key, unit, offset };
        document.keep_first(&mut self.highest);
        document.keep_last(&mut self.lowest);
    }
}

fn enlist(
    index: &mut BTreeMap<Arc<str>, usize>,
    domains: &mut Vec<DomainCensus>,
    unit: &Unit,
    name: &str,
) -> Result<usize> {
    if let Some(&at) = index.get(name) {
        return Ok(at);
    }
    if domains.len() == DOMAIN_LIMIT {
        return Err(Error::TooManyDomains {
            limit: DOMAIN_LIMIT,
            domain: name.to_owned(),
            source_name: unit.source.to_string(),
            path: unit.path.to_string(),
        });
    }
    let name: Arc<str> = Arc::from(name);
    domains.push(DomainCensus {
        name: name.clone(),
        all: Tally::default(),
        ranked: Tally::default(),
        highest: None,
        lowest: None,
        buckets: vec![Tally::default(); FIRST_BUCKETS],
    });
    index.insert(name, domains.len() - 1);
    Ok(domains.len() - 1)
}

/// Checks that a sidecar's rows are those of its unit, in order.
fn check_rows(unit: &Unit, batches: &[RecordBatch]) -> Result<()> {
    let mut expected = unit.key.first_row;
    for batch in batches {
        for &row in numbers::<UInt64Type>(unit, batch, column::ROW)?.values() {
            if row != expected {
                return Err(wrong(unit, column::ROW, &expected, &row));
            }
            expected += 1;
        }
    }
    Ok(())
}

fn count_statuses(unit: &Unit, batches: &[RecordBatch], statuses: &mut [u64; Status::ALL.len()]) -> Result<()> {
    for batch in batches {
        let (rows, names) = words(unit, batch, column::STATUS)?;
        let mut counts = vec![0_u64; names.len()];
        word_indices(rows).for_each(|word| counts[word] += 1);
        for (name, count) in names.iter().zip(counts).filter(|(_, count)| *count > 0) {
            let name = name.unwrap_or_default();
            let known = Status::ALL.iter().position(|status| status.as_str() == name);
            statuses[known.ok_or_else(|| wrong(unit, column::STATUS, &"a known status", &name))?] += count;
        }
    }
    Ok(())
}

fn read_ids(unit: &Unit, batches: &[RecordBatch], rows: &mut BTreeMap<u64, Option<String>>) -> Result<()> {
    let mut first = 0_u64;
    for batch in batches {
        let column = batch.column_by_name(column::ID).ok_or_else(|| wrong(unit, column::ID, &"Utf8", &"missing"))?;
        let ids = column.as_string_opt::<i32>().ok_or_else(|| wrong(unit, column::ID, &"Utf8", &column.data_type()))?;
        let end = first + batch.num_rows() as u64;
        for (offset, id) in rows.range_mut(first..end) {
            let at = usize::try_from(offset - first).unwrap_or_default();
            *id = (!ids.is_null(at)).then(|| ids.value(at).to_owned());
        }
        first = end;
    }
    Ok(())
}

fn goals(census: &Census, config: &SelectConfig) -> Result<Vec<DomainGoal>> {
    let total: u64 = census.domains.iter().map(|domain| domain.ranked.tokens).sum();
    let asked = |domain: &DomainCensus| {
        let rule = config.domains.get(&*domain.name);
        let written = rule.and_then(|rule| rule.fraction).unwrap_or(config.fraction);
        let Tally { documents, tokens } = domain.ranked;
        Ok(match config.share(&domain.name)? {
            Share::Documents(part) => {
                DomainGoal { goal: Goal::Documents(part.round_half_up(documents)), fraction: written }
            }
            Share::Tokens(part) => DomainGoal { goal: Goal::Tokens(part.floor(tokens)), fraction: written },
            Share::TokenCount(part) => {
                DomainGoal { goal: Goal::Tokens(part.min(tokens)), fraction: ratio(part, tokens) }
            }
            Share::Budget(part) => {
                DomainGoal { goal: Goal::Tokens(floor_share(part, tokens, total)), fraction: ratio(part, total) }
            }
        })
    };
    census.domains.iter().map(asked).collect()
}

/// `part / whole`, at most 1, to be shown.
fn ratio(part: u64, whole: u64) -> f64 {
    if part >= whole { 1.0 } else { part as f64 / whole as f64 }
}

fn selection_hash(
    units: &[Unit],
    config: &SelectConfig,
    seed: Option<u64>,
    domains: &[DomainSelection],
) -> Result<ContentHash> {
    let units: Vec<_> = units.iter().map(|unit| (&unit.source, &unit.path, &unit.key, &unit.fingerprint)).collect();
    let cuts: Vec<_> = domains.iter().map(|domain| (&domain.domain, &domain.cut)).collect();
    let json = serde_json::to_vec(&(SEMANTICS, config, seed, cuts, units))
        .map_err(|source| Error::Json { path: crate::SELECTION_PATH.to_owned(), source })?;
    Ok(ContentHash::of(&json))
}
