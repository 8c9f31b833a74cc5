//! The head set: the retrieval score of every head, the masked heads, and the health of the set.

use headwater_record::HeadsFile;
use headwater_record::heads::Health;
use headwater_record::profile::{Axis, Scale};
use headwater_record::stability::Stability;
use maud::{Markup, PreEscaped, html};

use super::PageInputs;
use super::table::facts;
use crate::figure::{Bar, bars};
use crate::heads::heads_picture;
use crate::numbers::{correlation, grouped, percent, value};

/// Heads of the largest model that is drawn; a picture of more would fill the page.
const MOST_HEADS: usize = 6_000;

/// The heat map and the health of the set; `None` without heads.
pub(super) fn heads(inputs: &PageInputs<'_>) -> Option<Markup> {
    let file = inputs.heads?;
    Some(html! {
        div.figures {
            @if let Some(health) = &file.health { (health_figure(health).markup()) }
            div.beside.wide { (numbers(file)) }
        }
        @if is_drawn(file, 1) {
            figure.picture {
                figcaption { b { "Retrieval score of every head" } span.under { "Share of a probe's answer tokens that a head copies; the masked heads are outlined." } }
                div.scroll role="region" tabindex="0" aria-label="Retrieval score of every head" { (PreEscaped(heads_picture(file).to_string())) }
            }
        } @else { p.about { "The model has too many heads to be drawn here; heads.svg shows them." } }
    })
}

/// Whether the heat map is small enough for a page with `pictures` of its kind.
pub(super) fn is_drawn(file: &HeadsFile, pictures: usize) -> bool {
    drawn_heads(file) <= MOST_HEADS / pictures
}

/// Cells of the heat map.
fn drawn_heads(file: &HeadsFile) -> usize {
    let scores = file.search.as_ref().map_or(&[][..], |search| search.scores.as_slice());
    let set = file.heads.as_slice();
    let layers = set.iter().map(|id| usize::from(id.layer) + 1).chain([scores.len()]).max().unwrap_or(0);
    let heads = set.iter().map(|id| usize::from(id.head) + 1).chain(scores.iter().map(Vec::len)).max().unwrap_or(0);
    layers.saturating_mul(heads)
}

fn health_figure(health: &Health) -> crate::figure::Figure {
    let bar =
        |name: String, accuracy: f64, class| Bar { name, value: 100.0 * accuracy, shown: percent(accuracy), class };
    let mut marks = vec![
        bar("intact".to_owned(), health.intact_accuracy, "all"),
        bar("head set masked".to_owned(), health.masked_accuracy, "kept"),
    ];
    let controls = health.control_accuracies.iter().enumerate();
    marks.extend(controls.map(|(at, accuracy)| bar(format!("other heads masked, {}", at + 1), *accuracy, "other")));
    let axis = Axis { title: "accuracy on answer tokens".to_owned(), unit: "%".to_owned(), scale: Scale::Linear };
    bars("What masking does to retrieval", &axis, &marks)
}

fn numbers(file: &HeadsFile) -> Markup {
    let mut rows = vec![("heads masked", html! { (file.heads.as_slice().len()) })];
    if let Some(weights) = &file.weights {
        rows.push(("weights", html! { code { (weights) } }));
    }
    if let Some(health) = &file.health {
        let verdict = if health.healthy { "yes" } else { "no" };
        rows.extend([
            ("healthy", html! { b { (verdict) } " (intact at least 50 %, and masking costs at least 15 points and twice what other heads cost)" }),
            ("split-half correlation", html! { (correlation(health.split_half_correlation)) " (Spearman, retrieval scores of two halves of the probes)" }),
            ("probes of the health check", html! { (health.probes) }),
        ]);
    }
    match &file.search {
        Some(search) => rows.extend([
            ("probes", html! { (search.probes) " of " (grouped(search.context_tokens as u64)) " tokens, " (search.shots) " shots, seed " (search.seed) }),
            ("number of probes", number_of_probes(search.stability.as_ref())),
            ("sentences", html! { (crate::escape::named(&search.sentences)) }),
            ("share of heads", html! { (percent(search.fraction)) }),
            ("highest score in reach", html! { (correlation(search.reachable)) " (answer tokens that some head could copy: the first often differs from its twin)" }),
        ]),
        None => rows.push(("found by", html! { "nothing: the set is pinned" })),
    }
    html! { h4 { "The set" } (facts(&rows)) }
}

/// Why there were as many probes, and how sure the last head of the set is.
fn number_of_probes(stability: Option<&Stability>) -> Markup {
    let Some((stability, look)) = stability.and_then(|stability| Some((stability, stability.looks.last()?))) else {
        return html! { "fixed" };
    };
    html! {
        "the set is " (stability.used()) ": two halves of them share " (percent(look.shared)) " of the heads, heads in doubt hold "
        (percent(look.doubt)) " of the score"
        @if let Some(distance) = look.distance { ", the last head is " (value(distance)) " standard errors above the next" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_no_possible_model_is_not_drawn() {
        let file: HeadsFile = serde_json::from_str(r#"{"heads": [[65535, 65535]]}"#).unwrap();
        let shown = heads(&PageInputs { heads: Some(&file), ..PageInputs::default() }).unwrap().into_string();
        assert!(shown.contains("too many heads to be drawn") && !shown.contains("<svg"));
    }
}
