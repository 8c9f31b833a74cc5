//! Numbers with their intervals, one below the other, beside a line at zero.

use headwater_record::profile::{Axis, Scale};
use svg::node::element::{Circle, Rectangle};

use super::Figure;
use super::axis::Ruler;
use super::frame::{BELOW, RIGHT, WIDTH, axis_title, below, paper, rule, shortened, tenth, text};
use crate::escape;
use crate::numbers::signed;

/// Pixels to the left of the intervals.
const LEFT: f64 = 6.0;

/// Height of a name with its interval.
const ROW: f64 = 32.0;

/// Intervals that are drawn; the rest is in tables.
const MOST_ROWS: usize = 24;

/// Characters of a name, which leave room for what stands to its right.
const NAME_CHARACTERS: usize = 30;

/// A named number with its interval.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    /// Its name; may be foreign.
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// What stands to the right of the name.
    pub(crate) said: String,
}

/// Draws numbers with their intervals along one axis. `around_zero` is what is no larger than chance makes it, to both sides of zero.
pub(crate) fn intervals(title: &str, axis: &Axis, of: &[Interval], around_zero: Option<f64>) -> Figure {
    let shown = &of[..of.len().min(MOST_ROWS)];
    let ends = shown.iter().flat_map(|interval| [interval.low, interval.high, interval.value]);
    let widest = ends.chain(around_zero).filter(|end| end.is_finite()).fold(0.0_f64, |most, end| most.max(end.abs()));
    if widest == 0.0 {
        return Figure::of_nothing(title.to_owned());
    }
    let x = Ruler::new((-1.05 * widest, 1.05 * widest), Scale::Linear, (LEFT, WIDTH - RIGHT));
    let bottom = 6.0 + ROW * shown.len() as f64;
    let words = |interval: &Interval| {
        let Interval { name, value, low, high, said } = interval;
        format!("{} {}, {} to {}, {said}", escape::name(name), signed(*value), signed(*low), signed(*high))
    };
    let words: Vec<String> = shown.iter().map(words).collect();
    let mut picture = paper(bottom + BELOW, title, &format!("{}: {}.", axis_title(axis), words.join("; ")));
    if let Some(half) = around_zero {
        let band = Rectangle::new()
            .set("x", tenth(x.at(-half)))
            .set("y", 4)
            .set("width", tenth(x.at(half) - x.at(-half)))
            .set("height", bottom - 4.0)
            .set("class", "floor");
        picture = picture.add(band);
    }
    picture = picture.add(rule((x.at(0.0), 4.0), (x.at(0.0), bottom), "equal"));
    for (at, interval) in shown.iter().enumerate() {
        let top = 6.0 + ROW * at as f64;
        let middle = top + 21.0;
        let (low, high) = (x.at(interval.low), x.at(interval.high));
        picture = picture
            .add(text(shortened(&interval.name, NAME_CHARACTERS), (LEFT, top + 11.0), "name"))
            .add(text(interval.said.as_str(), (WIDTH - RIGHT, top + 11.0), "name end"))
            .add(rule((low, middle), (high, middle), "reach"))
            .add(rule((low, middle - 4.0), (low, middle + 4.0), "reach"))
            .add(rule((high, middle - 4.0), (high, middle + 4.0), "reach"))
            .add(
                Circle::new()
                    .set("cx", tenth(x.at(interval.value)))
                    .set("cy", middle)
                    .set("r", 4)
                    .set("class", "point"),
            );
    }
    let picture = picture.add(below(&x, &axis_title(axis), (LEFT, bottom)));
    Figure { title: title.to_owned(), caption: None, drawing: picture.to_string(), class: "intervals" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interval_is_drawn_and_said() {
        let axis = Axis { title: "difference".to_owned(), unit: "bits per byte".to_owned(), scale: Scale::Linear };
        let of = |name: &str, value: f64| Interval {
            name: name.to_owned(),
            value,
            low: value - 0.01,
            high: value + 0.01,
            said: "worse".to_owned(),
        };
        let drawn = intervals("t", &axis, &[of("a <b>", 0.03), of("c", -0.02)], Some(0.005)).drawing;
        assert_eq!((drawn.matches("class=\"point\"").count(), drawn.matches("class=\"floor\"").count()), (2, 1));
        assert!(drawn.contains("a &lt;b&gt; +0.0300, +0.0200 to +0.0400, worse; c −0.0200"), "{drawn}");
        assert!(intervals("t", &axis, &[], None).drawing.is_empty());
    }
}
