//! Texts of samples: as much of each as the page has room for, with what it repeats marked.

use maud::{Markup, PreEscaped, html};

use crate::escape::{Excerpt, Lines, excerpt};
use crate::numbers::percent;
use crate::repeats::repeats;

/// Characters of a text that are shown, at most.
const MOST_CHARACTERS: usize = 20_000;

/// Bytes of the tags around a stretch that is marked.
const MARK_BYTES: usize = "<mark></mark>".len();

/// Characters and lines that fit the box of a text before it is unfolded.
const FOLDED: (usize, usize) = (600, 10);

/// A text in pieces: those that it repeats, and those between them.
#[derive(Debug)]
pub(super) struct SampleText<'a> {
    pieces: Vec<Piece<'a>>,
    /// Bytes that the whole text would take, escaped.
    pub(super) bytes: usize,
}

#[derive(Debug)]
struct Piece<'a> {
    text: &'a str,
    is_repeated: bool,
}

impl<'a> SampleText<'a> {
    /// Finds what a text repeats.
    pub(super) fn of(text: &'a str) -> Self {
        let text = text.char_indices().nth(MOST_CHARACTERS).map_or(text, |(end, _)| &text[..end]);
        let (mut pieces, mut end) = (Vec::new(), 0);
        for stretch in repeats(text) {
            pieces.push(Piece { text: &text[end..stretch.start], is_repeated: false });
            end = stretch.end;
            pieces.push(Piece { text: &text[stretch], is_repeated: true });
        }
        pieces.push(Piece { text: &text[end..], is_repeated: false });
        pieces.retain(|piece| !piece.text.is_empty());
        let bytes = pieces.iter().map(|piece| piece.shown(usize::MAX).1).sum();
        Self { pieces, bytes }
    }

    /// The share of it that stood before.
    pub(super) fn repeated(&self) -> f64 {
        let characters = |piece: &Piece<'_>| piece.text.chars().count() as f64;
        let repeated: f64 = self.pieces.iter().filter(|piece| piece.is_repeated).map(characters).sum();
        repeated / self.pieces.iter().map(characters).sum::<f64>().max(1.0)
    }

    /// As much of it as takes `bytes`; whether more is known to follow.
    pub(super) fn markup(&self, bytes: usize, is_cut_off: bool) -> Markup {
        let (mut shown, mut left, mut goes_on) = (Vec::new(), bytes, is_cut_off);
        for piece in &self.pieces {
            let (excerpt, cost) = piece.shown(left);
            left = left.saturating_sub(cost);
            goes_on |= excerpt.is_cut_off;
            let is_last = excerpt.is_cut_off;
            shown.push((piece.is_repeated, excerpt.text));
            if is_last {
                break;
            }
        }
        let characters: usize = shown.iter().map(|(_, text)| text.len()).sum();
        let lines: usize = shown.iter().map(|(_, text)| text.matches('\n').count()).sum();
        html! {
            // the first line end inside <pre> is dropped by parsers
            pre dir="auto" tabindex="0" { (PreEscaped("\n")) @for (is_repeated, text) in &shown { @if *is_repeated { mark { (text) } } @else { (text) } } @if goes_on { span.more { "… goes on" } } }
            @if characters > FOLDED.0 || lines > FOLDED.1 { button.unfold type="button" hidden { "Show all" } }
        }
    }
}

impl Piece<'_> {
    /// What fits `bytes`, and what it takes.
    fn shown(&self, bytes: usize) -> (Excerpt, usize) {
        let around = if self.is_repeated { MARK_BYTES } else { 0 };
        let excerpt = excerpt(self.text, Lines::Kept, (MOST_CHARACTERS, bytes.saturating_sub(around)));
        let cost = excerpt.bytes + around;
        (excerpt, cost)
    }
}

/// How much of a text is repetition, beside its other numbers; nothing if none is.
pub(super) fn repetition(text: &SampleText<'_>) -> Markup {
    let repeated = text.repeated();
    html! { @if repeated > 0.0 { " · repeats " b { (percent(repeated)) } } }
}

/// How many bytes each text may take so that all fit `room`: short ones leave theirs to long ones.
pub(super) fn level(mut needs: Vec<usize>, room: usize) -> usize {
    needs.sort_unstable();
    let (mut left, count) = (room, needs.len());
    for (at, need) in needs.into_iter().enumerate() {
        let share = left / (count - at);
        if need > share {
            return share;
        }
        left -= need;
    }
    room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_leave_their_room_to_long_ones() {
        assert_eq!(level(vec![10, 1_000, 1_000], 1_010), 500);
        assert_eq!(level(vec![10, 20], 1_000), 1_000);
        assert_eq!(level(Vec::new(), 7), 7);
        assert_eq!(level(vec![5; 4], 10), 2);
    }

    #[test]
    fn repetition_is_marked_and_stays_text() {
        let line = "<b>Subscribe to our newsletter & more!</b>\n";
        let text = format!("{line}new\n{line}");
        let shown = SampleText::of(&text);
        let html = shown.markup(usize::MAX, false).into_string();
        let escaped = line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        assert!(html.contains(&format!("new\n<mark>{escaped}</mark>")), "{html}");
        assert!((shown.repeated() - line.len() as f64 / text.len() as f64).abs() < 1e-9);
        for bytes in [0, 20, 70, 120] {
            let cut = shown.markup(bytes, false).into_string();
            let (inside, _) = cut.split_once("</pre>").unwrap();
            assert!(inside.contains("… goes on") && inside.len() <= bytes + 90, "{bytes}: {inside}");
        }
        assert!(shown.bytes > text.len() && !html.contains("<b>"));
    }
}
