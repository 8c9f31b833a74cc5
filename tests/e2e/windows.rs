//! Documents longer than a window, of which all windows are scored or a sample.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::ErrorKind::NotFound;

use crate::scores::{Row, documents};
use crate::site::{Artefacts, OUTPUT, Outcome, PIPELINE, Site, assert_same};
use crate::student::{ANY, site as of_six_sources};

const SHORT_WINDOWS: [&str; 2] = ["--set", "score.window_tokens=16"];

const TWO: [&str; 4] = [SHORT_WINDOWS[0], SHORT_WINDOWS[1], "--set", "score.long_documents={ sample = 2 }"];

/// The windows of a row, as text.
fn windows(row: &Row) -> Vec<String> {
    let list = row["windows"].trim_start_matches('[').trim_end_matches(']');
    list.split_inclusive('}')
        .map(|window| window.trim_start_matches(", ").to_owned())
        .filter(|it| !it.is_empty())
        .collect()
}

/// The scores of a run that begins from nothing.
fn scored(site: &Site, settings: &[&str], threads: &str) -> Result<Artefacts, Box<dyn Error>> {
    fs_err::remove_dir_all(site.path(OUTPUT))
        .or_else(|error| if error.kind() == NotFound { Ok(()) } else { Err(error) })?;
    let ended = site.command(&[&["score", PIPELINE], settings].concat()).env("RAYON_NUM_THREADS", threads).output()?;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let mut artefacts = site.artefacts()?;
    artefacts.retain(|path, _| path.starts_with("scores/"));
    Ok(artefacts)
}

#[test]
fn a_sample_scores_windows_as_they_are_scored_among_all_and_the_same_ones_each_time() -> Outcome {
    let site = of_six_sources()?;
    scored(&site, &SHORT_WINDOWS, "2")?;
    let all = documents(&site)?;
    site.stage("score", &TWO)?.says(1, &["long_documents: \"all\" → \"sample=2\""]);
    let first = scored(&site, &TWO, "2")?;
    let sampled = documents(&site)?;
    assert_eq!(all.len(), sampled.len());
    let (mut long, mut starts) = (0, BTreeSet::new());
    for (address, row) in &sampled {
        let (here, there) = (windows(row), windows(&all[address]));
        if there.len() <= 2 {
            assert_eq!(row, &all[address], "a document of few windows is scored whole");
            continue;
        }
        assert_eq!(here.len(), 2, "{row:?}");
        assert!(here.iter().all(|window| there.contains(window)), "{here:?} {there:?}");
        assert!(row["scored_tokens"].parse::<u32>()? < all[address]["scored_tokens"].parse()?);
        long += 1;
        starts.insert(here[0].clone());
    }
    assert!(long > 100 && starts.len() > 10, "{long} {starts:?}");
    assert_same(&first, &scored(&site, &TWO, "1")?, "sampled scores by other threads");
    Ok(())
}

#[test]
fn distilling_says_what_a_sample_would_make_of_the_scores() -> Outcome {
    let site = of_six_sources()?;
    let table = site.done("distill", &[&SHORT_WINDOWS[..], &ANY[..]].concat())?;
    table.prints(&["scores of some windows of long documents", "labels that", "off by"]);
    let student = site.json("student.json")?;
    let points = student["fidelity"]["samples"].as_array().ok_or("no samples")?;
    assert!(points.len() >= 2, "{points:?}");
    let shares: Vec<f64> = points.iter().filter_map(|point| point["token_share"].as_f64()).collect();
    assert!(shares.windows(2).all(|pair| pair[0] < pair[1]) && shares.iter().all(|share| (0.0..1.0).contains(share)));
    // labels of a sample have nothing to compare with
    let of_sample = site.done("distill", &[&TWO[..], &ANY[..]].concat())?;
    assert!(!of_sample.stdout.contains("scores of some windows"), "{}", of_sample.stdout);
    Ok(())
}

#[test]
fn a_sample_of_nothing_is_refused() -> Outcome {
    let site = of_six_sources()?;
    for nothing in ["{ sample = 0 }", "{ sample = -1 }", "{ sampel = 4 }", "\"sample\""] {
        let set = format!("score.long_documents={nothing}");
        let ended = site.stage("plan", &["--set", &set])?;
        ended.says(1, &["long_documents"]);
        println!("{}", ended.stderr);
    }
    Ok(())
}
