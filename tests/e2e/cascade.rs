//! A cascade: the student on everything, the teacher on what the student leaves open.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use crate::scores::{Row, rows_below};
use crate::shards::corrupt_page;
use crate::site::{OUTPUT, Outcome, Site, assert_same};
use crate::student::{ANY, site};

const CASCADE: [&str; 2] = ["--set", "score.by=cascade"];

/// The rows of the run's own fingerprint, by source and row.
fn of_run(site: &Site) -> Result<BTreeMap<(String, u64), Row>, Box<dyn Error>> {
    let run = site.json("run.json")?;
    let mut rows = BTreeMap::new();
    for source in run["sources"].as_array().ok_or("sources")? {
        let (fingerprint, name) = (source["fingerprint"].as_str(), source["name"].as_str());
        let folder = format!("scores/{}/{}/", fingerprint.ok_or("fingerprint")?, name.ok_or("name")?);
        rows.extend(by_address(rows_below(site, &folder)?)?);
    }
    Ok(rows)
}

fn by_address(rows: Vec<Row>) -> Result<BTreeMap<(String, u64), Row>, Box<dyn Error>> {
    let address = |row: Row| Ok(((row["source"].clone(), row["row"].parse()?), row));
    rows.into_iter().map(address).collect()
}

/// The addresses of rows that are `by` someone.
fn addresses(rows: &BTreeMap<(String, u64), Row>, by: &str) -> BTreeSet<(String, u64)> {
    rows.iter().filter(|(_, row)| row["by"] == by).map(|(address, _)| address.clone()).collect()
}

#[test]
fn the_teacher_scores_what_is_listed_and_all_other_rows_are_the_students() -> Outcome {
    let site = site()?;
    let table = site.done("distill", &ANY)?;
    table.prints(&["same above the cut if the teacher scores a part of the tokens", "with 10 %"]);
    site.done("score", &["--set", "score.by=student"])?;
    let student = of_run(&site)?;
    assert_eq!(addresses(&student, "student").len(), 180);
    // a run by the student goes on to the teacher
    let scored = site.done("score", &CASCADE)?;
    assert!(scored.stderr.contains("the teacher scores"), "{}", scored.stderr);
    let cascade = of_run(&site)?;
    assert_eq!(cascade.len(), 180);
    let taught = addresses(&cascade, "teacher");
    let listed: BTreeSet<(String, u64)> = by_address(rows_below(&site, "cascade/")?)?.into_keys().collect();
    assert_eq!(taught, listed);
    assert!(!taught.is_empty() && taught.len() < 60, "{} of 180", taught.len());
    let all: u64 = cascade.values().map(|row| row["tokens"].parse::<u64>()).sum::<Result<u64, _>>()?;
    let of_teacher: u64 =
        taught.iter().map(|address| cascade[address]["tokens"].parse::<u64>()).sum::<Result<_, _>>()?;
    assert!(of_teacher <= all / 10, "{of_teacher} of {all} tokens");
    let labels = by_address(rows_below(&site, "labels/scores/")?)?;
    for (address, row) in &cascade {
        let other = if taught.contains(address) { &labels } else { &student };
        assert_eq!(row, &other[address]);
    }
    site.done("select", &CASCADE)?;
    Ok(())
}

#[test]
fn a_cascade_in_parts_and_in_one_go_gives_the_same_bytes() -> Outcome {
    let site = site()?;
    site.done("run", &[&CASCADE[..], &ANY[..]].concat())?;
    let mut whole = site.artefacts()?;
    whole.retain(|path, _| ["scores/", "cascade/", "selection.json"].iter().any(|start| path.starts_with(start)));
    for folder in ["scores", "cascade", "selected"] {
        fs_err::remove_dir_all(site.path(OUTPUT).join(folder))?;
    }
    for file in ["run.json", "selection.json"] {
        fs_err::remove_file(site.path(OUTPUT).join(file))?;
    }
    let part = |part| [&CASCADE[..], &["--part", part]].concat();
    site.stage("score", &part("1/3"))?.says(75, &["is scored by the student", "run the same command again"]);
    site.stage("select", &CASCADE)?.says(1, &["the teacher has not", "headwater score"]);
    site.stage("score", &part("0/3"))?.says(75, &["units are not yet"]);
    for number in ["2/3", "0/3", "1/3"] {
        site.done("score", &part(number))?;
    }
    site.done("select", &CASCADE)?;
    let mut again = site.artefacts()?;
    again.retain(|path, _| whole.contains_key(path));
    assert_same(&whole, &again, "a cascade in parts");
    Ok(())
}

#[test]
fn another_cut_is_another_cascade_and_is_said_to_be() -> Outcome {
    let site = site()?;
    site.done("run", &[&CASCADE[..], &ANY[..]].concat())?;
    let first = addresses(&of_run(&site)?, "teacher");
    let other = [&CASCADE[..], &["--set", "select.fraction=0.6"]].concat();
    site.stage("score", &other)?.says(1, &["cascade: ", "--rescore"]);
    site.done("score", &[&other[..], &["--rescore"]].concat())?;
    assert_ne!(addresses(&of_run(&site)?, "teacher"), first);
    Ok(())
}

#[test]
fn what_a_cascade_cannot_do_is_one_clear_line() -> Outcome {
    let site = site()?;
    site.stage("score", &["--set", "score.teacher_tokens=1e6"])?.says(1, &["score.teacher_tokens", "score.by"]);
    let with = |more: &[&'static str]| [&CASCADE[..], more].concat();
    site.stage("score", &with(&["--set", "score.teacher_tokens=-1"]))?.says(1, &["score.teacher_tokens", "-1"]);
    site.done("distill", &ANY)?;
    site.stage("score", &with(&["--set", "select.rank=loss"]))?.says(1, &["select.rank = \"loss\"", "score.by"]);
    site.done("score", &with(&["--set", "score.teacher_tokens=0"]))?;
    assert_eq!(addresses(&of_run(&site)?, "teacher").len(), 0);
    Ok(())
}

#[test]
fn a_shard_that_cannot_be_read_is_left_out_of_both_readings() -> Outcome {
    let site = site()?;
    let path = site.path("corpus/0/a.parquet");
    fs_err::write(&path, corrupt_page(fs_err::read(&path)?)?)?;
    let skip = [&CASCADE[..], &ANY[..], &["--set", "run.on_bad_shard=skip"]].concat();
    let mut taught = Vec::new();
    for _ in 0..2 {
        site.stage("run", &skip)?.says(2, &["1 shards were skipped"]);
        let rows = of_run(&site)?;
        assert_eq!(rows.keys().filter(|(source, _)| source != "s0").count(), 150);
        taught.push(addresses(&rows, "teacher"));
    }
    assert!(!taught[0].is_empty());
    assert_eq!(taught[0], taught[1]);
    Ok(())
}
