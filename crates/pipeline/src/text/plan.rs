//! What there is to score.

use headwater_record::TokenCount;

use super::format::{counted, duration, printable};
use super::table::{Column, drawn};
use crate::{Extent, PlanSummary, SourceSummary};

/// A plan as a table of at most `width` characters and what its estimates rest on; `command_line` names the pipeline in a hint.
#[must_use]
pub fn plan(summary: &PlanSummary, command_line: &str, width: usize) -> String {
    let mut text = drawn(columns(summary), width);
    text.push('\n');
    text.push_str(&basis(summary, command_line));
    for source in &summary.sources {
        for shard in &source.unreadable {
            text.push_str(&printable(&format!("skipped {}/{}: {}\n", source.name, shard.path, shard.reason)));
        }
    }
    text
}

fn columns(summary: &PlanSummary) -> Vec<Column> {
    let total = (summary.sources.len() > 1).then_some(&summary.total);
    let extents = || summary.sources.iter().map(|source| &source.extent).chain(total);
    let numbers =
        |header: &str, number: fn(&Extent) -> String| Column::numbers(header, extents().map(number).collect());
    let names = summary.sources.iter().map(|source| source.name.clone()).chain(total.map(|_| "total".to_owned()));
    let mut columns = vec![
        Column::names("source", names.collect()),
        Column::extra("text / id / domain", summary.sources.iter().map(labels).collect()),
        numbers("shards", |extent| TokenCount(extent.shards).to_string()),
        numbers("bytes", |extent| extent.bytes.to_string()),
        numbers("to read", |extent| extent.bytes_to_read.to_string()),
        numbers("units", |extent| TokenCount(extent.units).to_string()),
        numbers("documents", |extent| TokenCount(extent.documents).to_string()),
        numbers("≈ text", |extent| extent.text_bytes.to_string()),
        numbers("≈ tokens", |extent| extent.tokens.to_string()),
    ];
    if summary.total.skipped > 0 {
        columns.insert(3, numbers("skipped", |extent| TokenCount(extent.skipped).to_string()));
    }
    if summary.total.hours.is_some() {
        columns.push(numbers("≈ time", |extent| extent.hours.map_or_else(String::new, duration)));
    }
    columns
}

fn labels(source: &SourceSummary) -> String {
    let domain = match (&source.domain, &source.domain_value) {
        (Some(column), _) => column.clone(),
        (None, value) => format!("all `{}`", value.as_deref().unwrap_or_default()),
    };
    format!("{} / {} / {domain}", source.text, source.id.as_deref().unwrap_or("none"))
}

/// What the estimates rest on.
fn basis(summary: &PlanSummary, command_line: &str) -> String {
    let basis = &summary.basis;
    let tokens = if basis.is_assumed {
        format!("≈ tokens: {} bytes of text each (≈ assumed)", basis.bytes_per_token)
    } else {
        format!("≈ tokens: {:.2} bytes of text each, as `headwater bench` measured", basis.bytes_per_token)
    };
    let time = match (basis.tokens_per_second, &basis.measured) {
        (Some(speed), Some(measured)) => format!(
            "≈ time: of scoring on this machine, at {} tokens/s as `headwater bench` measured on {measured}; n such machines need an n-th",
            counted(speed)
        ),
        _ => format!("run `headwater bench {}` (30 s) to learn how long scoring takes here", printable(command_line)),
    };
    format!("{tokens}\n{time}\n")
}
