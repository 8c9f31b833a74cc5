//! The part that all figures with two axes share: paper, axes with titles and units, ticks.

use headwater_record::profile::Axis;
use svg::Document;
use svg::node::element::{Description, Group, Line, Text, Title};

use super::axis::Ruler;
use crate::draw::round;
use crate::escape;

/// Width of a drawing, in pixels: that of a small phone, where text keeps its size.
pub(crate) const WIDTH: f64 = 360.0;
/// Height of most drawings.
pub(crate) const HEIGHT: f64 = 236.0;
/// Pixels above the axes.
pub(crate) const TOP: f64 = 30.0;
/// Pixels to the right of the axes.
pub(crate) const RIGHT: f64 = 10.0;
/// Pixels below the axes.
pub(crate) const BELOW: f64 = 40.0;
/// Pixels to the left of the axes.
pub(crate) const LEFT: f64 = 46.0;

/// What is drawn along an axis, with its unit, in one line.
pub(crate) fn axis_title(axis: &Axis) -> String {
    let title = escape::name(&axis.title);
    if axis.unit.is_empty() { title } else { format!("{title} ({})", escape::name(&axis.unit)) }
}

/// An empty drawing that says in words what it shows.
pub(crate) fn paper(height: f64, title: &str, words: &str) -> Document {
    Document::new()
        .set("viewBox", format!("0 0 {WIDTH} {height}"))
        .set("class", "plot")
        .set("role", "img")
        .add(Title::new(title))
        .add(Description::new().add(svg::node::Text::new(words)))
}

/// Two axes: ticks and lines of the grid, titles with units.
pub(crate) fn axes(picture: Document, (x, y): (&Ruler, &Ruler), titles: (&str, &str), height: f64) -> Document {
    let bottom = height - BELOW;
    let mut marks = Group::new().set("class", "axes");
    for tick in y.ticks() {
        marks = marks.add(rule((LEFT, tick.at), (WIDTH - RIGHT, tick.at), "grid")).add(text(
            tick.label,
            (LEFT - 5.0, tick.at + 3.5),
            "end",
        ));
    }
    picture.add(marks.add(text(titles.1, (2.0, 11.0), "title"))).add(below(x, titles.0, (LEFT, bottom)))
}

/// The axis below a drawing, from its left end.
pub(crate) fn below(x: &Ruler, title: &str, (left, bottom): (f64, f64)) -> Group {
    let mut marks = Group::new().set("class", "axes").add(rule((left, bottom), (WIDTH - RIGHT, bottom), "base"));
    for tick in x.ticks() {
        marks = marks.add(rule((tick.at, bottom), (tick.at, bottom + 4.0), "base")).add(text(
            tick.label,
            (tick.at, bottom + 16.0),
            "mid",
        ));
    }
    marks.add(text(title, (f64::midpoint(left, WIDTH - RIGHT), bottom + 33.0), "title mid"))
}

/// Text of a class of the style sheet.
pub(crate) fn text(content: impl Into<String>, at: (f64, f64), class: &'static str) -> Text {
    Text::new(content).set("x", round(at.0)).set("y", round(at.1)).set("class", class)
}

/// A line of a class of the style sheet.
pub(crate) fn rule(from: (f64, f64), to: (f64, f64), class: &'static str) -> Line {
    Line::new()
        .set("x1", round(from.0))
        .set("y1", round(from.1))
        .set("x2", round(to.0))
        .set("y2", round(to.1))
        .set("class", class)
}

/// A coordinate inside a path: a tenth of a pixel is fine enough, and short.
pub(crate) fn tenth(pixels: f64) -> f64 {
    let tenth = (pixels * 10.0).round() / 10.0;
    if tenth == 0.0 { 0.0 } else { tenth }
}

/// A name of at most so many characters, which may be foreign.
pub(crate) fn shortened(name: &str, most: usize) -> String {
    let name = escape::name(name);
    if name.chars().count() <= most { name } else { name.chars().take(most - 1).chain(['…']).collect() }
}

/// Text that begins a title.
pub(crate) fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
