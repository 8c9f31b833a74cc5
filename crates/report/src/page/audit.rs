//! The audit: how many documents cross the cut when their texts change in form alone.

use std::collections::BTreeMap;

use headwater_record::audit::Crossings;
use maud::{Markup, html};

use super::PageInputs;
use super::table::{number, scrolled};
use crate::escape::name;
use crate::numbers::{grouped, percent};

/// A table of changes by rank; `None` without an audit.
pub(super) fn audit(inputs: &PageInputs<'_>) -> Option<Markup> {
    let audit = inputs.audit?;
    let (mut changes, mut ranks): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut by_both: BTreeMap<(&str, &str), Vec<&Crossings>> = BTreeMap::new();
    for of in &audit.crossings {
        for (names, name) in [(&mut changes, &of.perturbation), (&mut ranks, &of.rank)] {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        by_both.entry((&of.perturbation, &of.rank)).or_default().push(of);
    }
    let crossed = |change: &str, rank: &str| {
        let of = by_both.get(&(change, rank)).map_or(&[][..], Vec::as_slice);
        let (crossed, all) =
            of.iter().fold((0, 0), |(crossed, all), of| (crossed + of.fell + of.rose, all + of.kept + of.dropped));
        let share = crossed as f64 / (all as f64).max(1.0);
        number(share, if all == 0 { "–".to_owned() } else { percent(share) })
    };
    let is_current = inputs.selection.is_none_or(|selection| selection.hash == audit.selection);
    let table = html! {
        table {
            thead { tr { th scope="col" { "change" } @for rank in &ranks { th.num scope="col" { (name(rank)) } } } }
            tbody { @for change in &changes { tr { th scope="row" { (name(change)) } @for rank in &ranks { (crossed(change, rank)) } } } }
        }
    };
    Some(html! {
        p.about {
            "The texts of " (grouped(audit.documents)) " documents on both sides of the cuts were changed in ways that keep their meaning, and scored again by the "
            (audit.by.as_str()) ". The table has the share of them that crosses the cut of each rank; identity must be 0."
            @if !is_current { " The cut was another one then." }
        }
        (scrolled("Documents that cross the cut", &table))
    })
}
