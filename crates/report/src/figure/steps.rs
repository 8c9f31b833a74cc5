//! How often documents are read, by their place in the ranking.

use headwater_record::profile::Scale;
use svg::node::element::Rectangle;

use super::Figure;
use super::axis::Ruler;
use super::frame::{BELOW, HEIGHT, LEFT, RIGHT, TOP, WIDTH, axes, paper, tenth, text};
use crate::numbers::{percent, value};

/// Narrowest step with its number over it, in pixels.
const NAMED: f64 = 28.0;

/// A stretch of the ranking that is read equally often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Share of the ranked tokens before it.
    pub(crate) from: f64,
    /// Share of the ranked tokens before its end.
    pub(crate) to: f64,
    /// How often it is read.
    pub(crate) repeat: f64,
}

/// Draws the repetitions of every stretch, best first.
pub(crate) fn steps(title: &str, steps: &[Step]) -> Figure {
    if steps.is_empty() {
        return Figure::of_nothing(title.to_owned());
    }
    let highest = steps.iter().map(|step| step.repeat).fold(1.0, f64::max);
    let x = Ruler::new((0.0, 100.0), Scale::Linear, (LEFT, WIDTH - RIGHT));
    let y = Ruler::new((0.0, highest * 1.12), Scale::Linear, (HEIGHT - BELOW, TOP));
    let said =
        |step: &Step| format!("{} to {} read {} times", percent(step.from), percent(step.to), value(step.repeat));
    let words: Vec<String> = steps.iter().map(said).collect();
    let words = format!("Stretches of each domain's ranked tokens, best first: {}.", words.join("; "));
    let titles = ("share of ranked tokens, best first (%)", "times read");
    let mut picture = axes(paper(HEIGHT, title, &words), (&x, &y), titles, HEIGHT);
    for step in steps {
        let (from, to, top) = (x.at(100.0 * step.from), x.at(100.0 * step.to), y.at(step.repeat));
        let mark = Rectangle::new()
            .set("x", tenth(from))
            .set("y", tenth(top))
            .set("width", tenth(to - from))
            .set("height", tenth(HEIGHT - BELOW - top))
            .set("class", "kept");
        picture = picture.add(mark);
        if to - from >= NAMED {
            picture =
                picture.add(text(format!("{:.2}", step.repeat), (f64::midpoint(from, to), top - 4.0), "name mid"));
        }
    }
    Figure { title: title.to_owned(), caption: None, drawing: picture.to_string(), class: "steps" }
}
