//! Several lines in one drawing, told apart by colour and dashes, with a legend.

use headwater_record::profile::Axis;
use svg::node::element::{Polyline, Rectangle};

use super::Figure;
use super::axis::Ruler;
use super::frame::{BELOW, HEIGHT, LEFT, RIGHT, TOP, WIDTH, axes, axis_title, paper, rule, shortened, tenth, text};
use super::points::range;
use crate::draw::CURVES;
use crate::escape;
use crate::numbers::value;

/// Height of a line of the legend.
const ROW: f64 = 16.0;

/// Lines that are drawn: as many as are told apart.
pub(crate) const MOST_LINES: usize = CURVES.len();

/// A line through (right, up).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NamedLine {
    /// Its name; may be foreign.
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Draws lines from zero on, as many as are told apart; to the right of `shaded_from` the drawing is shaded.
pub(crate) fn lines(title: &str, (x, y): (&Axis, &Axis), of: &[NamedLine], shaded_from: Option<f64>) -> Figure {
    let shown = &of[..of.len().min(MOST_LINES)];
    let points = || shown.iter().flat_map(|line| &line.points);
    let sides = range(points().map(|point| point.0)).zip(range(points().map(|point| point.1)));
    let Some(((_, right), (low, high))) = sides else { return Figure::of_nothing(title.to_owned()) };
    let across = Ruler::new((0.0, right), x.scale, (LEFT, WIDTH - RIGHT));
    let upward = Ruler::new((low, high), y.scale, (HEIGHT - BELOW, TOP));
    let titles = (axis_title(x), axis_title(y));
    let ends = |line: &NamedLine| {
        let end = |point: Option<&(f64, f64)>| point.map_or_else(String::new, |point| value(point.1));
        format!("{} from {} to {}", escape::name(&line.name), end(line.points.first()), end(line.points.last()))
    };
    let words: Vec<String> = shown.iter().map(ends).collect();
    let height = HEIGHT + ROW * shown.len() as f64;
    let mut picture = paper(height, title, &format!("{}: {}.", titles.1, words.join("; ")));
    if let Some(from) = shaded_from {
        let shade = Rectangle::new()
            .set("x", tenth(across.at(from)))
            .set("y", TOP)
            .set("width", tenth(WIDTH - RIGHT - across.at(from)))
            .set("height", HEIGHT - BELOW - TOP)
            .set("class", "floor");
        picture = picture.add(shade).add(text("decay", (across.at(from) + 4.0, TOP + 12.0), "name"));
    }
    picture = axes(picture, (&across, &upward), (&titles.0, &titles.1), HEIGHT);
    for (at, (line, (colour, dashes))) in shown.iter().zip(CURVES).enumerate() {
        let place = |(right, up): &(f64, f64)| format!("{} {}", tenth(across.at(*right)), tenth(upward.at(*up)));
        let joined: Vec<String> = line.points.iter().map(place).collect();
        let drawn = Polyline::new()
            .set("points", joined.join(" "))
            .set("fill", "none")
            .set("stroke", colour.light)
            .set("class", colour.class)
            .set("stroke-width", 1.6)
            .set("stroke-dasharray", dashes);
        let key = HEIGHT + ROW * at as f64 + 4.0;
        let swatch = rule((LEFT, key), (LEFT + 26.0, key), colour.class)
            .set("stroke", colour.light)
            .set("stroke-width", 1.6)
            .set("stroke-dasharray", dashes);
        picture = picture.add(drawn).add(swatch).add(text(shortened(&line.name, 48), (LEFT + 32.0, key + 3.5), "name"));
    }
    Figure { title: title.to_owned(), caption: None, drawing: picture.to_string(), class: "lines" }
}

#[cfg(test)]
mod tests {
    use headwater_record::profile::Scale;

    use super::*;

    #[test]
    fn a_legend_names_every_line_and_the_decay_is_shaded() {
        let axis = |title: &str| Axis { title: title.to_owned(), unit: String::new(), scale: Scale::Linear };
        let line = |name: &str, end: f64| NamedLine { name: name.to_owned(), points: vec![(0.0, 3.0), (1.0, end)] };
        let of = [line("random", 2.0), line("a <b>", 2.5)];
        let drawn = lines("t", (&axis("share"), &axis("loss")), &of, Some(0.8)).drawing;
        assert_eq!((drawn.matches("<polyline").count(), drawn.matches("class=\"floor\"").count()), (2, 1));
        assert!(drawn.contains("loss: random from 3.000 to 2.000; a &lt;b&gt; from 3.000 to 2.500."), "{drawn}");
        assert!(lines("t", (&axis("x"), &axis("y")), &[], None).drawing.is_empty());
    }
}
