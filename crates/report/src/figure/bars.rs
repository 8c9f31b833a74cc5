//! A few numbers as bars with their names.

use headwater_record::profile::{Axis, Scale};
use svg::node::element::Rectangle;

use super::Figure;
use super::axis::Ruler;
use super::frame::{BELOW, RIGHT, WIDTH, axis_title, below, paper, shortened, text};
use crate::draw::round;
use crate::escape;

/// Pixels to the left of the bars.
const LEFT: f64 = 6.0;

/// Height of a name with its bar.
const ROW: f64 = 30.0;

/// Bars that are drawn; the rest is in tables.
const MOST_BARS: usize = 24;

/// Characters of a name, which leave room for its number.
const NAME_CHARACTERS: usize = 34;

/// A named number.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    /// Its name; may be foreign.
    pub(crate) name: String,
    /// How long it is, along the axis.
    pub(crate) value: f64,
    /// The number for people.
    pub(crate) shown: String,
    /// Class of the bar: `all`, `kept` or `other`.
    pub(crate) class: &'static str,
}

/// Draws bars along one axis that begins at zero; one of per cent ends at 100.
pub(crate) fn bars(title: &str, axis: &Axis, bars: &[Bar]) -> Figure {
    if bars.is_empty() {
        return Figure::of_nothing(title.to_owned());
    }
    let shown = &bars[..bars.len().min(MOST_BARS)];
    let least = if axis.unit == "%" { 100.0 } else { 0.0 };
    let highest = shown.iter().map(|bar| bar.value).filter(|value| value.is_finite()).fold(least, f64::max);
    let x = Ruler::new((0.0, highest), Scale::Linear, (LEFT, WIDTH - RIGHT));
    let height = 6.0 + ROW * shown.len() as f64 + BELOW;
    let said: Vec<String> = shown.iter().map(|bar| format!("{} {}", escape::name(&bar.name), bar.shown)).collect();
    let mut picture = paper(height, title, &format!("{}: {}.", axis_title(axis), said.join("; ")));
    for (at, bar) in shown.iter().enumerate() {
        let top = 6.0 + ROW * at as f64;
        let mark = Rectangle::new()
            .set("x", LEFT)
            .set("y", round(top + 15.0))
            .set("width", round((x.at(bar.value) - LEFT).max(0.5)))
            .set("height", 10)
            .set("class", bar.class);
        picture = picture
            .add(text(shortened(&bar.name, NAME_CHARACTERS), (LEFT, top + 11.0), "name"))
            .add(text(bar.shown.as_str(), (WIDTH - RIGHT, top + 11.0), "name end"))
            .add(mark);
    }
    let picture = picture.add(below(&x, &axis_title(axis), (LEFT, height - BELOW)));
    Figure { title: title.to_owned(), caption: None, drawing: picture.to_string(), class: "bars" }
}
