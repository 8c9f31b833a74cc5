//! The explorer of the report: what it says of a cut is what `select` keeps at that cut.

use serde_json::Value;

use super::site;
use crate::site::{Outcome, Site};

/// Ten cuts, in per cent.
const CUTS: [usize; 10] = [1, 2, 5, 10, 20, 29, 40, 57, 80, 100];

/// The counts that the page holds.
fn counts(page: &str) -> Result<Value, Box<dyn std::error::Error>> {
    let json = page
        .split("<script type=\"application/json\" id=\"cuts\">")
        .nth(1)
        .and_then(|rest| rest.split("</script>").next());
    Ok(serde_json::from_str(json.ok_or("the page holds no cuts")?)?)
}

/// Selects at each of [`CUTS`], and requires of the page made before that it says the same.
fn compare(site: &Site, settings: &[&str]) -> Outcome {
    let set = super::set(settings);
    site.done("select", &set)?;
    site.done("report", &set)?;
    let page = site.read("out/report.html")?;
    let counts = counts(&page)?;
    for percent in CUTS {
        let fraction = format!("select.fraction={}", percent as f64 / 100.0);
        site.done("select", &super::set(&[settings, &[fraction.as_str()]].concat()))?;
        let selection = site.json("selection.json")?;
        let domains = selection["domains"].as_array().ok_or("no domains")?;
        assert_eq!(domains.len(), super::DOMAINS.len());
        for (selected, shown) in domains.iter().zip(counts["domains"].as_array().ok_or("no domains")?) {
            assert_eq!(selected["kept_documents"], shown["documents"][percent], "{settings:?} {percent} {selected}");
            assert_eq!(selected["kept_tokens"], shown["tokens"][percent], "{settings:?} {percent} {selected}");
            let is_cut = !selected["cut"].is_null();
            assert_eq!(shown["cuts"][percent].as_str() != Some("–"), is_cut, "{settings:?} {percent}");
        }
    }
    Ok(())
}

#[test]
fn the_page_says_what_select_keeps_at_ten_cuts() -> Outcome {
    let site = site()?;
    site.done("run", &[])?;
    compare(&site, &[])?;
    compare(&site, &["select.by=tokens", "select.rank=corrected"])?;
    compare(&site, &["select.rank=column:metadata.int_score", "select.guards.max_tokens=400"])
}

#[test]
fn a_selection_by_quality_has_no_single_cut_to_try() -> Outcome {
    let site = site()?;
    site.done("run", &["--set", "select.by=upsample", "--set", "select.tokens=3e4"])?;
    let page = site.read("out/report.html")?;
    assert!(counts(&page).is_err() && page.contains("there is no single fraction to try"));
    Ok(())
}
