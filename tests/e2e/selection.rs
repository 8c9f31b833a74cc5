//! Selections of the same scores: by every example, side by side, as a control arm, in buckets; and what is refused.

mod arms;
mod buckets;
mod compared;
mod examples;
mod explorer;
mod page;
mod refusals;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::Field;
use serde_json::Value;

use crate::corpus;
use crate::scores::{Row, rows};
use crate::site::{OUTPUT, PIPELINE, Site, pipeline, tiny};

/// The domains of the sample corpus, which the examples speak of.
const DOMAINS: [&str; 4] = ["code", "mathematics", "prose", "reference"];

const SHARDS: usize = 4;

/// Rows of a shard; the last is too short to be scored.
const ROWS: usize = 60;

/// A site with a corpus that has the sample corpus's domains and a column of numbers.
fn site() -> Result<Site, Box<dyn Error>> {
    let site = Site::empty()?;
    for number in 0..SHARDS {
        corpus::shard(&site.path(&format!("corpus/{number}.parquet")), &shard_rows(number)?, 20)?;
    }
    site.write(PIPELINE, &tables())?;
    Ok(site)
}

/// A site where everything is scored and nothing selected.
fn scored() -> Result<Site, Box<dyn Error>> {
    let site = site()?;
    site.done("heads", &["-q"])?;
    site.done("score", &["-q"])?;
    Ok(site)
}

/// The site's pipeline.
fn tables() -> String {
    let corpus = "[[corpus]]\nname = \"sample\"\npaths = [\"corpus/*.parquet\"]\n";
    pipeline(corpus, &tiny("llama")).replace("[run]\n", "[run]\nseed = 4\n")
}

fn shard_rows(number: usize) -> Result<RecordBatch, Box<dyn Error>> {
    let texts = corpus::texts(number as u64, ROWS);
    let ids = (0..ROWS).map(|row| format!("{}/{number}-{row}", DOMAINS[row % DOMAINS.len()]));
    let domains = (0..ROWS).map(|row| DOMAINS[row % DOMAINS.len()]);
    let marks: ArrayRef =
        Arc::new((0..ROWS).map(|row| (row % 11 > 0).then_some((row * 7 % 6) as i64)).collect::<Int64Array>());
    let languages: ArrayRef = Arc::new(StringArray::from(vec!["en"; ROWS]));
    let metadata = StructArray::from(vec![
        (Arc::new(Field::new("language", languages.data_type().clone(), true)), languages),
        (Arc::new(Field::new("int_score", marks.data_type().clone(), true)), marks),
    ]);
    Ok(RecordBatch::try_from_iter([
        ("id", Arc::new(StringArray::from_iter_values(ids)) as ArrayRef),
        ("text", Arc::new(StringArray::from(texts))),
        ("domain", Arc::new(StringArray::from_iter_values(domains))),
        ("metadata", Arc::new(metadata)),
    ])?)
}

/// Writes a pipeline that extends the site's, with a `[select]` table of its own.
fn extending(site: &Site, name: &str, select: &str) -> std::io::Result<()> {
    site.write(name, &format!("extends = \"{PIPELINE}\"\n\n[select]\n{select}\n"))
}

/// `--set` before each of some assignments.
fn set<'a>(assignments: &[&'a str]) -> Vec<&'a str> {
    assignments.iter().flat_map(|assignment| ["--set", assignment]).collect()
}

/// The rows of the subset of `selection`, or of one of its buckets.
fn subset(site: &Site, selection: &Value, bucket: &str) -> Result<Vec<Row>, Box<dyn Error>> {
    let folder = format!("selected/{}/{bucket}", selection["hash"].as_str().ok_or("a hash")?);
    let files = site.artefacts()?.into_iter().filter(|(path, _)| path.starts_with(&folder));
    let read = files.map(|(_, bytes)| rows(bytes)).collect::<Result<Vec<_>, _>>()?;
    Ok(read.into_iter().flatten().collect())
}

/// The ids of rows, which are all different.
fn ids(rows: &[Row]) -> BTreeSet<String> {
    let ids: BTreeSet<String> = rows.iter().map(|row| row["id"].clone()).collect();
    assert_eq!(ids.len(), rows.len(), "no row comes twice");
    ids
}

/// The domains of a selection or comparison by name.
fn domains(file: &Value) -> Result<BTreeMap<&str, &Value>, Box<dyn Error>> {
    let domains = file["domains"].as_array().ok_or("domains")?;
    domains.iter().map(|domain| Ok((domain["domain"].as_str().ok_or("a name")?, domain))).collect()
}

/// A whole number of an artefact.
fn count(value: &Value) -> Result<u64, Box<dyn Error>> {
    value.as_u64().ok_or_else(|| format!("{value} is no count").into())
}

/// What is in the run, without what tells times.
fn listing(site: &Site) -> Result<Vec<String>, Box<dyn Error>> {
    Ok(crate::site::files_below(&site.path(OUTPUT))?.into_keys().collect())
}
