//! The provenance of the run: all that decides its bytes, and every setting of its pipeline.

use headwater_record::ByteCount;
use headwater_record::run::{RunFile, RunSource};
use maud::{Markup, html};
use serde_json::Value;

use super::PageInputs;
use super::table::{facts, number, scrolled};
use crate::escape::{Lines, excerpt, named};
use crate::numbers::grouped;

/// Sources that the table lists.
const MOST_SOURCES: usize = 50;

/// Skipped shards that are listed.
const MOST_SKIPPED: usize = 20;

/// Settings that are listed.
const MOST_SETTINGS: usize = 300;

/// Characters and bytes of a setting.
const SETTING: (usize, usize) = (240, 960);

/// Hashes, versions, sources and settings; `None` before a run has begun.
pub(super) fn provenance(inputs: &PageInputs<'_>) -> Option<Markup> {
    let run = inputs.run?;
    let mut settings = Vec::new();
    flatten("", &run.config, &mut settings);
    Some(html! {
        (facts(&rows(inputs, run)))
        h3 { "Sources" }
        (scrolled("Sources", &sources(run)))
        (skipped(run))
        details {
            summary { h3 { "The resolved pipeline" } span.under { (settings.len()) " settings, as --set takes them" } }
            pre.settings tabindex="0" {
                @for (key, value) in settings.iter().take(MOST_SETTINGS) { bdi { (excerpt(key, Lines::Shown, SETTING).text) } " = " bdi { (excerpt(value, Lines::Shown, SETTING).text) } "\n" }
                @if settings.len() > MOST_SETTINGS { "and " (settings.len() - MOST_SETTINGS) " more, in run.json" }
            }
        }
    })
}

fn rows(inputs: &PageInputs<'_>, run: &RunFile) -> Vec<(&'static str, Markup)> {
    let (scoring, numerics) = (&run.scoring, &run.scoring.numerics);
    let mut rows = vec![
        ("begun", named(&run.began)),
        ("Headwater", html! { (named(&run.headwater)) ", scoring semantics " (scoring.semantics) }),
        ("output", named(&inputs.setting_text("/run/output"))),
        ("seed", named(&inputs.setting_text("/run/seed"))),
        ("model", named(&inputs.setting_text("/model/name"))),
        ("weights (SHA-256)", html! { code { (scoring.weights) } }),
    ];
    if let Some(config) = &scoring.model_config {
        rows.push(("model configuration (SHA-256)", html! { code { (config) } }));
    }
    rows.extend([
        ("tokenizer (SHA-256)", html! { code { (scoring.tokenizer) } }),
        ("numerics", html! { (named(&numerics.engine)) " on " (named(&numerics.device)) ", " (named(&numerics.precision)) " " (named(&numerics.instructions)) }),
        ("masked", html! { (scoring.heads.as_slice().len()) " heads, mask " (named(&scoring.mask)) }),
        ("windows", html! { (grouped(scoring.window_tokens as u64)) " tokens, long documents: " (named(&scoring.long_documents)) }),
        ("ranked from", html! { (grouped(scoring.min_tokens as u64)) " tokens" }),
    ]);
    if let Some(selection) = inputs.selection {
        rows.push(("selection (SHA-256)", html! { code { (selection.hash) } }));
        rows.push(("rank and policy", html! { (named(&selection.rank)) ", by " (named(&selection.by)) }));
    }
    rows
}

fn sources(run: &RunFile) -> Markup {
    let row = |source: &RunSource| {
        let units: usize = source.shards.iter().map(|shard| shard.units.len()).sum();
        let bytes = source.shards.iter().map(|shard| ByteCount(shard.bytes)).sum::<ByteCount>();
        html! {
            tr {
                th scope="row" { (named(&source.name)) }
                td { code { (source.fingerprint) } }
                td { (named(&source.text)) } td { (named(&source.labels.to_string())) }
                (number(source.shards.len() as f64, grouped(source.shards.len() as u64)))
                (number(units as f64, grouped(units as u64)))
                (number(bytes.0 as f64, bytes.to_string()))
                (number(source.skipped.len() as f64, grouped(source.skipped.len() as u64)))
            }
        }
    };
    html! {
        table.sortable {
            thead { tr {
                @for name in ["source", "fingerprint", "text column", "labels"] { th scope="col" { (name) } }
                @for name in ["shards", "units", "size", "skipped"] { th.num scope="col" { (name) } }
            } }
            tbody { @for source in run.sources.iter().take(MOST_SOURCES) { (row(source)) } }
            @if run.sources.len() > MOST_SOURCES { tfoot { tr { td colspan="8" { "and " (run.sources.len() - MOST_SOURCES) " more, in run.json" } } } }
        }
    }
}

fn skipped(run: &RunFile) -> Markup {
    let all = || run.sources.iter().flat_map(|source| source.skipped.iter().map(move |shard| (source, shard)));
    let more = all().count().saturating_sub(MOST_SKIPPED);
    html! {
        @if all().next().is_some() {
            h3 { "Skipped shards" }
            ul.listed {
                @for (source, shard) in all().take(MOST_SKIPPED) { li { code { (named(&source.name)) "/" (named(&shard.path)) } ": " (named(&shard.reason)) } }
                @if more > 0 { li { "and " (more) " more, in run.json" } }
            }
        }
    }
}

/// The leaves of the configuration as dotted keys with their values.
pub(super) fn flatten(prefix: &str, value: &Value, settings: &mut Vec<(String, String)>) {
    let below = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(key, value)| flatten(&below(key), value, settings));
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items.iter().enumerate().for_each(|(at, value)| flatten(&format!("{prefix}[{at}]"), value, settings));
        }
        leaf => settings.push((prefix.to_owned(), leaf.to_string())),
    }
}
