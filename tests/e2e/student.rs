//! A student of the scores: fitted, refused, and set to score in the teacher's place.

use std::error::Error;
use std::path::Path;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::corpus;
use crate::scores::rows_below;
use crate::site::{OUTPUT, Outcome, PIPELINE, Site, assert_same, pipeline, tiny};

/// Lets the student of a tiny model of random weights, whose influence is mostly noise, pass.
pub(crate) const ANY: [&str; 2] = ["--set", "distill.min_fidelity=0"];

/// Six sources of two domains, 30 documents each.
pub(crate) fn site() -> Result<Site, Box<dyn Error>> {
    let site = Site::empty()?;
    let mut tables = String::new();
    for number in 0..6_u64 {
        let mut random = ChaCha8Rng::seed_from_u64(number);
        let texts: Vec<String> = (0..30).map(|row| corpus::text(&mut random, 60 + 4 * row)).collect();
        let domains: Vec<&str> = (0..30).map(|row| if row % 2 == 0 { "fiction" } else { "trade" }).collect();
        let columns: [(&str, ArrayRef); 2] = [
            ("text", std::sync::Arc::new(StringArray::from(texts))),
            ("domain", std::sync::Arc::new(StringArray::from(domains))),
        ];
        corpus::shard(&site.path(&format!("corpus/{number}/a.parquet")), &RecordBatch::try_from_iter(columns)?, 10)?;
        tables.push_str(&format!("[[corpus]]\nname = \"s{number}\"\npaths = [\"corpus/{number}\"]\n"));
    }
    site.write(PIPELINE, &pipeline(&tables, &tiny("llama")))?;
    Ok(site)
}

#[test]
fn a_student_scores_in_the_teachers_place_and_gives_the_same_bytes_each_time() -> Outcome {
    let site = site()?;
    let table = site.done("distill", &ANY)?;
    table.prints(&["180 labels", "sources that it was not fitted to, of 6", "fiction", "trade", "promised"]);
    let student = site.json("student.json")?;
    assert_eq!(student["labels"]["folds_by"], "source");
    assert_eq!(student["fidelity"]["domains"].as_array().map(Vec::len), Some(2));
    let by_student = ["--set", "score.by=student"];
    site.done("score", &by_student)?;
    let first = site.artefacts()?;
    let rows = rows_below(&site, "scores/")?;
    assert_eq!(rows.len(), 180);
    for row in &rows {
        assert_eq!(row["status"], "scored");
        for number in ["loss_base", "loss_masked", "influence", "influence_stderr"] {
            assert!(row[number].parse::<f64>()?.is_finite(), "{row:?}");
        }
    }
    // what the teacher says of the same documents has the same tokens and targets
    let taught = rows_below(&site, "labels/scores/")?;
    let counts = |rows: &[crate::scores::Row]| {
        let of = |row: &crate::scores::Row| {
            ["source", "row", "tokens", "scored_tokens", "bytes"].map(|name| row[name].clone())
        };
        let mut counts: Vec<_> = rows.iter().map(of).collect();
        counts.sort();
        counts
    };
    assert_eq!(counts(&rows), counts(&taught));
    // from nothing, in one go, on one thread
    fs_err::remove_dir_all(site.path(OUTPUT))?;
    let mut command = site.command(&[&["distill", PIPELINE], &ANY[..]].concat());
    assert_eq!(command.env("RAYON_NUM_THREADS", "2").output()?.status.code(), Some(0));
    site.done("run", &[&by_student[..], &ANY[..]].concat())?;
    let mut again = site.artefacts()?;
    again.retain(|path, _| first.contains_key(path));
    assert_same(&first, &again, "the student and its scores");
    assert!(site.path(OUTPUT).join("selection.json").is_file());
    Ok(())
}

#[test]
fn run_makes_the_student_that_it_needs() -> Outcome {
    let site = site()?;
    site.done("run", &[&["--set", "score.by=student"], &ANY[..]].concat())?;
    assert!(site.path(OUTPUT).join("student.json").is_file());
    site.done("status", &["--set", "score.by=student"])?.prints(&["180"]);
    Ok(())
}

#[test]
fn a_student_that_is_too_weak_is_refused_and_kept_to_be_looked_at() -> Outcome {
    let site = site()?;
    let refused = ["--set", "distill.min_fidelity=1"];
    let advice = ["the student is refused", "fiction", "student-weak.json", "--allow-weak-student"];
    site.stage("distill", &refused)?.says(1, &advice);
    assert!(site.path(OUTPUT).join("student-weak.json").is_file());
    assert!(!site.path(OUTPUT).join("student.json").is_file());
    site.stage("score", &["--set", "score.by=student"])?.says(1, &["no student.json yet", "headwater distill"]);
    site.done("distill", &[&refused[..], &["--allow-weak-student"]].concat())?;
    assert!(site.path(OUTPUT).join("student.json").is_file());
    Ok(())
}

#[test]
fn a_student_of_another_teacher_is_named() -> Outcome {
    let site = site()?;
    site.done("distill", &ANY)?;
    site.write("other-heads.json", r#"{"heads": [[0, 0]]}"#)?;
    let by_student = ["--set", "score.by=student", "--set"];
    for (other, said) in [
        ("score.mask=zero", "mask: \"causal-uniform\" → \"zero\""),
        ("score.window_tokens=16", "window_tokens"),
        ("score.long_documents=first", "long_documents"),
        (&*format!("model.name={}", tiny("qwen3").display()), "weights"),
        ("heads.file=other-heads.json", "heads.file: another set → other-heads.json"),
    ] {
        let ended = site.stage("score", &[&by_student[..], &[other]].concat())?;
        ended.says(1, &["student.json is the student of another teacher", said, "headwater distill"]);
    }
    let student = fs_err::read_to_string(site.path("out/student.json"))?;
    let newer = student.replace("\"features_version\": 1", "\"features_version\": 9");
    assert_ne!(newer, student);
    site.write("out/student.json", &newer)?;
    site.stage("score", &by_student[..2])?.says(1, &["features: 9 → 1"]);
    site.write("out/student.json", "{")?;
    site.stage("score", &by_student[..2])?.says(1, &["student.json"]);
    Ok(())
}

#[test]
fn a_domain_without_labels_is_named_once() -> Outcome {
    let site = site()?;
    let labelled = ["--set", "distill.sources=[\"s0\", \"s1\", \"s2\", \"s3\", \"s4\"]"];
    site.done("distill", &[&ANY[..], &labelled].concat())?;
    let texts = StringArray::from(vec![corpus::text(&mut ChaCha8Rng::seed_from_u64(9), 90); 3]);
    let columns: [(&str, ArrayRef); 2] =
        [("text", std::sync::Arc::new(texts)), ("domain", std::sync::Arc::new(StringArray::from(vec!["verse"; 3])))];
    corpus::shard(&site.path("corpus/5/b.parquet"), &RecordBatch::try_from_iter(columns)?, 10)?;
    let scored = site.stage("score", &["--set", "score.by=student"])?;
    scored.says(0, &["domain \"verse\" has no labels in student.json"]);
    assert_eq!(scored.stderr.matches("has no labels").count(), 1, "{}", scored.stderr);
    Ok(())
}

#[test]
fn labels_that_are_too_few_and_unknown_sources_are_one_clear_line() -> Outcome {
    let site = site()?;
    let few = ["--set", "distill.tokens=2000"];
    site.stage("distill", &few)?.says(1, &["domain", "labels", "raise `[distill] tokens`"]);
    let unknown = ["--set", "distill.sources=[\"s1\", \"web\"]"];
    site.stage("distill", &unknown)?.says(1, &["distill.sources names `web`", "s0, s1"]);
    site.stage("distill", &["--set", "distill.min_fidelity=2"])?.says(1, &["distill.min_fidelity = 2", "a share"]);
    site.stage("distill", &["--set", "distill.tokens=0"])?.says(1, &["distill.tokens = 0"]);
    let one = ["--set", "distill.sources=[\"s1\"]"];
    site.stage("distill", &one)?.says(1, &["15 labels", "24 in each"]);
    Ok(())
}

#[test]
fn labels_that_were_scored_are_not_scored_again() -> Outcome {
    let site = site()?;
    site.done("distill", &ANY)?;
    let labels = |site: &Site| crate::site::files_below(&site.path("out/labels/scores"));
    let before = labels(&site)?;
    let stamp = |path: &Path| fs_err::metadata(path).and_then(|file| file.modified());
    let times = |site: &Site| -> Result<Vec<_>, Box<dyn Error>> {
        let paths = labels(site)?.into_keys().map(|path| site.path("out/labels/scores").join(path));
        Ok(paths.map(|path| stamp(&path)).collect::<Result<Vec<_>, _>>()?)
    };
    let written = times(&site)?;
    site.done("distill", &ANY)?;
    assert_eq!((labels(&site)?, times(&site)?), (before, written));
    Ok(())
}
