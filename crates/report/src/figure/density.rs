//! How many documents have which pairs of values, as shaded cells with the median of every column.

use headwater_record::profile::{Density, Scale};
use maud::html;
use svg::Document;
use svg::node::element::{Path, Polyline, Rectangle};

use super::Figure;
use super::axis::Ruler;
use super::frame::{BELOW, HEIGHT, LEFT, RIGHT, TOP, WIDTH, axes, axis_title, capital, paper, tenth, text};
use super::histogram::median;
use crate::numbers::{correlation, grouped, short, value};

/// Shades of cells, by the logarithm of their documents.
const SHADES: [&str; 7] = ["d1", "d2", "d3", "d4", "d5", "d6", "d7"];

/// Boxes of a drawing: bounds its size, independent of the counts.
const MOST_BOXES: usize = 1_000;

/// Share of the documents that a column must have for its median to be drawn.
const LEAST_OF_COLUMN: f64 = 0.002;

/// Draws one quantity against another. A grid that falls into too many pieces is drawn coarser.
pub(crate) fn density(density: &Density, of: &str) -> Figure {
    if boxes(density) > MOST_BOXES {
        return self::density(&coarser(density), of);
    }
    let title = format!("{} against {}", capital(&density.y.title), density.x.title);
    if most(density) == 0 {
        return Figure::of_nothing(title);
    }
    let ends = |edges: &[f64]| (edges.first().copied().unwrap_or(0.0), edges.last().copied().unwrap_or(1.0));
    let x = Ruler::new(ends(&density.x_edges), density.x.scale, (LEFT, WIDTH - RIGHT));
    let y = Ruler::new(ends(&density.y_edges), density.y.scale, (HEIGHT - BELOW, TOP));
    let (across, upward) = (axis_title(&density.x), axis_title(&density.y));
    let words = format!("{across} to the right, {upward} upward, for {of}. {}", in_words(density));
    let mut picture = axes(paper(HEIGHT, &title, &words), (&x, &y), (&across, &upward), HEIGHT);
    let most = most(density);
    for (shade, path) in SHADES.iter().zip(shaded(density, (&x, &y), most)) {
        if !path.is_empty() {
            picture = picture.add(Path::new().set("d", path).set("class", *shade));
        }
    }
    let line: Vec<String> =
        medians(density).iter().map(|(right, up)| format!("{} {}", tenth(x.at(*right)), tenth(y.at(*up)))).collect();
    for class in ["halo", "median"] {
        picture = picture.add(Polyline::new().set("points", line.join(" ")).set("class", class));
    }
    if let Some((right, up)) = medians(density).last() {
        picture = picture.add(text("median", (x.at(*right).min(WIDTH - RIGHT - 4.0), y.at(*up) - 6.0), "median end"));
    }
    let caption = html! { "R² " b { (correlation(density.r2)) } ", Spearman " b { (correlation(density.spearman)) } };
    Figure { title, caption: Some(caption), drawing: legend(picture, most).to_string(), class: "density" }
}

/// How the medians of the columns run, in words.
fn medians_in_words(density: &Density) -> String {
    let medians = medians(density);
    let ends = medians.first().zip(medians.last());
    ends.map_or_else(String::new, |(from, to)| {
        format!("the median goes from {} at {} to {} at {}", value(from.1), value(from.0), value(to.1), value(to.0))
    })
}

fn in_words(density: &Density) -> String {
    let documents = density.counts.iter().flatten().sum();
    let medians = medians_in_words(density);
    let medians = if medians.is_empty() { medians } else { format!("; {medians}") };
    format!(
        "{} documents{medians}; R² {}, Spearman correlation {}.",
        grouped(documents),
        correlation(density.r2),
        correlation(density.spearman)
    )
}

/// For each column with enough documents its middle and the median upward.
fn medians(density: &Density) -> Vec<(f64, f64)> {
    let total: u64 = density.counts.iter().flatten().sum();
    let column = |(at, edges): (usize, &[f64])| {
        let counts: Vec<u64> = density.counts.iter().map(|row| row.get(at).copied().unwrap_or(0)).collect();
        let documents: u64 = counts.iter().sum();
        let is_enough = documents as f64 >= (LEAST_OF_COLUMN * total as f64).max(4.0);
        let middle = match density.x.scale {
            Scale::Log if edges[0] > 0.0 => (edges[0] * edges[1]).sqrt(),
            _ => f64::midpoint(edges[0], edges[1]),
        };
        is_enough.then(|| median(&density.y_edges, &counts).map(|up| (middle, up))).flatten()
    };
    density.x_edges.windows(2).enumerate().filter_map(column).collect()
}

/// A path for each shade. Cells beside each other that have the same shade are one box, empty ones are left out.
fn shaded(density: &Density, (x, y): (&Ruler, &Ruler), most: u64) -> [String; SHADES.len()] {
    let mut paths = [const { String::new() }; SHADES.len()];
    let right: Vec<f64> = density.x_edges.iter().map(|edge| tenth(x.at(*edge))).collect();
    for (row, edges) in density.counts.iter().zip(density.y_edges.windows(2)) {
        let (low, high) = (tenth(y.at(edges[0])), tenth(y.at(edges[1])));
        let shades: Vec<Option<usize>> =
            row.iter().zip(right.windows(2)).map(|(count, _)| shade(*count, most)).collect();
        let mut from = 0;
        for run in shades.chunk_by(|one, next| one == next) {
            let to = from + run.len();
            if let Some(shade) = run.first().copied().flatten() {
                paths[shade] += &format!("M{} {high}H{}V{low}H{}Z", right[from], right[to], right[from]);
            }
            from = to;
        }
    }
    paths
}

/// Boxes that the cells need.
fn boxes(density: &Density) -> usize {
    let most = most(density);
    let of_row = |row: &Vec<u64>| {
        row.chunk_by(|one, next| shade(*one, most) == shade(*next, most)).filter(|run| run[0] > 0).count()
    };
    density.counts.iter().map(of_row).sum()
}

/// The same with two columns and two rows in one.
fn coarser(density: &Density) -> Density {
    let every_other = |edges: &[f64]| -> Vec<f64> {
        let inner = edges.iter().take(edges.len().saturating_sub(1)).step_by(2);
        inner.chain(edges.last()).copied().collect()
    };
    let columns = |rows: &[Vec<u64>]| -> Vec<u64> {
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |at: usize| rows.iter().flat_map(|row| row.iter().skip(at).take(2)).sum();
        (0..width).step_by(2).map(cell).collect()
    };
    Density {
        x_edges: every_other(&density.x_edges),
        y_edges: every_other(&density.y_edges),
        counts: density.counts.chunks(2).map(columns).collect(),
        ..density.clone()
    }
}

fn most(density: &Density) -> u64 {
    density.counts.iter().flatten().copied().max().unwrap_or(0)
}

/// Which of [`SHADES`] a cell has; `None` if it is empty.
fn shade(count: u64, most: u64) -> Option<usize> {
    let share = (count as f64).ln_1p() / (most as f64).ln_1p();
    let above = |step: &usize| share > *step as f64 / SHADES.len() as f64;
    (count > 0).then(|| (1..SHADES.len()).filter(above).count())
}

fn legend(mut picture: Document, most: u64) -> Document {
    let right = WIDTH - RIGHT;
    let most = if most < 10_000 { grouped(most) } else { short(most as f64) };
    let from = right - 6.2 * most.chars().count() as f64 - 4.0 - 10.0 * SHADES.len() as f64;
    for (at, shade) in SHADES.iter().enumerate() {
        let swatch =
            Rectangle::new().set("x", tenth(from + 10.0 * at as f64)).set("y", 4).set("width", 10).set("height", 8);
        picture = picture.add(swatch.set("class", *shade));
    }
    picture.add(text("documents a cell: 1", (from - 4.0, 11.5), "key end")).add(text(most, (right, 11.5), "key end"))
}

#[cfg(test)]
mod tests {
    use headwater_record::profile::Axis;

    use super::*;

    fn grid(cells: usize, count: fn(usize, usize) -> u64) -> Density {
        let axis = |title: &str| Axis { title: title.to_owned(), unit: String::new(), scale: Scale::Linear };
        let edges: Vec<f64> = (0..=cells).map(|at| at as f64).collect();
        Density {
            x: axis("loss"),
            y: axis("influence"),
            x_edges: edges.clone(),
            y_edges: edges,
            counts: (0..cells).map(|row| (0..cells).map(|column| count(row, column)).collect()).collect(),
            r2: 0.5,
            spearman: f64::NAN,
        }
    }

    #[test]
    fn like_cells_are_one_box_and_empty_ones_none() {
        let drawn = density(&grid(4, |row, column| if row == 0 { 0 } else { 9 * u64::from(column > 1) }), "d").drawing;
        let boxes = drawn.split("class=\"d7\" d=\"").nth(1).and_then(|rest| rest.split('"').next());
        assert_eq!(boxes.map(|path| path.matches('M').count()), Some(3), "{drawn}");
        assert!(!drawn.contains("class=\"d1\" d="));
    }

    #[test]
    fn noise_is_drawn_coarser_and_nothing_is_lost() {
        let noise = grid(301, |row, column| (row * 7919 + column * 104_729) as u64 % 1000);
        let all: u64 = noise.counts.iter().flatten().sum();
        let drawn = density(&noise, "d").drawing;
        assert!(drawn.len() < 30_000, "{}", drawn.len());
        assert!(drawn.contains(&format!("{} documents", grouped(all))));
    }

    #[test]
    fn words_follow_the_medians() {
        let drawn = density(&grid(4, |row, column| 50 * u64::from(row == 3 - column)), "trade").drawing;
        assert!(drawn.contains("the median goes from 3.500 at 0.5000 to 0.5000 at 3.500; R² 0.500"), "{drawn}");
    }
}
