//! Mixing documents rather than tokens: what trainers need that draw texts from Parquet files.

use headwater_record::tokens::TextPart;
use serde::Serialize;

use crate::plan::{Part, Stage, TrainingPlan};

/// Documents that are shuffled together while they stream.
pub(crate) const SHUFFLE_DOCUMENTS: u64 = 10_000;

/// Texts to stream.
#[derive(Serialize)]
pub(crate) struct MixtureSource {
    data_files: Vec<String>,
    text: String,
}

/// A part of a stage, by tokens and by documents.
#[derive(Serialize)]
pub(crate) struct StagePart {
    name: String,
    /// Share of the tokens.
    token_weight: f64,
    /// Share of the documents, for `interleave_datasets`.
    probability: f64,
}

/// The texts of a part.
pub(crate) fn sources(plan: &TrainingPlan<'_>, part: TextPart) -> Vec<MixtureSource> {
    let sources = plan.inputs.corpus.iter();
    sources.map(|source| MixtureSource { data_files: plan.texts(part, source), text: source.text.clone() }).collect()
}

/// The parts of a stage with their chances.
pub(crate) fn stage_parts(stage: &Stage) -> Vec<StagePart> {
    let parts = stage.parts.iter().zip(probabilities(&stage.parts)).map(|(part, probability)| StagePart {
        name: part.name.name(),
        token_weight: part.token_weight,
        probability,
    });
    parts.collect()
}

/// The chance that the next document comes from each part, such that the tokens drawn have the parts' weights:
/// weight · documents / tokens, made to sum to 1.
fn probabilities(parts: &[Part]) -> Vec<f64> {
    let rate = |part: &Part| part.token_weight * (part.documents as f64 / part.tokens.0.max(1) as f64);
    let sum: f64 = parts.iter().map(rate).sum();
    parts.iter().map(|part| rate(part) / sum).collect()
}

/// How shares of tokens become shares of documents, a line for each part of each stage.
pub(crate) fn draws(plan: &TrainingPlan<'_>) -> Vec<String> {
    let draws = plan.stages.iter().flat_map(|stage| {
        stage.parts.iter().zip(probabilities(&stage.parts)).map(|(part, probability)| {
            format!(
                "Documents, {}: {} {:.6} of the tokens at {:.1} tokens a document is {probability:.6} of the documents.",
                stage.name,
                part.name.name(),
                part.token_weight,
                part.tokens.0 as f64 / part.documents.max(1) as f64,
            )
        })
    });
    draws.collect()
}
