//! Selections that cannot be made: exit code 1, one error that names the key, its value and what to do, and nothing written.

use super::{extending, listing, scored, set};
use crate::site::{Outcome, PIPELINE, Site};

/// Selects with settings, and requires a refusal that says `parts` in one error.
fn refused(site: &Site, settings: &[&str], parts: &[&str]) -> Outcome {
    let finished = site.stage("select", &[&["-q"], set(settings).as_slice()].concat())?;
    finished.says(1, parts);
    assert_eq!(finished.stderr.matches("error:").count(), 1, "{}", finished.stderr);
    assert_eq!(finished.stdout, "");
    Ok(())
}

#[test]
fn ranks_that_are_not_there() -> Outcome {
    let site = scored()?;
    let before = listing(&site)?;
    refused(&site, &["select.rank=corected"], &["`select.rank`", "`corected`", "did you mean `corrected`?"])?;
    refused(&site, &["select.rank=column"], &["`column`", "did you mean `column:NAME`?"])?;
    refused(&site, &["select.rank=quality"], &["unknown rank `quality`", "`influence`", "`rank-sum`", "`column:NAME"])?;
    let columns = "its columns of numbers are metadata.int_score";
    let near = "(did you mean `metadata.int_score`?)";
    refused(&site, &["select.rank=column:metadata.score"], &["corpus/0.parquet: no column `metadata.score`", columns])?;
    refused(&site, &["select.rank=column:metadata.int_scor:ascending"], &["`metadata.int_scor`", near])?;
    let text = ["corpus/0.parquet: column `metadata.language` is", "must hold numbers, decimals or booleans"];
    refused(&site, &["select.rank=column:metadata.language"], &text)?;
    let sum = "select.rank=rank-sum";
    refused(&site, &[sum], &["`[select.rank_sum]`", "names no rank", "`influence = 1.0`"])?;
    refused(&site, &[sum, "select.rank_sum.rank-sum=1"], &["`rank-sum` cannot add itself up"])?;
    refused(&site, &[sum, "select.rank_sum.loss=0"], &["`select.rank_sum.loss` is 0", "other than 0"])?;
    refused(&site, &[sum, "select.rank_sum.los=1"], &["`select.rank_sum.los`", "did you mean `loss`?"])?;
    let unused = ["`select.rank_sum` is only used with select.rank = \"rank-sum\"", "or remove `select.rank_sum`"];
    refused(&site, &["select.rank_sum.loss=1"], &unused)?;
    assert_eq!(before, listing(&site)?, "nothing is written");
    Ok(())
}

#[test]
fn guards_that_cannot_be_met() -> Outcome {
    let site = scored()?;
    let filter = |text: &str| format!("select.guards.filter={text}");
    let cases: [(&str, &[&str]); 6] = [
        ("tokenz > 5", &["no column `tokenz`", "did you mean `tokens`?", "influence_stderr"]),
        ("domain = \"code\"", &["no column `code`", "single quotes"]),
        ("tokens > > 5", &["expected an expression", "line 1, column 10"]),
        ("tokens > 5 tokens < 9", &["`tokens` at line 1, column 12 is left over", "AND or OR"]),
        ("tokens", &["`tokens` is a number and no condition", "compare it"]),
        ("\"\"", &["it is empty", "leave the key out"]),
    ];
    for (text, parts) in cases {
        let parts = [&["`select.guards.filter` = \""], parts].concat();
        refused(&site, &[&filter(text)], &parts)?;
    }
    let other = "select.domains.prose.guards.filter=tokens";
    refused(&site, &[other], &["`select.domains.prose.guards.filter` = \"tokens\""])?;
    let all = ["none of the", "scored documents of domain `code`", "max_tokens: 5", "filter: ", "`fraction = 0`"];
    refused(&site, &["select.guards.max_tokens=100", &filter("tokens > 200")], &all)?;
    let limits = ["`select.guards.min_tokens` is 9", "`select.guards.max_tokens` is 8", "no document"];
    refused(&site, &["select.guards.min_tokens=9", "select.guards.max_tokens=8"], &limits)?;
    refused(&site, &["select.guards.max_loss=0"], &["`select.guards.max_loss` is 0", "above 0"])?;
    refused(&site, &["select.guards.min_token=9"], &["did you mean `min_tokens`?"])?;
    let domain = ["`select.domains.cod` names no domain", "code, mathematics, prose, reference"];
    refused(&site, &["select.domains.cod.guards.min_tokens=9"], &domain)
}

#[test]
fn policies_that_cannot_be_followed() -> Outcome {
    let site = scored()?;
    let upsample = |more: &[&str], parts: &[&str]| {
        refused(&site, &[&["select.by=upsample", "select.tokens=1e5"], more].concat(), parts)
    };
    upsample(&["select.upsample.cap=0.5"], &["`select.upsample.cap` is 0.5", "1 or more"])?;
    upsample(&["select.upsample.drop=1.0"], &["`select.upsample.drop` is 1", "below 1"])?;
    upsample(&["select.upsample.buckets=0"], &["`select.upsample.buckets` is 0", "1 to 100"])?;
    let cuts = "only used with `select.by` = \"documents\", \"tokens\" or \"token-budget\"; set that, or remove";
    upsample(&["select.length_strata=5"], &["`select.length_strata` is", cuts])?;
    upsample(&["select.domains.code.fraction=0.1"], &["`select.domains.code.fraction` is", cuts])?;
    upsample(&["select.domains.code.tokens=5"], &["`select.domains.code.tokens` is", cuts])?;
    refused(&site, &["select.by=upsample"], &["`select.by` is \"upsample\"", "`select.tokens` must say"])?;
    let alone = ["`select.upsample` is only used with select.by = \"upsample\"", "or remove `select.upsample`"];
    refused(&site, &["select.upsample.cap=3"], &alone)?;
    for strata in ["0", "101"] {
        let key = format!("`select.length_strata` is {strata}");
        refused(&site, &[&format!("select.length_strata={strata}")], &[&key, "1 to 100"])?;
    }
    refused(&site, &["select.tokens=5"], &["`select.tokens` is only used with", "\"token-budget\"", "\"upsample\""])?;
    refused(&site, &["select.by=token"], &["`token`", "did you mean `tokens`?"])?;
    refused(&site, &["select.domains.code={}"], &["`select.domains.code` must set one of `fraction` and `tokens`"])
}

#[test]
fn a_target_out_of_reach_is_told_with_what_is_within() -> Outcome {
    let site = scored()?;
    let finished = site.stage("select", &set(&["select.by=upsample", "select.tokens=1e9"]))?;
    finished.says(1, &["asks for 1,000,000,000 tokens", "`select.upsample.cap`", "`select.upsample.drop`"]);
    let number = |after: &str| {
        let (_, rest) = finished.stderr.split_once(after)?;
        let digits = rest.chars().take_while(|c| c.is_ascii_digit() || *c == ',').filter(char::is_ascii_digit);
        digits.collect::<String>().parse::<u64>().ok()
    };
    let (kept, most) = (number("but the ").ok_or("tokens kept")?, number("make ").ok_or("tokens within reach")?);
    assert_eq!(most, 7 * kept);
    let within = format!("select.tokens={most}");
    site.done("select", &set(&["select.by=upsample", &within]))?;
    for bucket in site.json("selection.json")?["buckets"].as_array().ok_or("buckets")? {
        assert!(bucket["repeat"].as_f64().is_some_and(|repeat| (repeat - 7.0).abs() < 1e-6), "{bucket}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_put_side_by_side() -> Outcome {
    let site = scored()?;
    let before = listing(&site)?;
    extending(&site, "loss.toml", "rank = \"loss\"")?;
    site.stage("select", &["--compare"])?.says(1, &["--compare needs two pipelines or more"]);
    site.stage("select", &["loss.toml"])?.says(1, &["select cuts by one pipeline", "add --compare"]);
    site.stage("select", &["loss.toml", "--compare", "--control"])?.says(1, &["--control", "--compare"]);
    let text = site.read("loss.toml")?;
    site.write("elsewhere.toml", &format!("{text}\n[run]\noutput = \"elsewhere\"\n"))?;
    let places = ["elsewhere.toml has [run] output elsewhere", "pipeline.toml has out", "let one extend the other"];
    site.stage("select", &["elsewhere.toml", "--compare"])?.says(1, &places);
    site.write("other-seed.toml", &format!("{text}\n[run]\nseed = 5\n"))?;
    site.stage("select", &["other-seed.toml", "--compare"])?.says(1, &["seed 5", "seed 4"]);
    site.stage("select", &["--control"])?.says(1, &["headwater select pipeline.toml", "first"]);
    site.done("select", &[])?;
    site.stage("recipe", &["--control"])?
        .says(1, &["no selection-control.json", "headwater select pipeline.toml --control"]);
    assert!(!site.path("x.json").exists() && !site.path("out/recipe-control").exists());
    let written = listing(&site)?.into_iter().filter(|path| !before.contains(path));
    assert!(
        written
            .into_iter()
            .all(|path| path == "selection.json" || path.starts_with("selected/") || path == "rejects.parquet")
    );
    let missing = Site::new()?;
    missing.write("loss.toml", &format!("extends = \"{PIPELINE}\"\n"))?;
    missing.stage("select", &["loss.toml", "--compare"])?.says(1, &["has no run.json yet"]);
    Ok(())
}
