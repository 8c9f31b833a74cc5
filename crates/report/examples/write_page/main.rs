//! Writes report pages of made-up runs into a folder, for `tests/report` to open in a browser.
//!
//!     cargo run -p headwater-report --example write_page -- FOLDER
//!
//! `full.html` has everything, hostile documents included; `upsampled.html` repeats documents by quality and has no single cut;
//! `compared.html` puts these two side by side; `partial.html` knows only `run.json`, `empty.html` nothing; `maximal.html` is as large as a page gets.

mod a_trial;
mod by_student;
mod hostile;
mod made_up;
mod scores;

use std::error::Error;
use std::path::PathBuf;

use headwater_report::{PageInputs, render_page};

#[expect(clippy::disallowed_methods, reason = "an example writes where it is told to, outside any run")]
fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: write_page FOLDER")?);
    std::fs::create_dir_all(&folder)?;
    let (full, upsampled, maximal) = (made_up::full()?, made_up::upsampled()?, made_up::maximal()?);
    let partial = PageInputs { run: Some(&full.run), pipeline: "pipelines/made-up.toml", ..PageInputs::default() };
    let pages = [
        ("full", render_page(&full.inputs())),
        ("upsampled", render_page(&upsampled.inputs())),
        ("partial", render_page(&partial)),
        ("empty", render_page(&PageInputs::default())),
        ("maximal", render_page(&maximal.inputs())),
        ("compared", full.against(&upsampled)),
    ];
    for (name, html) in pages {
        std::fs::write(folder.join(format!("{name}.html")), html)?;
    }
    Ok(())
}
