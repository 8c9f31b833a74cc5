//! `schedule.svg`: learning rate over a run.

use headwater_schedule::Schedule;
use svg::node::element::Polyline;

use crate::draw::{INK, MUTED, filled, label, line, page, round};

const SIZE: (f64, f64) = (800.0, 400.0);
const PLOT: (f64, f64, f64, f64) = (84.0, 84.0, 692.0, 236.0);

/// Draws the learning rate over steps and tokens, with warm-up, stable phase and decay marked.
///
/// `tokens_per_step` is sequence length × sequences a batch.
#[must_use]
pub fn schedule_svg(schedule: &Schedule, tokens_per_step: u64) -> String {
    let (left, top, width, height) = PLOT;
    let steps = schedule.steps() as f64;
    let x = |step: u64| left + width * step as f64 / steps;
    let y = |lr: f64| top + height * (1.0 - lr / (schedule.peak_lr() * 1.08));
    let bottom = top + height;
    let mut picture = page(SIZE.0, SIZE.1, "Learning-rate schedule")
        .add(label("Learning rate", (left, 28.0), "start", 18, INK).set("font-weight", 600))
        .add(label(caption(schedule), (left, 50.0), "start", 12, MUTED));
    let (warm, start, end) = (schedule.warmup_steps(), schedule.decay_start(), schedule.steps());
    let phases =
        [("warm-up", 0, warm, "#fde8d8"), ("stable", warm, start, "#eef4f9"), ("decay", start, end, "#dcebdf")];
    for (name, from, to, colour) in phases.into_iter().filter(|phase| phase.2 > phase.1) {
        let (from, to) = (x(from), x(to));
        let (at, anchor) = if to - from < 60.0 { (from, "start") } else { (f64::midpoint(from, to), "middle") };
        picture = picture.add(filled((from, top), (to - from, height), colour)).add(label(
            name,
            (at, top - 8.0),
            anchor,
            12,
            INK,
        ));
    }
    for part in 0..=4_u32 {
        let (lr, share) = (schedule.peak_lr() * f64::from(part) / 4.0, f64::from(part) / 4.0);
        let step = steps * share;
        let (at, tokens) = (left + width * share, step * tokens_per_step as f64);
        picture = picture
            .add(line((left, y(lr)), (left + width, y(lr)), "#d5dbe1"))
            .add(label(rate(lr), (left - 8.0, y(lr) + 4.0), "end", 11, MUTED))
            .add(line((at, bottom), (at, bottom + 5.0), MUTED))
            .add(label(format!("{step:.0}"), (at, bottom + 20.0), "middle", 11, MUTED))
            .add(label(short(tokens), (at, bottom + 36.0), "middle", 11, MUTED));
    }
    let point = |step: u64| format!("{},{}", round(x(step)), round(y(schedule.lr(step))));
    let points: Vec<String> = schedule.sampled_steps(692).into_iter().map(point).collect();
    let curve = Polyline::new()
        .set("points", points.join(" "))
        .set("fill", "none")
        .set("stroke", "#08519c")
        .set("stroke-width", 2.2);
    picture
        .add(curve)
        .add(label("steps", (left - 34.0, bottom + 20.0), "end", 11, INK))
        .add(label("tokens", (left - 34.0, bottom + 36.0), "end", 11, INK))
        .to_string()
}

fn caption(schedule: &Schedule) -> String {
    let (warm, start, end) = (schedule.warmup_steps(), schedule.decay_start(), schedule.steps());
    let (shape, floor, peak) = (schedule.shape().name(), rate(schedule.floor_lr()), rate(schedule.peak_lr()));
    format!("{end} steps · warm-up to step {warm} · {shape} decay from step {start} to {floor} · peak {peak}")
}

/// A rate for people: `4e-4`, and a plain `0`.
fn rate(lr: f64) -> String {
    if lr == 0.0 { "0".to_owned() } else { format!("{:e}", (lr * 1e9).round() / 1e9) }
}

fn short(tokens: f64) -> String {
    let units = [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")];
    match units.into_iter().find(|(unit, _)| tokens >= 0.9995 * *unit) {
        Some((unit, name)) => format!("{:.1}{name}", tokens / unit),
        None => format!("{tokens:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use headwater_schedule::{Phases, Shape};

    use super::*;

    #[test]
    fn phases_and_ends_are_marked() {
        let phases = Phases { steps: 119_209, warmup_steps: 119, decay_steps: 29_802 };
        let schedule = Schedule::new(phases, Shape::OneMinusSqrt, 4.0e-4, 0.0).unwrap();
        let drawn = schedule_svg(&schedule, 8_388_608);
        for text in ["warm-up", "stable", "decay from step 89407", "119209", "1.0T", "750.0B"] {
            assert!(drawn.contains(text), "{text}");
        }
    }
}
