//! Whether the cut cares about changes of a text that keep its meaning.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use headwater_corpus::{Columns, Document, DocumentText, Domain};
use headwater_distill::audit::Perturbation;
use headwater_model::Concurrency;
use headwater_record::audit::{AuditFile, Crossings};
use headwater_record::run::ScoringInputs;
use headwater_record::{RunFile, ScoreOf};
use headwater_run::RunFolder;
use headwater_score::{By, Scorer, score_document};
use headwater_select::{Audit, AuditedDocument, NamedRule, RankBy, SelectConfig, StoredSidecars};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde::Serialize;

use crate::{Error, Pipeline, Result, Total};

/// Ranks that are audited beside the pipeline's own.
const RANKS: [RankBy; 3] = [RankBy::Influence, RankBy::Corrected, RankBy::Loss];

/// What an audit came to.
#[derive(Clone, Debug, Serialize)]
pub struct AuditSummary {
    /// `audit.json`.
    #[serde(flatten)]
    pub audit: AuditFile,
    /// The pipeline's own rank.
    pub rank: String,
    /// Where `audit.json` lies.
    pub path: String,
}

/// What one change of one document came to: on which side each rank has it, and by how much influence changed.
struct Outcome {
    keeps: Vec<bool>,
    /// Change of log(1 + influence); none if the changed text has no score.
    shift: Option<f64>,
}

impl Pipeline {
    /// Changes the texts of `each` documents above and `each` below the cut of every domain in ways that keep their meaning, scores them again
    /// with whoever scored the run, and tells how many cross the cut.
    ///
    /// # Errors
    /// [`Error::NotBegun`]; [`Error::OtherTexts`] if the pipeline would score otherwise than the run was; those of
    /// [`Pipeline::select`] and [`Pipeline::score`].
    pub fn audit(&self, each: usize) -> Result<AuditSummary> {
        self.place().ensure_writable()?;
        let run = self.begun_run()?;
        if run.scoring.cascade.is_some() {
            return Err(Error::AuditOfCascade { output: self.place().to_string() });
        }
        let plan = self.plan()?;
        let sidecars = StoredSidecars::open(&self.folder, &run)?.with_shards(&plan);
        let rules = self.audited_rules();
        let step = self.step("cut", "sidecars read", Total::Unknown);
        let audit = Audit::draw(&sidecars, &rules, (self.config.run.seed, each), &|read| step.advance(read))?;
        drop(step);
        let (by, crossings) = if run.scoring.student.is_some() {
            let student = self.ready_student()?;
            let scorer = Scorer::of_student(&student, &student.tokenizer, &self.config.score);
            (ScoreOf::Student, self.crossings(&audit, &run, (&scorer, scorer.inputs(student.model_hashes())))?)
        } else {
            let model = self.load_model()?;
            let scorer = self.scorer(&model, &run.scoring.heads);
            (ScoreOf::Teacher, self.crossings(&audit, &run, (&scorer, scorer.inputs((&model).into())))?)
        };
        let file = AuditFile {
            selection: audit.selection(),
            by,
            seed: self.config.run.seed,
            documents: audit.documents.len() as u64,
            crossings,
        };
        self.folder.write_json(RunFolder::AUDIT, &file)?;
        let path = self.place().describe(RunFolder::AUDIT);
        Ok(AuditSummary { audit: file, rank: rules[0].name.clone(), path })
    }

    /// The pipeline's own rule, and the same by other ranks.
    fn audited_rules(&self) -> Vec<NamedRule> {
        let own = &self.config.select;
        let others = RANKS.into_iter().filter(|rank| *rank != own.rank);
        let others = others.map(|rank| SelectConfig { rank, rank_sum: BTreeMap::new(), ..own.clone() });
        let rules = std::iter::once(own.clone()).chain(others);
        rules.map(|config| NamedRule { name: config.rank.to_string(), config }).collect()
    }

    /// Scores every change of every document.
    fn crossings(
        &self,
        audit: &Audit<'_>,
        run: &RunFile,
        (scorer, inputs): (&Scorer<'_>, ScoringInputs),
    ) -> Result<Vec<Crossings>> {
        let differences = run.scoring.differences(&inputs);
        if !differences.is_empty() {
            return Err(Error::OtherTexts { output: self.place().to_string(), differences });
        }
        let work: Vec<(usize, Perturbation)> = (0..audit.documents.len())
            .flat_map(|at| Perturbation::ALL.map(|perturbation| (at, perturbation)))
            .collect();
        let step = self.step("audit", "texts", Total::Exactly(work.len() as u64));
        // an engine that takes batches is given one at a time
        let turn = Mutex::new(());
        let takes_turns =
            matches!(&scorer.by, By::Teacher(teacher) if teacher.engine.concurrency() != Concurrency::WindowPerThread);
        let outcomes = work.par_iter().map(|(at, perturbation)| {
            self.heed_cancel()?;
            let document = &audit.documents[*at];
            let changed = perturbation.apply(&document.text, self.config.run.seed.wrapping_add(*at as u64));
            let outcome = changed.map(|text| {
                let _turn = takes_turns.then(|| turn.lock().unwrap_or_else(PoisonError::into_inner));
                let outcome = self.outcome(audit, scorer, (document, text));
                outcome.map(|outcome| (*at, *perturbation, outcome))
            });
            step.advance(1);
            outcome.transpose()
        });
        let outcomes: Vec<Option<(usize, Perturbation, Outcome)>> = outcomes.collect::<Result<_>>()?;
        step.finish();
        Ok(counted(audit, &outcomes.into_iter().flatten().collect::<Vec<_>>()))
    }

    /// What a changed text of a document comes to.
    fn outcome(
        &self,
        audit: &Audit<'_>,
        scorer: &Scorer<'_>,
        (document, text): (&AuditedDocument, String),
    ) -> Result<Outcome> {
        let columns = Columns { text: String::new(), id: None, domain: Domain::Constant(document.domain.clone()) };
        let (row, id) = (document.address().row, document.id.clone());
        let changed = Document { row, id, domain: None, text: DocumentText::Text(text.into()) };
        let row = score_document(scorer, (&document.address().path, &columns), changed, &|_| {}).map_err(|source| {
            let address = document.address();
            let (shard, source) = (address.path.to_string(), Box::new(source));
            Error::Score(headwater_score::Error::Document { shard, row: address.row, source })
        })?;
        let log = |influence: f32| (1.0 + f64::from(influence)).max(f64::MIN_POSITIVE).ln();
        let shift = row.influence.map(|influence| log(influence) - log(document.influence));
        Ok(Outcome { keeps: audit.keeps(document, &row)?, shift })
    }
}

/// Counts outcomes by perturbation, rank and domain, against where the stored scores have each document.
fn counted(audit: &Audit<'_>, outcomes: &[(usize, Perturbation, Outcome)]) -> Vec<Crossings> {
    let ranks: Vec<&str> = audit.rules().collect();
    let mut crossings: BTreeMap<(Perturbation, usize, &str), (Crossings, Vec<f64>)> = BTreeMap::new();
    for (at, perturbation, outcome) in outcomes {
        let document = &audit.documents[*at];
        for (rank, (now, before)) in outcome.keeps.iter().zip(&document.kept).enumerate() {
            let empty = || {
                let crossings = Crossings {
                    perturbation: perturbation.as_str().to_owned(),
                    rank: ranks[rank].to_owned(),
                    domain: document.domain.clone(),
                    kept: 0,
                    fell: 0,
                    dropped: 0,
                    rose: 0,
                    shift: 0.0,
                    spread: 0.0,
                };
                (crossings, Vec::new())
            };
            let (counts, shifts) = crossings.entry((*perturbation, rank, &document.domain)).or_insert_with(empty);
            let (all, crossed) = match before {
                true => (&mut counts.kept, &mut counts.fell),
                false => (&mut counts.dropped, &mut counts.rose),
            };
            *all += 1;
            *crossed += u64::from(now != before);
            shifts.extend(outcome.shift);
        }
    }
    let finished = crossings.into_values().map(|(crossings, shifts)| {
        let count = shifts.len().max(1) as f64;
        let shift = shifts.iter().sum::<f64>() / count;
        let variance = shifts.iter().map(|value| (value - shift) * (value - shift)).sum::<f64>() / count;
        Crossings { shift, spread: variance.sqrt(), ..crossings }
    });
    finished.collect()
}
