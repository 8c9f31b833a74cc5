//! The few marks that the pictures share: page, label, line, box.
//!
//! Every mark has a colour of its own, for programs that read no style, and a class, by which [`PICTURE_STYLE`] gives it another one in
//! the dark. A picture that is a file carries the style; the page, whose policy forbids styles of others, holds it once.

use svg::Document;
use svg::node::element::{Description, Line, Rectangle, Style, Text, Title};

/// Colours of pictures in the dark.
pub(crate) const PICTURE_STYLE: &str = include_str!("picture.css");

/// A colour with the class that changes it in the dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colour {
    pub(crate) light: &'static str,
    pub(crate) class: &'static str,
}

/// Text colour, dark enough for any size on white.
pub(crate) const INK: Colour = Colour { light: "#1f2933", class: "p-ink" };
/// Colour of axes and secondary text.
pub(crate) const MUTED: Colour = Colour { light: "#52606d", class: "p-muted" };
/// Lines of a grid.
pub(crate) const GRID: Colour = Colour { light: "#d5dbe1", class: "p-grid" };
/// What is behind everything.
const PAPER: Colour = Colour { light: "#ffffff", class: "paper" };

/// Colours and dashes of curves, told apart without colour too.
pub(crate) const CURVES: [(Colour, &str); 6] = [
    (Colour { light: "#08519c", class: "p-curve0" }, ""),
    (Colour { light: "#b2480b", class: "p-curve1" }, "8 4"),
    (Colour { light: "#1b7837", class: "p-curve2" }, "2 3"),
    (Colour { light: "#762a83", class: "p-curve3" }, "10 3 2 3"),
    (Colour { light: "#8c510a", class: "p-curve4" }, "5 2"),
    (Colour { light: "#4d4d4d", class: "p-curve5" }, "1 2"),
];

/// An empty white page of `width` × `height` pixels that scales to its container, with a title and the same in words.
pub(crate) fn page((width, height): (f64, f64), title: &str, words: &str) -> Document {
    Document::new()
        .set("viewBox", format!("0 0 {width} {height}"))
        .set("width", width)
        .set("height", height)
        .set("font-family", "system-ui, sans-serif")
        .set("role", "img")
        .add(Title::new(title))
        .add(Description::new().add(svg::node::Text::new(words)))
        .add(coloured((0.0, 0.0), (width, height), PAPER))
}

/// A picture as a file of its own.
pub(crate) fn alone(picture: Document) -> String {
    picture.add(Style::new(PICTURE_STYLE)).to_string()
}

/// A label; `anchor` is `start`, `middle` or `end`.
pub(crate) fn label(content: impl Into<String>, at: (f64, f64), anchor: &str, size: u32, colour: Colour) -> Text {
    Text::new(content)
        .set("x", round(at.0))
        .set("y", round(at.1))
        .set("text-anchor", anchor)
        .set("font-size", size)
        .set("fill", colour.light)
        .set("class", colour.class)
}

/// A filled box with a colour for the dark.
pub(crate) fn coloured(at: (f64, f64), size: (f64, f64), colour: Colour) -> Rectangle {
    filled(at, size, colour.light).set("class", colour.class)
}

/// A filled box.
pub(crate) fn filled(at: (f64, f64), size: (f64, f64), colour: &str) -> Rectangle {
    Rectangle::new()
        .set("x", round(at.0))
        .set("y", round(at.1))
        .set("width", round(size.0))
        .set("height", round(size.1))
        .set("fill", colour)
}

/// A thin line.
pub(crate) fn line(from: (f64, f64), to: (f64, f64), colour: Colour) -> Line {
    Line::new()
        .set("x1", round(from.0))
        .set("y1", round(from.1))
        .set("x2", round(to.0))
        .set("y2", round(to.1))
        .set("stroke", colour.light)
        .set("class", colour.class)
}

/// Pixels to two decimals, so that the last bits of a float never reach the file.
pub(crate) fn round(pixels: f64) -> f64 {
    (pixels * 100.0).round() / 100.0
}
