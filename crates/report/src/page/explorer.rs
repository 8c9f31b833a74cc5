//! The explorer of cuts: a control for every domain that slides its cut, with what each whole per cent would keep.
//!
//! The page holds the exact counts of every cut as JSON, numbers alone; the script only looks them up. Without it, and on paper, a table
//! shows some of the cuts.

use headwater_record::profile::{CutPoint, DomainProfile, Profile};
use maud::{Markup, PreEscaped, html};
use serde::Serialize;

use super::table::scrolled;
use super::{MixtureStage, PageInputs};
use crate::figure::place;
use crate::numbers::{self, UNKNOWN, grouped, percent};

/// Per cents that the table shows.
const TABLED: [usize; 12] = [1, 2, 5, 10, 15, 20, 30, 40, 50, 60, 80, 100];

/// What the script knows.
#[derive(Debug, Serialize)]
struct Counts {
    /// Tokens of the corpus; `null` where the figures are of another selection than `selection.json`.
    corpus_tokens: Option<u64>,
    /// Documents and tokens that the selection keeps in domains that are not shown in full.
    elsewhere: [u64; 2],
    /// Stretches of the training run: tokens that it reads, and the selection's share of them; `null` where that follows its size.
    stages: Vec<(f64, Option<f64>)>,
    domains: Vec<DomainCounts>,
}

/// The cuts of one domain.
#[derive(Debug, Serialize)]
struct DomainCounts {
    /// What the selection asks for and keeps.
    present: Present,
    /// Whether there is one cut at a time, so that it is known which documents it keeps.
    single: bool,
    /// By whole per cents from 0, like the next two; empty where documents are repeated by quality.
    documents: Vec<u64>,
    tokens: Vec<u64>,
    /// The cut with its standard error, for people.
    cuts: Vec<String>,
    /// Where the cut is in the picture of the distribution, in pixels; `null` without one.
    places: Vec<Option<f64>>,
}

#[derive(Debug, Serialize)]
struct Present {
    fraction: f64,
    documents: u64,
    tokens: u64,
    cut: String,
}

/// Whether there is a cut to move.
pub(super) fn is_there(profile: &Profile) -> bool {
    profile.domains.iter().any(|domain| !domain.cuts.is_empty())
}

/// The counts, for the head of the page; nothing without a cut to move.
pub(super) fn counts(inputs: &PageInputs<'_>) -> Markup {
    let Some(profile) = inputs.profile.filter(|profile| is_there(profile)) else { return html! {} };
    let json = serde_json::to_string(&counted(inputs, profile)).unwrap_or_default();
    html! { script type="application/json" id="cuts" { (PreEscaped(json.replace('<', "\\u003c"))) } }
}

fn counted(inputs: &PageInputs<'_>, profile: &Profile) -> Counts {
    // a selection by another rule has other totals
    let selection = inputs.selection.filter(|selection| selection.hash == profile.selection);
    let shown = |of: fn(&DomainProfile) -> u64| profile.domains.iter().map(of).sum::<u64>();
    let elsewhere = |kept: u64, of| kept.saturating_sub(shown(of));
    let stages = inputs.mixture.map_or(&[][..], |mixture| mixture.stages.as_slice());
    let stage = |stage: &MixtureStage| Some((stage.tokens?, stage.selected_weight));
    Counts {
        corpus_tokens: selection.map(|selection| selection.tokens().0),
        elsewhere: selection.map_or([0, 0], |selection| {
            [
                elsewhere(selection.kept_documents(), |domain| domain.kept_documents),
                elsewhere(selection.kept_tokens().0, |domain| domain.kept_tokens.0),
            ]
        }),
        stages: stages.iter().map(stage).collect::<Option<_>>().unwrap_or_default(),
        domains: profile.domains.iter().map(of_domain).collect(),
    }
}

fn of_domain(domain: &DomainProfile) -> DomainCounts {
    let stderr = domain.certainty.and_then(|certainty| certainty.cut_stderr);
    DomainCounts {
        present: Present {
            fraction: domain.fraction,
            documents: domain.kept_documents,
            tokens: domain.kept_tokens.0,
            cut: cut(domain.cut, stderr),
        },
        single: domain.cuts.iter().any(|point| point.value.is_some()),
        documents: domain.cuts.iter().map(|point| point.documents).collect(),
        tokens: domain.cuts.iter().map(|point| point.tokens.0).collect(),
        cuts: domain.cuts.iter().map(|point| cut(point.value, point.stderr)).collect(),
        places: domain.cuts.iter().map(|point| point.value.map(|value| place(&domain.value, value))).collect(),
    }
}

/// A cut for people.
fn cut(value: Option<f64>, stderr: Option<f64>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |value| numbers::cut(value, stderr))
}

/// The control that moves all domains at once, with what they keep together.
pub(super) fn of_all(inputs: &PageInputs<'_>, profile: &Profile) -> Markup {
    if !is_there(profile) {
        let by_quality = "The selection repeats documents by quality, so there is no single fraction to try: Repetition has its stretches.";
        return html! { p.about { @if profile.by == "upsample" { (by_quality) } } };
    }
    let fractions: Vec<f64> = profile.domains.iter().map(|domain| domain.fraction).collect();
    let fraction = fractions.iter().sum::<f64>() / fractions.len().max(1) as f64;
    let is_one = fractions.windows(2).all(|pair| pair[0] == pair[1]) && profile.by != "token-budget";
    html! {
        div.explorer data-domain="all" role="group" aria-labelledby="explorer-all" hidden {
            h3 id="explorer-all" { "Try another cut" }
            p.about {
                "Slide the cut of all domains here, or of one domain below. Counts are exact: they are what " code { "headwater select" }
                " keeps at that fraction. Nothing is written until you select again. "
                b { "Passes" } " is how often the training run of the recipe would read what is kept: much above four, repeated tokens are worth "
                "little (arXiv 2305.16264)."
            }
            (dial(of_what(profile), fraction))
            (outcome(&["documents kept", "tokens kept", "passes over what is kept"]))
            @if is_one { p.about.apply { "To keep this: " code { (inputs.command("select")) " --set select.fraction=" span.fraction { (fraction) } } } }
        }
    }
}

/// The control of one domain, which is the `at`-th.
pub(super) fn of_one(inputs: &PageInputs<'_>, (at, domain): (usize, &DomainProfile), profile: &Profile) -> Markup {
    if domain.cuts.is_empty() {
        return html! {};
    }
    let is_plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    let is_key = !domain.domain.is_empty() && domain.domain.chars().all(is_plain);
    html! {
        div.explorer data-domain=(at) role="group" aria-labelledby={ "domain-" (at) } {
            h4 { "Try another cut" }
            div.live hidden {
                (dial(of_what(profile), domain.fraction))
                (outcome(&["documents kept", "tokens kept", "cut ± s.e.", "passes over what is kept"]))
                @if is_key {
                    p.about.apply {
                        "To keep this: " code { (inputs.command("select")) " --set select.domains." (domain.domain) ".fraction=" span.fraction { (domain.fraction) } }
                    }
                }
                p.moved role="status" aria-live="polite" {}
                div.moves {
                    div.enter { h5 { "Would enter" } ul {} }
                    div.leave { h5 { "Would leave" } ul {} }
                }
            }
            details { summary { "Some cuts as a table" } (tabled(domain, of_what(profile))) }
        }
    }
}

/// What a fraction is a fraction of.
fn of_what(profile: &Profile) -> &'static str {
    if profile.by == "documents" { "of the ranked documents" } else { "of the tokens of ranked documents" }
}

fn dial(of_what: &str, fraction: f64) -> Markup {
    let at = format!("{:.0}", 100.0 * fraction);
    let label = format!("Per cent {of_what} to keep");
    html! {
        div.dial {
            label { "Keep " (of_what) input type="range" min="0" max="100" step="1" value=(at) aria-label=(label); }
            label.percent { input type="number" min="0" max="100" step="1" value=(at) inputmode="numeric" aria-label=(label); "\u{a0}%" }
            button.back type="button" { "Present cut" }
        }
    }
}

/// Where the script writes what a cut keeps, beside what the present one does.
fn outcome(rows: &[&str]) -> Markup {
    let table = html! {
        table.outcome {
            thead { tr { th scope="col" { "" } th.num scope="col" { "tried" } th.num scope="col" { "present" } th.num scope="col" { "change" } } }
            tbody { @for row in rows { tr { th scope="row" { (row) } td.num.tried {} td.num.present {} td.num.change {} } } }
        }
    };
    scrolled("What the cut keeps", &table)
}

fn tabled(domain: &DomainProfile, of_what: &str) -> Markup {
    let row = |point: &CutPoint| {
        html! {
            tr {
                th scope="row" { (percent(point.fraction)) " " (of_what) }
                td.num { (grouped(point.documents)) } td.num { (grouped(point.tokens.0)) } td.num { (cut(point.value, point.stderr)) }
            }
        }
    };
    let table = html! {
        table {
            thead { tr { th scope="col" { "keep" } @for name in ["documents kept", "tokens kept", "cut ± s.e."] { th.num scope="col" { (name) } } } }
            tbody { @for point in TABLED.iter().filter_map(|at| domain.cuts.get(*at)) { (row(point)) } }
        }
    };
    scrolled("What some cuts keep", &table)
}
