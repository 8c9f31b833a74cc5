//! `bench` measures and estimates, writes nothing to the run, and `plan` uses what it found.

use std::error::Error;
use std::path::Path;

use serde_json::Value;

use crate::corpus;
use crate::site::{OUTPUT, Outcome, PIPELINE, Site, files_below, pipeline, tiny};

/// Bytes of a site's cache below the folder of measurements.
fn measurements(site: &Site) -> Result<Vec<Value>, Box<dyn Error>> {
    let folder = site.path("cache/headwater/bench");
    let files = if folder.exists() { files_below(&folder)? } else { return Ok(Vec::new()) };
    Ok(files.values().map(|json| serde_json::from_slice(json)).collect::<Result<_, _>>()?)
}

/// Runs `bench` and reads its JSON object.
fn json(site: &Site, more: &[&str]) -> Result<Value, Box<dyn Error>> {
    let finished = site.done("bench", &[&["--json"], more].concat())?;
    assert_eq!(finished.stdout.lines().count(), 1, "{}", finished.stdout);
    Ok(serde_json::from_str(&finished.stdout)?)
}

/// A site whose pipeline pins no head set.
fn unpinned() -> Result<Site, Box<dyn Error>> {
    let site = Site::new()?;
    let text = site.read(PIPELINE)?;
    site.write(PIPELINE, &text.replace("file = \"head-set.json\"", ""))?;
    Ok(site)
}

fn positive(value: &Value, names: &[&str]) {
    for name in names {
        assert!(value[name].as_f64().is_some_and(|number| number > 0.0 && number.is_finite()), "{name}: {value}");
    }
}

#[test]
fn a_bench_prints_a_rate_and_an_estimate_and_leaves_the_run_alone() -> Outcome {
    let site = unpinned()?;
    let finished = site.done("bench", &[])?;
    let text = &finished.stdout;
    let heads = "1 heads from layer 1 of 3 (stand-in, as there is no heads.json yet)";
    for part in [
        "otherwise",
        "int8 ",
        "bf16 ",
        "tokens/s",
        "documents/s",
        "bytes a token",
        heads,
        "this processor does at most",
        "≈",
        "on n of them",
    ] {
        assert!(text.contains(part), "`{part}`: {text}");
    }
    assert!(text.contains("all there is"), "82 documents do not last for 30 s: {text}");
    assert!(!site.path(OUTPUT).exists(), "a bench writes nothing to the run");
    let kept = measurements(&site)?;
    assert_eq!(kept.len(), 1, "{kept:?}");
    positive(&kept[0]["speed"], &["tokens_per_second", "bytes_per_token", "scored_share"]);
    assert!(kept[0]["measured"].as_str().is_some_and(|when| when.ends_with('Z')), "{kept:?}");
    site.done("bench", &[])?;
    assert_eq!(measurements(&site)?.len(), 1, "the same settings replace their measurement");
    site.done("bench", &["--set", "score.window_tokens=32"])?;
    assert_eq!(measurements(&site)?.len(), 2, "other settings have their own");
    Ok(())
}

#[test]
fn json_has_every_number() -> Outcome {
    let site = Site::new()?;
    let report = json(&site, &[])?;
    let numbers = [
        "threads",
        "window_tokens",
        "documents",
        "tokens",
        "seconds",
        "tokens_per_second",
        "documents_per_second",
        "bytes_per_token",
        "flops_per_second",
        "peak_flops_per_second",
        "peak_memory_bytes",
    ];
    positive(&report, &numbers);
    positive(&report["corpus"], &["text_bytes", "tokens", "machine_hours"]);
    assert_eq!(report["numerics"]["precision"], "f32");
    let others = report["others"].as_array().expect("the other precisions");
    others.iter().for_each(|other| positive(other, &["tokens_per_second"]));
    let names: Vec<_> = others.iter().filter_map(|other| other["precision"].as_str()).collect();
    assert_eq!(names, ["int8", "bf16"]);
    assert_eq!(report["heads"]["origin"], "head-set.json", "a pinned set is used before heads.json is there");
    let hours = |name: &str| report["corpus"][name].as_f64().unwrap_or_default();
    let expected = hours("tokens") / report["tokens_per_second"].as_f64().unwrap_or(1.0) / 3600.0;
    assert!((hours("machine_hours") / expected - 1.0).abs() < 0.01, "{report}");
    Ok(())
}

#[test]
fn the_head_set_of_the_run_is_used_if_it_is_the_pipelines() -> Outcome {
    let site = Site::new()?;
    site.done("heads", &[])?;
    let before = site.all_artefacts()?;
    let heads = json(&site, &[])?["heads"].take();
    assert_eq!(
        (&heads["origin"], &heads["count"], &heads["first_layer"]),
        (&"heads.json".into(), &2.into(), &1.into())
    );
    site.write("head-set.json", r#"{"heads": [[2, 0]]}"#)?;
    let heads = json(&site, &[])?["heads"].take();
    assert_eq!(heads["is_stand_in"], true);
    assert!(heads["origin"].as_str().is_some_and(|text| text.contains("made with other settings")), "{heads}");
    assert_eq!(site.all_artefacts()?, before, "nothing of the run was touched");
    Ok(())
}

#[test]
fn plan_estimates_with_what_was_measured() -> Outcome {
    let site = Site::new()?;
    let before = site.done("plan", &[])?.stdout;
    for part in
        ["≈ text", "≈ tokens", "total", "4 bytes of text each (≈ assumed)", "run `headwater bench pipeline.toml`"]
    {
        assert!(before.contains(part), "`{part}`: {before}");
    }
    assert!(!before.contains("≈ time"), "{before}");
    assert!(!site.path("cache").exists(), "a plan writes nothing");
    site.done("bench", &[])?;
    let after = site.done("plan", &[])?.stdout;
    assert!(after.contains("≈ time") && !after.contains("assumed") && !after.contains("run `headwater"), "{after}");
    let other = site.done("plan", &["--set", "score.window_tokens=32"])?.stdout;
    assert!(!other.contains("≈ time") && !other.contains("assumed"), "the ratio alone is known: {other}");
    assert!(other.contains("bench pipeline.toml --set 'score.window_tokens=32'`"), "{other}");
    assert!(!site.path(OUTPUT).exists());
    Ok(())
}

#[test]
fn a_bench_ends_when_its_time_is_up() -> Outcome {
    // the thread that feeds candle first reads ahead
    for (engine, seconds) in [("native", "0.5"), ("candle", "3")] {
        let site = Site::empty()?;
        corpus::shard(&site.path("corpus/a.parquet"), &corpus::book_rows(1, 20_000)?, 4_000)?;
        let tables = "[[corpus]]\nname = \"a\"\npaths = [\"corpus\"]\n";
        site.write(PIPELINE, &pipeline(tables, &tiny("llama")))?;
        let set = format!("model.engine={engine}");
        let report = json(&site, &["--seconds", seconds, "--set", &set])?;
        assert_eq!(report["is_whole_corpus"], false, "{report}");
        assert!(report["documents"].as_u64().is_some_and(|documents| documents < 15_000), "{report}");
        positive(&report, &["tokens_per_second"]);
    }
    Ok(())
}

#[test]
fn what_cannot_be_measured_is_said() -> Outcome {
    let site = Site::new()?;
    for seconds in ["0", "-3", "NaN", "inf", "soon"] {
        site.stage("bench", &["--seconds", seconds])?.says(1, &["--seconds", "above 0"]);
    }
    site.stage("bench", &["--set", "score.min_tokens=100000"])?.says(1, &["100000 tokens", "[score] min_tokens"]);
    let empty = Site::empty()?;
    corpus::shard(&empty.path("corpus/a.parquet"), &corpus::book_rows(1, 0)?, 7)?;
    let tables = "[[corpus]]\nname = \"a\"\npaths = [\"corpus\"]\n";
    empty.write(PIPELINE, &pipeline(tables, Path::new("no model is looked for")))?;
    empty.stage("bench", &[])?.says(1, &[PIPELINE, "no documents to measure with"]);
    Ok(())
}
