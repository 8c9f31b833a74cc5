//! Token files of whole runs and of the stage alone.

use std::error::Error;

use headwater_model::Tokenizer;
use parquet::file::metadata::ParquetMetaDataReader;
use serde_json::json;

use crate::corpus;
use crate::scores::rows_below;
use crate::site::{OUTPUT, Outcome, Site, assert_same, tiny};

const FORMATS: [&str; 4] = ["datatrove", "megatron", "mds", "olmo"];

/// The token after every document of the tiny models.
const EOS: u64 = 0;

/// A site whose pipeline asks for token files in every format.
fn site() -> Result<Site, Box<dyn Error>> {
    let site = Site::new()?;
    let tokens = "\n[tokens]\nformats = [\"datatrove\", \"megatron\", \"mds\", \"olmo\"]\nsequence_tokens = 128\nfile_bytes = \"6KiB\"\n";
    site.write(crate::site::PIPELINE, &(site.read(crate::site::PIPELINE)? + tokens))?;
    Ok(site)
}

/// The folder of the selection's token files, relative to the run.
fn selected(site: &Site) -> Result<String, Box<dyn Error>> {
    Ok(format!("tokens/selected/{}", site.json("selection.json")?["hash"].as_str().ok_or("a hash")?))
}

/// The tokens of a part, file by file in the order of the manifest.
fn tokens(site: &Site, part: &str) -> Result<Vec<u64>, Box<dyn Error>> {
    let manifest = site.json(&format!("{part}/olmo/tokens.json"))?;
    assert_eq!(manifest["token_bytes"], 2);
    let mut tokens = Vec::new();
    for file in manifest["files"].as_array().ok_or("files")? {
        let path = format!("{OUTPUT}/{part}/olmo/{}", file["path"].as_str().ok_or("a path")?);
        let bytes = fs_err::read(site.path(&path))?;
        tokens.extend(bytes.chunks(2).map(|pair| u64::from(pair[0]) | u64::from(pair[1]) << 8));
    }
    Ok(tokens)
}

/// What the texts of rows should become.
fn expected<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<u64>, Box<dyn Error>> {
    let tokenizer = Tokenizer::open(&tiny("llama").join("tokenizer.json"))?;
    let mut tokens = Vec::new();
    for text in texts {
        tokens.extend(tokenizer.encode(text)?.into_iter().map(u64::from).chain([EOS]));
    }
    Ok(tokens)
}

#[test]
fn a_run_writes_the_corpus_and_what_is_selected() -> Outcome {
    let site = site()?;
    let finished = site.done("run", &[])?;
    let selected = selected(&site)?;
    for (part, name) in [("tokens/corpus", "corpus"), (selected.as_str(), "selected")] {
        for format in FORMATS {
            let manifest = site.json(&format!("{part}/{format}/tokens.json"))?;
            assert_eq!((&manifest["part"], &manifest["format"]), (&name.into(), &format.into()));
            assert!(finished.stdout.contains(&format!("{OUTPUT}/{part}/{format}")), "{}", finished.stdout);
        }
    }
    assert_eq!(site.json("tokens/corpus/olmo/tokens.json")?["documents"], corpus::ROWS);
    let files = site.json("tokens/corpus/olmo/tokens.json")?["files"].as_array().map_or(0, Vec::len);
    assert!(files > 3, "the test wants several files, not {files}");
    let subset = rows_below(&site, "selected/")?;
    let texts: Vec<&str> = subset
        .iter()
        .filter_map(|row| row.get("text").filter(|text| !text.is_empty()).or_else(|| row.get("content")))
        .map(String::as_str)
        .collect();
    assert_eq!(texts.len(), subset.len());
    assert_eq!(tokens(&site, &selected)?, expected(texts.into_iter())?);
    Ok(())
}

#[test]
fn the_stage_alone_in_shares_on_any_number_of_threads_gives_the_same_bytes() -> Outcome {
    let whole = site()?;
    whole.done("run", &[])?;
    let site = site()?;
    site.stage("tokens", &[])?.says(1, &["has no selection.json yet", "headwater select pipeline.toml"]);
    for stage in ["heads", "score", "select", "recipe"] {
        site.done(stage, &[])?;
    }
    for (part, threads) in [("1/3", "1"), ("0/3", "2"), ("2/3", "17")] {
        let mut command = site.command(&["tokens", crate::site::PIPELINE, "--part", part]);
        let finished = crate::site::finish(command.env("RAYON_NUM_THREADS", threads))?;
        assert_eq!(finished.code, Some(0), "{finished:#?}");
        assert_eq!(finished.stderr.contains("left to other parts"), part != "2/3", "{}", finished.stderr);
    }
    assert_same(&whole.artefacts()?, &site.artefacts()?, "shares on 1, 2 and 17 threads");
    site.done("tokens", &[])?;
    assert_same(&whole.artefacts()?, &site.artefacts()?, "another time");
    Ok(())
}

/// Lays the subset out as a selection with buckets has it: `books` in the first, `web` in the second, and nothing in the third.
fn into_buckets(site: &Site) -> Outcome {
    let mut selection = site.json("selection.json")?;
    let folder = site.path(OUTPUT).join("selected").join(selection["hash"].as_str().ok_or("a hash")?);
    for (bucket, source) in [("bucket-00", "books"), ("bucket-01", "web")] {
        fs_err::create_dir_all(folder.join(bucket))?;
        fs_err::rename(folder.join(source), folder.join(bucket).join(source))?;
    }
    let bucket = |repeat: f64, documents: u64, tokens: u64| serde_json::json!({"from": 0.0, "to": 0.1, "repeat": repeat, "documents": documents, "tokens": tokens});
    selection["buckets"] = serde_json::json!([bucket(3.0, 8, 200), bucket(0.5, 6, 100), bucket(0.1, 0, 0)]);
    site.write(&format!("{OUTPUT}/selection.json"), &selection.to_string())?;
    Ok(())
}

#[test]
fn every_bucket_has_token_files_of_its_own_and_a_recipe_its_weight() -> Outcome {
    let site = site()?;
    site.done("run", &["--set", "tokens.formats=[]"])?;
    into_buckets(&site)?;
    let formats = ["--set", "tokens.formats=[\"olmo\", \"megatron\"]"];
    let first = [formats.as_slice(), &["--part", "1/50"]].concat();
    site.stage("tokens", &first)?
        .says(0, &["files of the corpus are left to", "files of bucket-01 are left to other parts"]);
    let written = site.done("tokens", &formats)?;
    let folder = selected(&site)?;
    for (bucket, column) in [("bucket-00", "text"), ("bucket-01", "content")] {
        let part = format!("{folder}/{bucket}");
        assert_eq!(site.json(&format!("{part}/olmo/tokens.json"))?["part"], bucket);
        let rows = rows_below(&site, &format!("{}/{bucket}/", folder.trim_start_matches("tokens/")))?;
        assert!(!rows.is_empty(), "{bucket} has documents");
        assert_eq!(tokens(&site, &part)?, expected(rows.iter().map(|row| row[column].as_str()))?);
    }
    assert_eq!(site.json(&format!("{folder}/bucket-02/olmo/tokens.json"))?["documents"], 0);
    assert!(written.stderr.contains(&format!("{folder}/bucket-02/megatron/tokens.json")), "{}", written.stderr);
    assert!(!site.path(&format!("{OUTPUT}/{folder}/olmo")).exists(), "nothing is written of the whole");
    site.done("recipe", &["--set", "recipe.trainers=[\"megatron\"]", "--set", "mixture.selected=0.65"])?;
    let blend: Vec<String> = serde_json::from_value(site.json("recipe/megatron/data.json")?["train"].clone())?;
    let mut weights = [0.0; 3];
    for pair in blend.chunks(2) {
        assert!(site.path(&format!("{}.idx", pair[1])).is_file(), "{} is a token file", pair[1]);
        let part = ["/corpus/", "/bucket-00/", "/bucket-01/"].iter().position(|part| pair[1].contains(part));
        weights[part.ok_or(pair[1].as_str())?] += pair[0].parse::<f64>()?;
    }
    for (weight, meant) in weights.iter().zip([0.35, 0.6, 0.05]) {
        assert!((weight - meant).abs() < 1e-9, "{weights:?}");
    }
    Ok(())
}

#[test]
fn the_rest_of_a_shard_that_turns_unreadable_is_left_out_if_that_is_allowed() -> Outcome {
    let site = site()?;
    let path = site.path("corpus/books/b.parquet");
    let mut file = fs_err::read(&path)?;
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes::Bytes::from(file.clone()))?;
    // row groups have seven rows
    let text = metadata.row_group(1).columns().iter().find(|column| column.column_path().string() == "text");
    let (start, length) = text.ok_or("there is a text column")?.byte_range();
    file[usize::try_from(start)?..usize::try_from(start + length)?].fill(0xff);
    fs_err::write(&path, file)?;
    let corpus_alone = ["--set", "tokens.parts=[\"corpus\"]"];
    site.stage("tokens", &corpus_alone)?.says(1, &["b.parquet", "`text`"]);
    let skip = [&corpus_alone[..], &["--set", "run.on_bad_shard=skip"]].concat();
    let lacking = "token files lack 11 documents of shards that cannot be read";
    site.stage("tokens", &skip)?.says(2, &["b.parquet", "left out of the token files", lacking]);
    for format in FORMATS {
        let manifest = site.json(&format!("tokens/corpus/{format}/tokens.json"))?;
        assert_eq!(
            (&manifest["documents"], &manifest["skipped"]["unreadable"]),
            (&json!(corpus::ROWS - 11), &json!(11))
        );
    }
    site.stage("tokens", &skip)?.says(2, &[lacking]);
    Ok(())
}

#[test]
fn the_corpus_needs_no_selection() -> Outcome {
    let site = site()?;
    site.done("tokens", &["--set", "tokens.parts=[\"corpus\"]", "--set", "tokens.formats=[\"olmo\"]"])?;
    assert_eq!(site.json("tokens/corpus/olmo/tokens.json")?["documents"], corpus::ROWS);
    assert!(!site.path(&format!("{OUTPUT}/tokens/selected")).exists());
    Ok(())
}

#[test]
fn what_cannot_work_is_said_before_anything_is_scored() -> Outcome {
    let site = site()?;
    let set = |value: &'static str| ["--set", value];
    site.stage("run", &set("tokens.eos=<|eot|>"))?.says(1, &["`tokens.eos` is \"<|eot|>\""]);
    site.stage("run", &set("tokens.formats=[\"arrow\"]"))?.says(1, &["arrow", "datatrove"]);
    site.stage("run", &set("tokens.token_bytes=3"))?.says(1, &["\"auto\", 2 or 4"]);
    site.stage("run", &set("tokens.file_bytes=0"))?.says(1, &["tokens.file_bytes"]);
    site.stage("run", &set("tokens.tokenizer=nowhere/tokenizer.json"))?.says(1, &["nowhere/tokenizer.json"]);
    assert!(!site.path(&format!("{OUTPUT}/run.json")).exists());
    site.stage("tokens", &set("tokens.formats=[]"))?.says(1, &["[tokens] formats is empty", "--set"]);
    let alone = ["--set", "tokens.parts=[\"corpus\"]"];
    site.done("tokens", &alone)?;
    let changed = [alone.as_slice(), &set("tokens.eos=<s>")].concat();
    site.stage("tokens", &changed)?.says(1, &["eos: <|endoftext|> (0) → <s> (2)", "tokens/corpus/datatrove"]);
    Ok(())
}

#[test]
fn a_tokenizer_of_its_own_and_an_output_that_looks_like_a_pattern() -> Outcome {
    let site = site()?;
    let folder = tiny("qwen2");
    let own = format!("tokens.tokenizer={}", folder.join("tokenizer.json").display());
    let output = "run.output=out [1]{a}";
    site.done("run", &["--set", &own, "--set", output])?;
    let selection = fs_err::read(site.path("out [1]{a}/selection.json"))?;
    let selection: serde_json::Value = serde_json::from_slice(&selection)?;
    let path = format!("out [1]{{a}}/tokens/selected/{}/mds/tokens.json", selection["hash"].as_str().ok_or("hash")?);
    let manifest: serde_json::Value = serde_json::from_slice(&fs_err::read(site.path(&path))?)?;
    assert_eq!(manifest["tokenizer"]["name"], folder.join("tokenizer.json").display().to_string());
    assert!(manifest["documents"].as_u64().is_some_and(|documents| documents > 0), "{manifest}");
    Ok(())
}

#[test]
fn recipes_name_the_token_files_and_refuse_a_model_that_cannot_read_them() -> Outcome {
    let site = site()?;
    site.done("run", &[])?;
    site.done("recipe", &["--set", "recipe.trainers=[\"megatron\"]", "--set", "mixture.selected=0.25"])?;
    let blend: Vec<String> = serde_json::from_value(site.json("recipe/megatron/data.json")?["train"].clone())?;
    let weights = blend.iter().step_by(2).map(|weight| weight.parse()).collect::<Result<Vec<f64>, _>>()?;
    assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{blend:?}");
    for prefix in blend.iter().skip(1).step_by(2) {
        assert!(site.path(&format!("{prefix}.idx")).is_file(), "{prefix} is a token file");
    }
    let preset = fs_err::read_to_string(crate::site::repository("configs/presets/llama-2m.toml"))?;
    // 10 rows of 40 instead of 49,152
    let small =
        preset.replace("parameters = 2004680", "parameters = 39000").replace("vocab_size = 49152", "vocab_size = 10");
    site.write("small.toml", &small)?;
    site.stage("recipe", &["--set", "recipe.preset=small.toml", "--set", "recipe.batch_sequences=4"])?
        .says(1, &["tokens.json has a vocabulary of", "preset \"small.toml\" has model.vocab_size 10"]);
    Ok(())
}
