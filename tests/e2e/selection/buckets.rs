//! Upsampling from the scores to token files and recipes.

use std::collections::BTreeSet;
use std::error::Error;

use super::{DOMAINS, count, domains, ids, scored, set, subset};
use crate::scores::{Row, documents};
use crate::site::{OUTPUT, Outcome, Site};

const TARGET: f64 = 90e3;

/// Shares of a domain's tokens, best first, at which the buckets end: of the better half, a quarter each.
const ENDS: [f64; 4] = [0.125, 0.25, 0.375, 0.5];

const SETTINGS: [&str; 5] = [
    "select.by=upsample",
    "select.tokens=90e3",
    "select.upsample={ drop = 0.5, buckets = 4 }",
    "tokens={ formats = [\"megatron\"] }",
    "recipe.trainers=[\"megatron\"]",
];

/// What each bucket must hold, found from the scores alone.
fn expected(site: &Site) -> Result<Vec<BTreeSet<String>>, Box<dyn Error>> {
    let documents = documents(site)?;
    let mut buckets = vec![BTreeSet::new(); ENDS.len()];
    for domain in DOMAINS {
        let of_domain = |row: &&Row| row["domain"] == domain && row["status"] == "scored";
        let mut ranked = Vec::new();
        for row in documents.values().filter(of_domain) {
            ranked.push((row["influence"].parse::<f64>()?, row["tokens"].parse::<u64>()?, &row["id"]));
        }
        // stable, so that ties stay in the order of addresses
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let all: u64 = ranked.iter().map(|(_, tokens, _)| tokens).sum();
        let mut before = 0;
        let passed = ranked.into_iter().map(|(_, tokens, id)| {
            before += tokens;
            (before, id)
        });
        for (up_to, id) in passed {
            let bucket = ENDS.iter().position(|end| up_to as f64 <= (end * all as f64).floor());
            buckets[bucket.unwrap_or(ENDS.len() - 1)].extend(bucket.map(|_| id.clone()));
        }
    }
    Ok(buckets)
}

#[test]
fn buckets_hold_what_is_kept_and_are_read_until_the_target_is_met() -> Outcome {
    let site = scored()?;
    let settings = set(&SETTINGS);
    site.done("select", &settings)?.prints(&["bucket-00", "bucket-03", "tokens read"]);
    let selection = site.json("selection.json")?;
    let buckets = selection["buckets"].as_array().ok_or("buckets")?;
    assert_eq!(buckets.len(), ENDS.len());
    let mut read = 0.0;
    for (at, (bucket, expected)) in buckets.iter().zip(expected(&site)?).enumerate() {
        let rows = ids(&subset(&site, &selection, &format!("bucket-{at:02}/"))?);
        assert_eq!(rows, expected, "bucket {at}");
        assert_eq!(count(&bucket["documents"])?, rows.len() as u64);
        read += count(&bucket["tokens"])? as f64 * bucket["repeat"].as_f64().ok_or("repetitions")?;
    }
    assert!((read / TARGET - 1.0).abs() < 1e-9, "{read} tokens are read");
    let kept = domains(&selection)?.values().filter_map(|domain| domain["kept_documents"].as_u64()).sum::<u64>();
    assert_eq!(ids(&subset(&site, &selection, "")?).len() as u64, kept, "the buckets are all there is");

    site.done("tokens", &settings)?;
    site.done("recipe", &[&settings, ["--set", "mixture.selected=0.5"].as_slice()].concat())?;
    let blend: Vec<String> = serde_json::from_value(site.json("recipe/megatron/data.json")?["train"].clone())?;
    let folder = format!("{OUTPUT}/tokens/selected/{}", selection["hash"].as_str().ok_or("a hash")?);
    for (at, bucket) in buckets.iter().enumerate() {
        let part = format!("{folder}/bucket-{at:02}/");
        let mut weight = 0.0;
        for pair in blend.chunks(2).filter(|pair| pair[1].contains(&part)) {
            assert!(site.path(&format!("{}.idx", pair[1])).is_file(), "{} is a token file", pair[1]);
            weight += pair[0].parse::<f64>()?;
        }
        let trained = count(&bucket["tokens"])? as f64 * bucket["repeat"].as_f64().ok_or("repetitions")?;
        assert!((weight - 0.5 * trained / TARGET).abs() < 1e-9, "bucket {at} weighs {weight}, {trained} are read");
    }
    Ok(())
}
