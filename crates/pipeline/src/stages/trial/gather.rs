//! The texts of a trial: what is held out, the tokenizer made from the rest, and what each arm trains on.

use std::collections::{BTreeMap, BTreeSet};

use headwater_corpus::{Document, DocumentText, Plan, Text, read_unit, text_hash};
use headwater_model::Tokenizer;
use headwater_run::Unit;
use headwater_select::{ArmDocument, Arms};
use headwater_trial::{
    ArmText, DomainText, HeldOutDocument, NearDuplicates, TOKEN_BYTES, TrialConfig, equalise, is_held_out,
};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::{Error, Pipeline, Result, Total};

/// Text that the tokenizer is made from, in bytes: more changes few of its entries.
const TOKENIZER_BYTES: usize = 8 << 20;

/// Units that are read at the same time.
const TOGETHER: usize = 16;

/// The texts of a trial.
pub(super) struct Gathered {
    pub(super) held_out: Vec<HeldOutDocument>,
    pub(super) tokenizer: Tokenizer,
    /// What every rule keeps, each domain as long in every one.
    pub(super) arms: Vec<RuleText>,
}

/// The text of the documents that a rule keeps.
#[derive(Clone)]
pub(super) struct RuleText {
    pub(super) name: String,
    pub(super) text: ArmText,
    /// Share of the held-out stretches of words that it has.
    pub(super) held_out_seen: f64,
}

/// What the texts are gathered by.
pub(super) struct Gathering<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) plan: &'a Plan,
    pub(super) arms: &'a Arms<'a>,
    /// The domains and their shares of the tokens.
    pub(super) domains: &'a [(String, f64)],
}

/// A document with its text.
struct Read {
    document: ArmDocument,
    text: Text,
}

impl Gathering<'_> {
    /// Reads units in an order of the seed's until there is enough.
    pub(super) fn gather(&self) -> Result<Gathered> {
        let mut order: Vec<usize> = (0..self.arms.units().len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(self.seed()));
        let (held_out, texts) = self.hold_out(&order)?;
        let near = NearDuplicates::of(held_out.iter().map(|document| document.text.as_str()));
        let step = self.pipeline.step("tokenizer", "texts", Total::Exactly(texts.len() as u64));
        let tokenizer = Tokenizer::train(texts.iter().map(|text| &**text), self.config().vocabulary)?;
        step.advance(texts.len() as u64);
        step.finish();
        drop(texts);
        let mut arms = self.arm_texts(&order, &tokenizer, &near)?;
        let names: Vec<&str> = self.domains.iter().map(|(domain, _)| domain.as_str()).collect();
        equalise(arms.iter_mut().map(|arm| (arm.name.as_str(), &mut arm.text)).collect(), &names)?;
        Ok(Gathered { held_out, tokenizer, arms })
    }

    const fn config(&self) -> &TrialConfig {
        &self.pipeline.config.trial
    }

    const fn seed(&self) -> u64 {
        self.pipeline.config.run.seed
    }

    fn is_held_out(&self, document: &ArmDocument, text: &str) -> bool {
        let hash = document.text_hash.unwrap_or_else(|| text_hash(text.as_bytes()));
        is_held_out(hash, self.config().held_out, self.seed())
    }

    /// The held-out documents, and texts for the tokenizer.
    fn hold_out(&self, order: &[usize]) -> Result<(Vec<HeldOutDocument>, Vec<Text>)> {
        let most = |share: f64| self.config().held_out_tokens * TOKEN_BYTES * share;
        let mut wanted: BTreeMap<&str, f64> =
            self.domains.iter().map(|(domain, share)| (domain.as_str(), most(*share))).collect();
        let (mut held_out, mut texts, mut bytes) = (Vec::new(), Vec::new(), 0);
        let step = self.pipeline.step("held out", "units", Total::AtMost(order.len() as u64));
        let mut read = 0;
        for units in order.chunks(TOGETHER) {
            for (unit, documents) in self.read(units, &|_| true)? {
                for Read { document, text } in documents {
                    let missing = wanted.get_mut(&*document.domain);
                    if self.is_held_out(&document, &text) {
                        if let Some(missing) = missing.filter(|missing| **missing > 0.0) {
                            *missing -= text.len() as f64;
                            let (domain, source) = (document.domain.to_string(), unit.source.to_string());
                            held_out.push(HeldOutDocument { domain, source, text: text.to_string() });
                        }
                    } else if bytes < TOKENIZER_BYTES {
                        bytes += text.len();
                        texts.push(text);
                    }
                }
            }
            step.advance(units.len() as u64);
            read += units.len();
            if bytes >= TOKENIZER_BYTES && wanted.values().all(|missing| *missing <= 0.0) {
                break;
            }
        }
        step.spare((order.len() - read) as u64);
        step.finish();
        let held: BTreeSet<&str> = held_out.iter().map(|document| document.domain.as_str()).collect();
        if let Some((domain, _)) = self.domains.iter().find(|(domain, _)| !held.contains(domain.as_str())) {
            return Err(Error::NothingHeldOut { domain: domain.clone(), share: self.config().held_out });
        }
        held_out.sort_by(|one, other| (&one.domain, &one.source).cmp(&(&other.domain, &other.source)));
        Ok((held_out, texts))
    }

    /// The texts of every rule, as many tokens as a run reads or as there are.
    fn arm_texts(&self, order: &[usize], tokenizer: &Tokenizer, near: &NearDuplicates) -> Result<Vec<RuleText>> {
        let end = tokenizer.eos()?.unwrap_or_default();
        let place: BTreeMap<&str, usize> =
            self.domains.iter().enumerate().map(|(at, (domain, _))| (domain.as_str(), at)).collect();
        let most: Vec<f64> = self.domains.iter().map(|(_, share)| self.config().tokens * share).collect();
        let empty = ArmText { domains: vec![DomainText::default(); self.domains.len()] };
        let named = |(name, _): (&str, _)| RuleText { name: name.to_owned(), text: empty.clone(), held_out_seen: 0.0 };
        let mut arms: Vec<RuleText> = self.arms.selections().map(named).collect();
        let mut seen = vec![BTreeSet::new(); arms.len()];
        let lacks = |arm: &RuleText, domain: usize| (arm.text.domains[domain].tokens() as f64) < most[domain];
        let step = self.pipeline.step("texts", "units", Total::AtMost(order.len() as u64));
        let mut read = 0;
        for units in order.chunks(TOGETHER) {
            let is_wanted = |document: &ArmDocument| {
                let Some(domain) = place.get(&*document.domain) else { return false };
                document.kept.iter().zip(&arms).any(|(is_kept, arm)| *is_kept && lacks(arm, *domain))
            };
            let documents: Vec<Read> = self.read(units, &is_wanted)?.into_iter().flat_map(|(_, of)| of).collect();
            let encoded = documents.par_iter().map(|Read { document, text }| {
                if self.is_held_out(document, text) || near.is_near(text) {
                    return Ok(None);
                }
                let ids = tokenizer.encode(text)?;
                let narrow = |id: u32| u16::try_from(id).unwrap_or(u16::MAX);
                Ok(Some(ids.into_iter().chain([end]).map(narrow).collect::<Vec<u16>>()))
            });
            let encoded = encoded.collect::<Result<Vec<_>, headwater_model::Error>>()?;
            for (Read { document, text }, tokens) in documents.iter().zip(encoded) {
                let (Some(tokens), Some(domain)) = (tokens, place.get(&*document.domain)) else { continue };
                for (at, _) in document.kept.iter().enumerate().filter(|(_, is_kept)| **is_kept) {
                    if lacks(&arms[at], *domain) {
                        arms[at].text.domains[*domain].push(&tokens);
                        near.note(text, &mut seen[at]);
                    }
                }
            }
            step.advance(units.len() as u64);
            read += units.len();
            if arms.iter().all(|arm| (0..most.len()).all(|domain| !lacks(arm, domain))) {
                break;
            }
        }
        step.spare((order.len() - read) as u64);
        step.finish();
        arms.iter_mut().zip(&seen).for_each(|(arm, seen)| arm.held_out_seen = near.share_of(seen));
        Ok(arms)
    }

    /// The documents of units that are wanted, with their texts, unit by unit.
    fn read(
        &self,
        units: &[usize],
        is_wanted: &(dyn Fn(&ArmDocument) -> bool + Sync),
    ) -> Result<Vec<(&Unit, Vec<Read>)>> {
        let read = |at: &usize| {
            self.pipeline.heed_cancel()?;
            let unit = &self.arms.units()[*at];
            let wanted: BTreeMap<u64, ArmDocument> = self
                .arms
                .documents(*at)?
                .into_iter()
                .filter(|document| is_wanted(document))
                .map(|document| (document.row, document))
                .collect();
            let texts = if wanted.is_empty() { Vec::new() } else { self.texts(unit, wanted)? };
            Ok((unit, texts))
        };
        units.par_iter().map(read).collect()
    }

    /// The texts of some rows of a unit.
    fn texts(&self, unit: &Unit, mut wanted: BTreeMap<u64, ArmDocument>) -> Result<Vec<Read>> {
        let source = self.plan.sources.iter().find(|source| *source.name == *unit.source);
        let shard = source.and_then(|source| {
            Some((
                source,
                source.shards.iter().find(|shard| shard.path == *unit.path && shard.units.contains(&unit.key))?,
            ))
        });
        let Some((source, shard)) = shard else { return Ok(Vec::new()) };
        let mut read = Vec::with_capacity(wanted.len());
        for document in read_unit(shard, &source.columns, &unit.key)? {
            let Document { row, text, .. } = document?;
            let (DocumentText::Text(text), Some(document)) = (text, wanted.remove(&row)) else { continue };
            if document.text_hash.is_some_and(|hash| hash != text_hash(text.as_bytes())) {
                return Err(Error::Corpus(headwater_corpus::Error::OtherText { shard: shard.location(), row }));
            }
            read.push(Read { document, text });
        }
        Ok(read)
    }
}
