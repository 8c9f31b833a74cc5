//! What a training run reads, and at which learning rate.

use headwater_record::profile::{Axis, Scale};
use maud::{Markup, PreEscaped, html};

use super::inputs::{MOST_PASSES, MixtureStage};
use super::table::{number, scrolled};
use super::{Mixture, MixturePart, PageInputs};
use crate::escape::{Lines, excerpt, name, named};
use crate::figure::{Bar, bars};
use crate::numbers::{UNKNOWN, grouped, percent, short, times_read};
use crate::schedule::schedule_picture;

/// Stages that are shown.
const MOST_STAGES: usize = 6;

/// Parts of a table.
const MOST_PARTS: usize = 64;

/// Characters and bytes of a line of arithmetic.
const ARITHMETIC: (usize, usize) = (600, 2_400);

/// The mixture of every stage; `None` before there is one.
pub(super) fn mixture(inputs: &PageInputs<'_>) -> Option<Markup> {
    let mixture = inputs.mixture?;
    Some(html! {
        div.figures {
            @for stage in mixture.stages.iter().take(MOST_STAGES) { (of_stage(stage)) }
            div.beside.wide { (passes(mixture)) }
        }
    })
}

/// How often the run reads each part.
fn passes(mixture: &Mixture) -> Markup {
    let mut parts: Vec<&MixturePart> = Vec::new();
    for part in mixture.stages.iter().flat_map(|stage| &stage.parts) {
        if !parts.iter().any(|known| known.name == part.name) {
            parts.push(part);
        }
    }
    let row = |part: &&MixturePart| {
        let passes = mixture.passes(&part.name);
        let shown = passes.map_or_else(|| UNKNOWN.to_owned(), times_read);
        html! {
            tr {
                th scope="row" { (named(&part.name)) }
                (number(part.tokens as f64, grouped(part.tokens)))
                (number(passes.unwrap_or(0.0), html! { (shown) @if passes.is_some_and(|passes| passes > MOST_PASSES) { b { " above four" } } }))
            }
        }
    };
    let table = html! {
        table {
            thead { tr { th scope="col" { "part" } th.num scope="col" { "tokens of one pass" } th.num scope="col" { "passes" } } }
            tbody { @for part in parts.iter().take(MOST_PARTS) { (row(part)) } }
        }
    };
    html! {
        h4 { "Passes" }
        p.about {
            "How often the training run reads each token of a part. Up to about four passes teach nearly as much as new tokens; beyond that "
            "they soon are worth little (arXiv 2305.16264)."
        }
        (scrolled("Passes over each part", &table))
    }
}

fn of_stage(stage: &MixtureStage) -> Markup {
    let axis = Axis { title: "share of the tokens trained on".to_owned(), unit: "%".to_owned(), scale: Scale::Linear };
    let part = |(at, part): (usize, &MixturePart)| Bar {
        name: part.name.clone(),
        value: 100.0 * part.weight,
        shown: percent(part.weight),
        class: if at == 0 { "all" } else { "kept" },
    };
    let marks: Vec<Bar> = stage.parts.iter().enumerate().map(part).collect();
    let mut figure = bars(&format!("Mixture, {}", name(&stage.name)), &axis, &marks);
    let line = excerpt(&stage.arithmetic, Lines::Shown, ARITHMETIC).text;
    figure.caption = Some(html! { bdi { (line) } });
    figure.markup()
}

/// The learning rate over the run; `None` before there is a schedule.
pub(super) fn schedule(inputs: &PageInputs<'_>) -> Option<Markup> {
    let planned = inputs.schedule?;
    let schedule = planned.schedule;
    let tokens = schedule.steps() as f64 * planned.tokens_per_step as f64;
    let words = format!(
        "{} steps, {} tokens, in phases: {}.",
        grouped(schedule.steps()),
        short(tokens),
        phases(inputs).join(", ")
    );
    Some(html! {
        figure.picture {
            figcaption { b { "Learning rate by completed steps" } span.under { (words) } }
            div.scroll role="region" tabindex="0" aria-label="Learning rate by completed steps" { (PreEscaped(schedule_picture(schedule, planned.tokens_per_step).to_string())) }
        }
    })
}

fn phases(inputs: &PageInputs<'_>) -> Vec<String> {
    let phases = inputs.schedule.map(|planned| planned.schedule.phases()).unwrap_or_default();
    phases
        .iter()
        .take(12)
        .map(|phase| format!("{} from step {} to {}", phase.name, grouped(phase.from), grouped(phase.to)))
        .collect()
}
