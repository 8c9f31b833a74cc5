//! Points, one for each of a few hundred documents, or joined to a line.

use headwater_record::profile::{Axis, Scale};
use svg::node::element::{Circle, Polyline};

use super::Figure;
use super::axis::Ruler;
use super::frame::{BELOW, HEIGHT, LEFT, RIGHT, TOP, WIDTH, axes, axis_title, paper, rule, tenth};
use crate::numbers::value;

/// Points that are drawn, at most: further ones would hide each other.
const MOST_POINTS: usize = 600;

/// A point: to the right, upward.
pub(crate) type Point = (f64, f64);

/// Draws points beside the line on which both values are equal.
pub(crate) fn scatter(title: &str, (x, y): (&Axis, &Axis), points: &[Point]) -> Figure {
    let Some((from, to)) = range(points.iter().flat_map(|(right, up)| [*right, *up])) else {
        return Figure::of_nothing(title.to_owned());
    };
    let across = Ruler::new((from, to), Scale::Linear, (LEFT, WIDTH - RIGHT));
    let upward = Ruler::new((from, to), Scale::Linear, (HEIGHT - BELOW, TOP));
    let titles = (axis_title(x), axis_title(y));
    let words = format!("{} documents: {} to the right, {} upward.", points.len(), titles.0, titles.1);
    let mut picture = axes(paper(HEIGHT, title, &words), (&across, &upward), (&titles.0, &titles.1), HEIGHT).add(rule(
        (across.at(from), upward.at(from)),
        (across.at(to), upward.at(to)),
        "equal",
    ));
    for (right, up) in points.iter().step_by(points.len().div_ceil(MOST_POINTS).max(1)) {
        let dot = Circle::new().set("cx", tenth(across.at(*right))).set("cy", tenth(upward.at(*up))).set("r", 2);
        picture = picture.add(dot.set("class", "dot"));
    }
    Figure { title: title.to_owned(), caption: None, drawing: picture.to_string(), class: "points" }
}

/// Draws a line through points.
pub(crate) fn line(title: &str, (x, y): (&Axis, &Axis), points: &[Point]) -> Figure {
    let sides = range(points.iter().map(|point| point.0)).zip(range(points.iter().map(|point| point.1)));
    let Some(((left, right), (low, high))) = sides else { return Figure::of_nothing(title.to_owned()) };
    let across = Ruler::new((left, right), x.scale, (LEFT, WIDTH - RIGHT));
    let upward = Ruler::new((low, high), Scale::Linear, (HEIGHT - BELOW, TOP));
    let titles = (axis_title(x), axis_title(y));
    let said: Vec<String> = points.iter().map(|(right, up)| format!("{} at {}", value(*up), value(*right))).collect();
    let words = format!("{}: {}.", titles.1, said.join(", "));
    let at: Vec<Point> = points.iter().map(|(right, up)| (across.at(*right), upward.at(*up))).collect();
    let joined: Vec<String> = at.iter().map(|(right, up)| format!("{} {}", tenth(*right), tenth(*up))).collect();
    let mut picture = axes(paper(HEIGHT, title, &words), (&across, &upward), (&titles.0, &titles.1), HEIGHT)
        .add(Polyline::new().set("points", joined.join(" ")).set("class", "median"));
    for (right, up) in at {
        picture =
            picture.add(Circle::new().set("cx", tenth(right)).set("cy", tenth(up)).set("r", 3).set("class", "dot"));
    }
    Figure { title: title.to_owned(), caption: None, drawing: picture.to_string(), class: "points" }
}

/// The least and the greatest of finite values, a little apart; `None` of none.
pub(super) fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let ends = values.filter(|value| value.is_finite()).fold(None, |ends: Option<(f64, f64)>, value| {
        Some(ends.map_or((value, value), |(least, most)| (least.min(value), most.max(value))))
    });
    ends.map(|(least, most)| {
        let room = ((most - least) * 0.05).max(1e-6);
        // a quantity that has no negative values gets no negative ticks
        (if least >= 0.0 { (least - room).max(0.0) } else { least - room }, most + room)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(title: &str) -> Axis {
        Axis { title: title.to_owned(), unit: String::new(), scale: Scale::Linear }
    }

    #[test]
    fn every_point_is_a_dot_up_to_a_limit() {
        let points: Vec<Point> = (0..1_000).map(|at| (f64::from(at), f64::from(at % 7))).collect();
        let dots = |points: &[Point]| {
            scatter("t", (&axis("student"), &axis("teacher")), points).drawing.matches("<circle").count()
        };
        assert_eq!((dots(&points[..50]), dots(&points)), (50, 500));
        let said = scatter("t", (&axis("student"), &axis("teacher")), &points).drawing;
        assert!(said.contains("1000 documents: student to the right, teacher upward."));
    }

    #[test]
    fn a_line_is_said_in_words_and_nothing_is_no_picture() {
        let drawn = line("t", (&axis("labels"), &axis("correlation")), &[(100.0, 0.5), (200.0, 0.75)]).drawing;
        assert!(drawn.contains("correlation: 0.5000 at 100.0, 0.7500 at 200.0."), "{drawn}");
        assert!(line("t", (&axis("x"), &axis("y")), &[]).drawing.is_empty());
        assert!(scatter("t", (&axis("x"), &axis("y")), &[(f64::NAN, f64::NAN)]).drawing.is_empty());
    }
}
