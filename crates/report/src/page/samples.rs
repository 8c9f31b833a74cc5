//! Documents to look at: places of every ranking, side by side, with controls to search and sort them.
//!
//! Every document is in the page; the script only hides and reorders. Without it, and on paper, boards stand one below the other.

use headwater_record::profile::{DomainProfile, Profile, Sample, SampleSet};
use maud::{Markup, html};

use super::PageInputs;
use super::texts::{SampleText, level, repetition};
use crate::escape::{name, named};
use crate::numbers::{self, grouped, measured, value};
use crate::repeats::LEAST_CHARACTERS;

/// Documents of a place that are shown.
const MOST_OF_PLACE: usize = 8;

/// Documents of the places along a ranking that are shown.
const MOST_OF_SPREAD: usize = 19;

/// The places of a ranking: key and name.
const PLACES: [(&str, &str); 5] = [
    ("top", "top"),
    ("above", "just above the cut"),
    ("below", "just below the cut"),
    ("bottom", "bottom"),
    ("spread", "every twentieth of the ranking"),
];

/// All samples in at most `room` bytes; `None` without scores or without samples.
pub(super) fn samples(inputs: &PageInputs<'_>, room: usize) -> Option<Markup> {
    let profile = inputs.profile?;
    let sets = || profile.domains.iter().flat_map(|domain| &domain.samples);
    let documents: usize = sets().flat_map(places).map(<[Sample]>::len).sum();
    if documents == 0 {
        return None;
    }
    let mut ranks: Vec<&str> = Vec::new();
    for set in sets() {
        if !ranks.contains(&set.rank.as_str()) {
            ranks.push(&set.rank);
        }
    }
    let boards = |bytes| html! { @for (at, domain) in profile.domains.iter().enumerate() { (board(domain, &ranks, at, bytes)) } };
    let (controls, without_texts) = (controls(profile, &ranks), boards(0).0.len());
    let texts = sets().flat_map(places).flatten().filter_map(|sample| sample.text.as_deref());
    let needs = texts.map(|text| SampleText::of(text).bytes).collect();
    let bytes = level(needs, room.saturating_sub(without_texts + controls.0.len()));
    Some(html! {
        p.about {
            "Read these before anything else: no number tells whether a ranking is right. "
            "Influence is how much the loss rises without the retrieval heads; corrected influence is the part of it that base loss, compression and length do not explain. "
            mark { "Marked" } " is what stood before in the same text, in stretches of " (LEAST_CHARACTERS) " characters or more; “repeats” is its share."
        }
        (controls)
        p.found role="status" aria-live="polite" {}
        (boards(bytes))
    })
}

/// What is shown of every place.
fn places(set: &SampleSet) -> [&[Sample]; 5] {
    [
        (&set.top, MOST_OF_PLACE),
        (&set.above, MOST_OF_PLACE),
        (&set.below, MOST_OF_PLACE),
        (&set.bottom, MOST_OF_PLACE),
        (&set.spread, MOST_OF_SPREAD),
    ]
    .map(|(place, most)| &place[..place.len().min(most)])
}

fn controls(profile: &Profile, ranks: &[&str]) -> Markup {
    let by = [
        ("influence", "influence"),
        ("corrected", "corrected influence"),
        ("loss", "base loss"),
        ("compression", "compression"),
        ("tokens", "tokens"),
    ];
    html! {
        form.controls hidden {
            label { "Find " input type="search" name="find" placeholder="in ids and texts" autocomplete="off" spellcheck="false"; }
            label { "Domain "
                select name="domain" {
                    @for (at, domain) in profile.domains.iter().enumerate() { option value=(at) { (name(&domain.domain)) } }
                    option value="all" { "all domains" }
                }
            }
            label { "Show "
                select name="show" {
                    optgroup label="One place, ranking beside ranking" {
                        @for (key, title) in PLACES { option value={ "place " (key) } { (title) ", every ranking" } }
                    }
                    optgroup label="One ranking, all its places" {
                        @for (at, rank) in ranks.iter().enumerate() { option value={ "rank " (at) } { "by " (name(rank)) ", every place" } }
                    }
                    optgroup label="Everything" { option value="all" { "every ranking, every place" } }
                }
            }
            label { "Order "
                select name="order" {
                    option value="rank" { "as ranked" }
                    @for (key, title) in by {
                        option value={ (key) " down" } { (title) ", highest first" }
                        option value={ (key) " up" } { (title) ", lowest first" }
                    }
                }
            }
        }
    }
}

fn board(domain: &DomainProfile, ranks: &[&str], at: usize, bytes: usize) -> Markup {
    let cut = domain.cut.map(|cut| numbers::cut(cut, domain.certainty.and_then(|certainty| certainty.cut_stderr)));
    html! {
        div.board data-domain=(at) {
            h3 { (named(&domain.domain)) @if let Some(cut) = &cut { span.under { " cut " (cut) } } }
            div.columns {
                @for (rank, set) in domain.samples.iter().enumerate() {
                    @for ((key, title), place) in PLACES.into_iter().zip(places(set)).filter(|((key, _), place)| *key != "spread" || !place.is_empty()) {
                        div.column data-rank=[ranks.iter().position(|rank| *rank == set.rank)] data-place=(key) {
                            h4 { span { "by " (named(&set.rank)) } span.place { (title) } }
                            @if place.is_empty() { p.about { "none: everything is kept, or there is no single cut" } }
                            @for (order, sample) in place.iter().enumerate() { (document(sample, &format!("{at}-{rank}-{key}-{}", order + 1), order + 1, bytes)) }
                        }
                    }
                }
            }
        }
    }
}

fn document(sample: &Sample, id: &str, order: usize, bytes: usize) -> Markup {
    let scores = [sample.influence, sample.corrected.unwrap_or(f32::NAN), sample.loss_base, sample.compression];
    let keys: Vec<String> = scores.iter().map(f32::to_string).chain([sample.tokens.to_string()]).collect();
    let text = sample.text.as_deref().map(SampleText::of);
    let influence = measured(f64::from(sample.influence), sample.influence_stderr.map(f64::from));
    html! {
        article id={ "doc-" (id) } data-at=(order) data-keys=(keys.join(" ")) data-kept=[sample.is_kept.then_some("")] data-from=[sample.kept_from] {
            header { b { (order) } " " @match &sample.id { Some(id) => (named(id)), None => span.under { "no id" } } br; span.address { (named(&sample.address.to_string())) } }
            p.numbers {
                "influence " b { (influence) }
                @if let Some(corrected) = sample.corrected { " · corrected " b { (value(f64::from(corrected))) } }
                " · loss " b { (value(f64::from(sample.loss_base))) }
                " · compression " b { (value(f64::from(sample.compression))) }
                " · " b { (grouped(u64::from(sample.tokens))) } " tokens"
                @if let Some(text) = &text { (repetition(text)) }
            }
            @match &text {
                Some(text) => (text.markup(bytes, sample.is_cut_off)),
                None => p.about { "The text could not be read." },
            }
        }
    }
}
