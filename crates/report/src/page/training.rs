//! What a training run reads, and at which learning rate.

use headwater_record::profile::{Axis, Scale};
use maud::{Markup, PreEscaped, html};

use super::PageInputs;
use super::inputs::MixtureStage;
use crate::escape::{Lines, excerpt, name};
use crate::figure::{Bar, bars};
use crate::numbers::{grouped, percent, short};
use crate::schedule_svg;

/// Stages that are shown.
const MOST_STAGES: usize = 6;

/// Characters and bytes of a line of arithmetic.
const ARITHMETIC: (usize, usize) = (600, 2_400);

/// The mixture of every stage; `None` before there is one.
pub(super) fn mixture(inputs: &PageInputs<'_>) -> Option<Markup> {
    let mixture = inputs.mixture?;
    Some(html! { div.figures { @for stage in mixture.stages.iter().take(MOST_STAGES) { (of_stage(stage)) } } })
}

fn of_stage(stage: &MixtureStage) -> Markup {
    let axis = Axis { title: "share of the tokens trained on".to_owned(), unit: "%".to_owned(), scale: Scale::Linear };
    let part = |(at, part): (usize, &super::MixturePart)| Bar {
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
            div.scroll role="region" tabindex="0" aria-label="Learning rate by completed steps" { (PreEscaped(schedule_svg(schedule, planned.tokens_per_step))) }
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
