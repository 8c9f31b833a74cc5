//! How often documents are read where the selection repeats them by quality.

use headwater_record::selection::Bucket;
use maud::{Markup, html};

use super::PageInputs;
use super::table::{number, scrolled};
use crate::figure::{Step, steps};
use crate::numbers::{grouped, percent, short, value};

/// Rows of the table, and stretches of the figure.
const MOST_BUCKETS: usize = 60;

/// The buckets, best first; `None` if documents are not repeated.
pub(super) fn buckets(inputs: &PageInputs<'_>) -> Option<Markup> {
    let selection = inputs.selection.filter(|selection| !selection.buckets.is_empty())?;
    let shown = &selection.buckets[..selection.buckets.len().min(MOST_BUCKETS)];
    let marks: Vec<Step> =
        shown.iter().map(|bucket| Step { from: bucket.from, to: bucket.to, repeat: bucket.repeat }).collect();
    let head = ["ranked tokens, best first", "times read", "documents", "tokens", "tokens read"];
    let table = html! {
        table.sortable {
            thead { tr { th scope="col" { "bucket" } @for name in head { th.num scope="col" { (name) } } } }
            tbody { @for (at, bucket) in shown.iter().enumerate() { (row(at, bucket)) } }
            @if selection.buckets.len() > shown.len() {
                tfoot { tr { td colspan="6" { "and " (selection.buckets.len() - shown.len()) " more, in selection.json" } } }
            }
        }
    };
    Some(html! {
        p.about {
            "A training run reads " b { (short(selection.trained_tokens())) } " tokens of the " b { (short(selection.kept_tokens().0 as f64)) } " that are kept."
        }
        div.figures { (steps("Times each stretch is read", &marks).markup()) div.wide { (scrolled("Buckets", &table)) } }
    })
}

fn row(at: usize, bucket: &Bucket) -> Markup {
    html! {
        tr {
            th scope="row" { (Bucket::name(at)) }
            (number(bucket.from, format!("{} to {}", percent(bucket.from), percent(bucket.to))))
            (number(bucket.repeat, value(bucket.repeat)))
            (number(bucket.documents as f64, grouped(bucket.documents)))
            (number(bucket.tokens.0 as f64, grouped(bucket.tokens.0)))
            (number(bucket.trained_tokens(), short(bucket.trained_tokens())))
        }
    }
}
