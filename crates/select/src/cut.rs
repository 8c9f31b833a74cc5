//! Sidecar rows → the exact cut of every domain.
//!
//! Readings: what the rank and the strata need to be ready; a census (counts, first digit, highest and lowest document, rejects); the
//! documents of the boundary buckets, after more digits if there are very many; the kept documents near the cut; and the ids of the
//! documents that `selection.json` names. After a second digit, only the units that still hold a document of some boundary bucket are
//! read.

use std::collections::{BTreeMap, BTreeSet};

use headwater_record::selection::{Bucket, Certainty, DomainBucket, DomainSelection, RankedDocument, Stratum};
use headwater_record::sidecar::column;
use headwater_record::{ContentHash, SelectionFile, Status, TokenCount};
use headwater_run::{RejectsWriter, Unit};

use crate::boundaries::boundaries;
use crate::census::{Census, Ranking};
use crate::certainty::certainties;
use crate::config::{By, RankBy, SelectConfig};
use crate::explore::{Exploration, Explored};
use crate::goals::{DomainGoal, goals};
use crate::guards;
use crate::influence_column::InfluenceColumn;
use crate::membership::{Cut, Membership};
use crate::population::Population;
use crate::rank::{self, Rank, prepare};
use crate::rows::UnitRows;
use crate::scan::Scores;
use crate::search::{Outcome, Ranked, Tally};
use crate::sidecars::Sidecars;
use crate::strata::Strata;
use crate::{Error, Result};

/// Enters the selection's hash; raised when the same scores and rule would give another subset.
const SEMANTICS: u32 = 2;

/// How [`SelectionFile::guarded`] counts documents for which the rank has no finite value.
const NO_VALUE: &str = "no value";

/// A rule to cut by.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// The `[select]` table.
    pub config: &'a SelectConfig,
    /// The run's seed, which decides the `random` rank and which documents are sampled.
    pub seed: u64,
}

/// A selection, with what tells of any document whether it is kept.
#[derive(Debug)]
pub struct Selection {
    /// `selection.json`.
    pub file: SelectionFile,
    /// Which documents are kept.
    pub membership: Membership,
    /// Whether kept rows come with their influence, and in which column.
    pub(crate) influence_column: InfluenceColumn,
}

/// Cuts every domain of the sidecars' documents.
///
/// `on_progress` gets the number of sidecars newly read; every sidecar is read three times at least, mostly from memory: a rank that is
/// fitted or added up reads all of them two to six times more.
///
/// # Errors
/// What [`SelectConfig::validate`] finds, [`Error::UnknownDomain`], [`Error::EmptyDomain`], [`Error::TooManyDomains`],
/// [`Error::OutOfReach`], a sidecar that does not hold what its unit says, or what keeps a sidecar or shard from being read.
///
/// # Determinism
/// The same rows under the same units give an equal selection, in whichever order sources and shards were listed.
///
/// # Source
/// DESIGN.md, "Selection". Departs: the first histogram takes 16 bits for up to 64 searches and 8 bits beyond; of the boundary buckets,
/// documents are collected if they are few, and counted by 8 or 12 more bits if not, which bounds memory for the most domains allowed.
pub fn cut(sidecars: &dyn Sidecars, rule: Rule<'_>, on_progress: &(dyn Fn(u64) + Sync)) -> Result<Selection> {
    Ok(cut_listing(sidecars, rule, Beside::default(), on_progress)?.0)
}

/// Cuts every domain as [`cut()`] does, and in the same reading writes the rows that were not scored to `rejects`.
///
/// # Errors
/// As [`cut()`]; what keeps `rejects` from being written.
pub fn cut_with_rejects(
    sidecars: &dyn Sidecars,
    rule: Rule<'_>,
    rejects: &mut RejectsWriter,
    on_progress: &(dyn Fn(u64) + Sync),
) -> Result<Selection> {
    let beside = Beside { rejects: Some(rejects), explored_domains: 0 };
    Ok(cut_listing(sidecars, rule, beside, on_progress)?.0)
}

/// Cuts every domain as [`cut()`] does, and says what other fractions would keep of the `explored_domains` largest ones.
pub(crate) fn cut_exploring(
    sidecars: &dyn Sidecars,
    rule: Rule<'_>,
    explored_domains: usize,
    on_progress: &(dyn Fn(u64) + Sync),
) -> Result<(Selection, Explored)> {
    cut_listing(sidecars, rule, Beside { explored_domains, rejects: None }, on_progress)
}

/// What is wanted beside the selection.
#[derive(Default)]
struct Beside<'a> {
    rejects: Option<&'a mut RejectsWriter>,
    explored_domains: usize,
}

fn cut_listing(
    sidecars: &dyn Sidecars,
    Rule { config, seed }: Rule<'_>,
    Beside { rejects, explored_domains }: Beside<'_>,
    on_progress: &(dyn Fn(u64) + Sync),
) -> Result<(Selection, Explored)> {
    if rejects.is_some() {
        // a subset follows, whose texts are compared
        sidecars.will_read(&[column::BYTES, column::TEXT_HASH]);
    }
    let scores = Scores { sidecars, on_progress };
    let prepared = Prepared::new(scores, Rule { config, seed })?;
    let ranking = prepared.ranking(scores);
    let mut census = ranking.census(rejects)?;
    let mut goals = goals(&census, config)?;
    let exploration = Exploration::begin(&mut goals, &census, config, explored_domains)?;
    let mut outcomes = boundaries(&ranking, &mut census, &goals)?;
    let explored = exploration.end(&ranking, &census, &mut outcomes);
    let certainties = certainties(&ranking, &census, &outcomes)?;
    let draft = Draft { ranking: &ranking, census: &census, goals: &goals, outcomes: &outcomes };
    let file = draft.file(config, seed, &certainties)?;
    let cuts = draft.cuts();
    let index = census.index;
    let Prepared { population, rank, strata } = prepared;
    let membership = Membership { index, strata, cuts, rank, population };
    Ok((Selection { file, membership, influence_column: config.influence_column.clone() }, explored))
}

/// What documents are ranked by and inside of, ready to be asked.
pub(crate) struct Prepared {
    population: Population,
    rank: Box<dyn Rank>,
    strata: Strata,
}

impl Prepared {
    /// Reads the sidecars as often as the rank and the strata need to.
    pub(crate) fn new(scores: Scores<'_>, Rule { config, seed }: Rule<'_>) -> Result<Self> {
        config.validate()?;
        let population = Population::new(config, seed)?;
        scores.sidecars.will_read(&columns(config, &population));
        let rank = prepare(&config.rank, config, &scores, &population)?;
        let strata = Strata::cut(config.length_strata, &scores, &population)?;
        Ok(Self { population, rank, strata })
    }

    pub(crate) fn ranking<'a>(&'a self, scores: Scores<'a>) -> Ranking<'a> {
        Ranking { scores, rank: &*self.rank, population: &self.population, strata: &self.strata }
    }
}

/// The sidecar columns that a selection reads again and again.
pub(crate) fn columns(config: &SelectConfig, population: &Population) -> Vec<&'static str> {
    let mut columns = population.columns();
    columns.extend(rank::columns(&config.rank, config));
    // else the first reading is the only one that counts statuses
    if matches!(config.rank, RankBy::Corrected | RankBy::RankSum) || config.length_strata > 1 {
        columns.push(column::STATUS);
    }
    columns
}

/// A selection that only needs to be written down.
struct Draft<'a> {
    ranking: &'a Ranking<'a>,
    census: &'a Census,
    goals: &'a [DomainGoal],
    /// By group, then goal.
    outcomes: &'a [Vec<Outcome>],
}

/// The ids of documents by unit and row.
type Named = BTreeMap<usize, BTreeMap<u64, Option<String>>>;

impl Draft<'_> {
    fn file(&self, config: &SelectConfig, seed: u64, certainties: &[Certainty]) -> Result<SelectionFile> {
        let named = self.named()?;
        let mut domains: Vec<DomainSelection> =
            self.census.index.values().map(|at| self.domain(*at, config, certainties, &named)).collect();
        let units = self.ranking.scores.sidecars.units();
        let hash = selection_hash(units, config, seed, &domains)?;
        let rank = self.ranking.rank;
        domains.iter_mut().flat_map(documents).for_each(|document| document.value = rank.shown(document.value));
        Ok(SelectionFile {
            hash,
            rank: config.rank.to_string(),
            by: config.by.as_str().to_owned(),
            buckets: buckets(config, &domains)?,
            domains,
            statuses: counted(Status::ALL.map(Status::as_str), self.census.statuses),
            guarded: self.left_out(),
        })
    }

    /// Scored documents that are not ranked, by the guard that keeps them out or for lack of a value.
    fn left_out(&self) -> BTreeMap<String, u64> {
        let valueless = self.census.domains.iter().map(|domain| domain.valueless).sum();
        let mut left_out = counted(guards::NAMES, self.census.guarded);
        left_out.insert(NO_VALUE.to_owned(), valueless);
        left_out.retain(|_, count| *count > 0);
        left_out
    }

    /// Reads the ids of the documents that are named.
    fn named(&self) -> Result<Named> {
        let mut named: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
        let cuts = self.outcomes.iter().flatten().map(|outcome| outcome.cut);
        let ends = self.census.domains.iter().flat_map(|domain| [domain.highest, domain.lowest]);
        for document in cuts.chain(ends).flatten() {
            named.entry(document.unit).or_default().insert(document.offset);
        }
        let wanted: Vec<usize> = named.keys().copied().collect();
        let digest = |rows: &UnitRows<'_>| {
            let offsets: Vec<u64> = named.get(&rows.index).into_iter().flatten().copied().collect();
            let ids = rows.ids(&offsets)?;
            Ok(offsets.into_iter().zip(ids).collect::<BTreeMap<_, _>>())
        };
        let mut ids = Named::new();
        self.ranking.scores.scan(&wanted, [column::ID], digest, |at, read| {
            ids.insert(at, read);
            Ok(())
        })?;
        Ok(ids)
    }

    fn document(&self, ranked: Option<Ranked>, named: &Named) -> Option<RankedDocument> {
        ranked.map(|ranked| RankedDocument {
            value: self.ranking.rank.value(ranked.key),
            address: self.ranking.scores.sidecars.units()[ranked.unit].address(ranked.offset),
            id: named.get(&ranked.unit).and_then(|rows| rows.get(&ranked.offset).cloned().flatten()),
        })
    }

    fn domain(&self, at: usize, config: &SelectConfig, certainties: &[Certainty], named: &Named) -> DomainSelection {
        let (domain, ranked) = (&self.census.domains[at], self.census.ranked(at));
        let groups = &self.outcomes[self.census.groups_of(at)];
        let last = |group: &[Outcome]| group.last().copied().unwrap_or_default();
        let mut kept = Tally::default();
        groups.iter().for_each(|group| kept.add(last(group).kept));
        let single = (groups.len() == 1).then(|| last(&groups[0]));
        let cut = single.and_then(|outcome| outcome.cut);
        DomainSelection {
            domain: domain.name.to_string(),
            documents: domain.all.documents,
            tokens: TokenCount(domain.all.tokens),
            ranked_documents: ranked.documents,
            ranked_tokens: TokenCount(ranked.tokens),
            fraction: self.goals[at].fraction,
            kept_documents: kept.documents,
            kept_tokens: TokenCount(kept.tokens),
            cut: self.document(cut, named),
            highest: self.document(domain.highest, named),
            lowest: self.document(domain.lowest, named),
            certainty: (kept.documents > 0).then(|| certainties[at]),
            buckets: if config.by == By::Upsample { self.domain_buckets(&groups[0], named) } else { Vec::new() },
            strata: if single.is_some() { Vec::new() } else { self.domain_strata(at, named) },
            correction: self.ranking.rank.correction(&domain.name).cloned(),
        }
    }

    fn domain_buckets(&self, nested: &[Outcome], named: &Named) -> Vec<DomainBucket> {
        let mut before = Tally::default();
        let bucket = |outcome: &Outcome| {
            let documents = outcome.kept.documents - before.documents;
            let tokens = TokenCount(outcome.kept.tokens - before.tokens);
            before = outcome.kept;
            let cut = outcome.cut.filter(|_| documents > 0);
            DomainBucket { documents, tokens, cut: self.document(cut, named) }
        };
        nested.iter().map(bucket).collect()
    }

    fn domain_strata(&self, at: usize, named: &Named) -> Vec<Stratum> {
        let bounds = self.ranking.strata.bounds(&self.census.domains[at].name);
        let stratum = |(index, group): (usize, usize)| {
            let (ranked, outcome) =
                (self.census.groups[group].ranked, self.outcomes[group].last().copied().unwrap_or_default());
            Stratum {
                from_tokens: index.checked_sub(1).map_or(0, |before| bounds[before] + 1),
                to_tokens: bounds.get(index).copied(),
                ranked_documents: ranked.documents,
                ranked_tokens: TokenCount(ranked.tokens),
                kept_documents: outcome.kept.documents,
                kept_tokens: TokenCount(outcome.kept.tokens),
                cut: self.document(outcome.cut, named),
            }
        };
        self.census.groups_of(at).enumerate().take(bounds.len() + 1).map(stratum).collect()
    }

    /// What every group keeps, as [`Membership`] asks it.
    fn cuts(&self) -> Vec<Vec<Option<Cut>>> {
        let units = self.ranking.scores.sidecars.units();
        self.outcomes.iter().map(|group| group.iter().map(|outcome| Cut::of(outcome, units)).collect()).collect()
    }
}

/// The buckets over all domains, each with how often it is read; none unless documents are repeated.
fn buckets(config: &SelectConfig, domains: &[DomainSelection]) -> Result<Vec<Bucket>> {
    if config.by != By::Upsample {
        return Ok(Vec::new());
    }
    let upsample = config.upsample.clone().unwrap_or_default();
    let mut tallies = vec![Tally::default(); upsample.ends().len()];
    for (tally, bucket) in domains.iter().flat_map(|domain| (0..).zip(&domain.buckets)) {
        let at: &mut Tally = &mut tallies[tally];
        at.add(Tally { documents: bucket.documents, tokens: bucket.tokens.0 });
    }
    let tokens: Vec<u64> = tallies.iter().map(|tally| tally.tokens).collect();
    let repeats = upsample.repeats(&tokens, config.token_target()?)?;
    let mut from = 0.0;
    let bucket = |((to, tally), repeat): ((f64, Tally), f64)| {
        let bucket = Bucket { from, to, repeat, documents: tally.documents, tokens: TokenCount(tally.tokens) };
        from = to;
        bucket
    };
    Ok(upsample.ends().into_iter().zip(tallies).zip(repeats).map(bucket).collect())
}

/// The documents that are named for a domain.
fn documents(domain: &mut DomainSelection) -> impl Iterator<Item = &mut RankedDocument> {
    let DomainSelection { cut, highest, lowest, buckets, strata, .. } = domain;
    let parts =
        buckets.iter_mut().map(|bucket| &mut bucket.cut).chain(strata.iter_mut().map(|stratum| &mut stratum.cut));
    [cut, highest, lowest].into_iter().chain(parts).flatten()
}

fn counted<const N: usize>(names: [&str; N], counts: [u64; N]) -> BTreeMap<String, u64> {
    names.into_iter().map(str::to_owned).zip(counts).collect()
}

fn selection_hash(
    units: &[Unit],
    config: &SelectConfig,
    seed: u64,
    domains: &[DomainSelection],
) -> Result<ContentHash> {
    let units: Vec<_> = units.iter().map(|unit| (&unit.source, &unit.path, &unit.key, &unit.fingerprint)).collect();
    let cuts: Vec<_> =
        domains.iter().map(|domain| (&domain.domain, &domain.cut, &domain.buckets, &domain.strata)).collect();
    let seed = config.draws().then_some(seed);
    let json = serde_json::to_vec(&(SEMANTICS, config, seed, cuts, units)).map_err(|source| Error::Hash { source })?;
    Ok(ContentHash::of(&json))
}
