//! The time that the last process spent in each stage.

use std::collections::BTreeMap;

use headwater_record::profile::{Axis, Scale};
use headwater_record::{ByteCount, Metrics};
use maud::{Markup, html};

use super::PageInputs;
use super::table::facts;
use crate::figure::{Bar, Figure, bars};
use crate::numbers::{grouped, seconds, short};

/// Stages by clock, phases of scoring by thread time, and the wire; `None` without `metrics.json`.
pub(super) fn times(inputs: &PageInputs<'_>) -> Option<Markup> {
    let metrics = inputs.metrics?;
    Some(html! {
        p.about { "Of the process that wrote metrics.json last; other workers of the run keep their own." }
        div.figures {
            @if !metrics.seconds.is_empty() { (drawn("Stages, by the clock", "time", &metrics.seconds).markup()) }
            @if metrics.phase_seconds.values().any(|secs| *secs > 0.0) {
                (drawn("Phases of scoring, summed over threads", "thread time", &metrics.phase_seconds).markup())
            }
            div.beside { (numbers(metrics)) }
        }
    })
}

/// Bars of times, longest first.
fn drawn(title: &str, what: &str, times: &BTreeMap<String, f64>) -> Figure {
    let highest = times.values().copied().filter(|secs| secs.is_finite()).fold(0.0, f64::max);
    let (unit, secs_of_unit) = match highest {
        _ if highest >= 7200.0 => ("hours", 3600.0),
        _ if highest >= 120.0 => ("minutes", 60.0),
        _ => ("seconds", 1.0),
    };
    let bar = |(name, secs): (&String, &f64)| Bar {
        name: name.clone(),
        value: secs / secs_of_unit,
        shown: seconds(*secs),
        class: "all",
    };
    let mut marks: Vec<Bar> = times.iter().map(bar).collect();
    marks.sort_by(|one, other| other.value.total_cmp(&one.value));
    let axis = Axis { title: what.to_owned(), unit: unit.to_owned(), scale: Scale::Linear };
    bars(title, &axis, &marks)
}

fn numbers(metrics: &Metrics) -> Markup {
    let bytes = |bytes: u64| html! { (ByteCount(bytes)) };
    let mut rows = Vec::new();
    if let Some(secs) = metrics.seconds.get("score").filter(|secs| **secs > 0.0 && metrics.tokens > 0) {
        rows.push((
            "scored",
            html! { (grouped(metrics.documents)) " documents, " (grouped(metrics.tokens)) " tokens" },
        ));
        rows.push(("rate", html! { (short(metrics.tokens as f64 / secs)) " tokens per second" }));
    }
    rows.push(("waited for bytes", html! { (seconds(metrics.fetch_wait_seconds)) ", summed over threads" }));
    rows.push(("read of shards", bytes(metrics.traffic.read_bytes)));
    if metrics.traffic.requests > 0 {
        let (requests, retries) = (grouped(metrics.traffic.requests), grouped(metrics.traffic.retries));
        rows.push(("requests to stores", html! { (requests) ", " (retries) " repeated" }));
        rows.push(("received", bytes(metrics.traffic.received_bytes)));
        rows.push(("sent", bytes(metrics.traffic.sent_bytes)));
    }
    if let Some(peak) = metrics.peak_memory_bytes {
        rows.push(("greatest memory", bytes(peak)));
    }
    html! { h4 { "In numbers" } (facts(&rows)) }
}
