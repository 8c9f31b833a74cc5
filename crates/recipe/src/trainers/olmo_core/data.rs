//! What a run of OLMo-core reads: so many sequences of each part in each stage.

use headwater_record::tokens::{TextPart, TokenFormat};
use headwater_schedule::length::whole_number;

use crate::plan::{Stage, TrainingPlan};
use crate::trainers::olmo_core::config::{Source, Tokenizer};

/// The format of its token files.
pub(crate) const FORMAT: TokenFormat = TokenFormat::Olmo;

/// One source a stage, of the sequences of its parts.
pub(crate) fn dataset(plan: &TrainingPlan<'_>) -> Vec<Source> {
    let counts = sequences(plan);
    let stage = |index: usize| {
        let parts = plan.inputs.selection.parts().into_iter().enumerate();
        let parts = parts.filter(|(part, _)| counts[index][*part] > 0);
        let sources = parts.map(|(part, name)| {
            let of_stages: Vec<u64> = counts.iter().map(|counts| counts[part]).collect();
            // the corpus and what is drawn from it are shuffled differently
            let sampled = sampled(plan, name, (of_stages.iter().sum(), plan.seed() + part as u64));
            split(sampled, &of_stages, index)
        });
        Source::Concatenated { sources: sources.collect() }
    };
    (0..counts.len()).map(stage).collect()
}

/// The sequences of each part in each stage, whole batches a stage.
fn sequences(plan: &TrainingPlan<'_>) -> Vec<Vec<u64>> {
    let all = |stage: &Stage| stage.steps.saturating_mul(plan.batch.sequences);
    plan.stages.iter().map(|stage| shared(all(stage), stage, &plan.inputs.selection.parts())).collect()
}

/// Shares `all` sequences of a stage among parts: each ends where the sum of the weights up to it, rounded, says.
fn shared(all: u64, stage: &Stage, parts: &[TextPart]) -> Vec<u64> {
    let last = stage.parts.last().map(|part| part.name);
    let (mut weight, mut given) = (0.0, 0);
    let shares = parts.iter().map(|part| {
        weight += stage.weight(*part);
        // a whole number of at most 2^53, so that `whole` cannot fail
        let end = whole_number((all as f64 * weight).round(), "sequences").unwrap_or_default().clamp(given, all);
        let end = if Some(*part) == last { all } else { end };
        let share = end - given;
        given = end;
        share
    });
    shares.collect()
}

/// What a stage has of the sequences of all stages: the first so many, or the rest, so that none is in both.
fn split(all: Source, of_stages: &[u64], stage: usize) -> Source {
    match of_stages {
        [first, second] if *first > 0 && *second > 0 => {
            // OLMo-core rounds down
            let ratio = (*first as f64 + 0.5) / (*first + *second) as f64;
            Source::Split { ratio, idx: stage, source: Box::new(all) }
        }
        _ => all,
    }
}

fn sampled(plan: &TrainingPlan<'_>, part: TextPart, (max_instances, seed): (u64, u64)) -> Source {
    let documents = Source::NumpyDocuments {
        source_paths: vec![format!("{}/*.npy", plan.token_folder(part, FORMAT))],
        expand_glob: true,
        dtype: if plan.preset.model.token_bytes() == 2 { "uint16" } else { "uint32" },
        tokenizer: tokenizer(plan),
    };
    let sequences = Source::ConcatAndChunk {
        sequence_length: plan.batch.sequence_tokens,
        label: part.name(),
        sources: vec![documents],
    };
    Source::Sampling { max_instances, seed, sources: vec![sequences] }
}

/// The tokenizer, of which OLMo-core reads what ends a document.
pub(crate) fn tokenizer(plan: &TrainingPlan<'_>) -> Tokenizer {
    let model = &plan.preset.model;
    Tokenizer {
        vocab_size: model.vocab_size,
        eos_token_id: model.eos_token_id,
        // nothing is padded
        pad_token_id: model.eos_token_id,
        identifier: plan.preset.tokenizer.name.clone(),
    }
}

/// How many sequences each part gives, a line for each stage.
pub(crate) fn sequences_lines(plan: &TrainingPlan<'_>) -> Vec<String> {
    sequences(plan).iter().zip(&plan.stages).map(|(counts, stage)| sequences_line(plan, stage, counts)).collect()
}

fn sequences_line(plan: &TrainingPlan<'_>, stage: &Stage, counts: &[u64]) -> String {
    let shares = plan.inputs.selection.parts().into_iter().zip(counts).map(|(part, count)| match part {
        TextPart::Corpus => format!("{count} of the corpus"),
        TextPart::Selected => format!("{count} of the selected part"),
        TextPart::Bucket(_) => format!("{count} of {}", part.name()),
    });
    format!("Sequences, {}: {}.", stage.name, listed(&shares.collect::<Vec<_>>()))
}

/// Phrases as a list in a sentence.
fn listed(phrases: &[String]) -> String {
    match phrases {
        [before @ .., last] if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        phrases => phrases.concat(),
    }
}
