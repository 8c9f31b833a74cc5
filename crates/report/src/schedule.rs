//! `schedule.svg`: learning rate over a run, and several schedules on one picture.

use headwater_schedule::Schedule;
use svg::Document;
use svg::node::element::Polyline;

use crate::draw::{CURVES, Colour, GRID, INK, MUTED, alone, coloured, label, line, page, round};
use crate::numbers::{grouped, rate, short, whole};

const SIZE: (f64, f64) = (800.0, 400.0);
const PLOT: (f64, f64, f64, f64) = (84.0, 84.0, 692.0, 236.0);

/// The colour of a phase, which is the same in every picture.
fn phase_colour(name: &str) -> Colour {
    match name {
        "warm-up" | "ramp" => Colour { light: "#fde8d8", class: "p-warmup" },
        "stable" | "hold" => Colour { light: "#eef4f9", class: "p-stable" },
        "decay" => Colour { light: "#dcebdf", class: "p-decay" },
        _ => Colour { light: "#f3e8f5", class: "p-phase" },
    }
}

/// Columns of a legend.
const LEGEND_COLUMNS: usize = 2;

/// Characters of a name in a legend.
const NAME_CHARACTERS: usize = 48;

/// Narrowest phase with a name over it, in pixels.
const NAMED_PHASE: f64 = 44.0;

/// A line on a picture of several.
#[derive(Clone, Debug, PartialEq)]
pub struct PlottedCurve {
    /// Its name in the legend.
    pub name: String,
    /// From (share of the run, value), ascending.
    pub points: Vec<(f64, f64)>,
}

impl PlottedCurve {
    /// Returns the learning rate of a schedule over the run.
    #[must_use]
    pub fn of(name: impl Into<String>, schedule: &Schedule) -> Self {
        Self::within(name, schedule, schedule.steps())
    }

    /// Returns the learning rate of a schedule over a run of `steps`, at least as long.
    #[must_use]
    pub fn within(name: impl Into<String>, schedule: &Schedule, steps: u64) -> Self {
        let point = |step: u64| (step as f64 / steps as f64, schedule.lr(step));
        Self { name: name.into(), points: schedule.sampled_steps(692).into_iter().map(point).collect() }
    }
}

/// Draws the learning rate over steps and tokens, with its phases marked.
///
/// `tokens_per_step` is sequence length × sequences a batch.
#[must_use]
pub fn schedule_svg(schedule: &Schedule, tokens_per_step: u64) -> String {
    alone(schedule_picture(schedule, tokens_per_step))
}

/// The same without a style of its own.
pub(crate) fn schedule_picture(schedule: &Schedule, tokens_per_step: u64) -> Document {
    let (left, top, width, height) = PLOT;
    let steps = schedule.steps() as f64;
    let x = |step: u64| left + width * step as f64 / steps;
    let mut picture = headed("Learning rate", &caption(schedule));
    for phase in schedule.phases() {
        let (from, to) = (x(phase.from), x(phase.to));
        picture = picture.add(coloured((from, top), (to - from, height), phase_colour(phase.name)));
        if to - from >= NAMED_PHASE {
            picture = picture.add(label(phase.name, (f64::midpoint(from, to), top - 8.0), "middle", 12, INK));
        }
    }
    picture = axes(picture, schedule.peak_lr());
    let bottom = top + height;
    for part in 0..=4_u32 {
        let share = f64::from(part) / 4.0;
        let (at, step) = (left + width * share, steps * share);
        let tokens = step * tokens_per_step as f64;
        picture = picture.add(label(whole(step), (at, bottom + 20.0), "middle", 11, MUTED)).add(label(
            short(tokens),
            (at, bottom + 36.0),
            "middle",
            11,
            MUTED,
        ));
    }
    drawn(picture, &PlottedCurve::of("", schedule), schedule.peak_lr(), CURVES[0])
        .add(label("learning rate", (left - 8.0, top - 8.0), "end", 11, INK))
        .add(label("steps", (left - 34.0, bottom + 20.0), "end", 11, INK))
        .add(label("tokens", (left - 34.0, bottom + 36.0), "end", 11, INK))
}

/// Draws several curves over the share of a run, with a legend. `value` says what is drawn upward, with its unit.
#[must_use]
pub fn curves_svg(title: &str, value: &str, curves: &[PlottedCurve]) -> String {
    let (left, top, width, height) = PLOT;
    let highest = curves.iter().flat_map(|curve| &curve.points).map(|point| point.1).fold(0.0, f64::max);
    let highest = if highest > 0.0 { highest } else { 1.0 };
    let mut picture = axes(headed(title, value), highest);
    let bottom = top + height;
    for part in 0..=4_u32 {
        let at = left + width * f64::from(part) / 4.0;
        picture = picture.add(label(format!("{} %", part * 25), (at, bottom + 20.0), "middle", 11, MUTED));
    }
    picture = picture.add(label("share of the run", (left + width / 2.0, bottom + 38.0), "middle", 11, INK));
    for (at, (curve, style)) in curves.iter().zip(CURVES.iter().cycle()).enumerate() {
        picture = drawn(picture, curve, highest, *style);
        let (column, row) = (at % LEGEND_COLUMNS, at / LEGEND_COLUMNS);
        let (x, y) = (left + width * column as f64 / LEGEND_COLUMNS as f64, bottom + 58.0 + 16.0 * row as f64);
        picture = picture
            .add(
                line((x, y - 4.0), (x + 26.0, y - 4.0), style.0)
                    .set("stroke-width", 2.2)
                    .set("stroke-dasharray", style.1),
            )
            .add(label(shortened(&curve.name), (x + 32.0, y), "start", 12, INK));
    }
    let rows = curves.len().div_ceil(LEGEND_COLUMNS).saturating_sub(1) as f64;
    let tall = SIZE.1 + 16.0 * rows;
    alone(picture.set("viewBox", format!("0 0 {} {tall}", SIZE.0)).set("height", tall))
}

/// A name that fits a column of a legend.
fn shortened(name: &str) -> String {
    if name.chars().count() <= NAME_CHARACTERS {
        return name.to_owned();
    }
    name.chars().take(NAME_CHARACTERS - 1).chain(['…']).collect()
}

fn headed(title: &str, caption: &str) -> Document {
    page((SIZE.0, SIZE.1 + 200.0), title, caption)
        .set("viewBox", format!("0 0 {} {}", SIZE.0, SIZE.1))
        .set("height", SIZE.1)
        .add(label(title, (PLOT.0, 28.0), "start", 18, INK).set("font-weight", 600))
        .add(label(caption, (PLOT.0, 50.0), "start", 12, MUTED))
}

fn axes(mut picture: Document, highest: f64) -> Document {
    let (left, top, width, height) = PLOT;
    let bottom = top + height;
    for part in 0..=4_u32 {
        let share = f64::from(part) / 4.0;
        let (at, upward) = (left + width * share, y(highest * share, highest));
        picture = picture
            .add(line((left, upward), (left + width, upward), GRID))
            .add(label(rate(highest * share), (left - 8.0, upward + 4.0), "end", 11, MUTED))
            .add(line((at, bottom), (at, bottom + 5.0), MUTED));
    }
    picture
}

fn y(value: f64, highest: f64) -> f64 {
    PLOT.1 + PLOT.3 * (1.0 - value / (highest * 1.08))
}

fn drawn(picture: Document, curve: &PlottedCurve, highest: f64, (colour, dashes): (Colour, &str)) -> Document {
    let point =
        |(share, value): &(f64, f64)| format!("{},{}", round(PLOT.0 + PLOT.2 * share), round(y(*value, highest)));
    let points: Vec<String> = curve.points.iter().map(point).collect();
    let polyline = Polyline::new()
        .set("points", points.join(" "))
        .set("fill", "none")
        .set("stroke", colour.light)
        .set("class", colour.class)
        .set("stroke-width", 2.2);
    picture.add(if dashes.is_empty() { polyline } else { polyline.set("stroke-dasharray", dashes) })
}

fn caption(schedule: &Schedule) -> String {
    let (steps, warm, peak) = (schedule.steps(), schedule.warmup_steps(), rate(schedule.peak_lr()));
    let warmup = if warm > 0 { format!(" · warm-up to step {}", grouped(warm)) } else { String::new() };
    let decay = match schedule.decay() {
        Some(decay) => {
            let end = rate(schedule.lr(steps));
            format!(" · {} decay from step {} to {end}", decay.curve.name(), grouped(decay.start))
        }
        None => format!(" · {}", schedule.kind()),
    };
    format!("{} steps{warmup}{decay} · peak {peak}", grouped(steps))
}

#[cfg(test)]
mod tests {
    use headwater_schedule::{Curve as Shape, WsdSteps};

    use super::*;

    fn wsd() -> Schedule {
        let phases = WsdSteps { steps: 119_209, warmup_steps: 119, decay_steps: 29_802 };
        Schedule::wsd(phases, Shape::OneMinusSqrt, 4.0e-4, 0.0).unwrap()
    }

    #[test]
    fn phases_and_ends_are_marked() {
        let drawn = schedule_svg(&wsd(), 8_388_608);
        for text in ["stable", "decay", "decay from step 89,407", "warm-up to step 119", "119,209", "1.0T", "750.0B"] {
            assert!(drawn.contains(text), "{text}");
        }
    }

    #[test]
    fn a_phase_keeps_its_colour() {
        let without_warmup = WsdSteps { steps: 1_000, warmup_steps: 0, decay_steps: 100 };
        let without_warmup = Schedule::wsd(without_warmup, Shape::OneMinusSqrt, 4.0e-4, 0.0).unwrap();
        for schedule in [wsd(), without_warmup] {
            let drawn = schedule_svg(&schedule, 1);
            for (name, class) in [("warm-up", "p-warmup"), ("stable", "p-stable"), ("decay", "p-decay")] {
                let is_there = schedule.phases().iter().any(|phase| phase.name == name);
                assert_eq!(drawn.contains(&format!("class=\"{class}\"")), is_there, "{name}");
            }
            assert!(!drawn.contains("class=\"p-phase\""), "a phase of these has no colour");
        }
    }

    #[test]
    fn a_legend_names_every_curve() {
        let curves: Vec<_> = (0..7).map(|at| PlottedCurve::of(format!("schedule <{at}>"), &wsd())).collect();
        let drawn = curves_svg("Schedules", "learning rate", &curves);
        assert!((0..7).all(|at| drawn.contains(&format!("schedule &lt;{at}&gt;"))));
        assert_eq!(drawn.matches("<polyline").count(), 7);
    }
}
