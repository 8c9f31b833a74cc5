//! Small training runs on competing selections, judged by text that none of them has seen.

use std::error::Error;
use std::path::Path;

use fs_err as fs;

use crate::site::{Artefacts, OUTPUT, Outcome, PIPELINE, Site, assert_same, finish};
use crate::student::site as of_six_sources;

/// A trial of seconds: 2 layers, 20 steps, three arms with the control and the floor.
const SMALL: [&str; 9] = [
    "trial.model=tiny",
    "trial.arms=[\"influence\"]",
    "trial.seeds=2",
    "trial.tokens=5120",
    "trial.sequence_tokens=32",
    "trial.batch_sequences=8",
    "trial.vocabulary=300",
    "trial.held_out=0.1",
    "select.fraction=0.4",
];

fn set(settings: &[&'static str]) -> Vec<&'static str> {
    settings.iter().flat_map(|setting| ["--set", setting]).collect()
}

fn scored() -> Result<Site, Box<dyn Error>> {
    let site = of_six_sources()?;
    site.done("score", &[])?;
    Ok(site)
}

/// What a trial left.
fn left(site: &Site) -> Result<Artefacts, Box<dyn Error>> {
    let mut artefacts = site.artefacts()?;
    artefacts.retain(|path, _| path.starts_with("trial"));
    Ok(artefacts)
}

/// The paths of some of the artefacts, without the folder of the trial.
fn ending<'a>(artefacts: &'a Artefacts, end: &'a str) -> Vec<&'a str> {
    let paths = artefacts.keys().filter(|path| path.ends_with(end));
    paths.filter_map(|path| path.strip_prefix("trial/")?.split_once('/').map(|(_, path)| path)).collect()
}

#[test]
fn a_trial_judges_its_arms_and_is_the_same_however_it_was_run() -> Outcome {
    let site = scored()?;
    let table = site.done("trial", &set(&SMALL))?;
    table.prints(&[
        "random-again",
        "the floor",
        "influence",
        "too few seeds",
        "it takes 6 seeds",
        "below the smallest scale",
        "fiction",
    ]);
    let first = left(&site)?;
    assert_eq!(ending(&first, ".json").iter().filter(|path| path.starts_with("runs/")).count(), 6);
    assert_eq!(
        ending(&first, "model.safetensors"),
        [
            "models/influence/model.safetensors",
            "models/random-again/model.safetensors",
            "models/random/model.safetensors"
        ]
    );
    assert_eq!(ending(&first, ".parquet").len(), 6);
    assert!(!first.keys().any(|path| path.contains("/work/")), "checkpoints of runs that are done are removed");
    let trial = site.json("trial.json")?;
    assert_eq!(trial["runs"], 6);
    let plan = &trial["plan"];
    assert_eq!((plan["steps"].as_u64(), plan["design"]["seeds"].as_array().map(Vec::len)), (Some(20), Some(2)));
    for domain in plan["domains"].as_array().ok_or("domains")? {
        assert!(domain["tokens"].as_u64() > Some(0) && domain["share"].as_f64() > Some(0.2), "{domain}");
    }
    for (arm, runs) in trial["outcomes"].as_object().ok_or("outcomes")? {
        for (seed, loss) in runs.as_object().ok_or("runs")? {
            // before training, a token of 300 costs 8.2 bits
            assert!(loss.as_f64().is_some_and(|loss| (0.5..8.0).contains(&loss)), "{arm} {seed} {loss}");
        }
    }
    // again: nothing is left to do
    site.done("trial", &set(&SMALL))?;
    assert_same(&first, &left(&site)?, "a trial that is done");
    // part by part, on one thread
    fs::remove_dir_all(site.path(OUTPUT).join("trial"))?;
    fs::remove_file(site.path(OUTPUT).join("trial.json"))?;
    let part = |part: &'static str, threads: &str| {
        let arguments = [&["trial", PIPELINE, "--part", part], &set(&SMALL)[..]].concat();
        finish(site.command(&arguments).env("RAYON_NUM_THREADS", threads))
    };
    part("1/2", "1")?.prints(&["3 of 6 runs are done"]);
    part("0/2", "2")?.prints(&["too few seeds"]);
    assert_same(&first, &left(&site)?, "a trial in parts");
    Ok(())
}

#[test]
fn what_is_judged_is_not_trained_on_and_arms_are_alike_but_for_what_they_select() -> Outcome {
    let site = scored()?;
    site.done("trial", &set(&SMALL))?;
    let trial = site.json("trial.json")?;
    let selections = trial["plan"]["selections"].as_array().ok_or("selections")?;
    for arm in selections {
        // words are drawn from one list, but thirteen in a row are met by chance once in many corpora
        assert_eq!(arm["held_out_seen"], 0.0, "{arm}");
        let texts = arm["texts"].as_array().ok_or("texts")?;
        let is_drawn_anew = arm["arm"] != "influence";
        assert_eq!(texts.len(), if is_drawn_anew { 2 } else { 1 }, "{arm}");
        assert!(!is_drawn_anew || texts[0] != texts[1], "{arm}");
    }
    Ok(())
}

#[test]
fn schedules_are_tried_on_the_texts_of_the_control_and_the_page_shows_the_trial() -> Outcome {
    let site = scored()?;
    let tried = [&SMALL[..], &["trial.schedules=[\"refined\", \"linear\"]"]].concat();
    site.done("trial", &set(&tried))?.prints(&["schedule:refined", "schedule:linear"]);
    let first = left(&site)?;
    let plan = &site.json("trial.json")?["plan"];
    let texts = |arm: &str| {
        let selections = plan["selections"].as_array().into_iter().flatten();
        selections.filter(|of| of["arm"] == arm).map(|of| of["texts"].clone()).next()
    };
    assert!(texts("random").is_some_and(|texts| texts.as_array().is_some_and(|texts| texts.len() == 2)));
    assert_eq!(texts("schedule:refined"), texts("random"));
    assert_eq!(texts("schedule:linear"), texts("random"));
    let said: Vec<&serde_json::Value> =
        plan["schedules"].as_array().into_iter().flatten().map(|of| &of["schedule"]).collect();
    assert_eq!((said[0]["refined"]["arm"].as_str(), said[1]["kind"].as_str()), (Some("random"), Some("linear")));
    let page = site.read(&format!("{OUTPUT}/report.html"))?;
    for part in ["<section id=\"trial\"", "Difference from random text", "schedule:refined", "Loss over the runs"] {
        assert!(page.contains(part), "{part}");
    }
    let before = &site.json("trial.json")?["before_decay"]["arms"];
    let before: Vec<_> = before.as_array().into_iter().flatten().map(|of| of["arm"].as_str()).collect();
    assert_eq!(before, [Some("influence")], "the rate of the others falls elsewhere");
    // run 0 is that which the others are refined from: the part that lacks it leaves what it cannot train
    fs::remove_dir_all(site.path(OUTPUT).join("trial"))?;
    fs::remove_file(site.path(OUTPUT).join("trial.json"))?;
    let part = |part: &'static str| site.stage("trial", &[&["--part", part][..], &set(&tried)].concat());
    part("1/2")?.says(0, &["wait for the log of the first run of `random`: 1"]);
    part("0/2")?.prints(&["9 of 10 runs are done"]);
    part("1/2")?.prints(&["schedule:refined"]);
    assert_same(&first, &left(&site)?, "a trial in parts");
    Ok(())
}

#[test]
fn everything_and_the_selection_of_another_pipeline_are_arms() -> Outcome {
    let site = scored()?;
    let arms = [&SMALL[..], &["trial.arms=[\"all\", \"half.toml\", \"same.toml\", \"compression\"]"]].concat();
    fs::write(site.path("half.toml"), "[select]\n")?;
    site.stage("trial", &set(&arms))?.says(1, &["half.toml"]);
    for (file, fraction) in [("half.toml", 0.5), ("same.toml", 0.4)] {
        let select = format!("[select]\nrank = \"compression\"\nfraction = {fraction}\n");
        fs::write(site.path(file), format!("extends = \"{PIPELINE}\"\n\n{select}"))?;
    }
    site.done("trial", &set(&arms))?.prints(&["all", "half.toml", "same.toml"]);
    let plan = &site.json("trial.json")?["plan"];
    let of_arm = |arm: &str, key: &str| {
        let selections = plan["selections"].as_array().into_iter().flatten();
        selections.filter(|of| of["arm"] == arm).map(|of| of[key].clone()).next()
    };
    assert_eq!(of_arm("same.toml", "selections"), of_arm("compression", "selections"));
    assert_eq!(of_arm("same.toml", "texts"), of_arm("compression", "texts"));
    for arm in ["half.toml", "all"] {
        let hashes = of_arm(arm, "selections");
        assert!(hashes.is_some() && hashes != of_arm("compression", "selections"), "{arm}");
    }
    let trained = left(&site)?;
    assert_eq!(ending(&trained, ".json").iter().filter(|path| path.starts_with("runs/half.toml/")).count(), 2);
    Ok(())
}

#[test]
fn what_cannot_be_tried_is_one_clear_line() -> Outcome {
    let site = of_six_sources()?;
    site.stage("trial", &set(&SMALL))?.says(1, &["run.json", "headwater run"]);
    site.done("score", &[])?;
    for (wrong, said) in [
        ("trial.seeds=1", &["trial.seeds = 1", "at least 2 seeds"][..]),
        ("trial.arms=[\"random\"]", &["trial.arms = random", "always there"]),
        ("trial.arms=[\"influense\"]", &["influense", "did you mean `influence`?"]),
        ("trial.schedules=[\"refined\", \"refined\"]", &["trial.schedules = refined", "tried once"]),
        ("trial.schedules=[\"step\"]", &["step", "cosine"]),
        ("trial.schedules=[\"wsd\"]", &["trial.schedules = wsd", "which the control has"]),
        ("trial.arms=[]", &["trial.arms = []", "nothing to try"]),
        ("trial.arms=[\"column:a-b\", \"column:a:b\"]", &["trial.arms = column:a:b", "names of another arm's"]),
        ("trial.arms=[\"elsewhere.toml\"]", &["elsewhere.toml", "No such file"]),
        ("trial.tokens=10", &["trial.tokens = 10"]),
        ("trial.model=huge", &["huge", "tiny"]),
        ("trial.trainer=nanotron", &["nanotron", "built-in"]),
        ("trial.vocabulary=100", &["trial.vocabulary = 100", "257"]),
        ("trial.held_out=0.0001", &["is held out", "raise `trial.held_out`"]),
        ("select.domains.trade.fraction=0", &["has no text in domain \"trade\""]),
        ("select.by=upsample", &["upsample"]),
    ] {
        let ended = site.stage("trial", &[&set(&SMALL)[..], &["--set", wrong]].concat())?;
        ended.says(1, said);
    }
    Ok(())
}

/// Leaves what the program of another trainer leaves of a run, with the parameters that the run begins with as its models.
fn leave_untrained(hf: &Path, arm: &str, seed: u64, plan: &str) -> Outcome {
    let run = hf.join(format!("runs/{arm}/{seed}"));
    for model in ["final", "stable"] {
        fs::create_dir_all(run.join(model))?;
        fs::copy(hf.join(format!("start/{seed}.safetensors")), run.join(model).join("model.safetensors"))?;
    }
    let line =
        |step: u64| format!("{{\"step\": {step}, \"loss\": 5.7, \"rate\": 0.001, \"l2\": 1.0, \"l1\": 100.0}}\n");
    fs::write(run.join("log.jsonl"), (0..20).map(line).collect::<String>())?;
    let said = serde_json::json!({"plan": plan, "arm": arm, "seed": seed, "way": "cpu, float32"});
    Ok(fs::write(run.join("run.json"), said.to_string())?)
}

#[test]
fn runs_of_another_trainer_are_prepared_and_what_it_leaves_is_judged() -> Outcome {
    let site = scored()?;
    let of_hf = [&SMALL[..], &["trial.trainer=hf"]].concat();
    let trial = |flags: &[&'static str]| site.stage("trial", &[flags, &set(&of_hf)].concat());
    let dry = trial(&["--dry-run"])?;
    dry.prints(&["6 runs", "operations in all", "10¹⁴ a second"]);
    trial(&[])?.prints(&["0 of 6 runs are collected", "hf/train.py [--part I/N]", "headwater trial --collect"]);
    let first = left(&site)?;
    assert_eq!(ending(&first, ".safetensors").iter().filter(|path| path.starts_with("hf/tokens/")).count(), 6);
    assert_eq!(ending(&first, ".py"), ["hf/train.py"]);
    trial(&[])?;
    assert_same(&first, &left(&site)?, "a trial that was prepared");
    let folder = first.keys().find_map(|path| path.strip_suffix("/hf/runs.json")).ok_or("no list of runs")?;
    let hf = site.path(OUTPUT).join(folder).join("hf");
    let list: serde_json::Value = serde_json::from_slice(&fs::read(hf.join("runs.json"))?)?;
    let plan = list["plan"].as_str().ok_or("no plan")?;
    assert_eq!((list["steps"].as_u64(), list["runs"].as_array().map(Vec::len)), (Some(20), Some(6)));

    trial(&["--collect"])?.prints(&["0 of 6 runs are collected"]);
    leave_untrained(&hf, "random", 0, plan)?;
    trial(&["--collect"])?.prints(&["1 of 6 runs are collected"]);
    // what does not fit is named, and what was collected stays
    leave_untrained(&hf, "influence", 1, &"0".repeat(64))?;
    trial(&["--collect"])?.says(1, &["runs/influence/1/run.json", "of another trial", "remove its folder"]);
    leave_untrained(&hf, "influence", 1, plan)?;
    fs::write(hf.join("runs/influence/1/log.jsonl"), "")?;
    trial(&["--collect"])?.says(1, &["runs/influence/1/log.jsonl", "it has 0 steps, the run has 20"]);
    leave_untrained(&hf, "influence", 1, plan)?;
    fs::write(hf.join("runs/influence/1/final/model.safetensors"), "no weights")?;
    trial(&["--collect"])?.says(1, &["runs/influence/1/final/model.safetensors is damaged", "train it again"]);
    fs::remove_dir_all(hf.join("runs/influence"))?;
    for arm in ["random", "random-again", "influence"] {
        leave_untrained(&hf, arm, 0, plan)?;
        leave_untrained(&hf, arm, 1, plan)?;
    }
    trial(&["--collect"])?.prints(&["too few seeds"]);
    // models that are alike have losses that are alike
    let outcomes = &site.json("trial.json")?["outcomes"];
    for seed in ["0", "1"] {
        let loss = outcomes["random"][seed].as_f64().ok_or("a loss")?;
        assert!((2.0..8.3).contains(&loss), "{loss}");
        assert_eq!(outcomes["influence"][seed].as_f64(), Some(loss));
    }

    trial(&["--part", "0/2"])?.says(1, &["trial.trainer = hf", "takes `--part`"]);
    let built_in = site.stage("trial", &[&["--collect"], &set(&SMALL)[..]].concat())?;
    built_in.says(1, &["trial.trainer = built-in", "trial.trainer=hf"]);
    Ok(())
}

#[test]
fn a_dry_run_says_what_it_takes_and_trains_nothing() -> Outcome {
    let site = of_six_sources()?;
    let few = site.done("trial", &[&set(&SMALL)[..], &["--dry-run"]].concat())?;
    few.prints(&[
        "6 runs: random, random-again, influence under 2 seeds each",
        "lead to no verdict",
        "6 seeds",
        "tokens a second",
    ]);
    let more = site.done("trial", &[&set(&SMALL)[..], &["--set", "trial.seeds=8", "--dry-run"]].concat())?;
    more.prints(&["24 runs", "standard deviations", "below the smallest scale"]);
    let rounded = site.done("trial", &[&set(&SMALL)[..], &["--set", "trial.precision=bf16", "--dry-run"]].concat())?;
    rounded.prints(&["tokens a second with products in bfloat16"]);
    let other =
        [&set(&SMALL)[..], &["--set", "trial.precision=bf16", "--set", "trial.trainer=hf", "--dry-run"]].concat();
    site.stage("trial", &other)?.says(1, &["trial.precision = bf16", "`--precision`"]);
    assert!(!site.path(OUTPUT).join("trial").exists());
    Ok(())
}
