//! Selections side by side, and the control arm.

use std::error::Error;

use serde_json::Value;

use super::{count, domains, extending, ids, listing, scored, set, subset};
use crate::scores::documents;
use crate::site::{OUTPUT, Outcome, PIPELINE, Site, assert_same, finish};

/// A comparison of three pipelines over a site's scores.
fn compared(site: &Site) -> Result<Value, Box<dyn Error>> {
    extending(site, "corrected.toml", "rank = \"corrected\"")?;
    extending(site, "loss.toml", "rank = \"loss\"\nby = \"tokens\"")?;
    let arms = ["corrected.toml", "loss.toml", "--compare"];
    site.stage("select", &arms)?.prints(&["1 pipeline.toml", "2 corrected.toml", "3 loss.toml", "also in 3", "alone"]);
    let json = site.done("select", &[arms.as_slice(), &["--json"]].concat())?.stdout;
    Ok(serde_json::from_str(&json)?)
}

#[test]
fn a_comparison_counts_what_selections_share() -> Outcome {
    let site = scored()?;
    let before = site.all_artefacts()?;
    let comparison = compared(&site)?;
    assert_same(&before, &site.all_artefacts()?, "a comparison writes nothing to the run");
    let mut kept = Vec::new();
    for file in [PIPELINE, "corrected.toml", "loss.toml"] {
        assert_eq!(site.headwater(&["select", file, "-q"])?.code, Some(0));
        let selection = site.json("selection.json")?;
        kept.push((ids(&subset(&site, &selection, "")?), selection));
    }
    let documents = documents(&site)?;
    let all = domains(&comparison)?;
    assert_eq!(all.keys().copied().collect::<Vec<_>>(), super::DOMAINS);
    for (domain, compared) in all {
        let scored = documents.values().filter(|row| row["domain"] == domain && row["status"] == "scored");
        assert_eq!(count(&compared["documents"])?, scored.count() as u64);
        let of_domain = |id: &&String| id.starts_with(&format!("{domain}/"));
        for (at, (ours, selection)) in kept.iter().enumerate() {
            let (numbers, selected) = (&compared["kept"][at], domains(selection)?[domain]);
            assert_eq!(numbers["documents"], selected["kept_documents"], "{domain} of {at}");
            assert_eq!(numbers["tokens"], selected["kept_tokens"], "{domain} of {at}");
            assert_eq!(numbers["documents"], compared["shared_documents"][at][at], "the diagonal is what is kept");
            assert_eq!(numbers["tokens"], compared["shared_tokens"][at][at], "the diagonal is what is kept");
            for (other, (theirs, _)) in kept.iter().enumerate() {
                let shared = ours.intersection(theirs).filter(of_domain).count() as u64;
                assert_eq!(count(&compared["shared_documents"][at][other])?, shared, "{domain}: {at} and {other}");
                assert_eq!(compared["shared_tokens"][at][other], compared["shared_tokens"][other][at]);
            }
            let others =
                |id: &&String| kept.iter().enumerate().any(|(other, (theirs, _))| other != at && theirs.contains(*id));
            let alone: Vec<&String> = ours.iter().filter(of_domain).filter(|id| !others(id)).collect();
            assert_eq!(count(&numbers["alone"])?, alone.len() as u64);
            let examples = compared["alone"][at].as_array().ok_or("examples")?;
            assert_eq!(examples.len(), alone.len().min(5));
            for example in examples {
                assert!(alone.iter().any(|id| example["id"] == **id), "{example} is not kept by {at} alone");
                assert!(example["first_line"].as_str().is_some_and(|line| line.contains(' ')), "{example}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_comparison_without_the_corpus_shows_no_texts() -> Outcome {
    let site = scored()?;
    let with = compared(&site)?;
    fs_err::rename(site.path("corpus"), site.path("away"))?;
    let arms = ["corrected.toml", "loss.toml", "--compare", "--json"];
    let finished = site.done("select", &arms)?;
    assert!(finished.stderr.contains("the corpus cannot be read, so no texts are shown"), "{}", finished.stderr);
    let mut without: Value = serde_json::from_str(&finished.stdout)?;
    for (domain, there) in
        without["domains"].as_array_mut().into_iter().flatten().zip(with["domains"].as_array().into_iter().flatten())
    {
        let alone = domain["alone"].take();
        assert!(
            alone
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(Value::as_array)
                .flatten()
                .all(|example| example["first_line"].is_null())
        );
        domain["alone"] = there["alone"].clone();
    }
    assert_eq!(with, without, "but for the texts, nothing changes");
    Ok(())
}

/// Draws the control arm of what `settings` select; returns the selection and it.
fn control(site: &Site, settings: &[&str]) -> Result<(Value, Value), Box<dyn Error>> {
    site.done("select", &set(settings))?;
    let mut before = site.artefacts()?;
    before.remove("selection-control.json");
    site.done("select", &[&["--control"], set(settings).as_slice()].concat())?;
    let mut after = site.artefacts()?;
    after.retain(|path, _| before.contains_key(path));
    assert_same(&before, &after, "the control arm lies beside the selection");
    Ok((site.json("selection.json")?, site.json("selection-control.json")?))
}

#[test]
fn a_control_arm_has_as_many_tokens_of_every_domain() -> Outcome {
    let site = scored()?;
    let documents = documents(&site)?;
    let longest = |domain: &str| -> Result<u64, Box<dyn Error>> {
        let tokens = documents.values().filter(|row| row["domain"] == domain).map(|row| row["tokens"].parse());
        let tokens = tokens.collect::<Result<Vec<u64>, _>>()?;
        tokens.into_iter().max().ok_or_else(|| "a document".into())
    };
    let cases: [&[&str]; 4] = [
        &[],
        &["select.rank=corrected", "select.domains.prose.fraction=0.0", "select.domains.code.fraction=0.6"],
        &["select.guards.min_tokens=200", "select.by=tokens", "select.length_strata=4"],
        &["select.by=upsample", "select.tokens=5e4", "select.upsample.buckets=3"],
    ];
    for settings in cases {
        let (selection, drawn) = control(&site, settings)?;
        assert_eq!(drawn["rank"], "random");
        assert_ne!(selection["hash"], drawn["hash"]);
        assert_eq!(selection["guarded"], drawn["guarded"], "among the same documents");
        assert_eq!(
            ids(&subset(&site, &drawn, "")?).len() as u64,
            domains(&drawn)?.values().filter_map(|domain| domain["kept_documents"].as_u64()).sum::<u64>()
        );
        let drawn = domains(&drawn)?;
        for (domain, selected) in domains(&selection)? {
            let [theirs, ours] = [selected, drawn[domain]].map(|numbers| count(&numbers["kept_tokens"]));
            let (theirs, ours) = (theirs?, ours?);
            // in buckets, each arm stays below the share by less than a document
            let is_near = ours.abs_diff(theirs) <= longest(domain)?;
            let is_below = ours <= theirs || settings.contains(&"select.by=upsample");
            assert!(is_near && is_below, "{settings:?}, {domain}: {ours} for {theirs}");
        }
    }
    Ok(())
}

#[test]
fn a_control_arm_has_its_own_recipe() -> Outcome {
    let site = scored()?;
    let (selection, drawn) = control(&site, &[])?;
    site.done("recipe", &[])?;
    let before = site.artefacts()?;
    let written = site.done("recipe", &["--control"])?;
    let mut after = site.artefacts()?;
    let (ours, theirs) = (drawn["hash"].as_str().ok_or("a hash")?, selection["hash"].as_str().ok_or("a hash")?);
    let recipes: Vec<String> = after.keys().filter(|path| path.starts_with("recipe-control/")).cloned().collect();
    for path in &recipes {
        assert!(written.stderr.contains(&format!("{OUTPUT}/{path}")), "{path} is not said to be written");
        let text = String::from_utf8(after.remove(path).ok_or("a file")?)?;
        assert!(!text.contains(theirs), "{path} names the selection");
        let other = path.replace("recipe-control/", "recipe/");
        let of_selection = before.get(&other).map(|bytes| String::from_utf8_lossy(bytes).contains(theirs));
        assert_eq!(
            text.contains(ours),
            of_selection.unwrap_or_default(),
            "{path} names the control arm where {other} names the selection"
        );
    }
    assert!(recipes.len() > 5, "{recipes:?}");
    assert_same(&before, &after, "the recipe of the selection stays");
    Ok(())
}

#[test]
fn a_corrected_selection_is_the_same_on_any_number_of_threads() -> Outcome {
    let site = scored()?;
    let mut first = None;
    for threads in ["1", "2", "2", "5"] {
        let more = set(&["select.rank=corrected", "select.length_strata=3"]);
        let mut command = site.command(&[&["select", PIPELINE, "-q"], more.as_slice()].concat());
        let finished = finish(command.env("RAYON_NUM_THREADS", threads))?;
        assert_eq!(finished.code, Some(0), "{finished:#?}");
        let files = site.artefacts()?;
        assert!(listing(&site)?.iter().any(|path| path.starts_with("selected/")));
        // what is there is left alone, so that only what is written anew is compared
        fs_err::remove_dir_all(site.path(OUTPUT).join("selected"))?;
        fs_err::remove_file(site.path(OUTPUT).join("selection.json"))?;
        assert_same(first.get_or_insert_with(|| files.clone()), &files, &format!("{threads} threads"));
    }
    Ok(())
}
