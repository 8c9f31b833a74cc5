//! `report.html` of runs in every state: always there, and true about what is not.

use super::{scored, site};
use crate::site::{OUTPUT, Outcome, Site};

/// Writes the page twice, requires the same bytes, and returns it.
fn page(site: &Site) -> Result<String, Box<dyn std::error::Error>> {
    let written = site.done("report", &[])?;
    assert!(written.stderr.contains("out/report.html"), "{}", written.stderr);
    let page = site.read("out/report.html")?;
    site.done("report", &[])?;
    assert_eq!(page, site.read("out/report.html")?, "the same run gives the same page");
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    Ok(page)
}

fn must_say(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "`{part}` is not on the page");
    }
}

#[test]
fn a_finished_run_misses_nothing() -> Outcome {
    let site = site()?;
    let printed = site.done("run", &[])?;
    assert!(printed.stdout.contains("out/report.html"), "{}", printed.stdout);
    let page = page(&site)?;
    must_say(&page, &["<title>", "mathematics", "river"]);
    assert!(!page.contains("Not there yet"));
    Ok(())
}

#[test]
fn a_run_without_some_sidecars_is_shown_as_far_as_it_is() -> Outcome {
    let site = scored()?;
    let sidecars: Vec<String> = site.artefacts()?.into_keys().filter(|path| path.starts_with("scores/")).collect();
    for path in sidecars.iter().step_by(3) {
        fs_err::remove_file(site.path(OUTPUT).join(path))?;
    }
    let missing = sidecars.len().div_ceil(3);
    let page = page(&site)?;
    let left = format!("{missing} units of {} are not scored", sidecars.len());
    must_say(&page, &["Not there yet", &left, "headwater score pipeline.toml", "Not selected yet", "headwater select"]);
    must_say(&page, &["river"]);
    Ok(())
}

#[test]
fn heads_alone_are_a_page() -> Outcome {
    let site = site()?;
    site.done("heads", &[])?;
    let page = page(&site)?;
    must_say(&page, &["No run has begun", "No scores", "headwater score pipeline.toml"]);
    assert!(!page.contains("No retrieval heads"));
    let nothing = super::site()?;
    must_say(&self::page(&nothing)?, &["No retrieval heads", "headwater heads pipeline.toml"]);
    Ok(())
}

#[test]
fn without_the_corpus_there_are_numbers_but_no_texts() -> Outcome {
    let site = site()?;
    site.done("run", &[])?;
    fs_err::rename(site.path("corpus"), site.path("away"))?;
    let warned = site.done("report", &[])?;
    assert!(warned.stderr.contains("the corpus cannot be read, so no texts are shown"), "{}", warned.stderr);
    let page = page(&site)?;
    must_say(&page, &["mathematics", "influence"]);
    assert!(!page.contains("river"), "no text is at hand");
    assert!(!page.contains("No scores"));
    Ok(())
}

#[test]
fn a_pipeline_that_now_selects_otherwise_is_told() -> Outcome {
    let site = site()?;
    site.done("run", &[])?;
    site.done("report", &["--set", "select.rank=loss"])?;
    must_say(
        &site.read("out/report.html")?,
        &["selection was made (by influence)", "select now (by loss)", "Select again"],
    );
    site.done("report", &["--set", "select.fraction=0.5"])?;
    must_say(&site.read("out/report.html")?, &["The pipeline was changed since the selection was made"]);
    Ok(())
}
