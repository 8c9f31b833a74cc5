//! Wrong settings and wrong usage: exit code 1, and a message that names the thing, the place and what to do.

use crate::site::{OUTPUT, Outcome, PIPELINE, Site, pipeline, repository, tiny};

/// Runs the pipeline with `set` overrides, requires a refusal that says `parts`, and that nothing was scored.
fn refused(site: &Site, set: &[&str], parts: &[&str]) -> Outcome {
    let more: Vec<&str> = set.iter().flat_map(|assignment| ["--set", assignment]).collect();
    site.stage("run", &more)?.says(1, parts);
    assert!(!site.path(OUTPUT).join("scores").exists(), "{set:?} is refused before anything is scored");
    Ok(())
}

#[test]
fn an_unknown_key_is_named_with_line_and_suggestion() -> Outcome {
    let site = Site::new()?;
    let text = site.read(PIPELINE)?;
    site.write(PIPELINE, &text.replace("min_tokens = 16", "min_token = 16"))?;
    let line = text.lines().position(|line| line == "min_tokens = 16").ok_or("a line")? + 1;
    let place = format!("{PIPELINE}:{line}: ");
    refused(&site, &[], &[&place, "unknown key `min_token`", "did you mean `min_tokens`?", "min_token = 16"])
}

#[test]
fn settings_are_refused_before_anything_is_scored() -> Outcome {
    let site = Site::new()?;
    refused(&site, &["select.fracton=0.1"], &["--set", "did you mean `fraction`?"])?;
    refused(&site, &["select.fraction=1.5"], &["`select.fraction` is 1.5", "between 0 and 1"])?;
    refused(&site, &["select.domains.web.fraction=-1"], &["`select.domains.web.fraction` is -1"])?;
    refused(&site, &["select.by=token-budget"], &["`select.tokens` must say"])?;
    refused(&site, &["select.rank=influense"], &["did you mean `influence`?"])?;
    refused(&site, &["recipe.trainers=[\"nanotrom\"]"], &["nanotrom", "did you mean `nanotron`?"])?;
    refused(&site, &["recipe.preset=lama-7b"], &["lama-7b", "llama-7b"])?;
    refused(&site, &["recipe.trainers=hf"], &["`recipe.trainers`: write a list in brackets"])?;
    refused(&site, &["heads.probes=many"], &["`heads.probes`: `many` is not a whole number", "20k"])?;
    refused(&site, &["recipe.tokens=-5"], &["tokens"])?;
    refused(&site, &["schedule.decay=1.5"], &["decay"])?;
    refused(&site, &["mixture.selected=1.5"], &["selected", "1.5"])?;
    refused(&site, &["score.window_tokens=0"], &["window_tokens"])?;
    refused(&site, &["score.window_tokens=1"], &["window_tokens"])?;
    refused(&site, &["score.max_rejects=-0.5"], &["max_rejects"])?;
    refused(&site, &["score.mask=\"causal\""], &["causal-uniform"])?;
    refused(&site, &["run.unit_bytes=0"], &["unit_bytes"])?;
    refused(&site, &["run.unit_bytes=\"2XB\""], &["unit_bytes"])?;
    refused(&site, &["model.device=cuda:0"], &["cuda:0"])?;
    refused(&site, &["model.device=tpu"], &["tpu"])?;
    refused(&site, &["model.precision=f16"], &["f16", "bf16"])?;
    refused(
        &site,
        &["model.name=nonesuch"],
        &["`nonesuch` is not a model", "smollm2-135m-instruct-q4", "hf:owner/name"],
    )?;
    refused(&site, &["heads.file=nonesuch.json"], &["nonesuch.json"])?;
    refused(&site, &["heads.file=pipeline.toml"], &["pipeline.toml is no head set", "[[layer, head], ...]"])?;
    refused(&site, &["run.output=hdfs://node/x"], &["[run] output", "unknown scheme `hdfs`", "s3"])?;
    refused(&site, &["corpus.name=\"x\""], &["several [[corpus]]"])?;
    refused(&site, &["heads"], &["KEY=VALUE"])?;
    Ok(())
}

#[test]
fn heads_that_the_model_lacks_are_refused() -> Outcome {
    for (set, part) in [("[[3, 0]]", "3"), ("[[0, 4]]", "4"), ("[[1, 0], [1, 0]]", "")] {
        let site = Site::new()?;
        site.write("head-set.json", &format!("{{\"heads\": {set}}}"))?;
        refused(&site, &[], &["head-set.json", part])?;
    }
    Ok(())
}

#[test]
fn a_domain_that_is_not_there_is_named_with_those_that_are() -> Outcome {
    let site = Site::new()?;
    site.stage("run", &["--set", "select.domains.ficton.fraction=0.5"])?
        .says(1, &["`select.domains.ficton` names no domain", "(none), fiction, trade, web"]);
    site.done("run", &["--set", "select.domains.fiction.fraction=0.5"])?;
    assert_eq!(site.json("metrics.json")?["documents"], 0, "the scores were kept");
    Ok(())
}

#[test]
fn sources_are_checked() -> Outcome {
    let cases = [
        ("name = \"a/b\"\npaths = [\"corpus/web\"]", ["`a/b` cannot name", "letters"]),
        ("name = \"a\"\npaths = []", ["`a`", "no `paths`"]),
        ("name = \"a\"\npaths = [\"nowhere/*.parquet\"]", ["`a`", "`nowhere/*.parquet` matches no Parquet file"]),
        ("name = \"a\"\npaths = [\"nowhere.parquet\"]", ["`a`", "`nowhere.parquet` matches no Parquet file"]),
        ("name = \"a\"\npaths = [\"corpus/[\"]", ["`a`", "`corpus/[` is not a valid pattern"]),
        ("name = \"a\"\npaths = [\"corpus/web\"]\ntext = \"content\"\nsample = 0.0", ["`sample` is 0", "above 0"]),
        (
            "name = \"a\"\npaths = [\"corpus/web\", \"again\"]\ntext = \"content\"",
            ["both give a shard `0.parquet`", "remove one"],
        ),
        ("name = \"a\"\npath = [\"corpus/web\"]", ["unknown key `path`", "did you mean `paths`?"]),
        ("paths = [\"corpus/web\"]", ["the key `name` is missing", "pipeline.toml:5"]),
    ];
    let site = Site::new()?;
    fs_err::create_dir(site.path("again"))?;
    fs_err::copy(site.path("corpus/web/0.parquet"), site.path("again/0.parquet"))?;
    for (table, parts) in cases {
        site.write(PIPELINE, &pipeline(&format!("[[corpus]]\n{table}\n"), &tiny("llama")))?;
        refused(&site, &[], &parts)?;
    }
    let twice = "[[corpus]]\nname = \"a\"\npaths = [\"corpus/web\"]\ntext = \"content\"\n".repeat(2);
    site.write(PIPELINE, &pipeline(&twice, &tiny("llama")))?;
    refused(&site, &[], &["two corpus sources are named `a`"])
}

#[test]
fn engines_precisions_and_instruction_levels_are_checked() -> Outcome {
    let site = Site::new()?;
    let cases: [(&[&str], &[&str]); 6] = [
        (&["model.engine=nativ"], &["unknown value `nativ`", "did you mean `native`?"]),
        (&["model.instructions=sse9"], &["no instruction level `sse9`", "avx512-bf16", "plain"]),
        (
            &["model.engine=native", "model.device=cuda:0"],
            &["`cuda:0` cannot be used", "native engine runs on the cpu"],
        ),
        (&["model.engine=candle", "model.precision=int8"], &["int8 cannot be used", "candle"]),
        (&["model.engine=candle", "model.instructions=plain"], &["level plain was asked for", "native engine"]),
        (&["model.precision=fp8"], &["fp8", "bf16"]),
    ];
    for (settings, parts) in cases {
        refused(&site, settings, parts)?;
    }
    let stranger = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
    refused(&site, &[&format!("model.instructions={stranger}")], &["cannot run instruction level", stranger])
}

#[test]
fn usage_errors_are_the_users() -> Outcome {
    let site = Site::new()?;
    site.headwater(&[])?.says(1, &["Usage:"]);
    site.headwater(&["rum", PIPELINE])?.says(1, &["rum", "run"]);
    site.headwater(&["run"])?.says(1, &["<PIPELINE>"]);
    site.headwater(&["run", "nowhere.toml"])?.says(1, &["cannot read the pipeline", "nowhere.toml"]);
    site.headwater(&["run", "corpus"])?.says(1, &["cannot read the pipeline", "corpus"]);
    site.stage("score", &["--part", "3/3"])?.says(1, &["`3/3` is not I/N", "such as 0/8"]);
    site.stage("score", &["--relabel", "--rescore"])?.says(1, &["cannot be used with"]);
    site.headwater(&["model", "fetch", "nonesuch"])?
        .says(1, &["`nonesuch` is not a model", "smollm2-135m-instruct-q4"]);
    site.write("empty.toml", "")?;
    site.headwater(&["run", "empty.toml"])?.says(1, &["empty.toml", "the table [run] is missing: write [run]"]);
    site.write("broken.toml", "[run\noutput = 1\n")?;
    site.headwater(&["run", "broken.toml"])?.says(1, &["broken.toml:1"]);
    fs_err::write(site.path("binary.toml"), [0xff, 0xfe, 0])?;
    site.headwater(&["run", "binary.toml"])?.says(1, &["binary.toml"]);
    Ok(())
}

#[test]
fn help_version_and_completions_are_no_errors() -> Outcome {
    let site = Site::empty()?;
    for arguments in [&["--help"][..], &["run", "--help"], &["--version"], &["completions", "bash"]] {
        let finished = site.headwater(arguments)?;
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(finished.stdout.contains("headwater"), "{arguments:?}: {}", finished.stdout);
    }
    Ok(())
}

#[test]
fn a_closed_pipe_is_no_bug() -> Outcome {
    let site = Site::new()?;
    for arguments in [&["--help"][..], &["plan", PIPELINE], &["completions", "bash"]] {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let status = site.command(arguments).stdout(writer).output()?;
        let stderr = String::from_utf8_lossy(&status.stderr);
        assert!(!stderr.contains("panicked") && status.status.code() != Some(70), "{arguments:?}: {stderr}");
    }
    Ok(())
}

#[test]
fn the_pipelines_of_the_repository_are_accepted() -> Outcome {
    let site = Site::empty()?;
    let mut seen = 0;
    for entry in fs_err::read_dir(repository("pipelines"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        seen += 1;
        let name = path.to_string_lossy();
        let mut command = site.command(&["plan", &name, "--set", "run.output=out"]);
        command.current_dir(repository("."));
        if !name.ends_with("quickstart.toml") {
            // only parsed: an override that no pipeline takes comes after all that is
            command = site.command(&["plan", &name, "--set", "heads.file=x", "--set", "nonesuch=1"]);
            let finished = crate::site::finish(&mut command)?;
            finished.says(1, &["nonesuch"]);
            continue;
        }
        let finished = crate::site::finish(&mut command)?;
        assert_eq!(finished.code, Some(0), "{name}: {finished:#?}");
    }
    assert!(seen >= 2, "{seen} pipelines");
    Ok(())
}
