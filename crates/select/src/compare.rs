//! Selections of the same scores side by side.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_record::TokenCount;
use headwater_record::comparison::{Arm, Comparison, DomainComparison, Example, Kept};
use headwater_record::sidecar::column;

use crate::Result;
use crate::config::SelectConfig;
use crate::cut::{Rule, Selection, columns, cut};
use crate::membership::Member;
use crate::population::Population;
use crate::rows::{Domains, UnitRows};
use crate::scan::Scores;
use crate::search::{Ranked, Tally};
use crate::shown::{Leaders, Shown, read_shown};
use crate::sidecars::Sidecars;

/// Examples of what one selection keeps alone, by domain.
const EXAMPLES: usize = 5;

/// Characters of text that are read to find a first line.
const FIRST_LINE_CHARACTERS: usize = 400;

/// Characters of a first line.
const LINE_CHARACTERS: usize = 120;

/// What is summed over the documents that a selection keeps.
const CONTROLS: [&str; 5] = [column::DOMAIN, column::TOKENS, column::LOSS_BASE, column::COMPRESSION, column::INFLUENCE];

/// A selection with its name.
pub(crate) struct NamedSelection {
    pub(crate) name: String,
    pub(crate) selection: Selection,
}

/// A rule with its name.
#[derive(Clone, Debug)]
pub struct NamedRule {
    /// What it is called: its pipeline, or its rank.
    pub name: String,
    /// The `[select]` table.
    pub config: SelectConfig,
}

/// Cuts the same scores by several rules and compares what they keep. Writes nothing.
///
/// `seed` is the run's, and `on_progress` as for [`cut()`].
///
/// # Errors
/// As [`cut()`].
pub fn compare(
    sidecars: &dyn Sidecars,
    rules: &[NamedRule],
    seed: u64,
    on_progress: &(dyn Fn(u64) + Sync),
) -> Result<Comparison> {
    rules.iter().try_for_each(|rule| will_read(sidecars, Rule { config: &rule.config, seed }))?;
    let cut = |NamedRule { name, config }: &NamedRule| {
        Ok(NamedSelection { name: name.clone(), selection: cut(sidecars, Rule { config, seed }, on_progress)? })
    };
    let arms: Vec<NamedSelection> = rules.iter().map(cut).collect::<Result<_>>()?;
    compare_cut(&Scores { sidecars, on_progress }, &arms, |_| true)
}

/// Tells which columns cutting by a rule and comparing what it keeps will read.
pub(crate) fn will_read(sidecars: &dyn Sidecars, Rule { config, seed }: Rule<'_>) -> Result<()> {
    sidecars.will_read(&columns(config, &Population::new(config, seed)?));
    sidecars.will_read(&CONTROLS);
    Ok(())
}

/// Compares selections that are made, in the domains that `is_wanted` names.
pub(crate) fn compare_cut(
    scores: &Scores<'_>,
    arms: &[NamedSelection],
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Comparison> {
    let mut tallies = tally(scores, arms)?;
    tallies.retain(|domain, _| is_wanted(domain));
    let mut documents = Vec::new();
    for domain in tallies.values() {
        documents.extend(domain.alone.iter().flat_map(Leaders::iter).map(|ranked| (ranked.unit, ranked.offset)));
    }
    let shown = read_shown(scores, documents, FIRST_LINE_CHARACTERS)?;
    let arm = |arm: &NamedSelection| Arm {
        name: arm.name.clone(),
        rank: arm.selection.file.rank.clone(),
        by: arm.selection.file.by.clone(),
    };
    let domain = |(name, tally): (Arc<str>, DomainTally)| {
        let alone = tally.alone.iter().zip(arms).map(|(leaders, arm)| {
            let example = |ranked: &Ranked| {
                let Shown { address, id, text, .. } = shown[&(ranked.unit, ranked.offset)].clone();
                let value = arm.selection.membership.rank.shown_value(ranked.key);
                Example { address, id, value, first_line: text.as_ref().map(|text| first_line(&text.text)) }
            };
            leaders.iter().map(example).collect()
        });
        DomainComparison {
            domain: name.to_string(),
            documents: tally.all.documents,
            tokens: TokenCount(tally.all.tokens),
            alone: alone.collect(),
            kept: tally.kept.iter().map(Sums::kept).collect(),
            shared_documents: tally
                .shared
                .iter()
                .map(|row| row.iter().map(|tally| tally.documents).collect())
                .collect(),
            shared_tokens: tally.shared.iter().map(|row| row.iter().map(|tally| tally.tokens).collect()).collect(),
        }
    };
    Ok(Comparison { arms: arms.iter().map(arm).collect(), domains: tallies.into_iter().map(domain).collect() })
}

/// What is counted of one domain.
struct DomainTally {
    all: Tally,
    kept: Vec<Sums>,
    shared: Vec<Vec<Tally>>,
    alone: Vec<Leaders>,
}

impl DomainTally {
    fn new(arms: usize) -> Self {
        Self {
            all: Tally::default(),
            kept: vec![Sums::default(); arms],
            shared: vec![vec![Tally::default(); arms]; arms],
            alone: (0..arms).map(|_| Leaders::first(EXAMPLES)).collect(),
        }
    }
}

/// Sums over the documents that one selection keeps.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    tally: Tally,
    loss: f64,
    compression: f64,
    influence: f64,
    alone: u64,
}

impl Sums {
    fn kept(&self) -> Kept {
        let documents = self.tally.documents;
        let mean = |sum: f64| (documents > 0).then(|| sum / documents as f64);
        Kept {
            documents,
            tokens: TokenCount(self.tally.tokens),
            mean_tokens: mean(self.tally.tokens as f64),
            mean_loss: mean(self.loss),
            mean_compression: mean(self.compression),
            mean_influence: mean(self.influence),
            alone: self.alone,
        }
    }
}

/// A unit as all selections see it.
struct Seen {
    domains: Domains,
    tokens: Vec<u32>,
    loss: Vec<f32>,
    compression: Vec<f32>,
    influence: Vec<f32>,
    /// By selection.
    members: Vec<Vec<Member>>,
}

fn tally(scores: &Scores<'_>, arms: &[NamedSelection]) -> Result<BTreeMap<Arc<str>, DomainTally>> {
    let mut tallies: BTreeMap<Arc<str>, DomainTally> = BTreeMap::new();
    let columns = arms.iter().flat_map(|arm| arm.selection.membership.columns()).chain(CONTROLS);
    let digest = |rows: &UnitRows<'_>| {
        Ok(Seen {
            domains: rows.domains()?,
            tokens: rows.counts(column::TOKENS)?,
            loss: rows.floats(column::LOSS_BASE)?,
            compression: rows.floats(column::COMPRESSION)?,
            influence: rows.floats(column::INFLUENCE)?,
            members: arms.iter().map(|arm| arm.selection.membership.members(rows)).collect::<Result<_>>()?,
        })
    };
    scores.scan_all(columns, digest, |unit, seen| {
        for name in &seen.domains.names {
            tallies.entry(name.clone()).or_insert_with(|| DomainTally::new(arms.len()));
        }
        let mut keys: Vec<Option<u32>> = vec![None; arms.len()];
        let mut members: Vec<_> = seen.members.iter().map(|members| members.iter().peekable()).collect();
        for row in 0..seen.tokens.len() {
            for (key, members) in keys.iter_mut().zip(&mut members) {
                let member = members.next_if(|member| member.row == row);
                *key = member.filter(|member| member.bucket.is_some()).map(|member| member.key);
            }
            let Some(tally) = tallies.get_mut(seen.domains.name(row)) else { continue };
            if seen.influence[row].is_finite() {
                tally.all.count(seen.tokens[row]);
            }
            count(tally, &keys, &seen, (unit, row));
        }
        Ok(())
    })?;
    Ok(tallies)
}

/// Counts a document that the selections with a key keep.
fn count(tally: &mut DomainTally, keys: &[Option<u32>], seen: &Seen, (unit, row): (usize, usize)) {
    let keepers = keys.iter().flatten().count();
    for (arm, key) in keys.iter().enumerate() {
        let Some(key) = *key else { continue };
        let sums = &mut tally.kept[arm];
        sums.tally.count(seen.tokens[row]);
        sums.loss += f64::from(seen.loss[row]);
        sums.compression += f64::from(seen.compression[row]);
        sums.influence += f64::from(seen.influence[row]);
        for (other, shared) in tally.shared[arm].iter_mut().enumerate() {
            if keys[other].is_some() {
                shared.count(seen.tokens[row]);
            }
        }
        if keepers == 1 {
            tally.kept[arm].alone += 1;
            tally.alone[arm].offer(Ranked { key, unit, offset: row as u64 });
        }
    }
}

/// The first line that is not blank, shortened.
fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    if line.chars().count() <= LINE_CHARACTERS {
        return line.to_owned();
    }
    line.chars().take(LINE_CHARACTERS - 1).chain(['…']).collect()
}
