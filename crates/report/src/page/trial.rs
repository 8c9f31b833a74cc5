//! The trial: whether training on a selection gave a better small model than training on random text.

use headwater_record::profile::{Axis, Scale};
use maud::{Markup, html};

use super::inputs::{PageInputs, ShownArm, ShownTrial};
use super::table::{facts, number, scrolled};
use crate::escape::named;
use crate::figure::{Figure, Interval, MOST_LINES, NamedLine, intervals, lines};
use crate::numbers::{UNKNOWN, counted, grouped, short, signed};

/// Rows and columns of a table.
const MOST: usize = 40;

/// Verdicts, differences with their intervals, losses over the runs; `None` without a trial.
pub(super) fn trial(inputs: &PageInputs<'_>) -> Option<Markup> {
    let trial = inputs.trial?;
    let ShownTrial { folder, control, seeds, held_out, parameters, run_tokens, reach, .. } = trial;
    Some(html! {
        p.about {
            "Small models were trained on each selection (an arm) and on as much text at random, and judged by text that none of them has seen, in bits per byte: "
            "lower is better. "
            @if trial.schedule_arms > 0 { "Arms named “schedule:” train on the random text under another course of the learning rate. " }
            "“Not distinguishable” means that the trial did not tell the arm from random, not that they are equal: it would have missed "
            "what is smaller than its last column. " (reach)
        }
        (facts(&[
            ("models", html! { (short(*parameters as f64)) " parameters, " (short(*run_tokens as f64)) " tokens each" }),
            ("runs", html! { (counted(*seeds as u64, "seed")) " of " (counted(trial.arms.len() as u64 + 1, "arm")) }),
            ("held out", html! { (grouped(held_out.0)) " documents, " (grouped(held_out.1)) " bytes" }),
            ("loss of random text", html! { (format!("{:.4}", control.1)) " bits per byte" }),
            ("plan, runs, models", html! { code { (named(folder)) } }),
        ]))
        div.figures { (differences(trial).markup()) @if !trial.courses.is_empty() { (courses(trial).markup()) } }
        (scrolled("Arms of the trial", &arms(trial)))
        @if trial.domains.len() > 1 {
            h4 { "By domain" }
            p.about { "Difference from random in bits per byte of the domain’s held-out text. No test was made of these." }
            (scrolled("Differences by domain", &domains(trial)))
        }
    })
}

fn axis(title: &str, unit: &str) -> Axis {
    Axis { title: title.to_owned(), unit: unit.to_owned(), scale: Scale::Linear }
}

/// Every arm's difference from the control with its interval.
fn differences(trial: &ShownTrial) -> Figure {
    let interval = |arm: &ShownArm| Interval {
        name: arm.name.clone(),
        value: arm.difference.0,
        low: arm.difference.1[0],
        high: arm.difference.1[1],
        said: arm.verdict.clone(),
    };
    let of: Vec<Interval> = trial.arms.iter().map(interval).collect();
    let drawn = intervals("Difference from random text", &axis("difference", "bits per byte"), &of, trial.floor);
    let shade =
        if trial.floor.is_some() { "; the shade is one standard deviation of two random selections" } else { "" };
    let caption = html! { "left is better; lines are 95 % intervals of the mean over seeds" (shade) };
    Figure { caption: Some(caption), ..drawn }
}

/// Every arm's loss over the run.
fn courses(trial: &ShownTrial) -> Figure {
    let line = |(name, losses): &(String, Vec<f64>)| {
        let place = |at: usize| 100.0 * (at as f64 + 0.5) / losses.len() as f64;
        NamedLine {
            name: name.clone(),
            points: losses.iter().enumerate().map(|(at, loss)| (place(at), *loss)).collect(),
        }
    };
    let of: Vec<NamedLine> = trial.courses.iter().map(line).collect();
    let axes = (&axis("share of the run", "%"), &axis("training loss", "nats a token"));
    let drawn = lines("Loss over the runs", axes, &of, trial.decay_from.map(|share| 100.0 * share));
    let more = trial.courses.len().saturating_sub(MOST_LINES);
    let caption = html! {
        "mean over seeds, of the text that each arm trains on: a selection of easier text has a lower line, which says nothing of the model"
        @if trial.decay_from.is_some() { "; the shade is the decay of " code { "[schedule]" } }
        @if more > 0 { "; " (more) " more arms are in trial.json" }
    };
    Figure { caption: Some(caption), ..drawn }
}

fn arms(trial: &ShownTrial) -> Markup {
    let cell = |value: Option<f64>, shown: &dyn Fn(f64) -> String| {
        number(value.unwrap_or_default(), value.map_or_else(|| UNKNOWN.to_owned(), shown))
    };
    html! {
        table {
            thead { tr {
                th scope="col" { "arm" } th scope="col" { "verdict" }
                @for title in ["loss", "difference", "95 % interval", "p, of all arms", "before the decay", "smallest it would find"] { th.num scope="col" { (title) } }
            } }
            tbody {
                @for arm in trial.arms.iter().take(MOST) {
                    @let (mean, [low, high]) = arm.difference;
                    tr {
                        th scope="row" { (named(&arm.name)) }
                        td { (arm.verdict) }
                        (number(trial.control.1 + mean, format!("{:.4}", trial.control.1 + mean)))
                        (number(mean, signed(mean)))
                        (number(low, format!("{} to {}", signed(low), signed(high))))
                        (cell(arm.p, &|p| format!("{p:.3}")))
                        (cell(arm.before_decay, &signed))
                        (cell(arm.smallest, &|smallest| format!("{smallest:.4}")))
                    }
                }
            }
        }
    }
}

fn domains(trial: &ShownTrial) -> Markup {
    html! {
        table {
            thead { tr { th scope="col" { "domain" } @for arm in trial.arms.iter().take(MOST) { th.num scope="col" { (named(&arm.name)) } } } }
            tbody {
                @for (domain, differences) in trial.domains.iter().take(MOST) {
                    tr {
                        th scope="row" { (named(domain)) }
                        @for difference in differences.iter().take(MOST) {
                            (number(difference.unwrap_or_default(), difference.map_or_else(|| UNKNOWN.to_owned(), signed)))
                        }
                    }
                }
            }
        }
        @if trial.domains.len() > MOST { p.about { "and " (trial.domains.len() - MOST) " more, in trial.json" } }
    }
}
