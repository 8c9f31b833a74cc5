//! The figures of the page: a caption, a drawing with axes, and the same in words.
//!
//! Drawings take their colours from the page's style sheet by class, so that they follow light, dark and print. The `svg` crate leaves
//! quotes in attributes alone: nothing foreign may go into an attribute, only into text.

mod axis;
mod bars;
mod density;
mod frame;
mod histogram;
mod intervals;
mod lines;
mod points;
mod steps;

use maud::{Markup, PreEscaped, html};

pub(crate) use bars::{Bar, bars};
pub(crate) use density::density;
pub(crate) use histogram::{Cut, against_all, distribution, place};
pub(crate) use intervals::{Interval, intervals};
pub(crate) use lines::{MOST_LINES, NamedLine, lines};
pub(crate) use points::{line, scatter};
pub(crate) use steps::{Step, steps};

/// A figure: a picture and its description.
#[derive(Debug)]
pub(crate) struct Figure {
    /// Its title, plain text that may be foreign.
    pub(crate) title: String,
    /// What stands under the title.
    pub(crate) caption: Option<Markup>,
    /// The drawing, with its own text alternative; empty if there is nothing to draw.
    pub(crate) drawing: String,
    /// Class of the figure.
    pub(crate) class: &'static str,
}

impl Figure {
    /// A figure that would have nothing but its axes.
    pub(crate) fn of_nothing(title: String) -> Self {
        Self { title, caption: None, drawing: String::new(), class: "nothing" }
    }

    /// The figure as HTML.
    pub(crate) fn markup(&self) -> Markup {
        if self.drawing.is_empty() {
            return html! { div.nothing { b { bdi { (self.title) } } p.about { "No documents: there is nothing to draw." } } };
        }
        html! {
            figure class=(self.class) {
                figcaption {
                    b { bdi { (self.title) } }
                    @if let Some(caption) = &self.caption { span.under { (caption) } }
                }
                (PreEscaped(&self.drawing))
            }
        }
    }
}
