//! Whole runs and single stages: what they leave behind, and that it depends on nothing but their inputs.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};

use crate::corpus;
use crate::scores::{Address, documents, rows_below};
use crate::site::{Finished, OUTPUT, Outcome, PIPELINE, Site, assert_same, finish, pipeline, repository, tiny};

#[test]
fn a_run_leaves_every_artefact_and_a_table() -> Outcome {
    let site = Site::new()?;
    let finished = site.done("run", &[])?;
    let artefacts = site.all_artefacts()?;
    let named = [
        "run.json",
        "heads.json",
        "rejects.parquet",
        "selection.json",
        "schedule.csv",
        "schedule.svg",
        "metrics.json",
        "report.html",
    ];
    for name in named {
        assert!(artefacts.contains_key(name), "no {name} among {:?}", artefacts.keys());
    }
    let run = site.json("run.json")?;
    let selection = site.json("selection.json")?;
    let hash = selection["hash"].as_str().ok_or("a hash")?;
    let short =
        artefacts.keys().find_map(|path| path.strip_prefix("selected/")?.split('/').next()).ok_or("a subset")?;
    assert!(hash.starts_with(short), "{short} is not of {hash}");
    for source in run["sources"].as_array().ok_or("sources")? {
        let (name, print) = (source["name"].as_str().ok_or("name")?, source["fingerprint"].as_str().ok_or("print")?);
        for shard in source["shards"].as_array().ok_or("shards")? {
            let path = shard["path"].as_str().ok_or("path")?;
            let subset = format!("selected/{short}/{name}/{path}");
            assert!(artefacts.contains_key(&subset), "no {subset} among {:?}", artefacts.keys());
            let units = shard["units"].as_array().ok_or("units")?;
            assert!(units.len() > 1, "the test wants several units a shard");
        }
        let sidecars = artefacts.keys().filter(|path| path.starts_with(&format!("scores/{print}/{name}/")));
        let units = source["shards"].as_array().ok_or("shards")?.iter().filter_map(|shard| shard["units"].as_array());
        assert_eq!(sidecars.count(), units.map(Vec::len).sum::<usize>(), "sidecars of {name}");
    }
    for trainer in ["nanotron", "hf"] {
        assert!(artefacts.keys().any(|path| path.starts_with(&format!("recipe/{trainer}/"))), "no recipe {trainer}");
    }
    assert!(artefacts.keys().all(|path| !path.contains("tmp")), "{:?}", artefacts.keys());
    assert_eq!(documents(&site)?.len(), corpus::ROWS);
    for domain in selection["domains"].as_array().ok_or("domains")? {
        assert!(finished.stdout.contains(domain["domain"].as_str().ok_or("name")?), "{}", finished.stdout);
    }
    let highest = &selection["domains"][1]["highest"]["id"];
    assert!(finished.stdout.contains(highest.as_str().ok_or("an id")?), "{}", finished.stdout);
    let (_, places) = finished.stdout.split_once("Everything is in out:\n").ok_or("where everything is")?;
    let (places, next) = places.split_once("\nNext:").ok_or("what to run next")?;
    assert!(places.lines().count() > 6 && next.contains("headwater select pipeline.toml"), "{}", finished.stdout);
    for line in places.lines() {
        let path = line.split_whitespace().last().ok_or("a path")?;
        assert!(site.path(path).exists(), "{path} is said to be there");
    }
    Ok(())
}

#[test]
fn what_is_kept_is_the_top_of_each_domain() -> Outcome {
    let site = Site::new()?;
    site.done("run", &["--set", "select.influence_column=true"])?;
    let documents = documents(&site)?;
    let mut domains: BTreeMap<&str, Vec<(f64, &Address)>> = BTreeMap::new();
    for (address, row) in documents.iter().filter(|(_, row)| row["status"] == "scored") {
        domains.entry(&row["domain"]).or_default().push((row["influence"].parse()?, address));
    }
    assert_eq!(domains.keys().copied().collect::<Vec<_>>(), ["(none)", "fiction", "trade", "web"]);
    let mut kept = BTreeSet::new();
    for ranked in domains.values_mut() {
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        let count = (ranked.len() + 2) / 4; // a quarter, half up
        kept.extend(ranked[..count].iter().map(|(_, address)| (*address).clone()));
    }
    let expected: Vec<String> = kept.iter().map(|address| documents[address]["influence"].clone()).collect();
    let subset = rows_below(&site, "selected/")?;
    let found: Vec<String> = subset.iter().map(|row| row["influence"].clone()).collect();
    assert_eq!(found, expected, "the subset holds the kept rows in the order of their addresses");
    let ids: BTreeSet<&str> = subset.iter().filter_map(|row| row.get("id").map(String::as_str)).collect();
    let kept_ids = kept.iter().map(|address| documents[address]["id"].as_str()).filter(|id| !id.is_empty());
    assert_eq!(ids, kept_ids.collect());
    let rejects = rows_below(&site, "rejects.parquet")?;
    assert_eq!(rejects.len(), documents.values().filter(|row| row["status"] != "scored").count());
    assert!(!rejects.is_empty() && rejects.iter().all(|row| row["status"] == "short"), "{rejects:?}");
    Ok(())
}

#[test]
fn running_again_changes_nothing_and_scores_nothing() -> Outcome {
    let site = Site::new()?;
    let first = site.done("run", &[])?;
    let mut before = site.all_artefacts()?;
    let again = site.done("run", &[])?;
    let mut after = site.all_artefacts()?;
    for timed in ["metrics.json", "report.html"] {
        assert!(before.remove(timed).is_some() && after.remove(timed).is_some(), "{timed}");
    }
    assert_same(&before, &after, "a second run");
    assert_eq!(site.json("metrics.json")?["documents"], 0);
    assert_eq!(first.stdout, again.stdout);
    Ok(())
}

#[test]
fn stages_one_by_one_are_the_run() -> Outcome {
    let whole = Site::new()?;
    whole.done("run", &[])?;
    let site = Site::new()?;
    assert!(site.done("status", &[])?.stdout.contains("nothing is there yet"));
    let plan = site.done("plan", &[])?;
    assert!(plan.stdout.contains("books") && plan.stdout.contains("content / none / all `web`"), "{}", plan.stdout);
    assert!(!site.path(OUTPUT).exists(), "a plan writes nothing");
    let found = site.read(PIPELINE)?.replace("file = \"head-set.json\"", "");
    site.write("found.toml", &found)?;
    site.headwater(&["score", "found.toml"])?.says(1, &["has no heads.json yet", "headwater heads found.toml"]);
    site.done("heads", &[])?;
    site.stage("select", &[])?.says(1, &["has no run.json yet", "headwater run pipeline.toml"]);
    site.stage("recipe", &[])?.says(1, &["has no selection.json yet", "headwater select pipeline.toml"]);
    site.done("score", &[])?;
    assert!(site.done("status", &[])?.stdout.contains("not made yet"));
    site.done("select", &[])?;
    site.done("recipe", &[])?;
    assert!(site.done("status", &[])?.stdout.contains("selection: written"));
    assert_same(&whole.artefacts()?, &site.artefacts()?, "stages one by one");
    Ok(())
}

#[test]
fn parts_together_are_the_whole() -> Outcome {
    let whole = Site::new()?;
    whole.done("run", &[])?;
    let site = Site::new()?;
    for part in ["2/3", "0/3"] {
        site.done("score", &["--part", part])?;
    }
    site.stage("select", &[])?.says(1, &["is not scored", "headwater score"]);
    site.done("score", &["--part", "1/3"])?;
    site.done("select", &[])?;
    site.done("recipe", &[])?;
    assert_same(&whole.artefacts()?, &site.artefacts()?, "three parts");
    Ok(())
}

#[test]
fn parts_at_the_same_time_are_the_whole() -> Outcome {
    let whole = Site::new()?;
    whole.done("run", &[])?;
    let site = Site::new()?;
    site.done("heads", &[])?;
    let parts = ["0/3", "1/3", "2/3"].map(|part| site.command(&["score", PIPELINE, "-q", "--part", part]).spawn());
    for part in parts {
        assert!(part?.wait()?.success());
    }
    site.done("select", &[])?;
    site.done("recipe", &[])?;
    assert_same(&whole.artefacts()?, &site.artefacts()?, "three parts at once");
    Ok(())
}

#[test]
fn the_place_of_the_corpus_changes_no_score_and_no_choice() -> Outcome {
    let here = Site::new()?;
    here.done("run", &[])?;
    let there = Site::new()?;
    fs_err::rename(there.path("corpus"), there.path("moved away"))?;
    let text = there.read(PIPELINE)?;
    let folder = there.path("moved away");
    let text = text.replace("\"corpus/books", &format!("\"{}/books", folder.display()));
    let url = format!("file://{}", folder.display()).replace(' ', "%20");
    there.write(PIPELINE, &text.replace("\"corpus/web", &format!("\"{url}/web")))?;
    there.done("run", &[])?;
    // recipes name the paths that the pipeline gives
    let [here, there] = [here, there].map(|site| {
        let mut artefacts = site.artefacts()?;
        artefacts.retain(|path, _| !path.starts_with("recipe/"));
        Ok::<_, Box<dyn Error>>(artefacts)
    });
    assert_same(&here?, &there?, "a corpus elsewhere");
    Ok(())
}

#[test]
fn threads_change_no_byte() -> Outcome {
    for (engine, precision) in [("native", "f32"), ("native", "bf16"), ("candle", "f32"), ("candle", "bf16")] {
        let (engine, set) = (format!("model.engine={engine}"), format!("model.precision={precision}"));
        let sites = ["1", "2", "4"].map(|threads| {
            let site = Site::new()?;
            let mut command = site.command(&["run", PIPELINE, "--set", &set, "--set", &engine]);
            let finished = finish(command.env("RAYON_NUM_THREADS", threads))?;
            assert_eq!(finished.code, Some(0), "{finished:#?}");
            site.artefacts()
        });
        let [one, two, four] = sites;
        let one = one?;
        assert_same(&one, &two?, &format!("1 and 2 threads in {precision}, {engine}"));
        assert_same(&one, &four?, &format!("1 and 4 threads in {precision}, {engine}"));
    }
    Ok(())
}

/// A corpus in JSON Lines that is long enough for a comparison to be worth its time.
fn long_corpus(site: &Site) -> Outcome {
    let words = ["shelf", "green", "counts", "river", "of", "the", "seven", "under", "glass", "a", "tall", "walks"];
    let text = |document: u32| {
        let mut state = document;
        let mut word = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            words[(state >> 16) as usize % words.len()]
        };
        (0..400).map(|_| word()).collect::<Vec<_>>().join(" ")
    };
    let lines: String = (0..700).map(|document| format!("{{\"text\": \"{}\"}}\n", text(document))).collect();
    fs_err::create_dir_all(site.path("long"))?;
    site.write("long/0.jsonl", &lines)?;
    let tables = "[[corpus]]\nname = \"long\"\npaths = [\"long\"]\n";
    site.write(PIPELINE, &pipeline(tables, &tiny("llama")).replace("\"f32\"", "\"int8\"").replace("2KiB", "64KiB"))?;
    Ok(())
}

#[test]
fn int8_says_once_how_it_ranks_and_again_with_the_cut() -> Outcome {
    let site = Site::empty()?;
    long_corpus(&site)?;
    let said = |finished: &Finished| -> Option<String> {
        let line = finished.stderr.lines().find(|line| line.contains("documents of this corpus as float32 does"));
        line.map(str::to_owned)
    };
    let scored = said(&site.done("score", &[])?).ok_or("a line on fidelity")?;
    assert!(scored.contains("int8-hadamard ranks") && scored.contains("of the top fifth"), "{scored}");
    let kept = site.json("fidelity.json")?;
    assert!(kept["documents"].as_u64().is_some_and(|documents| documents >= 8), "{kept}");
    assert_eq!(kept["numerics"]["precision"], "int8-hadamard");
    assert_eq!(said(&site.done("select", &[])?), Some(scored));
    // another worker reads what is known: it has changed, so it was not measured again
    let other = site.read(&format!("{OUTPUT}/fidelity.json"))?.replace("\"documents\": ", "\"documents\": 9");
    site.write(&format!("{OUTPUT}/fidelity.json"), &other)?;
    fs_err::remove_dir_all(site.path(OUTPUT).join("scores"))?;
    let again = said(&site.done("score", &[])?).ok_or("a line on fidelity")?;
    assert!(again.contains("ranks 9"), "{again}");
    Ok(())
}

#[test]
fn a_short_corpus_is_not_compared() -> Outcome {
    let site = Site::new()?;
    let finished = site.done("score", &["--set", "model.precision=int8"])?;
    assert!(!finished.stderr.contains("as float32 does"), "{}", finished.stderr);
    assert!(site.json("fidelity.json").is_err());
    Ok(())
}

#[test]
fn a_run_keeps_to_the_instruction_level_that_it_began_with() -> Outcome {
    let site = Site::new()?;
    let plain = ["--set", "model.instructions=plain"];
    let finished = site.done("run", &plain)?;
    assert!(finished.stderr.contains("(native, plain)"), "{}", finished.stderr);
    assert_eq!(site.json("run.json")?["scoring"]["numerics"]["instructions"], "plain");
    let finished = site.stage("run", &["--set", "model.engine=candle"])?;
    finished.says(1, &["begun with other settings", "native", "candle", "--rescore"]);
    Ok(())
}

#[test]
fn a_document_is_scored_the_same_in_any_unit() -> Outcome {
    let scores = |unit_bytes: &str, precision: &str| -> Result<_, Box<dyn Error>> {
        let site = Site::new()?;
        let unit_bytes = format!("run.unit_bytes={unit_bytes}");
        let precision = format!("model.precision={precision}");
        site.done("heads", &["--set", &unit_bytes, "--set", &precision])?;
        site.done("score", &["--set", &unit_bytes, "--set", &precision])?;
        documents(&site)
    };
    for precision in ["f32", "bf16"] {
        let together = scores("16MiB", precision)?;
        assert_eq!(together.len(), corpus::ROWS);
        assert_eq!(together, scores("1", precision)?, "one document a unit, in {precision}");
    }
    Ok(())
}

/// A site whose heads are sought, with four probes.
pub(crate) fn searching_site() -> Result<Site, Box<dyn Error>> {
    let site = Site::empty()?;
    // byte-like tokens: only very short sentences fit a probe, so they come from a corpus of such
    let words = ["the", "fen", "is", "old", "and", "dim", "an", "ox", "ate", "hay"];
    let sentence = |row: usize| (0..6).map(|at| words[(row + at * (row / 10 + 1)) % 10]).collect::<Vec<_>>().join(" ");
    let texts = (0..40).map(|row| format!("A{}.\n\n", sentence(row)));
    let batch = RecordBatch::try_from_iter([("text", Arc::new(StringArray::from_iter_values(texts)) as ArrayRef)])?;
    corpus::shard(&site.path("corpus/short.parquet"), &batch, 40)?;
    // the tiny model's context is too short for a probe, but nothing in its weights depends on it
    let model = site.path("model");
    fs_err::create_dir(&model)?;
    for file in ["model.safetensors", "tokenizer.json"] {
        fs_err::copy(tiny("llama").join(file), model.join(file))?;
    }
    let config = fs_err::read_to_string(tiny("llama/config.json"))?;
    fs_err::write(model.join("config.json"), config.replace(": 256,", ": 4096,"))?;
    let table = "[[corpus]]\nname = \"short\"\npaths = [\"corpus/short.parquet\"]\n";
    let search = "sentences = \"corpus\"\nprobes = 4\ncontext_tokens = 1024\nfraction = 0.25";
    site.write(PIPELINE, &pipeline(table, &model).replace("file = \"head-set.json\"", search))?;
    Ok(site)
}

#[test]
fn a_head_set_is_found_drawn_and_refused_if_weak() -> Outcome {
    let site = searching_site()?;
    let model = site.path("model");
    let refused = site.stage("run", &[])?;
    refused.says(1, &["head set is too weak", "--allow-weak-heads"]);
    assert!(refused.stderr.contains("on this machine: 24 forward passes to find the heads"), "{}", refused.stderr);
    assert!(!site.path(OUTPUT).join("heads.json").exists(), "a refused head set is not pinned");
    let allowed = site.done("run", &["--allow-weak-heads"])?;
    assert!(allowed.stderr.contains("8 probes need not be measured again"), "{}", allowed.stderr);
    let too_few = "4 probes are too few to say whether the head set is stable: set heads.probes to 16 or more";
    for said in [too_few, "3 retrieval heads, not stable after all 4 probes: accuracy on 4 probes "] {
        assert!(allowed.stderr.contains(said), "{said} is missing: {}", allowed.stderr);
    }
    assert!(!site.artefacts()?.contains_key("heads-partial.json"));
    let heads = site.json("heads.json")?;
    assert_eq!(heads["heads"].as_array().map(Vec::len), Some(3), "a quarter of 12 heads");
    assert!(heads["health"].is_object(), "{heads}");
    assert!(site.artefacts()?.contains_key("heads.svg"));
    site.stage("run", &["--set", "heads.probes=5"])?.says(1, &["heads.json", "probes: 4 → 5"]);
    site.stage("run", &["--set", "heads.until=all"])?.says(1, &["heads.json", "until: stable → all"]);
    let weights = fs_err::read(model.join("model.safetensors"))?;
    let end = weights.len() - 1;
    let changed = [&weights[..end], &[weights[end] ^ 1]].concat();
    fs_err::write(model.join("model.safetensors"), changed)?;
    site.stage("run", &[])?.says(1, &["heads.json", "weights: ", "--rescore"]);
    site.done("run", &["--allow-weak-heads", "--rescore"])?;
    assert_ne!(site.json("heads.json")?["weights"], heads["weights"]);
    Ok(())
}

#[test]
fn a_part_of_the_sample_corpus_runs() -> Outcome {
    let site = Site::empty()?;
    let sample = repository("pipelines/data/sample");
    let table = format!("[[corpus]]\nname = \"sample\"\npaths = [\"{}/*.parquet\"]\nsample = 0.03\n", sample.display());
    let text = pipeline(&table, &tiny("llama")).replace("2KiB", "16KiB").replace("= \"f32\"", "= \"bf16\"");
    site.write(PIPELINE, &text.replace("[score]", "[score]\nlong_documents = \"first\""))?;
    site.done("run", &["--set", "select.fraction=0.5"])?;
    let documents = documents(&site)?;
    assert!(documents.values().filter(|row| row["status"] == "scored").count() > 4, "{documents:?}");
    Ok(())
}

#[test]
fn another_cut_needs_no_model_and_keeps_the_first() -> Outcome {
    let site = Site::new()?;
    site.done("run", &[])?;
    let before = site.artefacts()?;
    let text = site.read(PIPELINE)?.replace(&tiny("llama").display().to_string(), "gone");
    site.write(PIPELINE, &text)?;
    site.done("select", &["--set", "select.fraction=0.5"])?;
    let after = site.artefacts()?;
    let subset = |path: &&String| path.starts_with("selected/");
    let kept: Vec<_> = before.keys().filter(subset).collect();
    assert!(kept.iter().all(|path| after.contains_key(*path)), "the first subset stays");
    assert_eq!(after.keys().filter(subset).count(), 2 * kept.len());
    assert_ne!(before["selection.json"], after["selection.json"]);
    Ok(())
}

#[test]
fn every_rank_and_measure_cuts() -> Outcome {
    let site = Site::new()?;
    site.done("run", &[])?;
    let tokens = |site: &Site| -> Result<f64, Box<dyn Error>> {
        let selection = site.json("selection.json")?;
        let domains = selection["domains"].as_array().ok_or("domains")?;
        Ok(domains.iter().filter_map(|domain| domain["kept_tokens"].as_f64()).sum())
    };
    let settings: [&[&str]; 4] = [
        &["--set", "select.rank=loss"],
        &["--set", "select.rank=random", "--set", "select.by=tokens"],
        &["--set", "select.by=token-budget", "--set", "select.tokens=2000"],
        &["--set", "select.domains.web.fraction=1.0"],
    ];
    let mut kept = Vec::new();
    for set in settings {
        site.done("select", set)?;
        kept.push(tokens(&site)?);
    }
    assert!(kept.iter().all(|tokens| *tokens > 0.0), "{kept:?}");
    assert!(kept[2] <= 2000.0, "{kept:?}");
    assert!(kept[..3].iter().all(|tokens| *tokens < kept[3]), "a whole domain is the most: {kept:?}");
    Ok(())
}

#[test]
fn machines_get_json_lines_and_quiet_is_quiet() -> Outcome {
    let site = Site::new()?;
    // pinned, so that no other level is found faster on a busy machine and recommended
    let pinned = ["--set", "model.instructions=plain"];
    let finished = site.done("run", &[&["--log-format", "json"], &pinned[..]].concat())?;
    assert!(finished.stderr.lines().count() > 3, "{}", finished.stderr);
    for line in finished.stderr.lines() {
        serde_json::from_str::<serde_json::Value>(line).map_err(|error| format!("{line}: {error}"))?;
    }
    // a run that gives no reason for a warning
    let short = ["--quiet", "--set", "recipe.sequence_tokens=64", "--set", "recipe.tokens=20000"];
    assert_eq!(site.done("run", &[&short, &pinned[..]].concat())?.stderr, "");
    let failed = site.stage("run", &["--log-format", "json", "--set", "select.fraction=2"])?;
    assert_eq!(failed.code, Some(1));
    let last: serde_json::Value = serde_json::from_str(failed.stderr.lines().last().ok_or("a line")?)?;
    assert_eq!(last["level"], "ERROR", "{last}");
    Ok(())
}
