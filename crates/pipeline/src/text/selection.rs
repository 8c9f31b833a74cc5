//! What a selection keeps, and what a run ends with.

use headwater_record::selection::{Bucket, Certainty, DomainSelection, RankedDocument};
use headwater_record::{SelectionFile, TokenCount};

use super::table::{Column, drawn};
use crate::{Pipeline, RunSummary};

/// Domains that the table shows; `selection.json` has all.
const MOST_DOMAINS: usize = 50;

/// What a run kept, where everything lies, and what to do next with `program`.
#[must_use]
pub fn run(summary: &RunSummary, pipeline: &Pipeline, program: &str, width: usize) -> String {
    let mut text = selection(&summary.selection, width);
    let artefacts = summary.artefacts.iter().map(|(what, path)| format!("  {what:<10} {}\n", pipeline.describe(path)));
    text.push_str(&format!("\nEverything is in {}:\n", pipeline.describe("")));
    text.extend(artefacts);
    if pipeline.config().is_sampled() {
        text.push_str(
            "\nOnly a sample of the corpus was scored ([[corpus]] sample): cuts, mixture and recipes are those of the sample.\n",
        );
    }
    let by_share = ["documents", "tokens"].contains(&summary.selection.by.as_str());
    let other = if by_share { "select.fraction=0.1" } else { "select.rank=corrected" };
    let command_line = pipeline.command_line();
    text + "\nNext: another cut of the same scores, without the model, takes seconds:\n"
        + &format!("  {program} select {command_line} --set {other}\n  {program} recipe {command_line}\n")
}

/// What is kept of each domain, as a table of at most `width` characters.
#[must_use]
pub fn selection(selection: &SelectionFile, width: usize) -> String {
    let rank = selection.rank.as_str();
    let (first, last) = match rank {
        "influence" => ("most influential".to_owned(), "least influential".to_owned()),
        _ => (format!("first by {rank}"), format!("last by {rank}")),
    };
    let shown = || selection.domains.iter().take(MOST_DOMAINS);
    let numbers = |header: &str, number: &dyn Fn(&DomainSelection) -> String| {
        Column::numbers(header, shown().map(number).collect())
    };
    let columns = vec![
        Column::names("domain", shown().map(|domain| domain.domain.clone()).collect()),
        numbers("documents", &|domain| TokenCount(domain.documents).to_string()),
        numbers("kept", &|domain| TokenCount(domain.kept_documents).to_string()),
        numbers("tokens", &|domain| domain.tokens.to_string()),
        numbers("kept", &|domain| domain.kept_tokens.to_string()),
        numbers(&format!("cut ({rank})"), &|domain| cut(domain)),
        numbers("kept within\n1 · 2 errors", &|domain| domain.certainty.as_ref().map_or_else(none, near)),
        Column::extra(first, shown().map(|domain| name(domain.highest.as_ref())).collect()),
        Column::extra(last, shown().map(|domain| name(domain.lowest.as_ref())).collect()),
    ];
    let mut text = drawn(columns, width) + "\n";
    if selection.domains.len() > MOST_DOMAINS {
        text.push_str(&format!("and {} more domains, in selection.json\n", selection.domains.len() - MOST_DOMAINS));
    }
    if !selection.guarded.is_empty() {
        let each = selection.guarded.iter().map(|(guard, count)| format!("{guard} {}", TokenCount(*count)));
        text.push_str(&format!("guards kept out: {}\n", each.collect::<Vec<_>>().join(", ")));
    }
    text + &buckets(selection, width)
}

/// The value of a cut and its standard error.
fn cut(domain: &DomainSelection) -> String {
    if !domain.strata.is_empty() {
        return format!("{} by length", domain.strata.len());
    }
    let Some(cut) = &domain.cut else { return none() };
    let value = cut.value;
    match domain.certainty.as_ref().and_then(|certainty| certainty.cut_stderr) {
        Some(stderr) => format!("{value:.4} ± {stderr:.4}"),
        None => format!("{value:.4}"),
    }
}

/// How many kept documents lie within one and two standard errors of their score from the cut.
fn near(certainty: &Certainty) -> String {
    if certainty.judged == 0 {
        return none();
    }
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let share = |count: u64| 100.0 * count as f64 / certainty.judged as f64;
    format!("{:.0} · {:.0} %", share(certainty.within_one), share(certainty.within_two))
}

/// How often each bucket is read, if documents are repeated.
fn buckets(selection: &SelectionFile, width: usize) -> String {
    if selection.buckets.is_empty() {
        return String::new();
    }
    let numbers = |header: &str, number: fn(&Bucket) -> String| {
        Column::numbers(header, selection.buckets.iter().map(number).collect())
    };
    let columns = vec![
        Column::names("bucket", (0..selection.buckets.len()).map(Bucket::name).collect()),
        numbers("of each domain's tokens", |bucket| format!("{:.1} – {:.1} %", 100.0 * bucket.from, 100.0 * bucket.to)),
        numbers("documents", |bucket| TokenCount(bucket.documents).to_string()),
        numbers("tokens", |bucket| bucket.tokens.to_string()),
        numbers("read", |bucket| format!("{:.3} ×", bucket.repeat)),
        numbers("tokens read", |bucket| TokenCount::nearest(bucket.trained_tokens()).to_string()),
    ];
    drawn(columns, width) + "\n"
}

fn name(document: Option<&RankedDocument>) -> String {
    document.map_or_else(none, |document| document.id.clone().unwrap_or_else(|| document.address.to_string()))
}

fn none() -> String {
    "–".to_owned()
}
