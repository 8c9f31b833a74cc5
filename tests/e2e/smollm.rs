//! `pipelines/smollm-corpus.toml` planned against a store with the layout of the SmolLM corpus.

use std::error::Error;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::Field;
use headwater_corpus::{Columns, Domain, PlanOptions, SourceConfig, plan};
use headwater_store::Stores;

use crate::corpus;
use crate::site::{Outcome, repository};

const ROWS: usize = 5;

fn strings(prefix: &str) -> ArrayRef {
    Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("{prefix} {row}"))))
}

fn integers() -> ArrayRef {
    Arc::new(Int64Array::from_iter_values((0..).take(ROWS)))
}

fn numbers() -> ArrayRef {
    Arc::new(Float64Array::from(vec![0.5; ROWS]))
}

fn structure(fields: Vec<(&str, ArrayRef)>) -> ArrayRef {
    let field = |name, values: &ArrayRef| Arc::new(Field::new(name, values.data_type().clone(), true));
    Arc::new(StructArray::from(
        fields.into_iter().map(|(name, values)| (field(name, &values), values)).collect::<Vec<_>>(),
    ))
}

/// Folders and the columns of their shards, as the data sets' cards give them.
fn layout() -> Vec<(&'static str, Vec<(&'static str, ArrayRef)>)> {
    let metadata = structure(vec![
        ("dump", strings("CC-MAIN")),
        ("url", strings("https://example.org")),
        ("date", strings("2024-01-01")),
        ("file_path", strings("s3://commoncrawl")),
        ("language", strings("en")),
        ("language_score", numbers()),
        ("token_count", integers()),
        ("score", numbers()),
        ("int_score", integers()),
    ]);
    vec![
        ("fineweb-edu-dedup", vec![("text", strings("a page")), ("id", strings("<urn:uuid>")), ("metadata", metadata)]),
        (
            "cosmopedia-v2",
            vec![
                ("prompt", strings("write")),
                ("text", strings("a chapter")),
                ("token_length", integers()),
                ("audience", strings("students")),
                ("format", strings("textbook")),
                ("seed_data", strings("seed")),
            ],
        ),
        (
            "python-edu-text",
            vec![
                ("blob_id", strings("0a1b")),
                ("repo_name", strings("owner/name")),
                ("path", strings("/a.py")),
                ("length_bytes", integers()),
                ("score", numbers()),
                ("int_score", integers()),
                ("text", strings("print()")),
            ],
        ),
        (
            "open-web-math",
            vec![
                ("url", strings("https://a")),
                ("text", strings("x^2")),
                ("date", strings("2023")),
                ("metadata", strings("{}")),
            ],
        ),
    ]
}

#[test]
fn the_papers_corpus_is_planned_from_a_store_of_its_layout() -> Outcome {
    let stores = Stores::default();
    let store = stores.open("memory://smollm")?;
    for (folder, columns) in layout() {
        let shard = corpus::bytes(&RecordBatch::try_from_iter(columns)?, 3)?;
        for number in 0..2 {
            store.write(&format!("smollm-corpus/{folder}/train-{number:05}-of-00002.parquet"), shard.clone().into())?;
        }
        store.write(&format!("smollm-corpus/{folder}/README.md"), "not a shard".into())?;
    }
    let text = fs_err::read_to_string(repository("pipelines/smollm-corpus.toml"))?;
    let table: toml::Table = toml::from_str(&text.replace("s3://BUCKET", "memory://smollm"))?;
    let sources: Vec<SourceConfig> = table["corpus"].clone().try_into()?;
    let plan = plan(&sources, &PlanOptions::default(), &stores, &|_| ())?;
    let planned: Vec<(&str, &Columns)> =
        plan.sources.iter().map(|source| (source.name.as_str(), &source.columns)).collect();
    let columns = |id: Option<&str>, domain: &str| Columns {
        text: "text".to_owned(),
        id: id.map(str::to_owned),
        domain: Domain::Constant(domain.to_owned()),
    };
    let expected = [
        ("fineweb-edu-dedup", columns(Some("id"), "fineweb-edu-dedup")),
        ("cosmopedia-v2", columns(None, "cosmopedia-v2")),
        ("python-edu", columns(Some("blob_id"), "python-edu")),
        ("open-web-math", columns(Some("url"), "open-web-math")),
    ];
    assert_eq!(planned, expected.iter().map(|(name, columns)| (*name, columns)).collect::<Vec<_>>());
    for source in &plan.sources {
        let rows: Vec<u64> = source.shards.iter().map(|shard| shard.units.iter().map(|unit| unit.rows).sum()).collect();
        assert_eq!(rows, [ROWS as u64; 2], "{}", source.name);
        assert_eq!(source.shards[1].path, "train-00001-of-00002.parquet");
    }
    Ok(())
}

#[test]
fn its_run_would_be_the_papers() -> Result<(), Box<dyn Error>> {
    let text = fs_err::read_to_string(repository("pipelines/smollm-corpus.toml"))?;
    let table: toml::Table = toml::from_str(&text)?;
    let number = |table: &toml::Value, key: &str| table[key].as_float().or(table[key].as_integer().map(|n| n as f64));
    assert_eq!(number(&table["heads"], "probes"), Some(800.0));
    assert_eq!(number(&table["heads"], "context_tokens"), Some(4096.0));
    assert_eq!(number(&table["heads"], "fraction"), Some(0.05));
    assert_eq!(number(&table["select"], "fraction"), Some(0.2));
    assert_eq!(number(&table["recipe"], "tokens"), Some(1e12));
    Ok(())
}
