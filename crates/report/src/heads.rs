//! `heads.svg`: the retrieval score of every head, and the masked heads.

use headwater_record::heads::{HeadSearch, HeadsFile, Rule};
use svg::Document;
use svg::node::element::{Group, Rectangle, Title};

use crate::draw::{INK, MUTED, alone, filled, label, line, page, round};
use crate::numbers::grouped;

/// Light to dark, monotone in lightness, so that it reads without colour vision and in print.
const SCALE: [(f64, f64, f64); 5] =
    [(247.0, 250.0, 252.0), (190.0, 219.0, 236.0), (107.0, 174.0, 214.0), (33.0, 113.0, 181.0), (8.0, 48.0, 107.0)];
/// Outline of the masked heads: far from every colour of [`SCALE`].
const OUTLINE: &str = "#d9480f";
const LEFT: f64 = 64.0;
const TOP: f64 = 76.0;
const WIDTH: f64 = 800.0;
/// Heads that the description names.
const NAMED: usize = 40;
const LEGEND: f64 = 96.0;

/// Draws retrieval scores as a heat map, a row a layer and a column a head, with the head set outlined.
///
/// A pinned set without scores is drawn on an empty grid just large enough for it.
///
/// # Units
/// Retrieval score: share of a probe's answer tokens that a head copies, in `[0, 1]`; the scale ends at the highest.
#[must_use]
pub fn heads_svg(file: &HeadsFile) -> String {
    alone(heads_picture(file))
}

/// The same without a style of its own.
pub(crate) fn heads_picture(file: &HeadsFile) -> Document {
    let none = Vec::new();
    let scores = file.search.as_ref().map_or(&none, |search| &search.scores);
    let set = file.heads.as_slice();
    let layers = set.iter().map(|id| usize::from(id.layer) + 1).chain([scores.len(), 1]).max().unwrap_or(1);
    let widest = scores.iter().map(Vec::len);
    let heads = set.iter().map(|id| usize::from(id.head) + 1).chain(widest).max().unwrap_or(1).max(1);
    let cell = ((WIDTH - LEFT - LEGEND - 24.0) / heads as f64, (720.0 / layers as f64).clamp(10.0, 22.0));
    let highest = scores.iter().flatten().copied().filter(|score| score.is_finite()).fold(0.0, f64::max);
    let height = TOP + cell.1 * layers as f64 + 62.0;

    let mut picture =
        page((WIDTH, height.max(TOP + 260.0)), "Retrieval heads", &in_words(file, (layers, heads), highest))
            .add(label("Retrieval score of every head", (LEFT, 28.0), "start", 18, INK).set("font-weight", 600))
            .add(label(caption(file), (LEFT, 50.0), "start", 12, MUTED));
    let mut cells = Group::new().set("class", "p-heat");
    for layer in 0..layers {
        for head in 0..heads {
            let score = scores.get(layer).and_then(|row| row.get(head)).copied();
            let at = (LEFT + cell.0 * head as f64, TOP + cell.1 * layer as f64);
            let shown = score.map_or_else(|| "no score".to_owned(), |score| format!("{score:.3}"));
            let square =
                filled(at, (cell.0 - 1.0, cell.1 - 1.0), &score.map_or("#eeeeee".into(), |s| shade(s, highest)));
            cells = cells.add(square.add(Title::new(format!("layer {layer}, head {head}: {shown}"))));
        }
    }
    picture = picture.add(cells);
    for id in set {
        let at = (LEFT + cell.0 * f64::from(id.head), TOP + cell.1 * f64::from(id.layer));
        picture = picture.add(outline(at, (cell.0 - 1.0, cell.1 - 1.0)));
    }
    let picture = axes(picture, (layers, heads), cell);
    legend(picture, if scores.is_empty() { None } else { Some(highest) })
}

/// The frame of a masked head.
fn outline(at: (f64, f64), size: (f64, f64)) -> Rectangle {
    filled(at, size, "none").set("stroke", OUTLINE).set("stroke-width", 2.5).set("class", "p-masked")
}

/// What the picture shows, for who cannot see it; the set by layer and head, as far as it is short.
fn in_words(file: &HeadsFile, (layers, heads): (usize, usize), highest: f64) -> String {
    let set = file.heads.as_slice();
    let named: Vec<String> = set.iter().take(NAMED).map(|id| format!("layer {} head {}", id.layer, id.head)).collect();
    let more = if set.len() > NAMED { format!(" and {} more", set.len() - NAMED) } else { String::new() };
    let scores =
        if file.search.is_some() { format!(", retrieval scores from 0 to {highest:.2}") } else { String::new() };
    format!("{layers} layers with {heads} heads each{scores}. Masked: {}{more}.", named.join(", "))
}

fn caption(file: &HeadsFile) -> String {
    let model =
        file.weights.as_ref().map_or_else(|| "any model".to_owned(), |hash| format!("weights {}", hash.short(12)));
    let search = |search: &HeadSearch| {
        let rule = match search.rule {
            Rule::NeedleSpan => "needle-span",
            Rule::Visible => "visible",
        };
        let (probes, tokens) = (grouped(search.probes as u64), grouped(search.context_tokens as u64));
        format!("{probes} probes of {tokens} tokens, rule {rule}, seed {}", search.seed)
    };
    let found = file.search.as_ref().map_or_else(|| "pinned set".to_owned(), search);
    format!("{model} · {found} · {} heads masked", file.heads.as_slice().len())
}

fn shade(score: f64, highest: f64) -> String {
    let share = if highest > 0.0 { (score / highest).clamp(0.0, 1.0) } else { 0.0 };
    let place = share * 4.0;
    let pair = SCALE.windows(2).enumerate().find(|(index, _)| place <= *index as f64 + 1.0);
    let Some((index, [low, high])) = pair.map(|(index, pair)| (index, [pair[0], pair[1]])) else {
        return "#eeeeee".to_owned();
    };
    let mix = |from: f64, to: f64| (from + (to - from) * (place - index as f64)).round();
    format!("rgb({},{},{})", mix(low.0, high.0), mix(low.1, high.1), mix(low.2, high.2))
}

fn axes(mut picture: Document, (layers, heads): (usize, usize), cell: (f64, f64)) -> Document {
    let bottom = TOP + cell.1 * layers as f64;
    for layer in (0..layers).step_by(layers.div_ceil(40)) {
        let y = TOP + cell.1 * (layer as f64 + 0.5) + 4.0;
        picture = picture.add(label(layer.to_string(), (LEFT - 8.0, y), "end", 11, MUTED));
    }
    for head in (0..heads).step_by(heads.div_ceil(20)) {
        let x = LEFT + cell.0 * (head as f64 + 0.5);
        picture = picture.add(label(head.to_string(), (x, bottom + 16.0), "middle", 11, MUTED));
    }
    let middle = round(f64::midpoint(TOP, bottom));
    picture
        .add(label("head", (LEFT + cell.0 * heads as f64 / 2.0, bottom + 38.0), "middle", 13, INK))
        .add(label("layer", (20.0, middle), "middle", 13, INK).set("transform", format!("rotate(-90 20 {middle})")))
}

fn legend(mut picture: Document, highest: Option<f64>) -> Document {
    let x = WIDTH - LEGEND;
    if let Some(highest) = highest {
        let mut bars = Group::new().set("class", "p-heat");
        for step in 0..50_u32 {
            let share = f64::from(49 - step) / 49.0;
            bars = bars.add(filled((x, TOP + 16.0 + 3.0 * f64::from(step)), (16.0, 3.2), &shade(share, 1.0)));
        }
        picture = picture.add(bars);
        picture = picture.add(label("score", (x, TOP + 6.0), "start", 12, INK));
        for (share, y) in [(1.0, 20.0), (0.5, 95.0), (0.0, 168.0)] {
            let tick = line((x + 16.0, TOP + y - 4.0), (x + 20.0, TOP + y - 4.0), MUTED);
            let value = label(format!("{:.2}", highest * share), (x + 24.0, TOP + y), "start", 11, MUTED);
            picture = picture.add(tick).add(value);
        }
    }
    picture.add(outline((x + 1.0, TOP + 188.0), (14.0, 14.0))).add(label(
        "masked",
        (x + 24.0, TOP + 200.0),
        "start",
        12,
        INK,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(json: &str) -> HeadsFile {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn every_head_is_drawn_and_the_set_outlined() {
        let drawn = heads_svg(&file(
            r#"{"heads": [[1, 0]], "search": {"probes": 4, "shots": 3, "context_tokens": 64, "fraction": 0.25,
            "rule": "visible", "sentences": "bundled", "seed": 9, "reachable": 0.9, "scores": [[0.0, 0.1], [0.8, 0.2]]}}"#,
        ));
        assert!(drawn.contains("layer 1, head 0: 0.800") && drawn.contains("seed 9"));
        assert_eq!(drawn.matches(", head ").count(), 4);
        assert!(drawn.contains("2 layers with 2 heads each, retrieval scores from 0 to 0.80. Masked: layer 1 head 0."));
        assert_eq!(drawn.matches(OUTLINE).count(), 2, "one head and the key");
    }

    #[test]
    fn a_pinned_set_needs_no_scores() {
        let drawn = heads_svg(&file(r#"{"heads": [[2, 1]]}"#));
        assert!(drawn.contains("pinned set") && drawn.contains("layer 2, head 1: no score"));
    }

    #[test]
    fn shades_darken_with_the_score() {
        assert_eq!(shade(0.0, 1.0), "rgb(247,250,252)");
        assert_eq!(shade(1.0, 1.0), "rgb(8,48,107)");
        assert_eq!(shade(0.0, 0.0), "rgb(247,250,252)");
    }
}
