//! How many documents have which values: all of them, and those that are kept.

use headwater_record::profile::{Histogram, Scale};
use maud::html;
use svg::Document;
use svg::node::element::{Group, Path, Rectangle};

use super::Figure;
use super::axis::Ruler;
use super::frame::{BELOW, HEIGHT, LEFT, RIGHT, TOP, WIDTH, axes, axis_title, capital, paper, rule, tenth, text};
use crate::draw::round;
use crate::numbers::{self, grouped, share, value};

/// How much higher than the highest bin a drawing is, so that the cut's name has its place.
const HEADROOM: f64 = 1.12;

/// A cut and how sure it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// The value of the last document kept.
    pub(crate) value: f64,
    /// Its standard error.
    pub(crate) stderr: Option<f64>,
}

/// Draws the distribution of what documents are ranked by, with the cut.
pub(crate) fn distribution(histogram: &Histogram, cut: Option<Cut>, of: &str) -> Figure {
    let highest = histogram.all.iter().copied().max().unwrap_or(0) as f64;
    let (x, y) = rulers(histogram, highest);
    let (all, kept): (u64, u64) = (histogram.all.iter().sum(), histogram.kept.iter().sum());
    if all == 0 {
        return Figure::of_nothing(format!("{} of documents", capital(&histogram.axis.title)));
    }
    let what = axis_title(&histogram.axis);
    let mut words =
        format!("Of {} ranked documents of {of}, {} are kept ({}).", grouped(all), grouped(kept), share(kept, all));
    words += &median(&histogram.edges, &histogram.all)
        .map_or_else(String::new, |at| format!(" Half of all lie above {}.", value(at)));
    if let Some(cut) = cut {
        words += &format!(" The cut is at {}.", numbers::cut(cut.value, cut.stderr));
    }
    let with_cut_named = if cut.is_some() { ", with the cut" } else { "" };
    let title = format!("{} of documents{with_cut_named}", capital(&histogram.axis.title));
    let mut picture = axes(paper(HEIGHT, &title, &words), (&x, &y), (&what, "documents a bin"), HEIGHT);
    let heights = |counts: &[u64]| counts.iter().map(|count| *count as f64).collect::<Vec<_>>();
    picture = picture
        .add(outline(&histogram.edges, &heights(&histogram.all), (&x, &y)).set("class", "all"))
        .add(outline(&histogram.edges, &heights(&histogram.kept), (&x, &y)).set("class", "kept"));
    if let Some(cut) = cut {
        picture = with_cut(picture, cut, &x).add(tried());
    }
    Figure { title, caption: None, drawing: legend(picture).to_string(), class: "histogram" }
}

/// Where a value is in the picture of a distribution, in pixels from the left.
pub(crate) fn place(histogram: &Histogram, value: f64) -> f64 {
    tenth(rulers(histogram, 0.0).0.at(value))
}

/// A second cut, which the script of the page moves and shows.
fn tried() -> Group {
    let bottom = HEIGHT - BELOW;
    let mark = Group::new().set("class", "tried").set("visibility", "hidden");
    mark.add(rule((0.0, TOP - 4.0), (0.0, bottom), "tried")).add(text("tried", (5.0, TOP + 24.0), "tried"))
}

/// Draws what is kept against everything, each as shares of its own documents.
pub(crate) fn against_all(histogram: &Histogram, of: &str) -> Figure {
    let shares = |counts: &[u64]| {
        let total = counts.iter().sum::<u64>().max(1) as f64;
        counts.iter().map(|count| 100.0 * *count as f64 / total).collect::<Vec<_>>()
    };
    let title = format!("Kept against all by {}", histogram.axis.title);
    if histogram.all.iter().all(|count| *count == 0) {
        return Figure::of_nothing(title);
    }
    let (all, kept) = (shares(&histogram.all), shares(&histogram.kept));
    let highest = all.iter().chain(&kept).copied().fold(0.0, f64::max);
    let (x, y) = rulers(histogram, highest);
    let what = axis_title(&histogram.axis);
    let middle = |counts| median(&histogram.edges, counts).map_or_else(|| "none".to_owned(), value);
    let medians = (middle(&histogram.all), middle(&histogram.kept));
    let unit = if histogram.axis.unit.is_empty() { "" } else { " " }.to_owned() + &histogram.axis.unit;
    let words = format!(
        "Shares of documents of {of} by {what}. The median of all is {}{unit}, that of the kept is {}{unit}.",
        medians.0, medians.1
    );
    let picture = axes(paper(HEIGHT, &title, &words), (&x, &y), (&what, "share of documents (% a bin)"), HEIGHT)
        .add(outline(&histogram.edges, &all, (&x, &y)).set("class", "all"))
        .add(outline(&histogram.edges, &kept, (&x, &y)).set("class", "kept"));
    let caption = html! { "median of all " b { (medians.0) } ", of kept " b { (medians.1) } (unit) };
    Figure { title, caption: Some(caption), drawing: legend(picture).to_string(), class: "histogram" }
}

/// The value that half of the documents lie below, as if each bin were filled evenly; `None` without documents.
pub(crate) fn median(edges: &[f64], counts: &[u64]) -> Option<f64> {
    let half = counts.iter().sum::<u64>() as f64 / 2.0;
    let mut before = 0.0;
    for (edge, count) in edges.windows(2).zip(counts) {
        let count = *count as f64;
        if count > 0.0 && before + count >= half {
            return Some(edge[0] + (edge[1] - edge[0]) * (half - before) / count);
        }
        before += count;
    }
    None
}

fn rulers(histogram: &Histogram, highest: f64) -> (Ruler, Ruler) {
    let ends = (histogram.edges.first().copied(), histogram.edges.last().copied());
    let ends = (ends.0.unwrap_or(0.0), ends.1.unwrap_or(1.0));
    let x = Ruler::new(ends, histogram.axis.scale, (LEFT, WIDTH - RIGHT));
    (x, Ruler::new((0.0, HEADROOM * highest.max(f64::MIN_POSITIVE)), Scale::Linear, (HEIGHT - BELOW, TOP)))
}

/// The outline of the bins as one path, closed along the axis; where nothing is to be seen it is interrupted.
fn outline(edges: &[f64], heights: &[f64], (x, y): (&Ruler, &Ruler)) -> Path {
    let floor = tenth(y.at(0.0));
    let (mut path, mut last) = (String::new(), floor);
    for (edge, height) in edges.windows(2).zip(heights) {
        let upward = tenth(y.at(*height));
        if last == floor && upward != floor {
            path += &format!("M{} {floor}", tenth(x.at(edge[0])));
        }
        if upward != last {
            path += &format!("V{upward}");
        }
        if upward != floor {
            path += &format!("H{}", tenth(x.at(edge[1])));
        } else if last != floor {
            path.push('Z');
        }
        last = upward;
    }
    if last != floor {
        path += &format!("V{floor}Z");
    }
    Path::new().set("d", path)
}

/// The cut as a line, its standard error as a band around it, both named.
fn with_cut(mut picture: Document, cut: Cut, x: &Ruler) -> Document {
    let (at, bottom) = (x.at(cut.value), HEIGHT - BELOW);
    if let Some(stderr) = cut.stderr.filter(|stderr| stderr.is_finite()) {
        let (from, to) = (x.at(cut.value - stderr), x.at(cut.value + stderr));
        let band = Rectangle::new()
            .set("x", round(from))
            .set("y", TOP)
            .set("width", round((to - from).max(1.0)))
            .set("height", bottom - TOP)
            .set("class", "band");
        picture = picture.add(band);
    }
    let is_left = at > f64::midpoint(LEFT, WIDTH);
    let (label_at, class) = if is_left { (at - 5.0, "cut end") } else { (at + 5.0, "cut") };
    let name = if x.holds(cut.value) { "cut" } else { "cut beyond, at" };
    picture.add(rule((at, TOP - 4.0), (at, bottom), "cut")).add(text(
        format!("{name} {}", numbers::cut(cut.value, cut.stderr)),
        (label_at, TOP + 8.0),
        class,
    ))
}

fn legend(picture: Document) -> Document {
    let swatch = |at: f64, class: &'static str| {
        Rectangle::new().set("x", at).set("y", 4).set("width", 12).set("height", 8).set("class", class)
    };
    picture
        .add(swatch(WIDTH - 116.0, "all"))
        .add(text("all", (WIDTH - 100.0, 11.5), "key"))
        .add(swatch(WIDTH - 68.0, "kept"))
        .add(text("kept", (WIDTH - 52.0, 11.5), "key"))
}

#[cfg(test)]
mod tests {
    use headwater_record::profile::Axis;

    use super::*;

    fn histogram() -> Histogram {
        let axis = Axis { title: "influence".to_owned(), unit: String::new(), scale: Scale::Linear };
        Histogram { axis, edges: vec![0.0, 1.0, 2.0, 3.0, 4.0], all: vec![4, 0, 4, 8], kept: vec![0, 0, 0, 8] }
    }

    #[test]
    fn medians_divide_bins() {
        assert_eq!(median(&[0.0, 1.0, 2.0], &[1, 3]), Some(1.0 + 1.0 / 3.0));
        assert_eq!(median(&[0.0, 1.0], &[0]), None);
    }

    #[test]
    fn the_cut_is_named_with_its_error_and_words_say_the_same() {
        let drawn = distribution(&histogram(), Some(Cut { value: 3.0, stderr: Some(0.25) }), "a <b>").drawing;
        assert!(drawn.contains("cut 3.00 ± 0.25") && drawn.contains("The cut is at 3.00 ± 0.25."));
        assert!(drawn.contains("Of 16 ranked documents of a &lt;b&gt;, 8 are kept (50.0\u{a0}%)."), "{drawn}");
        assert!(drawn.contains("class=\"band\""));
        let beyond = distribution(&histogram(), Some(Cut { value: 9.0, stderr: None }), "d").drawing;
        assert!(beyond.contains("cut beyond, at 9.000 ± ?") && !beyond.contains("class=\"band\""));
    }

    #[test]
    fn outlines_leave_gaps_where_nothing_is() {
        let drawn = distribution(&histogram(), None, "d").drawing;
        let path = drawn.split("class=\"all\" d=\"").nth(1).and_then(|rest| rest.split('"').next());
        assert_eq!(path.map(|path| (path.matches('M').count(), path.matches('Z').count())), Some((2, 2)), "{drawn}");
    }

    #[test]
    fn without_documents_there_are_no_axes() {
        let nothing = Histogram { all: vec![0; 4], kept: vec![0; 4], ..histogram() };
        for figure in [distribution(&nothing, None, "d"), against_all(&nothing, "d")] {
            let shown = figure.markup().into_string();
            assert!(shown.contains("nothing to draw") && !shown.contains("<svg"), "{shown}");
        }
    }

    #[test]
    fn shares_are_of_their_own_documents() {
        let figure = against_all(&histogram(), "d");
        assert!(
            figure.drawing.contains("The median of all is 3.000, that of the kept is 3.500."),
            "{}",
            figure.drawing
        );
    }
}
