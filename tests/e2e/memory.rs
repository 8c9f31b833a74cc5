//! Scoring takes no more memory than the weights and a gibibyte, whatever the documents.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::corpus;
use crate::scores::documents;
use crate::site::{Outcome, PIPELINE, Site, pipeline, tiny};

const ALLOWED_BYTES: u64 = 1 << 30;

/// Scores a document of about `bytes` among small ones and returns the peak of resident memory, in bytes.
fn peak(bytes: usize, set: &[&str]) -> Result<u64, Box<dyn std::error::Error>> {
    let site = Site::empty()?;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut texts = corpus::texts(1, 8);
    let page = corpus::text(&mut random, 20_000);
    texts[3] = page.repeat(bytes.div_ceil(page.len()));
    let long = texts[3].len();
    let batch = RecordBatch::try_from_iter([("text", Arc::new(StringArray::from(texts)) as ArrayRef)])?;
    corpus::shard(&site.path("corpus/a.parquet"), &batch, 8)?;
    site.write(PIPELINE, &pipeline("[[corpus]]\nname = \"a\"\npaths = [\"corpus\"]\n", &tiny("llama")))?;
    site.done("run", &[&["--set", "run.unit_bytes=16MiB", "--set", "score.window_tokens=256"], set].concat())?;
    let lengths: Vec<u64> = documents(&site)?.values().filter_map(|row| row["bytes"].parse().ok()).collect();
    assert_eq!(lengths[3], long as u64);
    Ok(site.json("metrics.json")?["peak_memory_bytes"].as_u64().ok_or("a peak")?)
}

#[test]
fn one_document_of_50_megabytes() -> Outcome {
    let peak = peak(50_000_000, &["--set", "score.long_documents=first"])?;
    println!("peak with a document of 50 MB, first window: {} MiB", peak >> 20);
    assert!(peak <= ALLOWED_BYTES, "{peak} bytes");
    Ok(())
}

#[test]
fn every_window_of_a_long_document() -> Outcome {
    let peak = peak(60_000, &["--set", "score.long_documents=all"])?;
    println!("peak with a document of 60 kB, all windows: {} MiB", peak >> 20);
    assert!(peak <= ALLOWED_BYTES, "{peak} bytes");
    Ok(())
}
