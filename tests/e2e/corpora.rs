//! Corpora as people have them: folders of Spark and macOS, partitions, nested and null columns, old and foreign files, JSON Lines.
//!
//! The files in `tests/data/corpora` were made for these tests, each with what one public report of another project was about.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field};
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::corpus;
use crate::scores::{documents, rows, rows_below};
use crate::site::{Artefacts, Finished, Outcome, PIPELINE, Site, pipeline, repository, tiny};

/// A site whose corpus `c` has `paths` and `more` keys; nothing is there yet.
fn site_of(paths: &str, more: &str) -> Result<Site, Box<dyn Error>> {
    let site = Site::empty()?;
    let table = format!("[[corpus]]\nname = \"c\"\npaths = {paths}\n{more}\n");
    site.write(
        PIPELINE,
        &pipeline(&table, &tiny("llama")).replace("min_tokens = 16", "min_tokens = 1\nmax_rejects = 1.0"),
    )?;
    Ok(site)
}

/// A site with a corpus of `tests/data/corpora`.
fn kept(name: &str, more: &str) -> Result<Site, Box<dyn Error>> {
    let site = site_of("[\"c\"]", more)?;
    copy_folder(&repository("tests/data/corpora").join(name), &site.path("c"))?;
    Ok(site)
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs_err::create_dir_all(to)?;
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs_err::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A text that is always the same for its seed.
fn words(seed: usize, count: usize) -> String {
    corpus::text(&mut ChaCha8Rng::seed_from_u64(seed as u64), count)
}

/// Texts that differ from shard to shard.
fn texts(shard: usize) -> ArrayRef {
    let text = |row: usize| Some(words(shard * 100 + row, 30));
    Arc::new((0..4).map(text).collect::<StringArray>())
}

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Result<Vec<u8>, Box<dyn Error>> {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))?;
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None)?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}

/// Writes a shard of texts at each of `paths`.
fn write_shards(site: &Site, paths: &[&str]) -> Outcome {
    for (shard, path) in paths.iter().enumerate() {
        let path = site.path(path);
        fs_err::create_dir_all(path.parent().ok_or("a folder")?)?;
        fs_err::write(path, parquet(vec![("text", texts(shard))])?)?;
    }
    Ok(())
}

/// The shards whose documents were scored.
fn scored(site: &Site) -> Result<BTreeSet<String>, Box<dyn Error>> {
    Ok(documents(site)?.into_keys().map(|(_, shard, _)| shard).collect())
}

/// What standard error warns of.
fn warnings(finished: &Finished) -> Vec<&str> {
    finished.stderr.lines().filter(|line| line.contains("WARN")).collect()
}

#[test]
fn hidden_and_temporary_files_are_left_out_and_said_once() -> Outcome {
    let site = site_of("[\"c\"]", "")?;
    let hidden = ["c/_temporary/0/part-0.parquet", "c/.staging/a.parquet", "c/._part-0.parquet", "c/x/_tmp.parquet"];
    write_shards(&site, &[&["c/part-0.parquet", "c/_year=2024/part-1.parquet"], &hidden[..]].concat())?;
    site.write("c/_SUCCESS", "")?;
    let run = site.done("run", &[])?;
    assert_eq!(scored(&site)?, BTreeSet::from(["part-0.parquet".to_owned(), "_year=2024/part-1.parquet".to_owned()]));
    let said = warnings(&run).into_iter().filter(|line| line.contains("hidden or temporary files left out"));
    assert_eq!(said.count(), 1, "{}", run.stderr);
    run.says(0, &["files=4"]);
    // the subset's own files are never hidden
    assert!(!rows_below(&site, "selected/")?.is_empty());
    Ok(())
}

#[test]
fn files_are_taken_by_any_name_and_folders_under_patterns_are_gone_into() -> Outcome {
    for (paths, shards) in [
        ("[\"c/UPPER.PARQUET\", \"c/x.data\"]", vec!["UPPER.PARQUET", "x.data"]),
        ("[\"c/*.parquet\"]", vec!["a.parquet/part-0.parquet", "b[1].parquet"]),
        ("[\"c/b[1].parquet\"]", vec!["b[1].parquet"]),
        ("[\"c\"]", vec!["UPPER.PARQUET", "a.parquet/part-0.parquet", "b[1].parquet"]),
    ] {
        let site = site_of(paths, "")?;
        write_shards(&site, &["c/UPPER.PARQUET", "c/x.data", "c/a.parquet/part-0.parquet", "c/b[1].parquet"])?;
        site.done("run", &[])?;
        assert_eq!(scored(&site)?, shards.into_iter().map(str::to_owned).collect(), "{paths}");
    }
    Ok(())
}

#[test]
fn a_file_that_is_named_twice_is_read_once() -> Outcome {
    let site = site_of("[\"c\", \"./c/x/a.parquet\", \"c/*/a.parquet\"]", "")?;
    write_shards(&site, &["c/x/a.parquet", "c/b.parquet"])?;
    let run = site.done("run", &[])?;
    run.says(0, &["files that `paths` names twice are read once", "files=2"]);
    assert_eq!(documents(&site)?.len(), 8);
    Ok(())
}

#[test]
fn the_output_of_the_run_is_no_part_of_its_corpus() -> Outcome {
    let site = site_of("[\".\"]", "")?;
    write_shards(&site, &["c/a.parquet"])?;
    site.done("run", &[])?;
    let before = site.artefacts()?;
    let again = site.done("run", &[])?;
    again.says(0, &["files of this run's own output left out"]);
    assert!(before == site.artefacts()?);
    Ok(())
}

#[test]
fn a_delta_table_is_warned_of() -> Outcome {
    let site = site_of("[\"c\"]", "")?;
    write_shards(&site, &["c/a.parquet", "c/_delta_log/00.checkpoint.parquet"])?;
    site.stage("plan", &[])?.says(0, &["a Delta table", "_delta_log"]);
    Ok(())
}

#[test]
fn partition_keys_are_columns() -> Outcome {
    let paths = ["c/lang=zh%2FTW/a.parquet", "c/lang=en/a.parquet", "c/lang=__HIVE_DEFAULT_PARTITION__/a.parquet"];
    for (more, domains) in [("domain = \"lang\"", ["(none)", "en", "zh/TW"].as_slice()), ("id = \"lang\"", &["c"])] {
        let site = site_of("[\"c\"]", more)?;
        write_shards(&site, &paths)?;
        site.done("run", &[])?;
        let documents = documents(&site)?;
        let found: BTreeSet<&str> = documents.values().map(|row| row["domain"].as_str()).collect();
        assert_eq!(found, domains.iter().copied().collect());
        if more.starts_with("id") {
            let ids: BTreeSet<&str> = documents.values().map(|row| row["id"].as_str()).collect();
            assert!(ids.contains("en/3") && ids.contains("zh/TW/0") && ids.contains(""), "{ids:?}");
        }
    }
    Ok(())
}

#[test]
fn dotted_names_reach_into_structs() -> Outcome {
    let field = |name: &str, column: &ArrayRef| Arc::new(Field::new(name, column.data_type().clone(), true));
    let structure = |name: &str, column: ArrayRef| -> ArrayRef {
        Arc::new(StructArray::from(vec![(field(name, &column), column)]))
    };
    let site = site_of("[\"c\"]", "text = \"content.text\"\ndomain = \"meta.info.dump\"")?;
    fs_err::create_dir(site.path("c"))?;
    let dumps: ArrayRef = Arc::new(StringArray::from(vec![Some("CC-1"), None, Some("CC-2"), Some("CC-1")]));
    let columns = vec![("content", structure("text", texts(0))), ("meta", structure("info", structure("dump", dumps)))];
    fs_err::write(site.path("c/a.parquet"), parquet(columns)?)?;
    site.done("run", &[])?;
    let domains: Vec<String> = documents(&site)?.into_values().map(|row| row["domain"].clone()).collect();
    assert_eq!(domains, ["CC-1", "(none)", "CC-2", "CC-1"]);
    site.stage("plan", &["--set", "corpus.text=content.txet"])?.says(1, &["no column `content.txet`"]);
    Ok(())
}

#[test]
fn a_column_of_nulls_is_null() -> Outcome {
    let site = kept("null-typed-id-in-one-shard", "")?;
    site.done("run", &[])?;
    let documents = documents(&site)?;
    assert!(documents.iter().all(|((_, shard, _), row)| row["id"].is_empty() == (shard == "b.parquet")));
    let site = site_of("[\"c\"]", "")?;
    write_shards(&site, &["c/a.parquet"])?;
    let nulls = arrow::array::new_null_array(&DataType::Null, 3);
    fs_err::write(site.path("c/b.parquet"), parquet(vec![("text", nulls)])?)?;
    site.done("run", &[])?;
    let statuses: Vec<String> = self::documents_of(&site, "b.parquet")?.into_values().collect();
    assert_eq!(statuses, ["null-text"; 3]);
    Ok(())
}

/// The statuses of a shard's rows.
fn documents_of(site: &Site, shard: &str) -> Result<BTreeMap<u64, String>, Box<dyn Error>> {
    let of = documents(site)?.into_iter().filter(|((_, path, _), _)| path == shard);
    Ok(of.map(|((_, _, row), values)| (row, values["status"].clone())).collect())
}

#[test]
fn default_columns_that_cannot_serve_are_not_used() -> Outcome {
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![0.5; 4]));
    let site = site_of("[\"c\"]", "")?;
    fs_err::create_dir(site.path("c"))?;
    let columns = vec![("text", texts(0)), ("id", numbers.clone()), ("domain", numbers)];
    fs_err::write(site.path("c/a.parquet"), parquet(columns)?)?;
    let run = site.done("run", &[])?;
    run.says(0, &["its type cannot serve as `id`", "its type cannot serve as `domain`"]);
    assert!(documents(&site)?.values().all(|row| row["id"].is_empty() && row["domain"] == "c"));
    site.stage("plan", &["--set", "corpus.id=score"])?.says(1, &["no column `score` for `id`"]);
    Ok(())
}

#[test]
fn two_columns_of_one_name_are_refused() -> Outcome {
    let site = site_of("[\"c\"]", "")?;
    fs_err::create_dir(site.path("c"))?;
    fs_err::write(site.path("c/a.parquet"), parquet(vec![("text", texts(0)), ("x", texts(1)), ("x", texts(2))])?)?;
    site.stage("plan", &[])?.says(1, &["a.parquet", "two of its columns are named `x`"]);
    Ok(())
}

#[test]
fn foreign_files_are_named_for_what_they_are() -> Outcome {
    let cases: [(&[u8], &str); 7] = [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        (b"\x1f\x8b\x08 packed as a whole", "gzip"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
        (b"ARROW1\0\0 and more that is not read", "Arrow IPC"),
        (b"ORC and more that is not read here", "ORC"),
        (b"PK\x03\x04 and more that is not read", "zip archive"),
        (b"", "0 bytes"),
    ];
    for (bytes, said) in cases {
        let site = site_of("[\"c\"]", "")?;
        fs_err::create_dir(site.path("c"))?;
        fs_err::write(site.path("c/a.parquet"), bytes)?;
        site.stage("plan", &[])?.says(1, &["c/a.parquet", said]);
    }
    Ok(())
}

#[test]
fn damage_in_a_column_that_is_not_scored_skips_the_shard() -> Outcome {
    let site = kept("corrupt-other-column-skip", "")?;
    let all = ["--set", "select.fraction=1.0"];
    site.stage("run", &all)?.says(1, &["a.parquet", "column `x` cannot be decoded"]);
    let site = kept("corrupt-other-column-skip", "")?;
    let skip = [&all[..], &["--set", "run.on_bad_shard=skip"]].concat();
    site.stage("run", &skip)?.says(2, &["shard skipped", "a.parquet", "1 shards were skipped"]);
    assert_eq!(site.json("run.json")?["sources"][0]["skipped"][0]["path"], "a.parquet");
    let selection = site.json("selection.json")?["hash"].as_str().ok_or("a hash")?.to_owned();
    assert_eq!(rows_below(&site, &format!("selected/{selection}/"))?.len(), 3);
    site.stage("select", &skip)?.says(2, &["1 shards were skipped"]);
    Ok(())
}

#[test]
fn encrypted_columns_are_told_by_plan() -> Outcome {
    let site = kept("encrypted-columns-plain-footer", "text = \"ba_field\"")?;
    site.stage("plan", &[])?.says(1, &["a.parquet", "column `float_field` is encrypted"]);
    Ok(())
}

#[test]
fn old_writers_are_read() -> Outcome {
    let site = kept("dictionary-page-offset-0", "")?;
    site.done("run", &["--set", "select.fraction=1.0"])?;
    // a reader that takes the footer at its word finds nothing at offset 0
    assert!(rows(fs_err::read(site.path("c/a.parquet"))?).is_err());
    let subset = rows_below(&site, "selected/")?;
    assert_eq!(subset.iter().map(|row| row["x"].as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
    Ok(())
}

#[test]
fn page_checksums_are_verified() -> Outcome {
    kept("crc-mismatch", "")?.stage("run", &[])?.says(1, &["a.parquet", "column `text` cannot be decoded", "CRC"]);
    Ok(())
}

#[test]
fn rows_keep_their_own_values_whatever_an_offset_index_says() -> Outcome {
    let site = kept("offset-index-mid-row", "")?;
    site.done("run", &["--set", "select.fraction=0.05"])?;
    let all = rows(fs_err::read(site.path("c/a.parquet"))?)?;
    let subset = rows_below(&site, "selected/")?;
    assert!(!subset.is_empty() && subset.len() < all.len());
    let of =
        |wanted: &crate::scores::Row| all.iter().filter(|row| row["text"] == wanted["text"]).any(|row| row == wanted);
    assert!(subset.iter().all(of));
    Ok(())
}

#[test]
fn a_text_that_is_not_the_scored_one_is_never_kept() -> Outcome {
    let site = site_of("[\"c\"]", "")?;
    write_shards(&site, &["c/a.parquet"])?;
    site.done("score", &[])?;
    // other texts of the same sizes: the footer, and so the shard's identity, stays
    let bytes = fs_err::read(site.path("c/a.parquet"))?;
    let word = b"river";
    let at = bytes.windows(word.len()).position(|window| window == word);
    let other = at.map(|at| [&bytes[..at], b"stone", &bytes[at + word.len()..]].concat());
    if let Some(other) = other {
        fs_err::write(site.path("c/a.parquet"), other)?;
        site.stage("select", &["--set", "select.fraction=1.0"])?.says(1, &["a.parquet", "another text", "--rescore"]);
    } else {
        return Err("the texts are not stored as they are".into());
    }
    Ok(())
}

#[test]
fn the_influence_column_may_have_another_name() -> Outcome {
    let site = kept("spark-footer-entry", "")?;
    let keep = ["--set", "select.fraction=1.0", "--set"];
    site.done("run", &[&keep[..], &["select.influence_column=true"]].concat())?;
    let (_, subset) =
        site.artefacts()?.into_iter().find(|(path, _)| path.starts_with("selected/")).ok_or("a subset")?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(subset.clone()))?;
    let entries = reader.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    let spark =
        entries.iter().find(|entry| entry.key == "org.apache.spark.sql.parquet.row.metadata").ok_or("Spark's entry")?;
    let schema: serde_json::Value = serde_json::from_str(spark.value.as_deref().unwrap_or_default())?;
    let last = schema["fields"].as_array().and_then(|fields| fields.last()).ok_or("fields")?;
    assert_eq!((last["name"].as_str(), last["type"].as_str()), (Some("influence"), Some("float")));
    // a subset that is scored again has such a column already, which is told before anything is scored
    let again = site_of("[\"c\"]", "")?;
    fs_err::create_dir(again.path("c"))?;
    fs_err::write(again.path("c/a.parquet"), subset)?;
    let told = ["a.parquet", "already has a column `influence`", "influence_column = "];
    again.stage("plan", &["--set", "select.influence_column=true"])?.says(1, &told);
    again.done("run", &[&keep[..], &["select.influence_column=again"]].concat())?;
    assert!(
        rows_below(&again, "selected/")?.iter().all(|row| row.contains_key("influence") && !row["again"].is_empty())
    );
    Ok(())
}

/// Documents in JSON Lines, with columns that not every line has.
pub(crate) fn json_lines() -> String {
    let mut lines = String::new();
    for row in 0..6 {
        let text = serde_json::Value::from(format!("{} é\n", words(row, 40)));
        let meta =
            if row % 2 == 0 { format!(r#", "meta": {{"source": "s{row}", "empty": {{}}}}"#) } else { String::new() };
        lines.push_str(&format!("{{\"id\": {row}, \"text\": {text}, \"domain\": \"d{}\"{meta}}}\n", row % 2));
        if row == 3 {
            lines.push('\n');
        }
    }
    lines
}

/// The lines as a file: `gz`, `zst`, or plain.
pub(crate) fn packed(lines: &str, how: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    Ok(match how {
        "gz" => {
            // two members, as `cat` of two files gives
            let (first, second) = lines.split_at(lines.len() / 2);
            let mut packed = Vec::new();
            for part in [first, second] {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(part.as_bytes())?;
                packed.extend(encoder.finish()?);
            }
            packed
        }
        "zst" => zstd::encode_all(lines.as_bytes(), 3)?,
        _ => lines.as_bytes().to_vec(),
    })
}

/// What the scores of each row are.
fn numbers(site: &Site) -> Result<BTreeMap<u64, Vec<String>>, Box<dyn Error>> {
    let columns = ["id", "domain", "status", "bytes", "text_hash", "tokens", "loss_base", "loss_masked", "influence"];
    let values = |row: &crate::scores::Row| columns.iter().map(|column| row[*column].clone()).collect();
    Ok(documents(site)?.iter().map(|((_, _, row), values_of)| (*row, values(values_of))).collect())
}

#[test]
fn json_lines_score_as_the_same_documents_in_parquet() -> Outcome {
    let column = |value: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new((0..6).map(|row| Some(value(row))).collect::<StringArray>())
    };
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..6));
    let columns = vec![
        ("id", ids),
        ("text", column(&|row| format!("{} é\n", words(row, 40)))),
        ("domain", column(&|row| format!("d{}", row % 2))),
    ];
    let site = site_of("[\"c\"]", "")?;
    fs_err::create_dir(site.path("c"))?;
    fs_err::write(site.path("c/a.parquet"), parquet(columns)?)?;
    site.done("run", &[])?;
    let expected = numbers(&site)?;
    for (name, how) in [("a.jsonl", ""), ("a.jsonl.gz", "gz"), ("A.JSONL.zst", "zst"), ("a.json.gz", "gz")] {
        let site = site_of("[\"c\"]", "")?;
        fs_err::create_dir(site.path("c"))?;
        fs_err::write(site.path("c").join(name), packed(&json_lines(), how)?)?;
        site.done("run", &["--set", "select.fraction=1.0"])?;
        assert_eq!(numbers(&site)?, expected, "{name}");
        assert_eq!(scored(&site)?, BTreeSet::from([name.to_owned()]));
        let subset = rows_below(&site, "selected/")?;
        assert!(subset.len() == 6 && subset[0]["meta"].contains("s0"), "{subset:?}");
        let copies = |site: &Site| -> Result<Artefacts, Box<dyn Error>> {
            Ok(site.artefacts()?.into_iter().filter(|(path, _)| path.starts_with("copies/")).collect())
        };
        let before = copies(&site)?;
        assert_eq!(before.len(), 1);
        site.done("run", &[])?;
        assert!(before == copies(&site)?, "the copy is made once");
    }
    Ok(())
}

#[test]
fn json_lines_that_cannot_be_read_say_where() -> Outcome {
    for (lines, said) in [
        ("{\"text\": \"a\"}\n{\"text\": \n", "cannot be read as JSON Lines"),
        ("[1, 2]\n", "cannot be read as JSON Lines"),
        ("\n\n", "it has no lines"),
    ] {
        let site = site_of("[\"c/a.jsonl\"]", "")?;
        fs_err::create_dir(site.path("c"))?;
        site.write("c/a.jsonl", lines)?;
        site.stage("plan", &[])?.says(1, &["a.jsonl", said]);
        assert!(
            !site.path("out/copies").join("c").exists()
                || fs_err::read_dir(site.path("out/copies/c"))?.next().is_none()
        );
    }
    Ok(())
}

#[test]
fn json_lines_beside_parquet_are_left_out() -> Outcome {
    let site = site_of("[\"c\"]", "")?;
    write_shards(&site, &["c/a.parquet"])?;
    site.write("c/notes.jsonl", "{\"note\": 1}\n")?;
    site.done("run", &[])?.says(0, &["JSON Lines files beside Parquet files left out"]);
    assert_eq!(scored(&site)?, BTreeSet::from(["a.parquet".to_owned()]));
    Ok(())
}

#[test]
fn scoring_with_a_pinned_head_set_needs_no_heads_first() -> Outcome {
    let site = Site::new()?;
    site.done("score", &[])?;
    assert!(site.path("out/heads.json").exists());
    Ok(())
}
