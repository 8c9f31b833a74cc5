//! Changes of texts that keep their meaning, and what crosses the cut by them.

use std::error::Error;

use crate::site::{OUTPUT, Outcome, Site};
use crate::student::{ANY, site};

/// Crossings of a change under the pipeline's rank, over all domains: documents that crossed, and all.
fn crossed(site: &Site, change: &str, rank: &str) -> Result<(u64, u64), Box<dyn Error>> {
    let audit = site.json("audit.json")?;
    let of = audit["crossings"].as_array().ok_or("crossings")?.iter();
    let of = of.filter(|of| of["perturbation"] == change && of["rank"] == rank);
    let number = |of: &serde_json::Value, name: &str| of[name].as_u64().unwrap_or_default();
    Ok(of.fold((0, 0), |(crossed, all), of| {
        (crossed + number(of, "fell") + number(of, "rose"), all + number(of, "kept") + number(of, "dropped"))
    }))
}

#[test]
fn an_unchanged_text_stays_where_it_is_and_the_table_says_what_crosses() -> Outcome {
    let site = site()?;
    site.stage("audit", &[])?.says(1, &["headwater"]);
    site.done("run", &[])?;
    let table = site.done("audit", &["--documents", "6"])?;
    table.prints(&["scored by the teacher", "identity", "padding", "by domain, under influence", "audit.json"]);
    for rank in ["influence", "corrected", "loss"] {
        let (moved, all) = crossed(&site, "identity", rank)?;
        assert_eq!((moved, all), (0, 24), "{rank}");
    }
    // text without a heading has nothing to change
    assert_eq!(crossed(&site, "headings", "influence")?.1, 0);
    assert_eq!(crossed(&site, "padding", "influence")?.1, 24);
    let first = fs_err::read(site.path(OUTPUT).join("audit.json"))?;
    site.done("audit", &["--documents", "6"])?;
    assert_eq!(fs_err::read(site.path(OUTPUT).join("audit.json"))?, first, "the same twice");
    site.done("report", &[])?;
    let page = fs_err::read_to_string(site.path(OUTPUT).join("report.html"))?;
    assert!(page.contains("Changes of form") && page.contains("identity must be 0"));
    site.stage("audit", &["--set", "score.mask=zero"])?.says(1, &["was scored with other settings", "mask"]);
    site.stage("audit", &["--documents", "0"])?.says(1, &["--documents"]);
    Ok(())
}

#[test]
fn a_run_by_the_student_is_audited_by_the_student() -> Outcome {
    let site = site()?;
    site.done("run", &[&["--set", "score.by=student"], &ANY[..]].concat())?;
    let by_student = ["--set", "score.by=student", "--documents", "5", "--json"];
    let audit: serde_json::Value = serde_json::from_str(&site.done("audit", &by_student)?.stdout)?;
    assert_eq!((&audit["by"], &audit["documents"]), (&"student".into(), &20.into()));
    assert_eq!(crossed(&site, "identity", "influence")?, (0, 20));
    let page = fs_err::read_to_string(site.path(OUTPUT).join("report.html"))?;
    assert!(page.contains("Teacher against student"));
    let cascade = ["--set", "score.by=cascade"];
    site.done("score", &cascade)?;
    site.stage("audit", &cascade)?.says(1, &["are of a cascade", "audit a run by the teacher or by the student"]);
    Ok(())
}
