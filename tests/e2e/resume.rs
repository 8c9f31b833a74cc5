//! Resuming with other settings or another corpus: the difference is named, and accepted only on request.

use crate::corpus;
use crate::scores::{documents, rows_below};
use crate::site::{Outcome, PIPELINE, Site, assert_same};

#[test]
fn other_settings_are_named_and_accepted_only_on_request() -> Outcome {
    let site = Site::new()?;
    site.done("run", &[])?;
    let before = site.artefacts()?;
    for (set, parts) in [
        ("score.window_tokens=32", "window_tokens: 64 → 32"),
        ("score.min_tokens=20", "min_tokens: 16 → 20"),
        ("score.mask=zero", "mask: \"causal-uniform\" → \"zero\""),
        ("score.long_documents=first", "long_documents: \"all\" → \"first\""),
        ("model.precision=bf16", "→"),
    ] {
        for stage in ["run", "score"] {
            let finished = site.stage(stage, &["--set", set])?;
            finished.says(1, &["this run was begun with other settings", parts, "--rescore"]);
        }
    }
    assert_same(&before, &site.artefacts()?, "refusals");
    let set = ["--set", "score.window_tokens=32"];
    site.done("run", &[&["--rescore"], &set[..]].concat())?;
    assert_eq!(site.json("metrics.json")?["documents"], corpus::ROWS);
    site.done("run", &set)?;
    assert_eq!(site.json("metrics.json")?["documents"], 0);
    site.done("run", &["--rescore"])?;
    assert_eq!(site.json("metrics.json")?["documents"], 0, "the first scores are still there");
    let mut after = site.artefacts()?;
    after.retain(|path, _| before.contains_key(path));
    assert_same(&before, &after, "back again");
    Ok(())
}

#[test]
fn another_head_set_is_refused_and_accepted_on_request() -> Outcome {
    let site = Site::new()?;
    site.done("run", &[])?;
    site.write("head-set.json", r#"{"heads": [[0, 1]]}"#)?;
    site.stage("run", &[])?.says(1, &["heads.json was made with other settings", "heads.file", "choose another"]);
    site.done("run", &["--rescore"])?;
    assert_eq!(site.json("heads.json")?["heads"], serde_json::json!([[0, 1]]));
    assert_eq!(site.json("metrics.json")?["documents"], corpus::ROWS);
    Ok(())
}

#[test]
fn a_replaced_shard_is_named_and_a_new_one_is_welcome() -> Outcome {
    let site = Site::new()?;
    site.done("run", &[])?;
    corpus::shard(&site.path("corpus/books/d.parquet"), &corpus::book_rows(9, 11)?, 7)?;
    site.done("run", &[])?;
    assert_eq!(site.json("metrics.json")?["documents"], 11, "the new shard alone");
    corpus::shard(&site.path("corpus/books/b.parquet"), &corpus::book_rows(8, 15)?, 7)?;
    for stage in ["run", "score"] {
        site.stage(stage, &[])?.says(1, &["shards changed", "books/b.parquet", "--rescore"]);
    }
    site.stage("select", &["--set", "select.fraction=1.0"])?.says(1, &["b.parquet", "score the new shard first"]);
    site.done("run", &["--rescore"])?;
    assert_eq!(site.json("metrics.json")?["documents"], 15, "the replaced shard alone");
    fs_err::remove_file(site.path("corpus/books/d.parquet"))?;
    site.stage("run", &[])?.says(1, &["no longer planned", "books/d.parquet", "--rescore"]);
    site.done("run", &["--rescore"])?;
    assert_eq!(site.json("metrics.json")?["documents"], 0, "what is left is scored already");
    assert!(
        rows_below(&site, "selected/")?.iter().all(|row| row.get("origin").is_some() || row.contains_key("content"))
    );
    Ok(())
}

#[test]
fn another_cut_of_the_same_shards_is_refused() -> Outcome {
    let site = Site::new()?;
    site.done("run", &[])?;
    let set = ["--set", "run.unit_bytes=64MiB"];
    site.stage("run", &set)?.says(1, &["no longer planned", "unit_bytes", "--rescore"]);
    site.done("run", &[])?;
    assert_eq!(site.json("metrics.json")?["documents"], 0);
    Ok(())
}

#[test]
fn other_labels_are_refused_and_rewritten_without_the_model() -> Outcome {
    let site = Site::new()?;
    site.done("run", &[])?;
    let scores = documents(&site)?;
    let text = site.read(PIPELINE)?;
    site.write(PIPELINE, &text.replace("**/*.parquet\"]", "**/*.parquet\"]\ndomain_value = \"book\"\nid = \"\""))?;
    for stage in ["run", "score"] {
        let finished = site.stage(stage, &[])?;
        finished.says(1, &["id or domain columns changed", "books: id id, domain domain →", "--relabel"]);
    }
    site.stage("select", &[])?.says(1, &["--relabel"]);
    let finished = site.done("score", &["--relabel"])?;
    assert!(finished.stderr.contains("sidecars rewritten"), "{}", finished.stderr);
    let selected = site.done("select", &[])?;
    assert!(selected.stdout.contains("book") && !selected.stdout.contains("fiction"), "{}", selected.stdout);
    for (address, mut row) in documents(&site)? {
        let mut before = scores[&address].clone();
        if address.0 == "books" {
            assert_eq!((row["domain"].as_str(), row["id"].as_str()), ("book", ""));
        }
        for column in ["domain", "id"] {
            row.remove(column);
            before.remove(column);
        }
        assert_eq!(row, before, "{address:?}");
    }
    // a relabelled run is one that was labelled so from the start
    let fresh = Site::new()?;
    fresh.write(PIPELINE, &site.read(PIPELINE)?)?;
    fresh.done("run", &[])?;
    let [mut ours, mut theirs] = [fresh.artefacts()?, site.artefacts()?];
    for artefacts in [&mut ours, &mut theirs] {
        artefacts.retain(|path, _| path.starts_with("scores/") || path == "selection.json");
    }
    assert_same(&ours, &theirs, "relabelled");
    site.write(PIPELINE, &text)?;
    site.done("score", &["--relabel"])?;
    site.done("run", &[])?;
    assert_eq!(site.json("metrics.json")?["documents"], 0);
    assert_eq!(documents(&site)?, scores);
    Ok(())
}

#[test]
fn damaged_artefacts_are_named() -> Outcome {
    let site = Site::new()?;
    site.done("run", &[])?;
    for name in ["run.json", "heads.json"] {
        let whole = site.read(&format!("out/{name}"))?;
        site.write(&format!("out/{name}"), &whole[..whole.len() / 2])?;
        site.stage("run", &[])?.says(1, &[name, "damaged"]);
        site.write(&format!("out/{name}"), &whole)?;
    }
    let sidecar = site.artefacts()?.into_keys().find(|path| path.starts_with("scores/")).ok_or("a sidecar")?;
    let file = format!("out/{sidecar}");
    let whole = fs_err::read(site.path(&file))?;
    fs_err::write(site.path(&file), &whole[..whole.len() / 2])?;
    site.stage("run", &[])?.says(1, &[&sidecar, "delete it and run `headwater score` again"]);
    fs_err::remove_file(site.path(&file))?;
    site.done("run", &[])?;
    assert_eq!(fs_err::read(site.path(&file))?, whole);
    Ok(())
}
