//! A student of the scores: labels by the teacher, features, the fit, and what is refused.

use std::collections::BTreeMap;

use headwater_corpus::{Document, DocumentText, Plan, read_unit};
use headwater_distill::features::DocumentTokens;
use headwater_distill::{FitOptions, Label, fit};
use headwater_model::Model;
use headwater_record::student::{DomainFidelity, StudentFile};
use headwater_record::{HeadsFile, RunFile, Status, TokenCount};
use headwater_run::sidecar::{SidecarReader, SidecarRow, rows};
use headwater_run::{RunFolder, Unit};
use headwater_score::{PlannedUnit, ScoredBy, Scorer};
use headwater_store::Entry;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use serde::Serialize;

use crate::stages::heads::HeadsRequest;
use crate::stages::score::ScoreRequest;
use crate::{Error, OnChange, Part, Pipeline, Result, Total};

/// Bytes of text of a token, about, by which labels are drawn before any text is read.
const TOKEN_BYTES: f64 = 4.0;

/// What to do about what an earlier student left, and about one that is too weak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DistillRequest {
    /// Goes on with heads whose masking barely hurts retrieval.
    pub allow_weak_heads: bool,
    /// Keeps a student that reaches too little.
    pub allow_weak_student: bool,
}

/// What a student came to.
#[derive(Clone, Debug, Serialize)]
pub struct DistillSummary {
    /// The student.
    pub student: StudentFile,
    /// Where it lies.
    pub path: String,
}

impl Pipeline {
    /// Scores a sample of the corpus with the teacher unless that was done, fits a student to the scores, tests it on sources or files that it
    /// was not fitted to, and writes it.
    ///
    /// # Errors
    /// [`Error::WeakStudent`] if it reaches less than `[distill] min_fidelity`; [`Error::Distill`] if there are too few labels; those of
    /// [`Pipeline::heads`] and [`Pipeline::score`].
    pub fn distill(&self, request: DistillRequest) -> Result<DistillSummary> {
        self.place().ensure_writable()?;
        let plan = self.plan_for(OnChange::Refuse)?;
        let model = self.load_model()?;
        let of_heads = HeadsRequest { allow_weak: request.allow_weak_heads, find_again: false };
        let heads = self.heads_of(&model, &plan, of_heads)?;
        self.distil(&plan, &model, &heads, request)
    }

    /// As [`Pipeline::distill`], of a plan, a model and a head set that are at hand.
    pub(crate) fn distil(
        &self,
        plan: &Plan,
        model: &Model,
        heads: &HeadsFile,
        request: DistillRequest,
    ) -> Result<DistillSummary> {
        let labels = self.labels_pipeline(plan)?;
        // labels are found by what they depend on, so other settings, sources or numbers of tokens just score others
        let of_score = ScoreRequest { part: Part::WHOLE, on_change: OnChange::Rescore };
        let label_plan = labels.plan_for(of_score.on_change)?;
        let run = labels.score_units(&label_plan, model, heads, &of_score)?.run;
        let (scorer, inputs) = (self.scorer(model, &heads.heads), run.scoring.clone());
        let timer = self.meters.stage("distill");
        let documents = labels.read_labels(&label_plan, &run, &scorer)?;
        let options = FitOptions {
            teacher: inputs,
            window_tokens: self.config.score.window_tokens,
            fraction: &|domain| self.config.select.fraction_of(domain),
            seed: self.config.run.seed,
        };
        let student = fit(&documents, &options)?;
        drop(timer);
        let weak = weak_domains(&student, self.config.distill.min_fidelity);
        if !weak.is_empty() && !request.allow_weak_student {
            self.folder.write_weak_student(&student)?;
            let path = self.place().describe(RunFolder::WEAK_STUDENT);
            return Err(Error::WeakStudent {
                path,
                least: self.config.distill.min_fidelity,
                domains: weak,
                advice: advice(&student),
            });
        }
        self.folder.write_student(&student)?;
        Ok(DistillSummary { student, path: self.place().describe(RunFolder::STUDENT) })
    }

    /// The pipeline that scores the labels: a run of its own, of a sample of every source.
    fn labels_pipeline(&self, plan: &Plan) -> Result<Self> {
        let mut config = self.config.clone();
        let wanted = &self.config.distill.sources;
        if let Some(unknown) = wanted.iter().find(|name| plan.sources.iter().all(|source| source.name != **name)) {
            let known = plan.sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::UnknownSource { name: unknown.clone(), known });
        }
        config.corpus.retain(|source| wanted.is_empty() || wanted.contains(&source.name));
        let sizes: BTreeMap<&str, f64> =
            plan.sources.iter().map(|source| (source.name.as_str(), source.text_bytes().0 as f64)).collect();
        let sizes: Vec<f64> =
            config.corpus.iter().map(|source| sizes.get(&*source.name).copied().unwrap_or(0.0)).collect();
        let shares = shares(&sizes, self.config.distill.tokens * TOKEN_BYTES);
        for (source, share) in config.corpus.iter_mut().zip(shares) {
            source.sample *= share;
        }
        config.run.output = self.place().describe(RunFolder::LABELS);
        config.score.by = ScoredBy::Teacher;
        config.score.teacher_tokens = None;
        let name = self.name.clone();
        Ok(Self { command_line: name.clone(), name, ..Self::new(config, self.environment.clone())? })
    }

    /// Reads the teacher's scores and the texts again, and describes each document.
    fn read_labels(&self, plan: &Plan, run: &RunFile, scorer: &Scorer<'_>) -> Result<Vec<Label>> {
        let mut work = Vec::new();
        for source in &run.sources {
            let Some(of_plan) = plan.sources.iter().find(|of_plan| of_plan.name == source.name) else { continue };
            let mut sidecars = self.folder.done_units(source)?;
            for (shard, key) in of_plan.units() {
                let planned = PlannedUnit { source: of_plan, run_source: source, shard, key };
                work.extend(sidecars.remove(key).map(|entry| (planned, entry)));
            }
        }
        let reader = SidecarReader::new(self.place().clone());
        let step =
            self.step("features", "documents", Total::Exactly(work.iter().map(|(planned, _)| planned.key.rows).sum()));
        let labels = work.into_par_iter().map(|(planned, entry)| {
            self.heed_cancel()?;
            let scores = scores_of(&reader, &planned.unit(), &entry)?;
            let labels = labels_of(&planned, &scores, scorer)?;
            step.advance(planned.key.rows);
            Ok(labels)
        });
        let labels: Vec<Vec<Label>> = labels.collect::<Result<_>>()?;
        step.finish();
        Ok(labels.into_iter().flatten().collect())
    }
}

/// The scored rows of a unit, by their numbers.
fn scores_of(reader: &SidecarReader, unit: &Unit, entry: &Entry) -> Result<BTreeMap<u64, SidecarRow>> {
    let scored = rows(reader, unit, entry)?.into_iter().filter(|row| row.status == Status::Scored);
    Ok(scored.map(|row| (row.row, row)).collect())
}

/// The labels of a unit: its documents that have a score.
fn labels_of(planned: &PlannedUnit<'_>, scores: &BTreeMap<u64, SidecarRow>, scorer: &Scorer<'_>) -> Result<Vec<Label>> {
    let failed = |row: u64, source: headwater_model::Error| {
        Error::Score(headwater_score::Error::Document {
            shard: planned.shard.path.clone(),
            row,
            source: Box::new(source),
        })
    };
    let mut labels = Vec::new();
    for document in read_unit(planned.shard, &planned.source.columns, planned.key)? {
        let Document { row, text, .. } = document?;
        let (DocumentText::Text(text), Some(score)) = (text, scores.get(&row)) else { continue };
        let (Some(loss_base), Some(influence)) = (score.loss_base, score.influence) else { continue };
        let (tokens, read) = scorer.encode(&text).map_err(|source| failed(row, source))?;
        let document = DocumentTokens { text: &text[..read], tokens: &tokens, compression: score.compression };
        labels.push(Label {
            domain: score.domain.clone(),
            source: planned.source.name.clone(),
            file: planned.shard.path.clone(),
            features: scorer.extractors.features(document),
            tokens: score.tokens,
            scored_tokens: score.scored_tokens,
            loss_base: loss_base.into(),
            influence: influence.into(),
            influence_stderr: score.influence_stderr.map(Into::into),
            windows: score.windows.clone(),
        });
    }
    Ok(labels)
}

/// The share of each source that is drawn, so that they have like parts of `budget` and a source that is smaller is taken whole.
fn shares(sizes: &[f64], budget: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|a, b| sizes[*a].total_cmp(&sizes[*b]));
    let mut shares = vec![0.0; sizes.len()];
    let (mut left, mut sources) = (budget, sizes.len());
    for at in order {
        let part = left / sources as f64;
        shares[at] = if sizes[at] > part { part / sizes[at] } else { 1.0 };
        left -= sizes[at].min(part);
        sources -= 1;
    }
    shares
}

/// The domains in which the student reaches less than `least` of what the teacher reaches against itself, with both.
fn weak_domains(student: &StudentFile, least: f64) -> Vec<String> {
    // two standard errors of the correlation of nothing: where the teacher itself is noise, so is the student
    let by_chance = |domain: &DomainFidelity| 2.0 / (domain.documents as f64).sqrt();
    let is_weak = |domain: &&DomainFidelity| {
        least > 0.0 && domain.correlation < (least * domain.teacher_correlation).max(by_chance(domain))
    };
    let described = |domain: &DomainFidelity| {
        let DomainFidelity { domain, correlation, teacher_correlation, .. } = domain;
        format!("{domain} {correlation:.2} of {teacher_correlation:.2}")
    };
    student.fidelity.domains.iter().filter(is_weak).map(described).collect()
}

/// Correlation that the last doubling of the labels must have added for more labels to be worth their time.
const WORTHWHILE: f64 = 0.01;

/// Correlation below which a learning curve is noise.
const SOME: f64 = 0.2;

/// Correlation inside sources below which, beside one as high by sources alone, a student tells sources apart and not documents.
const SOURCES_ONLY: f64 = 0.3;

/// What would help a student that is too weak.
fn advice(student: &StudentFile) -> String {
    let fidelity = &student.fidelity;
    let by_source = |domain: &&DomainFidelity| {
        domain.within_correlation < SOURCES_ONLY && domain.source_correlation > domain.correlation.max(SOURCES_ONLY)
    };
    if let Some(domain) = fidelity.domains.iter().find(by_source) {
        return format!(
            "in {} the scores differ by source rather than by document: a constant for each source reaches {:.2}, and inside sources the student \
             reaches {:.2}; a student can only learn that from more sources",
            domain.domain, domain.source_correlation, domain.within_correlation
        );
    }
    let points: Vec<String> = fidelity
        .curve
        .iter()
        .map(|point| format!("{:.2} with {}", point.correlation, TokenCount(point.documents)))
        .collect();
    let curve = points.join(", ");
    match fidelity.curve.as_slice() {
        [.., before, last] if last.correlation > SOME && last.correlation - before.correlation > WORTHWHILE => {
            format!(
                "more labels help ({curve}): raise `[distill] tokens`, now {} tokens",
                TokenCount(student.labels.tokens)
            )
        }
        _ => format!("more labels hardly help ({curve}): score with the teacher, or lower `[distill] min_fidelity`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_get_like_parts_and_small_ones_are_taken_whole() {
        assert_eq!(shares(&[100.0, 10.0, 1000.0], 110.0), [0.5, 1.0, 0.05]);
        assert_eq!(shares(&[5.0, 5.0], 100.0), [1.0, 1.0]);
        assert!(shares(&[], 1.0).is_empty());
    }
}
