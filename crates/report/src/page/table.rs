//! Tables: boxes that scroll by themselves, cells that sort by their number.

use maud::{Markup, Render, html};

/// A table in a box that scrolls sideways, by keyboard too.
pub(super) fn scrolled(name: &str, table: &Markup) -> Markup {
    html! { div.scroll role="region" tabindex="0" aria-label=(name) { (table) } }
}

/// A cell with a number for people that sorts by the number itself.
pub(super) fn number(sorts_by: f64, shown: impl Render) -> Markup {
    html! { td.num data-sort=(format_args!("{sorts_by:e}")) { (shown) } }
}

/// A list of names with their values.
pub(super) fn facts(facts: &[(&str, Markup)]) -> Markup {
    html! {
        dl.facts { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } }
    }
}
