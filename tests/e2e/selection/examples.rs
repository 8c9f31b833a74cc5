//! The examples of `pipelines/select`, each with the corpus and the output of a site put over it.

use std::collections::BTreeSet;
use std::error::Error;

use serde_json::Value;

use super::{DOMAINS, count, domains, ids, scored, set, subset, tables};
use crate::site::{Outcome, Site, assert_same, repository};

/// Guards that a random model, whose losses are those of no language, leaves something of.
const GUARDS: [&str; 3] = [
    "select.guards.max_loss=20",
    "select.guards.filter=bytes / tokens >= 0.2 AND id NOT LIKE '%/test.rs'",
    "select.domains.code.guards.filter=influence_stderr > 0",
];

/// The names of the examples, without `.toml`.
fn names() -> Result<BTreeSet<String>, Box<dyn Error>> {
    let names = fs_err::read_dir(repository("pipelines/select"))?.map(|entry| {
        let name = entry?.file_name().to_string_lossy().into_owned();
        Ok(name.strip_suffix(".toml").ok_or("only pipelines are there")?.to_owned())
    });
    names.collect()
}

/// Writes a pipeline that extends the example and says what the site has; `[select]` stays the example's.
fn over_example(site: &Site, name: &str) -> Result<String, Box<dyn Error>> {
    let example = repository(&format!("pipelines/select/{name}.toml"));
    let tables = tables();
    let (tables, _) = tables.split_once("[select]").ok_or("a select table")?;
    let file = format!("{name}.toml");
    site.write(&file, &format!("extends = \"{}\"\n\n{tables}", example.display()))?;
    Ok(file)
}

/// Selects by an example; returns `selection.json`.
fn select(site: &Site, name: &str) -> Result<Value, Box<dyn Error>> {
    let file = over_example(site, name)?;
    let more = if name == "guards" { set(&GUARDS) } else { Vec::new() };
    site.headwater(&[vec!["select", &file], more].concat())?.prints(&DOMAINS);
    site.json("selection.json")
}

#[test]
fn every_example_selects() -> Outcome {
    let site = scored()?;
    let (mut ranks, mut policies) = (BTreeSet::new(), BTreeSet::new());
    for name in names()? {
        let selection = select(&site, &name)?;
        let rows = ids(&subset(&site, &selection, "")?);
        let mut kept = 0;
        for (domain, numbers) in domains(&selection)? {
            assert!(count(&numbers["kept_documents"])? > 0, "{name} keeps nothing of {domain}");
            kept += count(&numbers["kept_documents"])?;
        }
        assert_eq!(rows.len() as u64, kept, "{name}");
        ranks.insert(selection["rank"].as_str().ok_or("a rank")?.to_owned());
        policies.insert(selection["by"].as_str().ok_or("a policy")?.to_owned());
    }
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(
        ranks,
        named(&["column:metadata.int_score", "copied", "corrected", "influence", "loss", "random", "rank-sum"])
    );
    assert_eq!(policies, named(&["documents", "tokens", "token-budget", "upsample"]));
    Ok(())
}

#[test]
fn examples_do_what_they_are_for() -> Outcome {
    let site = scored()?;
    let selection = select(&site, "corrected")?;
    for (domain, numbers) in domains(&selection)? {
        let [before, after] = ["r2_before", "r2_after"].map(|key| numbers["correction"][key].as_f64());
        // made-up scores follow nothing, so there is nothing to take off: what is left may be chance
        let shares = before.zip(after).is_some_and(|(before, after)| (0.0..1.0).contains(&before) && after < 0.2);
        assert!(shares, "{domain}: {numbers}");
    }
    let selection = select(&site, "token-budget")?;
    let all = domains(&selection)?;
    let (mut tokens, mut kept) = (0, 0);
    for (_, numbers) in all.iter().filter(|(domain, _)| **domain != "code") {
        tokens += count(&numbers["tokens"])?;
        kept += count(&numbers["kept_tokens"])?;
    }
    let code = count(&all["code"]["tokens"])?;
    assert!(kept * (tokens + code) <= 30_000 * tokens, "{kept} of {tokens}");
    assert!(count(&all["code"]["kept_tokens"])? <= code / 10);
    for (domain, numbers) in domains(&select(&site, "length-strata")?)? {
        let strata = numbers["strata"].as_array().ok_or("strata")?;
        assert!(strata.len() > 1, "{domain}: {numbers}");
        for stratum in strata {
            let share = count(&stratum["kept_documents"])? as f64 - 0.2 * count(&stratum["ranked_documents"])? as f64;
            assert!(share.abs() <= 1.0, "{domain}: {stratum}");
        }
    }
    assert_eq!(select(&site, "upsample")?["buckets"].as_array().map(Vec::len), Some(12));
    let selection = select(&site, "guards")?;
    let guarded = count(&selection["guarded"]["min_tokens"])?;
    assert!(guarded > 0, "{selection}");
    let all = domains(&selection)?;
    for (domain, fraction) in [("code", 0.1), ("prose", 0.2)] {
        let [ranked, kept] = ["ranked_documents", "kept_documents"].map(|key| count(&all[domain][key]));
        assert_eq!(kept? as f64, (fraction * ranked? as f64).round(), "{domain}");
    }
    Ok(())
}

#[test]
fn examples_are_compared() -> Outcome {
    let site = scored()?;
    let before = site.artefacts()?;
    let names: Vec<String> = names()?.into_iter().filter(|name| name != "guards").collect();
    let files = names.iter().map(|name| over_example(&site, name)).collect::<Result<Vec<_>, _>>()?;
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let compared = site.headwater(&[&["select", "--compare"], files.as_slice()].concat())?;
    compared.prints(&files);
    compared.prints(&DOMAINS);
    assert_same(&before, &site.artefacts()?, "a comparison writes nothing");
    Ok(())
}
