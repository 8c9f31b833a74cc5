//! The top of the page: the run and its main numbers.

use headwater_record::SelectionFile;
use headwater_record::selection::Certainty;
use maud::{Markup, html};

use super::PageInputs;
use crate::escape::{name, named};
use crate::numbers::{counted, grouped, percent, share, short};

/// The title of the page and its tiles.
pub(super) fn summary(inputs: &PageInputs<'_>) -> Markup {
    let output = inputs.setting_text("/run/output");
    html! {
        header.top id="top" {
            p.kicker { "Headwater report" }
            h1 { @if output.is_empty() { "A run that has not begun" } @else { (named(run_name(&output))) } }
            @if !(inputs.pipeline.is_empty() && output.is_empty()) { p.path { @for (at, path) in [inputs.pipeline, output.as_str()].into_iter().filter(|path| !path.is_empty()).enumerate() { @if at > 0 { " → " } code { (named(path)) } } } }
            p.lead {
                @if let Some(run) = inputs.run {
                    "Begun " time datetime=(run.began) { (named(&run.began)) }
                    " with Headwater " (named(&run.headwater))
                    ", scored by " (named(&inputs.setting_text("/model/name"))) ", seed " (named(&inputs.setting_text("/run/seed"))) "."
                }
                @if let Some(selection) = inputs.selection { " Selection " code { (selection.hash.short(16)) } "." }
            }
            @if inputs.profile.is_some() || inputs.selection.is_some() {
                p.about {
                    b { "Influence" } " is how much worse the model predicts a document without its retrieval heads, as a share of its loss: high where it "
                    "must look back to what the document said before. " b { "Corrected influence" } " is the part of it that base loss, compression and length do "
                    "not explain."
                }
            }
            ul.tiles { @for tile in tiles(inputs) { li { (tile) } } }
        }
    }
}

/// The last part of the path of a run's output: what the run is called.
pub(super) fn run_name(output: &str) -> &str {
    output.trim_end_matches('/').rsplit('/').next().unwrap_or(output)
}

fn tile(what: &str, shown: &str, under: &Markup) -> Markup {
    html! { span.name { (what) } strong { (shown) } span.under { (under) } }
}

fn tiles(inputs: &PageInputs<'_>) -> Vec<Markup> {
    let mut tiles = Vec::new();
    if let Some(selection) = inputs.selection {
        tiles.extend(kept(selection));
        tiles.push(policy(selection));
        tiles.extend(certainty(selection));
    } else if let Some(profile) = inputs.profile {
        let kept: u64 = profile.domains.iter().map(|domain| domain.kept_documents).sum();
        let all: u64 = profile.domains.iter().map(|domain| domain.documents).sum();
        tiles.push(tile("documents, if cut now", &short(kept as f64), &html! { "of " (grouped(all)) " so far" }));
        tiles.push(tile("ranked by", &name(&profile.rank), &html! { "not selected yet" }));
    }
    if let Some(profile) = inputs.profile {
        let of = html! { (grouped(profile.scored_units)) " of " (counted(profile.planned_units, "unit")) };
        tiles.push(tile("scored", &share(profile.scored_units, profile.planned_units), &of));
    } else if let Some(run) = inputs.run {
        let units: usize = run.sources.iter().flat_map(|source| &source.shards).map(|shard| shard.units.len()).sum();
        let shards: usize = run.sources.iter().map(|source| source.shards.len()).sum();
        tiles.push(tile("planned", &counted(units as u64, "unit"), &html! { "in " (counted(shards as u64, "shard")) }));
    }
    tiles
}

fn kept(selection: &SelectionFile) -> [Markup; 2] {
    let documents: u64 = selection.domains.iter().map(|domain| domain.documents).sum();
    let (kept, tokens) = (selection.kept_documents(), selection.kept_tokens());
    let of_all = |part: u64, all: u64| html! { (share(part, all)) " of " (grouped(all)) };
    let trained = selection.trained_tokens();
    let under = html! {
        (of_all(tokens.0, selection.tokens().0))
        @if !selection.buckets.is_empty() { "; read " (short(trained)) " with repetition" }
    };
    [
        tile("documents kept", &short(kept as f64), &of_all(kept, documents)),
        tile("tokens kept", &short(tokens.0 as f64), &under),
    ]
}

fn policy(selection: &SelectionFile) -> Markup {
    let fractions = || selection.domains.iter().map(|domain| domain.fraction);
    let (low, high) = fractions().fold((f64::INFINITY, 0.0), |(low, high), next| (low.min(next), next.max(high)));
    let under = html! {
        "by " (named(&selection.by)) ", "
        // where documents are repeated there is no fraction
        @if selection.buckets.is_empty() && high > 0.0 {
            @if low < high { "fractions " (percent(low)) " to " (percent(high)) } @else { "fraction " (percent(high)) }
            ", "
        }
        "in " (counted(selection.domains.len() as u64, "domain"))
    };
    tile("ranked by", &name(&selection.rank), &under)
}

/// Over all domains, how many kept documents lie near their domain's cut.
fn certainty(selection: &SelectionFile) -> Option<Markup> {
    let known: Vec<Certainty> = selection.domains.iter().filter_map(|domain| domain.certainty).collect();
    let total = |of: fn(&Certainty) -> u64| known.iter().map(of).sum::<u64>();
    let (judged, one, two) = (total(|c| c.judged), total(|c| c.within_one), total(|c| c.within_two));
    let under = html! { "of kept documents lie within one standard error of their value from the cut, so that noise alone may have kept them; " (share(two, judged)) " within two" };
    (judged > 0).then(|| tile("kept near the cut", &percent(one as f64 / judged as f64), &under))
}
