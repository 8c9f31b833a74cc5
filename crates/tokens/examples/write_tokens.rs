//! Writes the token files of small corpora in every format, for `tests/trainers` to read with the trainers' own code.
//!
//!     cargo run -p headwater-tokens --example write_tokens -- FOLDER
//!
//! Each run is a subfolder laid out as a run's output: `tokens/corpus/<format>/`, and beside them `expected.jsonl` with a line
//! `{"ids": [...]}` for each document, the token after it included. One run has tokens of two bytes, one of four.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use headwater_corpus::{Plan, PlanOptions, SourceConfig, plan};
use headwater_model::Tokenizer;
use headwater_record::ByteCount;
use headwater_store::Stores;
use headwater_tokens::{
    PartPlan, Share, TextPart, TokenBytes, TokenFormat, TokenWork, TokenizerSetup, TokensConfig, Watch, write_tokens,
};
use parquet::arrow::ArrowWriter;

/// A tokenizer of the `model` crate's tests.
const TOKENIZER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../model/tests/tiny/llama/tokenizer.json");

/// Tokens of a packed sample; two bytes hold their number, one does not.
const SEQUENCE_TOKENS: u64 = 300;

/// Watches to the end.
struct Nobody;

impl Watch for Nobody {
    fn advance(&self, _documents: u64, _tokens: u64) {}

    fn is_over(&self) -> bool {
        false
    }
}

/// Texts of one to some hundred words, an empty one, and null.
fn texts(seed: usize) -> Vec<Option<String>> {
    const WORDS: [&str; 7] = ["the", "river", "rises", "in", "24", "springs;\n", "höher"];
    let text = |number: usize| {
        let words = (0..(number * number * 7) % 301).map(|place| WORDS[(place * place + number + seed) % WORDS.len()]);
        words.collect::<Vec<_>>().join(" ")
    };
    (0..60).map(|number| (number % 17 != 5).then(|| text(number))).collect()
}

fn shard(path: &Path, texts: &[Option<String>]) -> Result<(), Box<dyn Error>> {
    fs_err::create_dir_all(path.parent().ok_or("a shard has a folder")?)?;
    let text: ArrayRef = Arc::new(texts.iter().map(Option::as_deref).collect::<StringArray>());
    let batch = RecordBatch::try_from_iter_with_nullable([("text", text, true)])?;
    let mut writer = ArrowWriter::try_new(fs_err::File::create(path)?, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

/// Two sources of different texts.
fn corpus(folder: &Path) -> Result<Plan, Box<dyn Error>> {
    let source = |(seed, name): (usize, &&str)| -> Result<SourceConfig, Box<dyn Error>> {
        let shards = folder.join(name);
        shard(&shards.join("0.parquet"), &texts(seed))?;
        let table = serde_json::json!({"name": name, "paths": [shards.display().to_string()]});
        Ok(serde_json::from_value(table)?)
    };
    let sources = ["books", "web"].iter().enumerate().map(source).collect::<Result<Vec<_>, _>>()?;
    let options = PlanOptions { unit_bytes: Some(ByteCount(4 << 10)), ..PlanOptions::default() };
    Ok(plan(&sources, &options, &Stores::default(), &|_| {})?)
}

/// A line for each document.
fn expected(tokenizer: &Tokenizer, eos: u32) -> Result<String, Box<dyn Error>> {
    let mut lines = String::new();
    for text in (0..2).flat_map(texts).flatten() {
        let ids: Vec<u32> = tokenizer.encode(&text)?.into_iter().chain([eos]).collect();
        writeln!(lines, "{}", serde_json::json!({ "ids": ids }))?;
    }
    Ok(lines)
}

#[expect(clippy::disallowed_methods, reason = "an example is told where to write")]
fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: write_tokens FOLDER")?);
    let tokenizer = Tokenizer::open(Path::new(TOKENIZER))?;
    let shards = tempfile::tempdir()?;
    let plan = corpus(shards.path())?;
    for (name, token_bytes) in [("two-bytes", TokenBytes::Auto), ("four-bytes", TokenBytes::Four)] {
        let config = TokensConfig {
            formats: vec![TokenFormat::Datatrove, TokenFormat::Megatron, TokenFormat::Mds, TokenFormat::Olmo],
            token_bytes,
            sequence_tokens: Some(SEQUENCE_TOKENS),
            file_bytes: ByteCount(16 << 10),
            ..TokensConfig::default()
        };
        let run = Stores::default().open(&folder.join(name).display().to_string())?;
        let setup = TokenizerSetup::new(&config, &tokenizer, "tiny-llama", SEQUENCE_TOKENS)?;
        let part = PartPlan { part: TextPart::Corpus, folder: "tokens/corpus".to_owned(), plan: &plan };
        let work = TokenWork::begin(&run, &setup, &part, Share { index: 0, of: 1 })?;
        write_tokens(&work, &Nobody)?;
        run.write("tokens/corpus/expected.jsonl", expected(&tokenizer, setup.eos().id)?.into())?;
    }
    Ok(())
}
