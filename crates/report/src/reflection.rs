//! What a schedule adds to the logits of reflection tokens over a text, and where the text reflects.

use svg::node::element::Polyline;

use crate::draw::{Colour, GRID, INK, MUTED, alone, label, line, page, round};
use crate::numbers::whole;

const SIZE: (f64, f64) = (800.0, 300.0);
const PLOT: (f64, f64, f64, f64) = (84.0, 64.0, 692.0, 160.0);

const CURVE: Colour = Colour { light: "#08519c", class: "p-curve0" };
const MARK: Colour = Colour { light: "#b2480b", class: "p-curve1" };

/// Points of the curve.
const POINTS: usize = 692;

/// Draws `added`, what is added to the logits of each token of a text, and a mark below at each of `positions`, where it reflects.
#[must_use]
pub fn reflection_svg(title: &str, added: &[f32], positions: &[usize]) -> String {
    let (left, top, width, height) = PLOT;
    let bottom = top + height;
    let tokens = added.len().max(1) as f64;
    let most = f64::from(added.iter().map(|value| value.abs()).fold(0.0, f32::max));
    let most = if most > 0.0 { most } else { 1.0 };
    let x = |token: f64| left + width * token / tokens;
    let y = |value: f64| top + height * (0.5 - 0.5 * value / most);
    let words = format!("up to {most:.2} is added over {} tokens, {} of them reflection", added.len(), positions.len());
    let mut picture = page(SIZE, title, &words).add(label(title, (left, 24.0), "start", 15, INK)).add(label(
        "added to the logits of reflection tokens",
        (left, 44.0),
        "start",
        12,
        MUTED,
    ));
    for value in [-most, 0.0, most] {
        let shown = if value == 0.0 { "0".to_owned() } else { format!("{value:+.2}") };
        let named = label(shown, (left - 8.0, y(value) + 4.0), "end", 11, MUTED);
        picture = picture.add(line((left, y(value)), (left + width, y(value)), GRID)).add(named);
    }
    for part in 0..=4_u32 {
        let at = tokens * f64::from(part) / 4.0;
        picture = picture.add(label(whole(at), (x(at), bottom + 48.0), "middle", 11, MUTED));
    }
    picture = picture.add(label("generated tokens", (left + width / 2.0, bottom + 66.0), "middle", 11, INK));
    let step = added.len().div_ceil(POINTS).max(1);
    let point = |at: usize| format!("{},{}", round(x(at as f64)), round(y(f64::from(added[at]))));
    let path: Vec<String> = (0..added.len()).step_by(step).map(point).collect();
    picture = picture.add(
        Polyline::new()
            .set("points", path.join(" "))
            .set("fill", "none")
            .set("stroke", CURVE.light)
            .set("class", CURVE.class)
            .set("stroke-width", 2),
    );
    if !positions.is_empty() {
        picture = picture.add(label("reflects", (left - 8.0, bottom + 23.0), "end", 11, INK));
    }
    for position in positions {
        let at = x(*position as f64);
        picture = picture.add(line((at, bottom + 12.0), (at, bottom + 28.0), MARK).set("stroke-width", 1.6));
    }
    alone(picture)
}
