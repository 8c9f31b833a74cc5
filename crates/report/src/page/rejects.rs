//! Rows without a score, by reason, and documents that guards keep out of the ranking.

use std::collections::BTreeMap;

use headwater_record::Status;
use headwater_record::profile::{Axis, Scale};
use maud::{Markup, html};

use super::PageInputs;
use super::table::{number, scrolled};
use crate::escape::named;
use crate::figure::{Bar, bars};
use crate::numbers::{grouped, share};

/// Rows of a table.
const MOST_ROWS: usize = 40;

/// What became of all rows; `None` before any is scored.
pub(super) fn by_reason(inputs: &PageInputs<'_>) -> Option<Markup> {
    let statuses = inputs.statuses()?;
    let nothing = BTreeMap::new();
    let guarded = inputs.selection.map_or(&nothing, |selection| &selection.guarded);
    let all: u64 = statuses.values().sum();
    let without_score = statuses.iter().filter(|(status, _)| *status != Status::Scored.as_str());
    let marks: Vec<Bar> = without_score
        .map(|(status, rows)| (status.clone(), *rows))
        .chain(guarded.iter().map(|(guard, rows)| (format!("guard: {guard}"), *rows)))
        .map(|(name, rows)| Bar {
            name,
            value: rows as f64,
            shown: format!("{} ({})", grouped(rows), share(rows, all)),
            class: "all",
        })
        .collect();
    let axis = Axis { title: "documents".to_owned(), unit: "rows".to_owned(), scale: Scale::Linear };
    let rows = |rows: &BTreeMap<String, u64>, what: fn(&str) -> &'static str| {
        html! {
            @for (name, count) in rows.iter().take(MOST_ROWS) {
                tr { th scope="row" { (named(name)) } (number(*count as f64, grouped(*count))) (number(*count as f64, share(*count, all))) td { (what(name)) } }
            }
        }
    };
    let table = html! {
        table.sortable {
            thead { tr { th scope="col" { "status or guard" } th.num scope="col" { "rows" } th.num scope="col" { "of all" } th scope="col" { "what it means" } } }
            tbody { (rows(statuses, meaning)) (rows(guarded, |_| "scored, but a guard keeps it out of the ranking")) }
            tfoot { tr { th scope="row" { "all rows" } td.num { (grouped(all)) } td {} td {} } }
        }
    };
    Some(html! {
        div.figures {
            @if !marks.is_empty() { (bars("Rows that are not ranked, by reason", &axis, &marks).markup()) }
            div.wide { (scrolled("Rows by status", &table)) }
        }
    })
}

fn meaning(status: &str) -> &'static str {
    match status.parse() {
        Ok(Status::Scored) => "has losses and can be ranked",
        Ok(Status::Short) => "fewer tokens than [score] min_tokens; healthy, not ranked",
        Ok(Status::NullText) => "unusable: the text is null",
        Ok(Status::NotUtf8) => "unusable: the text is not UTF-8",
        Ok(Status::NonFinite) => "unusable: a loss was infinite or not a number",
        Err(_) => "",
    }
}
