//! Two runs on one page.

use super::site;
use crate::site::{Outcome, PIPELINE, Site};

/// A site with a finished run and a second pipeline that scores the same corpus with other heads and keeps another share.
fn two_runs() -> Result<Site, Box<dyn std::error::Error>> {
    let site = site()?;
    site.done("run", &["-q"])?;
    site.write("other-heads.json", r#"{"heads": [[1, 1], [2, 3]]}"#)?;
    let other = "[run]\noutput = \"other\"\n\n[heads]\nfile = \"other-heads.json\"\n\n[select]\nfraction = 0.4\n";
    site.write("other.toml", &format!("extends = \"{PIPELINE}\"\n\n{other}"))?;
    let run = site.headwater(&["run", "other.toml", "-q"])?;
    assert_eq!(run.code, Some(0), "{run:#?}");
    Ok(site)
}

fn page(site: &Site) -> std::io::Result<String> {
    site.read("out/comparison.html")
}

#[test]
fn two_runs_of_one_corpus_say_what_both_keep() -> Outcome {
    let site = two_runs()?;
    site.headwater(&["report", "--compare", PIPELINE, "other.toml"])?.says(0, &["out/comparison.html"]);
    let text = page(&site)?;
    for part in [
        "Two runs compared",
        "select.fraction",
        "0.4",
        "heads.file",
        "other-heads.json",
        "Both runs read the same shards",
    ] {
        assert!(text.contains(part), "`{part}` is not on the page");
    }
    assert!(text.contains("heads masked by both") && text.contains("1 of 2 of A and 2 of B"));
    // of the same pipeline, both keep what one keeps
    site.headwater(&["report", "--compare", PIPELINE, PIPELINE])?.says(0, &[]);
    let text = page(&site)?;
    assert!(text.contains("None: both pipelines say the same."));
    let selection = site.json("selection.json")?;
    for domain in selection["domains"].as_array().ok_or("no domains")? {
        let kept = &domain["kept_documents"];
        let cell =
            format!("<bdi>{}</bdi></th><td class=\"num\" data-sort=\"", domain["domain"].as_str().ok_or("no name")?);
        let row = text.split(&cell).nth(1).and_then(|rest| rest.split("</tr>").next()).ok_or("no row")?;
        assert_eq!(row.matches(&format!(">{kept}</td>")).count(), 3, "A, B and both: {row}");
        assert_eq!(row.matches(">100.0\u{a0}%</td>").count(), 2, "{row}");
    }
    Ok(())
}

#[test]
fn runs_of_other_corpora_are_compared_as_far_as_that_goes() -> Outcome {
    let site = two_runs()?;
    fs_err::create_dir(site.path("elsewhere"))?;
    crate::corpus::shard(&site.path("elsewhere/9.parquet"), &super::shard_rows(9)?, 20)?;
    let third = "[run]\noutput = \"third\"\n\n[[corpus]]\nname = \"other\"\npaths = [\"elsewhere/*.parquet\"]\n";
    site.write("third.toml", &format!("extends = \"{PIPELINE}\"\n\n{third}"))?;
    let run = site.headwater(&["run", "third.toml", "-q"])?;
    assert_eq!(run.code, Some(0), "{run:#?}");
    site.headwater(&["report", "--compare", PIPELINE, "third.toml"])?.says(0, &[]);
    let text = page(&site)?;
    assert!(text.contains("no shard in common") && !text.contains("kept by both"));
    Ok(())
}

#[test]
fn what_cannot_be_compared_is_refused() -> Outcome {
    let site = site()?;
    site.headwater(&["report", "--compare", PIPELINE])?.says(1, &["two runs on one page", "name two pipelines"]);
    site.headwater(&["report", PIPELINE, PIPELINE])?.says(1, &["add --compare to put two on one page"]);
    site.headwater(&["report", "--compare", PIPELINE, PIPELINE])?
        .says(1, &["has no run.json yet: run `headwater run pipeline.toml` first"]);
    Ok(())
}
