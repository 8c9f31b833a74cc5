//! Artefacts to pictures: `heads.svg` and `schedule.svg`.
//!
//! Pictures are plain SVG with a white background and the browser's own sans-serif font; equal artefacts give equal
//! bytes. Nothing here reads or writes files.
//!
//! - [`heads_svg`]: layers × heads heat map of retrieval scores, the head set outlined
//! - [`schedule_svg`]: learning rate over steps and tokens, with the phases marked

mod draw;
mod heads;
mod schedule;

pub use heads::heads_svg;
pub use schedule::{Curve, curves_svg, schedule_svg};
