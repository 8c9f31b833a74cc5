//! Token files against the tokenizer alone, on the same documents and threads.
//!
//!     cargo bench -p headwater-tokens --bench throughput -- [TOKENIZER]
//!
//! `TOKENIZER` is a `tokenizer.json` or a GGUF file; that of a tiny test model if left out. The documents are those of the sample
//! corpus, repeated to [`TEXT_BYTES`]. *Alone* tokenises texts that lie in memory on all threads of the pool; *files* reads Parquet,
//! tokenises and writes files to a temporary folder. They take turns; the medians are compared. It fails below [`LEAST_SHARE`].

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use headwater_corpus::{DocumentText, Plan, PlanOptions, SourceConfig, plan, read_unit};
use headwater_model::{ModelPaths, Tokenizer};
use headwater_record::ContentHash;
use headwater_store::Stores;
use headwater_tokens::{
    PartPlan, Share, TextPart, TokenFormat, TokenWork, TokenizerSetup, TokensConfig, Watch, write_tokens,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../pipelines/data/sample");
const TOKENIZER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../model/tests/tiny/llama/tokenizer.json");

/// Text of a round.
const TEXT_BYTES: usize = 24 << 20;

/// Rounds of each kind.
const ROUNDS: usize = 5;

/// Speed of writing files as a share of the tokenizer's, at least.
const LEAST_SHARE: f64 = 0.8;

/// Watches to the end.
struct Nobody;

impl Watch for Nobody {
    fn advance(&self, _documents: u64, _tokens: u64) {}

    fn is_over(&self) -> bool {
        false
    }
}

fn planned(name: &str, path: &str) -> Result<Plan, Box<dyn Error>> {
    let source: SourceConfig = serde_json::from_value(serde_json::json!({"name": name, "paths": [path]}))?;
    Ok(plan(&[source], &PlanOptions::default(), &Stores::default(), &|_| {})?)
}

/// The texts of the sample corpus.
fn sample() -> Result<Vec<String>, Box<dyn Error>> {
    let mut texts = Vec::new();
    let plan = planned("sample", &format!("{SAMPLE}/*.parquet"))?;
    for source in &plan.sources {
        for (shard, unit) in source.units() {
            for document in read_unit(shard, &source.columns, unit)? {
                if let DocumentText::Text(text) = document?.text {
                    texts.push(text.to_string());
                }
            }
        }
    }
    Ok(texts)
}

/// Writes `texts` as one shard with zstd and row groups of 20,000 rows.
fn write_shard(path: &Path, texts: &[String]) -> Result<(), Box<dyn Error>> {
    let text: ArrayRef = Arc::new(texts.iter().map(Some).collect::<StringArray>());
    let batch = RecordBatch::try_from_iter([("text", text)])?;
    let compression = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder().set_compression(compression).set_dictionary_enabled(false);
    let properties = properties.set_max_row_group_row_count(Some(20_000)).build();
    let mut writer = ArrowWriter::try_new(fs_err::File::create(path)?, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a bench is told which tokenizer to measure")]
fn tokenizer() -> Result<Tokenizer, Box<dyn Error>> {
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let path = PathBuf::from(given.unwrap_or_else(|| TOKENIZER.to_owned()));
    if path.extension().is_some_and(|extension| extension == "json") {
        return Ok(Tokenizer::open(&path)?);
    }
    let weights_hash = ContentHash::of(b"not hashed here");
    Ok(Tokenizer::load(&ModelPaths { weights: vec![path], config: None, tokenizer: None, weights_hash })?)
}

/// Seconds that tokenising `texts` takes.
fn alone(tokenizer: &Tokenizer, texts: &[String]) -> Result<f64, Box<dyn Error>> {
    let began = Instant::now();
    let tokens = texts.par_iter().map(|text| tokenizer.encode(text).map(|ids| ids.len())).sum::<Result<usize, _>>()?;
    assert!(tokens > 0, "there are tokens");
    Ok(began.elapsed().as_secs_f64())
}

/// Seconds that writing the files of `plan` takes.
fn files(tokenizer: &Tokenizer, plan: &Plan, formats: &[TokenFormat]) -> Result<f64, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let config = TokensConfig { formats: formats.to_vec(), ..TokensConfig::default() };
    let began = Instant::now();
    let setup = TokenizerSetup::new(&config, tokenizer, "bench", 8192)?;
    let part = PartPlan { part: TextPart::Corpus, folder: "tokens/corpus".to_owned(), plan };
    let run = Stores::default().open(&folder.path().display().to_string())?;
    let work = TokenWork::begin(&run, &setup, &part, Share { index: 0, of: 1 })?;
    write_tokens(&work, &Nobody)?;
    Ok(began.elapsed().as_secs_f64())
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

#[expect(clippy::print_stdout, reason = "a bench prints what it measured")]
fn main() -> Result<(), Box<dyn Error>> {
    let tokenizer = tokenizer()?;
    let mut texts = Vec::new();
    let sample = sample()?;
    let mut bytes = 0;
    for text in sample.iter().cycle() {
        bytes += text.len();
        texts.push(text.clone());
        if bytes >= TEXT_BYTES {
            break;
        }
    }
    let shards = tempfile::tempdir()?;
    write_shard(&shards.path().join("0.parquet"), &texts)?;
    let plan = planned("web", &shards.path().display().to_string())?;
    let all = [TokenFormat::Datatrove, TokenFormat::Megatron, TokenFormat::Mds, TokenFormat::Olmo];
    let (mut no_files, mut one_format, mut all_formats) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let seconds =
            (alone(&tokenizer, &texts)?, files(&tokenizer, &plan, &all[..1])?, files(&tokenizer, &plan, &all)?);
        // the first fills caches
        if round > 0 {
            no_files.push(seconds.0);
            one_format.push(seconds.1);
            all_formats.push(seconds.2);
        }
    }
    let mib = bytes as f64 / f64::from(1 << 20);
    let reference = median(no_files);
    println!("{} documents, {mib:.0} MiB of text, {} threads", texts.len(), rayon::current_num_threads());
    println!("{:<24}{:>10}{:>10}", "", "MiB/s", "share");
    println!("{:<24}{:>10.2}{:>10.2}", "tokenizer alone", mib / reference, 1.0);
    for (what, seconds) in [("datatrove", median(one_format)), ("all four formats", median(all_formats))] {
        println!("{what:<24}{:>10.2}{:>10.2}", mib / seconds, reference / seconds);
        if reference / seconds < LEAST_SHARE {
            return Err(format!("{what}: below {LEAST_SHARE} of the tokenizer alone").into());
        }
    }
    Ok(())
}
