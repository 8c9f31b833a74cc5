//! Whole documents on the real model against an independent implementation: windows, targets, standard errors.
//!
//! `HEADWATER_TEST_MODEL` names the GGUF file; without it, or without the goldens, the test is skipped.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use headwater_model::{EngineOptions, HeadMask, MaskKind, Model, ModelPaths, Precision};
use headwater_record::{ContentHash, HeadSet};
use headwater_score::LongDocuments;
use headwater_score::document::{DocumentScore, Windowing, document_score, window_losses};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;

#[path = "../../../tests/skipped.rs"]
mod skipped;

/// Of documents with one window, one in so many is scored.
const FIRST_STEP: usize = 6;

#[derive(Deserialize)]
struct Goldens {
    heads: HeadSet,
    window_tokens: usize,
    documents: Vec<Golden>,
}

#[derive(Deserialize)]
struct Golden {
    id: String,
    #[serde(flatten)]
    first_window: Values,
    all_windows: Option<Values>,
}

#[derive(Deserialize)]
struct Values {
    scored_tokens: usize,
    loss_base: f64,
    loss_masked: f64,
    influence: f64,
    influence_stderr: Option<f64>,
}

fn texts(path: &Path) -> Result<BTreeMap<String, String>, Box<dyn Error>> {
    let mut texts = BTreeMap::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(fs_err::read(path)?))?.build()? {
        let batch: RecordBatch = batch?;
        let column = |name: &str| batch.column_by_name(name).expect("the goldens have the column").as_string::<i32>();
        for (id, text) in column("id").iter().zip(column("text")) {
            texts.insert(id.unwrap_or_default().to_owned(), text.unwrap_or_default().to_owned());
        }
    }
    Ok(texts)
}

fn compare(id: &str, got: &DocumentScore, expected: &Values) {
    let close = |name: &str, got: f64, expected: f64, tolerance: f64| {
        assert!((got - expected).abs() <= tolerance, "{id} {name}: {got}, expected {expected}");
    };
    assert_eq!(got.targets, expected.scored_tokens, "{id}");
    close("base", got.loss_base, expected.loss_base, 2e-4);
    close("masked", got.loss_masked, expected.loss_masked, 2e-4);
    close("influence", got.influence, expected.influence, 5e-4);
    assert_eq!(got.influence_stderr.is_some(), expected.influence_stderr.is_some(), "{id}");
    if let (Some(got), Some(expected)) = (got.influence_stderr, expected.influence_stderr) {
        close("standard error", got, expected, 5e-4);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the environment names the model")]
fn documents_agree_in_every_window_and_in_their_standard_errors() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/goldens");
    let (Ok(gguf), true) = (std::env::var("HEADWATER_TEST_MODEL"), folder.is_dir()) else {
        skipped::skip("HEADWATER_TEST_MODEL does not name the GGUF file, or ../shared/goldens is not there");
        return Ok(());
    };
    let weights_hash = ContentHash::of(b"not hashed in this test");
    let paths = ModelPaths { weights: vec![PathBuf::from(gguf)], config: None, tokenizer: None, weights_hash };
    let model = Model::load(&paths, &EngineOptions { precision: Precision::F32, ..EngineOptions::default() })?;
    let goldens: Goldens = serde_json::from_slice(&fs_err::read(folder.join("scores.json"))?)?;
    let texts = texts(&folder.join("documents.parquet"))?;
    let mask = HeadMask { set: goldens.heads, kind: MaskKind::CausalUniform };
    // first windows are held in the model's own test; here what is made of several, and of a few that are alone
    let is_held = |(index, golden): &(usize, &Golden)| golden.all_windows.is_some() || index.is_multiple_of(FIRST_STEP);
    for (_, golden) in goldens.documents.iter().enumerate().filter(is_held) {
        let tokens = model.tokenizer().encode(&texts[&golden.id])?;
        let long_documents = if golden.all_windows.is_some() { LongDocuments::All } else { LongDocuments::First };
        let windowing = Windowing { window_tokens: goldens.window_tokens, long_documents, leading: &[] };
        let windows = windowing.cut(&tokens, 0).map(|window| window_losses(model.engine(), &mask, &[], window));
        let losses = windows.collect::<Result<Vec<_>, _>>()?;
        let score = |count: usize| document_score(losses[..count].iter().flatten()).expect("there are targets");
        compare(&golden.id, &score(1), &golden.first_window);
        if let Some(expected) = &golden.all_windows {
            compare(&golden.id, &score(losses.len()), expected);
        }
    }
    Ok(())
}
