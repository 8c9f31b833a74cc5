//! What the usual ranks keep of the same documents, and how much of it they share.

use headwater_record::comparison::{Arm, Comparison, DomainComparison, Example, Kept};
use maud::{Markup, html};

use super::PageInputs;
use super::table::{number, scrolled};
use crate::escape::{Lines, excerpt, name, named};
use crate::numbers::{UNKNOWN, grouped, measured, percent, short, value};

/// Documents that only one rank keeps, of each rank and domain.
const MOST_EXAMPLES: usize = 5;

/// Characters and bytes of a first line.
const LINE: (usize, usize) = (160, 640);

/// Overlap over all domains and per domain; `None` without scores.
pub(super) fn overlap(inputs: &PageInputs<'_>) -> Option<Markup> {
    let comparison =
        inputs.profile.map(|profile| &profile.comparison).filter(|comparison| comparison.arms.len() > 1)?;
    let count = |tables: fn(&DomainComparison) -> &Vec<Vec<u64>>| summed(comparison, tables);
    let (documents, tokens) = (count(|domain| &domain.shared_documents), count(|domain| &domain.shared_tokens));
    let all = &comparison.arms;
    Some(html! {
        p.about {
            "Each rank keeps the same fraction of each domain. A cell says how much of what the row's rank keeps the column's rank keeps as well; "
            "two ranks that have nothing to do with each other would share about the fraction itself."
        }
        div.pair {
            (matrix(all, "Documents shared, all domains shown", &documents))
            (matrix(all, "Tokens shared, all domains shown", &tokens))
        }
        @for domain in &comparison.domains {
            details {
                summary { h3 { (named(&domain.domain)) } span.under { (grouped(domain.documents)) " documents, " (short(domain.tokens.0 as f64)) " tokens" } }
                div.pair {
                    (matrix(all, "Documents shared", &domain.shared_documents))
                    (matrix(all, "Tokens shared", &domain.shared_tokens))
                }
                (means(all, domain))
                (alone(all, domain))
            }
        }
    })
}

/// The sum of one table over all domains.
fn summed(comparison: &Comparison, table: fn(&DomainComparison) -> &Vec<Vec<u64>>) -> Vec<Vec<u64>> {
    let arms = comparison.arms.len();
    let cell = |row: usize, column: usize| {
        comparison.domains.iter().filter_map(|domain| table(domain).get(row)?.get(column)).sum::<u64>()
    };
    (0..arms).map(|row| (0..arms).map(|column| cell(row, column)).collect()).collect()
}

fn matrix(arms: &[Arm], title: &str, shared: &[Vec<u64>]) -> Markup {
    let of_row = |row: usize, count: u64| {
        let kept = shared.get(row).and_then(|cells| cells.get(row)).copied().unwrap_or(0);
        count as f64 / kept as f64
    };
    let table = html! {
        table.matrix {
            caption { (title) }
            thead { tr { th scope="col" { "kept by" } @for arm in arms { th scope="col" { "also by " (named(&arm.name)) } } th.num scope="col" { "kept" } } }
            tbody {
                @for (row, (arm, cells)) in arms.iter().zip(shared).enumerate() {
                    tr {
                        th scope="row" { (named(&arm.name)) }
                        @for (column, count) in cells.iter().enumerate() {
                            @if row == column { td.num.self { "–" } }
                            @else { td class={ "num " (shade(of_row(row, *count))) } { (percent(of_row(row, *count))) } }
                        }
                        td.num { (short(cells.get(row).copied().unwrap_or(0) as f64)) }
                    }
                }
            }
        }
    };
    scrolled(title, &table)
}

/// The class of a share's background, in fifths.
fn shade(share: f64) -> &'static str {
    ["o1", "o2", "o3", "o4", "o5"]
        .into_iter()
        .zip([0.2, 0.4, 0.6, 0.8, f64::INFINITY])
        .find(|(_, end)| share < *end)
        .map_or("o1", |(class, _)| class)
}

fn means(arms: &[Arm], domain: &DomainComparison) -> Markup {
    let mean = |mean: Option<f64>| number(mean.unwrap_or(f64::MIN), mean.map_or_else(|| UNKNOWN.to_owned(), value));
    let count = |count: u64| number(count as f64, grouped(count));
    let row = |arm: &Arm, kept: &Kept| {
        html! {
            tr {
                th scope="row" { (named(&arm.name)) }
                (count(kept.documents)) (count(kept.tokens.0))
                (mean(kept.mean_tokens)) (mean(kept.mean_loss)) (mean(kept.mean_compression)) (mean(kept.mean_influence))
                (count(kept.alone))
            }
        }
    };
    let head = [
        "documents",
        "tokens",
        "mean tokens",
        "mean base loss (nats per target)",
        "mean compression",
        "mean influence",
        "kept by it alone",
    ];
    let table = html! {
        table.sortable {
            caption { "What each rank keeps" }
            thead { tr { th scope="col" { "rank" } @for name in head { th.num scope="col" { (name) } } } }
            tbody { @for (arm, kept) in arms.iter().zip(&domain.kept) { (row(arm, kept)) } }
        }
    };
    scrolled("What each rank keeps", &table)
}

/// The first documents that one rank alone keeps.
fn alone(arms: &[Arm], domain: &DomainComparison) -> Markup {
    let line = |example: &Example| {
        let first = example.first_line.as_deref().map(|line| excerpt(line, Lines::Shown, LINE));
        let id = example.id.clone().unwrap_or_else(|| example.address.to_string());
        html! {
            li { code { (named(&id)) } " " b { (measured(example.value, None)) } " " @if let Some(first) = first { bdi.line { (first.text) } @if first.is_cut_off { "…" } } }
        }
    };
    html! {
        div.alone {
            @for (arm, examples) in arms.iter().zip(&domain.alone).filter(|(_, examples)| !examples.is_empty()) {
                div {
                    h4 { "Only " (name(&arm.name)) " keeps" }
                    ul { @for example in examples.iter().take(MOST_EXAMPLES) { (line(example)) } }
                }
            }
        }
    }
}
