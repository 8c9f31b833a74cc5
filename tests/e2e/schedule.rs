//! `headwater schedule`: schedules without a corpus.

use std::process::Command;

use crate::site::{Outcome, PIPELINE, Site, files_below, finish};

#[test]
fn a_schedule_is_shown_from_a_kind_and_from_a_file() -> Outcome {
    let site = Site::new()?;
    let shown = site.headwater(&[
        "schedule",
        "show",
        "wsd:decay=0.2,shape=linear",
        "--steps",
        "20000",
        "--peak-lr",
        "4e-4",
        "--csv",
        "s.csv",
        "--svg",
        "s.svg",
    ])?;
    shown.prints(&["wsd: 20,000 steps", "█", "16,000", "decay", "0.000000e0"]);
    let table = site.read("s.csv")?;
    assert!(
        table.starts_with("step,tokens,lr\n0,0,0.0\n") && table.contains("\n16000,134217728000,0.0004\n"),
        "{table}"
    );
    assert!(table.ends_with("\n20000,167772160000,0.0\n"), "{table}");
    assert!(site.read("s.svg")?.contains("decay from step 16,000"));
    site.headwater(&["schedule", "show", PIPELINE])?.prints(&["wsd: ", "peak "]);
    Ok(())
}

#[test]
fn schedules_are_compared() -> Outcome {
    let site = Site::new()?;
    let compared =
        ["schedule", "compare", "wsd", "cosine:floor=0.1", "multi-step", "--steps", "1000", "--svg", "c.svg"];
    site.headwater(&compared)?.prints(&["(1) wsd", "(2) cosine:floor=0.1", "(3) multi-step", "mean"]);
    assert!(site.read("c.svg")?.contains("cosine:floor=0.1"));
    Ok(())
}

#[test]
fn norms_are_refined() -> Outcome {
    let site = Site::new()?;
    site.write("norms.csv", &format!("grad_norm\n9\n9\n{}inf\n9\n9\n", "0.5\n".repeat(101)))?;
    let refined =
        ["schedule", "refine", "norms.csv", "--norm", "l1", "--out", "r.csv", "--toml", "r.toml", "--svg", "r.svg"];
    site.headwater(&refined)?
        .prints(&["106 read, 2 dropped at each end, 1 infinite ones dropped", "median of 11 norms"]);
    let table = site.read("r.csv")?;
    assert!(table.starts_with("step,lr_multiplier\n0,1.0\n1,0.99\n") && table.ends_with("\n100,0.0\n"), "{table}");
    site.headwater(&["schedule", "show", "r.toml", "--steps", "100"])?.prints(&["points: 100 steps"]);
    site.headwater(&["schedule", "refine", "norms.csv", "--norm", "l1", "--keep-edges"])?
        .prints(&["0 dropped at each end"]);
    let state: Vec<String> = (1..=20).map(|at| format!("{{\"grad_norm\": 0.5, \"step\": {}}}", at * 10)).collect();
    let state = format!("{{\"log_history\": [{}, {{\"eval_loss\": NaN}}], \"max_steps\": 200}}", state.join(","));
    site.write("trainer_state.json", &state)?;
    site.headwater(&["schedule", "refine", "trainer_state.json", "--norm", "l2", "--out", "s.csv"])?
        .prints(&["20 read (1 lines without one)", "200 steps"]);
    assert!(site.read("s.csv")?.ends_with("\n199,0.0\n"));
    site.write("two.csv", "Step,a - grad_norm,b - grad_norm\n1,1,2\n")?;
    site.headwater(&["schedule", "refine", "two.csv", "--norm", "l2"])?
        .says(1, &["`a - grad_norm`, `b - grad_norm`", "name one with --column"]);
    site.write("few.csv", "1\n2\n3\n4\n5\n6\n")?;
    site.headwater(&["schedule", "refine", "few.csv", "--norm", "l2"])?
        .says(1, &["few.csv", "2 gradient norms are too few"]);
    site.write("empty.csv", "")?;
    site.headwater(&["schedule", "refine", "empty.csv", "--norm", "l2"])?.says(1, &["empty.csv", "no gradient norms"]);
    site.write("negative.jsonl", "{\"grad_norm\": 1}\n{\"grad_norm\": -1}\n")?;
    site.headwater(&["schedule", "refine", "negative.jsonl", "--norm", "l2"])?
        .says(1, &["negative.jsonl:2", "not negative"]);
    site.headwater(&["schedule", "refine", "none.csv", "--norm", "l2"])?.says(1, &["none.csv"]);
    site.headwater(&["schedule", "refine", "norms.csv", "--norm", "l1", "--tau", "1.5"])?.says(1, &["`tau`"]);
    Ok(())
}

#[test]
fn a_branch_is_planned_and_its_recipe_written() -> Outcome {
    let site = Site::new()?;
    site.done("run", &[])?;
    let branch =
        ["schedule", "branch", PIPELINE, "--at-step", "20000", "--decay", "{steps=1000}", "--toml", "child.toml"];
    let planned = site.headwater(&branch)?;
    planned.prints(&[
        "resume   after step 20,000",
        "decay    1,000 steps",
        "end      at step 21,000",
        "data     from step 20,000",
    ]);
    site.headwater(&["schedule", "show", "child.toml"])?.prints(&["wsd: 21,000 steps", "decay"]);
    let command =
        planned.stdout.lines().find_map(|line| line.strip_prefix("recipe   headwater ")).ok_or("a command")?;
    let trainers = r#"--set 'recipe.trainers=["nanotron","hf","megatron"]' --set mixture.decay=0.6"#;
    let program = env!("CARGO_BIN_EXE_headwater");
    let written =
        finish(Command::new("sh").args(["-c", &format!("{program} {command} {trainers}")]).current_dir(site.path("")))?;
    assert_eq!(written.code, Some(0), "{written:#?}");
    let table = site.read("out/recipe-branch-20000/hf/expected_lr.csv")?;
    assert!(table.contains("\n20001,0.0004\n") && table.contains("\n21000,2.00050025"), "{table}");
    for (path, bytes) in files_below(&site.path("out/recipe-branch-20000"))? {
        assert!(!String::from_utf8_lossy(&bytes).contains("out/recipe/"), "{path} names the parent's recipe");
    }
    for taken in ["scores", "../x", "selected/y", ""] {
        site.headwater(&["recipe", PIPELINE, "--out", taken])?.says(1, &["name a new folder inside the run's output"]);
    }
    let early = ["schedule", "branch", PIPELINE, "--at-step", "90000"];
    site.headwater(&early)?.says(1, &["step 90000 is outside the stable phase"]);
    site.headwater(&["schedule", "branch", "multi-step", "--at-tokens", "1e11"])?
        .says(1, &["no stable phase to branch from"]);
    Ok(())
}

#[test]
fn a_schedule_is_exported_to_a_trainer() -> Outcome {
    let site = Site::new()?;
    let export =
        |trainer: &'static str| ["schedule", "export", "wsd:shape=linear", "--steps", "1000", "--trainer", trainer];
    site.headwater(&export("nanotron"))?.prints(&["lr_decay_starting_step: 750", "those of schedule.csv"]);
    site.headwater(&export("hf"))?.prints(&["\"num_decay_steps\": 250"]);
    site.headwater(&export("nanotrn"))?.says(1, &["`nanotrn`", "nanotron, hf"]);
    let odd = ["schedule", "export", "inverse-sqrt:warmup=0.05", "--trainer", "hf", "--expected-lr", "e.csv"];
    site.headwater(&odd)?.prints(&["has no \"inverse-sqrt\" schedule; this is the nearest", "by at most"]);
    assert!(site.read("e.csv")?.starts_with("step,lr\n1,"));
    Ok(())
}

#[test]
fn numbers_are_written_as_people_write_them() -> Outcome {
    let site = Site::new()?;
    let show = |more: &[&'static str]| site.headwater(&[&["schedule", "show"], more].concat());
    show(&["wsd:decay={steps=2k}", "--steps", "20k"])?.prints(&["wsd: 20,000 steps", "18,000"]);
    show(&["wsd", "--tokens", "1T", "--rows", "1e1"])?.prints(&["wsd: 119,209 steps"]);
    show(&["wsd", "--steps", "20q"])?.says(1, &["`20q` is not a whole number", "20k"]);
    show(&["wsd", "--steps", "0"])?.says(1, &["at least 1"]);
    site.headwater(&["schedule", "branch", "wsd", "--at-tokens", "500B"])?.prints(&["59,605"]);
    Ok(())
}

#[test]
fn help_lists_kinds_shapes_and_keys() -> Outcome {
    let site = Site::new()?;
    let help = site.headwater(&["schedule", "show", "--help"])?;
    help.prints(&["wsd-s", "periods", "mirror-cosine", "half_life", "{steps=2000}"]);
    Ok(())
}

#[test]
fn the_schema_is_json_and_the_reference_a_page() -> Outcome {
    let site = Site::new()?;
    site.headwater(&["schema"])?.prints(&["\"$schema\"", "\"long_documents\""]);
    site.headwater(&["schema", "--markdown"])?.prints(&["# Reference of all keys", "## `[run]`"]);
    Ok(())
}

#[test]
fn wrong_schedules_are_explained() -> Outcome {
    let site = Site::new()?;
    for (schedule, parts) in [
        ("cosin", ["`cosin` is no schedule", "did you mean `cosine`?"]),
        ("wsd:decay={steps=900},warmup={steps=200}", ["exceed the run of 1000 steps", "warm-up of 200 steps"]),
        ("wsd:decay=0.5,milestones=[0.5]", ["`milestones` is no key of kind \"wsd\"", "takes warmup, decay"]),
        ("gone.toml", ["cannot read the schedule", "gone.toml"]),
        ("wsd:floor=2", ["`floor`", "got 2"]),
        ("wsd:decay=0.2,decay=0.3", ["`decay` stands twice", "wsd:decay=0.2"]),
        ("wsd-s:periods=1000000000000", ["`periods`", "at most 10,000"]),
        ("triangular:cycle={steps=1}", ["`cycle`", "between 2 steps and the run"]),
    ] {
        site.headwater(&["schedule", "show", schedule, "--steps", "1000"])?.says(1, &parts);
    }
    site.write("none.toml", "[package]\nname = \"x\"\n")?;
    site.headwater(&["schedule", "show", "none.toml"])?.says(1, &["neither a [schedule] nor a [recipe] table"]);
    let many = ["schedule", "export", "triangular:cycle={steps=16}", "--steps", "200001", "--trainer", "llm-foundry"];
    site.headwater(&many)?.says(0, &["LLM Foundry has no \"triangular\" schedule"]);
    site.write("bad.toml", "[schedule]\nkind = \"wsd\"\ndecya = 0.1\n")?;
    site.headwater(&["schedule", "show", "bad.toml"])?.says(1, &["bad.toml:3: ", "did you mean `decay`?"]);
    Ok(())
}
