//! The few marks that the pictures share: page, label, line, box.

use svg::Document;
use svg::node::element::{Description, Line, Rectangle, Text, Title};

/// Text colour, dark enough for any size on white.
pub(crate) const INK: &str = "#1f2933";
/// Colour of axes and secondary text.
pub(crate) const MUTED: &str = "#52606d";

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
        .add(filled((0.0, 0.0), (width, height), "#ffffff").set("class", "paper"))
}

/// A label; `anchor` is `start`, `middle` or `end`.
pub(crate) fn label(content: impl Into<String>, at: (f64, f64), anchor: &str, size: u32, colour: &str) -> Text {
    Text::new(content)
        .set("x", round(at.0))
        .set("y", round(at.1))
        .set("text-anchor", anchor)
        .set("font-size", size)
        .set("fill", colour)
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
pub(crate) fn line(from: (f64, f64), to: (f64, f64), colour: &str) -> Line {
    Line::new()
        .set("x1", round(from.0))
        .set("y1", round(from.1))
        .set("x2", round(to.0))
        .set("y2", round(to.1))
        .set("stroke", colour)
}

/// Pixels to two decimals, so that the last bits of a float never reach the file.
pub(crate) fn round(pixels: f64) -> f64 {
    (pixels * 100.0).round() / 100.0
}
