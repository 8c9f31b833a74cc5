//! Artefacts to pictures and one HTML page: `heads.svg`, `schedule.svg`, `report.html`, `comparison.html`.
//!
//! Pictures are plain SVG with a white background and the browser's own sans-serif font; the page holds all it needs. Equal artefacts
//! give equal bytes. Nothing here reads or writes files.
//!
//! - [`heads_svg`]: layers × heads heat map of retrieval scores, the head set outlined
//! - [`schedule_svg`]: learning rate over steps and tokens, with the phases marked
//! - [`reflection_svg`]: what is added to the logits of reflection tokens over a text
//! - [`render_page`]: everything that is known of a run
//! - [`render_comparison`]: two runs side by side

mod draw;
mod escape;
mod figure;
mod heads;
mod numbers;
mod page;
mod reflection;
mod repeats;
mod schedule;

pub use heads::heads_svg;
pub use page::{
    ComparedRun, MAX_PAGE_BYTES, Mixture, MixturePart, MixtureStage, PageInputs, PlannedSchedule, ShownArm, ShownTrial,
    render_comparison, render_page,
};
pub use reflection::reflection_svg;
pub use schedule::{PlottedCurve, curves_svg, schedule_svg};
