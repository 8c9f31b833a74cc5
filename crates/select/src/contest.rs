//! Which documents the noise of their values leaves on either side of the cut: those that a cascade asks the teacher about.

use headwater_record::ContentHash;
use headwater_record::student::urgency;
use headwater_run::{Contested, Unit};
use serde::Serialize;

use crate::boundaries::boundaries;
use crate::census::{Census, Ranking};
use crate::config::SelectConfig;
use crate::cut::{Prepared, Rule};
use crate::goals::goals;
use crate::influence_column::InfluenceColumn;
use crate::rank::ordered_bits;
use crate::rows::UnitRows;
use crate::scan::Scores;
use crate::search::Outcome;
use crate::sidecars::Sidecars;
use crate::{Error, Result};

/// Enters the hash of a choice; raised when the same scores and rule would choose others.
const SEMANTICS: u32 = 1;

/// Bits of the urgency that documents are counted by: those of one bucket differ by less than a hundredth.
const BUCKET_BITS: u32 = 16;

/// A choice of contested documents, the most urgent ones first, up to a number of tokens.
#[derive(Clone, Copy, Debug)]
pub struct Contest<'a> {
    /// What is cut.
    pub rule: Rule<'a>,
    /// Tokens of the documents that are chosen.
    pub most: MostTokens,
}

/// How many tokens there may be at most.
#[derive(Clone, Copy, Debug, Serialize)]
pub enum MostTokens {
    /// So many.
    Tokens(f64),
    /// This share of those of all documents.
    Share(f64),
}

impl MostTokens {
    fn of(self, all: u64) -> f64 {
        match self {
            Self::Tokens(tokens) => tokens,
            Self::Share(share) => share * all as f64,
        }
    }
}

/// A document that is contested.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    offset: u64,
    tokens: u32,
    bucket: usize,
}

impl Contest<'_> {
    /// What the choice among the documents of `units` depends on.
    ///
    /// # Errors
    /// [`Error::Hash`] if it cannot be written as JSON, which is what is hashed.
    pub fn choice<'u>(&self, units: &'u [Unit]) -> Result<ContentHash> {
        let named = |unit: &'u Unit| (&unit.source, &unit.path, &unit.key, &unit.fingerprint, &*unit.labels);
        let units: Vec<_> = units.iter().map(named).collect();
        // what is written beside the kept rows chooses nothing
        let (seed, influence_column) = (self.rule.seed, InfluenceColumn::No);
        let config = SelectConfig { influence_column, ..self.rule.config.clone() };
        let json = serde_json::to_vec(&(SEMANTICS, config, seed, self.most, units));
        Ok(ContentHash::of(&json.map_err(|source| Error::Hash { source })?))
    }

    /// Chooses among the documents of `sidecars`, by the [`urgency`] of the distance from the cut of their domain or stratum.
    ///
    /// Every sidecar is read three times at least, mostly from memory; `on_progress` gets the number of them newly read.
    ///
    /// # Errors
    /// [`Error::NoNoise`] if the errors of the rank's values are not known; those of [`cut()`](crate::cut()).
    ///
    /// # Determinism
    /// The same rows under the same units give the same documents.
    pub fn contested(&self, sidecars: &dyn Sidecars, on_progress: &(dyn Fn(u64) + Sync)) -> Result<Contested> {
        let scores = Scores { sidecars, on_progress };
        let prepared = Prepared::new(scores, self.rule)?;
        let ranking = prepared.ranking(scores);
        if ranking.rank.stderr_columns().is_empty() {
            return Err(Error::NoNoise { rank: self.rule.config.rank.to_string() });
        }
        let mut census = ranking.census(None)?;
        let goals = goals(&census, self.rule.config)?;
        let outcomes = boundaries(&ranking, &mut census, &goals)?;
        let cuts = cuts(&ranking, &census, &outcomes);
        let mut tokens = vec![0_u64; 1 << BUCKET_BITS];
        visit(&ranking, &census, &cuts, |_, candidate| tokens[candidate.bucket] += u64::from(candidate.tokens))?;
        let all = census.domains.iter().map(|domain| domain.all.tokens).sum();
        let first = first_bucket(&tokens, self.most.of(all));
        let (mut contested, units) = (Contested::default(), sidecars.units());
        visit(&ranking, &census, &cuts, |unit, candidate| {
            if candidate.bucket >= first {
                let unit = &units[unit];
                contested.add((&unit.source, &unit.path), unit.key.first_row + candidate.offset, candidate.tokens);
            }
        })?;
        Ok(contested)
    }
}

/// The value at which each group is cut; none of those that are kept or dropped whole.
fn cuts(ranking: &Ranking<'_>, census: &Census, outcomes: &[Vec<Outcome>]) -> Vec<Option<f64>> {
    let cut = |(outcomes, group): (&Vec<Outcome>, &crate::census::GroupCensus)| {
        let last = outcomes.last()?;
        let is_whole = last.kept.documents == group.ranked.documents;
        last.cut.filter(|_| !is_whole).map(|cut| ranking.rank.value(cut.key))
    };
    outcomes.iter().zip(&census.groups).map(cut).collect()
}

/// Visits the contested documents in order, with the index of their unit.
fn visit(
    ranking: &Ranking<'_>,
    census: &Census,
    cuts: &[Option<f64>],
    mut visit: impl FnMut(usize, Candidate),
) -> Result<()> {
    let columns = ranking.columns().chain(ranking.rank.stderr_columns());
    let digest = |rows: &UnitRows<'_>| {
        let stderrs = ranking.rank.stderrs(rows)?;
        let mut candidates = Vec::new();
        ranking.contenders(rows, census, |row, contender| {
            let (Some(cut), stderr) = (cuts[contender.group], f64::from(stderrs[row])) else { return };
            let distance = ranking.rank.value(contender.ranked.key) - cut;
            let candidate = urgency(distance, stderr, contender.tokens).map(|urgency| Candidate {
                offset: contender.ranked.offset,
                tokens: contender.tokens,
                bucket: bucket(urgency),
            });
            candidates.extend(candidate);
        })?;
        Ok(candidates)
    };
    ranking.scores.scan_all(columns, digest, |unit, candidates| {
        candidates.into_iter().for_each(|candidate| visit(unit, candidate));
        Ok(())
    })
}

/// The bucket of an urgency: greater of greater ones.
#[expect(clippy::cast_possible_truncation, reason = "documents are counted by 32-bit floats")]
fn bucket(urgency: f64) -> usize {
    let bits = ordered_bits(urgency as f32).unwrap_or(0);
    (bits >> (u32::BITS - BUCKET_BITS)) as usize
}

/// The first bucket so that it and all above have at most `most` tokens.
fn first_bucket(tokens: &[u64], most: f64) -> usize {
    let mut sum: u64 = 0;
    let over = tokens.iter().rposition(|tokens| {
        sum = sum.saturating_add(*tokens);
        sum as f64 > most
    });
    over.map_or(0, |bucket| bucket + 1)
}
