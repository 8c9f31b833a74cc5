//! The table of all domains: what each keeps, and the certainty of its cut.

use headwater_record::profile::DomainProfile;
use headwater_record::selection::{Certainty, DomainSelection};
use maud::{Markup, html};

use super::PageInputs;
use super::table::{number, scrolled};
use crate::escape::named;
use crate::numbers::{self, UNKNOWN, grouped, share};

/// Rows of the table.
const MOST_ROWS: usize = 200;

/// What a row shows.
struct Row<'a> {
    domain: &'a str,
    documents: u64,
    ranked: u64,
    kept: u64,
    tokens: u64,
    kept_tokens: u64,
    cut: Option<f64>,
    certainty: Option<Certainty>,
}

/// The domains of the selection, or else those of the scores; `None` before both.
pub(super) fn table(inputs: &PageInputs<'_>) -> Option<Markup> {
    let (rows, left_out, place) = match (inputs.selection, inputs.profile) {
        (Some(selection), _) => {
            (selection.domains.iter().map(Row::of_selected).collect::<Vec<_>>(), 0, "selection.json")
        }
        (None, Some(profile)) => {
            (profile.domains.iter().map(Row::of_profiled).collect(), profile.left_out, "selection.json once it is made")
        }
        (None, None) => return None,
    };
    let more = rows.len().saturating_sub(MOST_ROWS) as u64 + left_out;
    let head = [
        ("documents", "num"),
        ("ranked", "num"),
        ("kept", "num"),
        ("kept, % of all", "num"),
        ("tokens", "num"),
        ("kept tokens", "num"),
        ("kept tokens, % of all", "num"),
        ("cut ± s.e.", "num"),
        ("within 1 s.e.", "num"),
        ("within 2 s.e.", "num"),
    ];
    let table = html! {
        table.sortable {
            thead { tr { th scope="col" { "domain" } @for (name, class) in head { th scope="col" class=(class) { (name) } } } }
            tbody { @for row in rows.iter().take(MOST_ROWS) { (row.markup()) } }
            @if more > 0 { tfoot { tr { td colspan="11" { "and " (grouped(more)) " more, in " (place) } } } }
        }
    };
    Some(html! {
        p.about {
            "A cut is the value of the last document kept. Its standard error (s.e.) tells how far it would move with another sample of the "
            "domain; “?” where there are too few documents to tell. “Within” is the share of kept documents whose own value lies within so many of its standard errors from the cut: "
            "those might as well have been dropped."
        }
        (scrolled("All domains", &table))
    })
}

impl<'a> Row<'a> {
    fn of_selected(domain: &'a DomainSelection) -> Self {
        Self {
            domain: &domain.domain,
            documents: domain.documents,
            ranked: domain.ranked_documents,
            kept: domain.kept_documents,
            tokens: domain.tokens.0,
            kept_tokens: domain.kept_tokens.0,
            cut: domain.certainty.and(domain.cut.as_ref()).map(|cut| cut.value),
            certainty: domain.certainty,
        }
    }

    fn of_profiled(domain: &'a DomainProfile) -> Self {
        Self {
            domain: &domain.domain,
            documents: domain.documents,
            ranked: domain.ranked_documents,
            kept: domain.kept_documents,
            tokens: domain.tokens.0,
            kept_tokens: domain.kept_tokens.0,
            cut: domain.cut,
            certainty: domain.certainty,
        }
    }

    fn markup(&self) -> Markup {
        let count = |count: u64| number(count as f64, grouped(count));
        let part = |part: u64, whole: u64| number(part as f64 / whole.max(1) as f64, share(part, whole));
        let stderr = self.certainty.and_then(|certainty| certainty.cut_stderr);
        let cut = self.cut.map_or_else(|| UNKNOWN.to_owned(), |cut| numbers::cut(cut, stderr));
        let judged = self.certainty.map_or(0, |certainty| certainty.judged);
        html! {
            tr {
                th scope="row" { (named(self.domain)) }
                (count(self.documents)) (count(self.ranked)) (count(self.kept)) (part(self.kept, self.documents))
                (count(self.tokens)) (count(self.kept_tokens)) (part(self.kept_tokens, self.tokens))
                (number(self.cut.unwrap_or(f64::MIN), cut))
                (part(self.certainty.map_or(0, |certainty| certainty.within_one), judged))
                (part(self.certainty.map_or(0, |certainty| certainty.within_two), judged))
            }
        }
    }
}
