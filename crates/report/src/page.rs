//! `report.html`: everything that is known of a run on one self-contained page.
//!
//! [`render_page`] is a pure function of the artefacts that exist; a box at the top lists what is missing. Documents, names and paths
//! are hostile: every text goes through `escape` and `maud`'s escaping, a content security policy forbids the network and every
//! script and style but the page's own. The page stays below [`MAX_PAGE_BYTES`] for a corpus of any size: counts are on grids, tables
//! end after a number of rows, and texts of samples share what the rest leaves.

mod audit;
mod compared;
mod domain;
mod domains;
mod explorer;
mod heads;
mod inputs;
mod notes;
mod policy;
mod provenance;
mod ranks;
mod rejects;
mod samples;
mod student;
mod summary;
mod table;
mod texts;
mod times;
mod training;
mod trial;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headwater_record::ContentHash;
use maud::{DOCTYPE, Markup, PreEscaped, html};

pub use compared::{ComparedRun, render_comparison};
pub use inputs::{Mixture, MixturePart, MixtureStage, PageInputs, PlannedSchedule, ShownArm, ShownTrial};

use crate::escape;

/// Size that the page stays below, in bytes.
pub const MAX_PAGE_BYTES: usize = 3_000_000;

/// Bytes kept free for what is counted only roughly.
const SPARE_BYTES: usize = 20_000;

const STYLE: &str = concat!(include_str!("page/page.css"), include_str!("picture.css"));
const SCRIPT: &str = include_str!("page/page.js");

/// A part of the page that the list of contents names.
struct Section {
    id: &'static str,
    title: &'static str,
    body: Markup,
}

impl Section {
    fn of(id: &'static str, title: &'static str, body: Option<Markup>) -> Option<Self> {
        body.map(|body| Self { id, title, body })
    }
}

/// Makes the page. Equal inputs give equal bytes.
#[must_use]
pub fn render_page(inputs: &PageInputs<'_>) -> String {
    let before = [
        Section::of("domains", "Domains", domains::table(inputs)),
        Section::of("distributions", "Distributions and cuts", domain::details(inputs)),
    ];
    let after = [
        Section::of("ranks", "Ranks compared", ranks::overlap(inputs)),
        Section::of("student", "Student", student::student(inputs)),
        Section::of("trial", "Trial", trial::trial(inputs)),
        Section::of("audit", "Changes of form", audit::audit(inputs)),
        Section::of("rejects", "Rejects", rejects::by_reason(inputs)),
        Section::of("repetition", "Repetition", policy::buckets(inputs)),
        Section::of("mixture", "Mixture", training::mixture(inputs)),
        Section::of("schedule", "Learning rate", training::schedule(inputs)),
        Section::of("heads", "Retrieval heads", heads::heads(inputs)),
        Section::of("time", "Where the time went", times::times(inputs)),
        Section::of("provenance", "Provenance", provenance::provenance(inputs)),
    ];
    let rest: usize = before.iter().chain(&after).flatten().map(|section| section.body.0.len()).sum();
    let frame = explorer::counts(inputs).0.len()
        + notes::notes(inputs).0.len()
        + summary::summary(inputs).0.len()
        + STYLE.len()
        + SCRIPT.len();
    let room = MAX_PAGE_BYTES.saturating_sub(rest + frame + SPARE_BYTES);
    let samples = Section::of("samples", "Documents to look at", samples::samples(inputs, room));
    let sections: Vec<Section> = before.into_iter().chain([samples]).chain(after).flatten().collect();
    let title = escape::name(summary::run_name(&inputs.setting_text("/run/output")));
    let top = html! { (summary::summary(inputs)) (notes::notes(inputs)) };
    whole(&Frame { title: &title, counts: explorer::counts(inputs), top }, &sections).into_string()
}

/// What stands around the sections of a page.
struct Frame<'a> {
    /// Of the window.
    title: &'a str,
    /// What the script looks up.
    counts: Markup,
    /// The title of the page, and what comes before all sections.
    top: Markup,
}

fn whole(frame: &Frame<'_>, sections: &[Section]) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(frame))
            body {
                (patterns())
                a.skip href="#content" { "Skip to the content" }
                nav aria-label="Sections" {
                    a.brand href="#top" { "Headwater" }
                    ol {
                        li { a href="#top" { "Summary" } }
                        @for section in sections { li { a href={ "#" (section.id) } { (section.title) } } }
                    }
                }
                main #content tabindex="-1" {
                    (frame.top)
                    @for section in sections {
                        section id=(section.id) aria-labelledby={ (section.id) "-title" } {
                            h2 id={ (section.id) "-title" } { (section.title) }
                            (section.body)
                        }
                    }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

fn head(frame: &Frame<'_>) -> Markup {
    let hash = |text: &str| STANDARD.encode(ContentHash::of(text.as_bytes()).digest());
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(policy);
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="referrer" content="no-referrer";
            link rel="icon" href="data:,";
            (frame.counts)
            title { (frame.title) " – Headwater report" }
            style { (PreEscaped(STYLE)) }
        }
    }
}

/// Fills that do not rely on colour, for all figures.
fn patterns() -> Markup {
    html! {
        svg.patterns aria-hidden="true" width="0" height="0" {
            defs {
                pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    rect.hatch-under width="5" height="5" {}
                    line.hatch-line x1="0" y1="0" x2="0" y2="5" {}
                }
            }
        }
    }
}
