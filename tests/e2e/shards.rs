//! Bad shards and bad rows: a bad shard fails the run or is skipped and listed, a bad row keeps its row with a status.

use std::error::Error;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, BinaryViewArray, Int64Array, RecordBatch, StringArray, StringViewArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::corpus;
use crate::scores::{documents, rows_below};
use crate::site::{OUTPUT, Outcome, PIPELINE, Site, assert_same, pipeline, tiny};

const BAD: &str = "corpus/books/b.parquet";

/// Runs with a shard replaced by `bytes`: fails and names it, goes on without it if told to, and resumes once it is whole again.
fn bad_shard(bytes: &dyn Fn(Vec<u8>) -> Result<Vec<u8>, Box<dyn Error>>, parts: &[&str]) -> Outcome {
    let whole = Site::new()?;
    whole.done("run", &[])?;
    let site = Site::new()?;
    let good = fs_err::read(site.path(BAD))?;
    fs_err::write(site.path(BAD), bytes(good.clone())?)?;
    site.stage("run", &[])?.says(1, &[&[BAD, "on_bad_shard = \"skip\""], parts].concat());
    let skipped = site.stage("run", &["--set", "run.on_bad_shard=skip"])?;
    skipped.says(2, &["b.parquet", "1 shards were skipped; run.json lists them"]);
    let run = site.json("run.json")?;
    let listed = run["sources"][0]["skipped"].as_array().ok_or("skipped shards")?;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["path"], "b.parquet");
    let reason = listed[0]["reason"].as_str().ok_or("a reason")?;
    assert!(parts.iter().all(|part| reason.contains(part)), "{reason}");
    let subset = rows_below(&site, "selected/")?;
    assert!(!subset.is_empty() && subset.iter().all(|row| row.get("id").is_none_or(|id| !id.starts_with("book-1-"))));
    for stage in ["select", "score"] {
        let again = site.stage(stage, &["--set", "run.on_bad_shard=skip"])?;
        assert_eq!(again.code, Some(2), "{stage}: {again:#?}");
    }
    fs_err::write(site.path(BAD), good)?;
    site.done("run", &[])?;
    let [mut ours, mut theirs] = [whole.artefacts()?, site.artefacts()?];
    for artefacts in [&mut ours, &mut theirs] {
        // the smaller selection stays beside the whole one
        artefacts.retain(|path, _| !path.starts_with("selected/"));
    }
    assert_same(&ours, &theirs, "repaired");
    Ok(())
}

#[test]
fn a_shard_without_bytes() -> Outcome {
    bad_shard(&|_| Ok(Vec::new()), &["0 bytes", "too short to be a Parquet file"])
}

#[test]
fn a_shard_that_was_cut_short() -> Outcome {
    bad_shard(&|bytes| Ok(bytes[..bytes.len() / 2].to_vec()), &["does not end like a Parquet file"])
}

#[test]
fn a_shard_whose_footer_is_garbage() -> Outcome {
    let garbage = |mut bytes: Vec<u8>| {
        let end = bytes.len() - 8;
        bytes[end - 200..end].fill(0xff);
        Ok(bytes)
    };
    bad_shard(&garbage, &["footer"])
}

/// Destroys the page header of the text column in the second row group.
pub(crate) fn corrupt_page(mut bytes: Vec<u8>) -> Result<Vec<u8>, Box<dyn Error>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes.clone()))?;
    let column = reader.metadata().row_group(1).column(1);
    let (start, length) = column.byte_range();
    let (start, end) = (usize::try_from(start)?, usize::try_from(start + length)?);
    bytes[start..end].fill(0xff);
    Ok(bytes)
}

#[test]
fn a_shard_with_a_corrupt_page() -> Outcome {
    bad_shard(&corrupt_page, &["row group 1", "column `text`", "cannot be decoded"])
}

#[test]
fn a_shard_without_rows_is_no_error() -> Outcome {
    let whole = Site::new()?;
    whole.done("run", &[])?;
    let site = Site::new()?;
    corpus::shard(&site.path("corpus/books/empty.parquet"), &corpus::book_rows(0, 0)?, 7)?;
    let finished = site.done("run", &[])?;
    assert!(finished.stderr.contains("empty.parquet"), "{}", finished.stderr);
    let artefacts = site.artefacts()?;
    let empty = |path: &str| path.ends_with("/empty.parquet");
    let (empties, mut rest): (Vec<_>, Vec<_>) = artefacts.into_iter().partition(|(path, _)| empty(path));
    assert!(empties.len() <= 1, "{empties:?}");
    let mut whole = whole.artefacts()?;
    whole.retain(|path, _| path.starts_with("scores/") || path.starts_with("selected/"));
    rest.retain(|(path, _)| path.starts_with("scores/") || path.starts_with("selected/"));
    assert_same(&whole, &rest.into_iter().collect(), "beside an empty shard");
    Ok(())
}

#[test]
fn a_corpus_without_rows_ends_with_a_word() -> Outcome {
    let site = Site::empty()?;
    corpus::shard(&site.path("corpus/empty.parquet"), &corpus::book_rows(0, 0)?, 7)?;
    site.write(PIPELINE, &pipeline("[[corpus]]\nname = \"a\"\npaths = [\"corpus\"]\n", &tiny("llama")))?;
    site.stage("run", &[])?.says(1, &["no tokens"]);
    Ok(())
}

/// A site whose one source has the columns given, in one shard.
fn site_with(columns: Vec<(&str, ArrayRef)>) -> Result<Site, Box<dyn Error>> {
    let site = Site::empty()?;
    corpus::shard(&site.path("corpus/a.parquet"), &RecordBatch::try_from_iter(columns)?, 64)?;
    site.write(PIPELINE, &pipeline("[[corpus]]\nname = \"a\"\npaths = [\"corpus\"]\n", &tiny("llama")))?;
    Ok(site)
}

fn strings(texts: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(texts.to_vec()))
}

#[test]
fn columns_that_are_missing_or_of_no_use_are_named() -> Outcome {
    let site = site_with(vec![("Texts", strings(&["a"])), ("number", Arc::new(Int64Array::from(vec![1])))])?;
    let wanted = ["a.parquet", "no column `text`", "did you mean `Texts`?", "the columns are Texts, number"];
    site.stage("run", &[])?.says(1, &wanted);
    let wanted = ["a.parquet", "column `number` is INT64", "`text` must be a string or binary column"];
    site.stage("run", &["--set", "corpus.text=number"])?.says(1, &wanted);
    let wanted = ["no column `key` for `id`"];
    site.stage("run", &["--set", "corpus.text=Texts", "--set", "corpus.id=key"])?.says(1, &wanted);
    let wanted = ["no column `topic` for `domain`"];
    site.stage("run", &["--set", "corpus.text=Texts", "--set", "corpus.domain=topic"])?.says(1, &wanted);
    let site = Site::new()?;
    let text = site.read(PIPELINE)?.replace("**/*.parquet\"]", "**/*.parquet\"]\ntext = \"origin\"");
    site.write(PIPELINE, &text)?;
    site.stage("run", &[])?.says(1, &["column `origin` is nested", "set `text` to another column"]);
    site.write(PIPELINE, &text.replace("\"origin\"", "\"text\"\nid = \"tags\""))?;
    site.stage("run", &[])?.says(1, &["column `tags` is nested", "`id` must be"]);
    assert!(!site.path(OUTPUT).join("scores").exists());
    Ok(())
}

#[test]
fn bad_rows_keep_their_rows_and_end_in_exit_code_2() -> Outcome {
    let long = corpus::texts(1, 8);
    let good: Vec<&[u8]> = long.iter().map(|text| text.as_bytes()).collect();
    let values = vec![
        Some(good[0]),
        None,
        Some(&b"not UTF-8: \xff\xfe and some more of it, enough to be scored"[..]),
        Some(&b""[..]),
        Some(&b"e"[..]),
        Some(good[1]),
    ];
    let statuses = ["scored", "null-text", "not-utf8", "short", "short", "scored"];
    let kinds: [ArrayRef; 2] =
        [Arc::new(BinaryArray::from(values.clone())), Arc::new(BinaryViewArray::from_iter(values))];
    for text in kinds {
        let site = site_with(vec![("text", text)])?;
        let finished = site.stage("run", &["--set", "select.fraction=1.0"])?;
        finished.says(2, &["2 of 6 documents (33.33 %)", "max_rejects = 0.01", "rejects.parquet lists them"]);
        let found: Vec<String> = documents(&site)?.into_values().map(|row| row["status"].clone()).collect();
        assert_eq!(found, statuses);
        let rejects = rows_below(&site, "rejects.parquet")?;
        let found: Vec<(&str, &str)> =
            rejects.iter().map(|row| (row["row"].as_str(), row["status"].as_str())).collect();
        assert_eq!(found, [("1", "null-text"), ("2", "not-utf8"), ("3", "short"), ("4", "short")]);
        let kept = rows_below(&site, "selected/")?;
        assert_eq!(kept.len(), 2);
        site.done("run", &["--set", "select.fraction=1.0", "--set", "score.max_rejects=0.5"])?;
        assert_eq!(site.json("metrics.json")?["documents"], 0);
    }
    Ok(())
}

#[test]
fn a_document_of_one_token_is_short_even_if_it_may_be() -> Outcome {
    let site = site_with(vec![("text", strings(&["e", "", "on the river and the stone in winter"]))])?;
    site.done("run", &["--set", "score.min_tokens=0"])?;
    let found: Vec<String> = documents(&site)?.into_values().map(|row| row["status"].clone()).collect();
    assert_eq!(found, ["short", "short", "scored"]);
    Ok(())
}

#[test]
fn string_views_and_large_documents_score_as_strings_do() -> Outcome {
    let texts = corpus::texts(3, 9);
    let slices: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut scores = Vec::new();
    let views: ArrayRef = Arc::new(StringViewArray::from(slices.clone()));
    for column in [strings(&slices), views] {
        let site = site_with(vec![("text", column)])?;
        site.done("run", &[])?;
        scores.push(documents(&site)?);
    }
    assert_eq!(scores[0], scores[1]);
    Ok(())
}
