//! Time and resident memory of every rank and policy, and of a report's profile, over 10^5, 10^6 and 10^7 sidecar rows on disk, reading included.
//!
//! `cargo bench --workspace --bench scale [-- ROWS]`; ROWS is the most, 10^7 unless given. It writes about 30 bytes a row into the folder
//! for temporary files. Resident memory is read from `/proc`, so on Linux only. It fails if a selection takes more than a minute or the
//! peak exceeds [`MOST_KIB`]; the last column is the time a row relative to that of the fewest rows.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    ArrayRef, DictionaryArray, Float32Array, Int8Array, Int32Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
    new_null_array,
};
use arrow::datatypes::Int32Type;
use headwater_corpus::{Plan, PlanOptions, SourceConfig, plan};
use headwater_record::run::{Labels, Numerics, RunShard, RunSource, ScoringInputs};
use headwater_record::sidecar::{column, footer, schema};
use headwater_record::{ContentHash, HeadSet, RunFile, ScoreOf};
use headwater_run::{RunFolder, Unit, units};
use headwater_select::{By, Guards, RankBy, Rule, SelectConfig, Sidecars, StoredSidecars, cut, profile};
use headwater_store::{Place, Stores};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const MOST_ROWS: u64 = 10_000_000;
const UNIT_ROWS: usize = 10_000;
const DOMAINS: u32 = 8;
const MOST_SECONDS: f64 = 60.0;
const MOST_KIB: u64 = 512 << 10;

/// A normal draw.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let mut uniform = || (f64::from(rng.next_u32()) + 0.5) / 4_294_967_296.0;
    (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
}

fn encode(batch: &RecordBatch, footer: Vec<KeyValue>, group_rows: usize) -> Result<Vec<u8>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(footer))
        .set_max_row_group_row_count(Some(group_rows))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.close()?;
    Ok(bytes)
}

/// Shards of a million rows at most: a text of one letter, which nobody reads, and a score.
fn write_corpus(place: &Place, rows: u64) -> Result<()> {
    for (number, first) in (0..rows).step_by(1_000_000).enumerate() {
        let rows = usize::try_from((rows - first).min(1_000_000))?;
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x"; rows]));
        let scores: ArrayRef = Arc::new((0..rows).map(|row| i8::try_from(row * 7 % 6).ok()).collect::<Int8Array>());
        let batch = RecordBatch::try_from_iter([("text", texts), ("int_score", scores)])?;
        place.write(&format!("corpus/{number:03}.parquet"), encode(&batch, Vec::new(), UNIT_ROWS)?.into())?;
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "made-up numbers")]
fn sidecar(unit: &Unit) -> Result<RecordBatch> {
    let rows = usize::try_from(unit.key.rows)?;
    let mut rng =
        ChaCha8Rng::seed_from_u64(unit.key.first_row ^ u64::from_str_radix(&unit.key.shard.as_str()[..12], 16)?);
    let words = |words: Vec<&str>, keys: Vec<i32>| -> Result<ArrayRef> {
        let words = Arc::new(StringArray::from(words));
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(Int32Array::from(keys), words)?))
    };
    let names: Vec<String> = (0..DOMAINS).map(|domain| format!("domain {domain}")).collect();
    let domains = (0..rows).map(|_| (rng.next_u32() % DOMAINS).cast_signed()).collect();
    let mut columns: [Vec<f32>; 5] = Default::default();
    let mut tokens = Vec::new();
    for _ in 0..rows {
        let (a, b, c) = (normal(&mut rng), normal(&mut rng), normal(&mut rng));
        let length = (6.5 + 0.9 * c).exp().max(40.0);
        let influence = (0.5 - 0.3 * a + 0.1 * b + 0.1 * normal(&mut rng)).exp() - 1.0;
        let loss = (0.9 + 0.3 * a).exp();
        let values = [(0.8 + 0.2 * b).exp(), loss, loss * (1.0 + influence), influence, 1.5 / length.sqrt()];
        columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value as f32));
        tokens.push(length as u32);
    }
    let [compression, loss, masked, influence, stderr] =
        columns.map(|column| Arc::new(Float32Array::from(column)) as ArrayRef);
    let targets = tokens.iter().map(|tokens| tokens - 1);
    let first = unit.key.first_row;
    let columns: Vec<ArrayRef> = vec![
        words(vec![&unit.source], vec![0; rows])?,
        words(vec![&unit.path], vec![0; rows])?,
        Arc::new(UInt64Array::from_iter_values(first..first + rows as u64)),
        Arc::new((0..rows).map(|_| None::<&str>).collect::<StringArray>()),
        words(names.iter().map(String::as_str).collect(), domains)?,
        words(vec!["scored"], vec![0; rows])?,
        Arc::new(UInt64Array::from_iter_values(tokens.iter().map(|tokens| u64::from(*tokens) * 4))),
        Arc::new(UInt64Array::from(vec![None; rows])),
        compression,
        Arc::new(UInt32Array::from(tokens.clone())),
        Arc::new(UInt32Array::from_iter_values(targets)),
        loss,
        masked,
        influence,
        stderr,
        Arc::new(Float32Array::from(vec![None; rows])),
        words(vec![ScoreOf::Teacher.as_str()], vec![0; rows])?,
        new_null_array(schema().field_with_name(column::WINDOWS)?.data_type(), rows),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

fn scoring() -> ScoringInputs {
    let numerics = |text: &str| text.to_owned();
    ScoringInputs {
        model_config: None,
        weights: ContentHash::of(b"weights"),
        tokenizer: ContentHash::of(b"tokenizer"),
        heads: HeadSet::default(),
        mask: "causal-uniform".into(),
        window_tokens: 4096,
        long_documents: "all".into(),
        min_tokens: 32,
        numerics: Numerics {
            engine: numerics("native"),
            device: numerics("cpu"),
            precision: numerics("bf16"),
            instructions: numerics(""),
        },
        semantics: 1,
        student: None,
        cascade: None,
    }
}

/// Writes a corpus with its sidecars, as a run leaves them.
fn write_run(place: &Place, rows: u64) -> Result<(Plan, RunFile)> {
    write_corpus(place, rows)?;
    let source = SourceConfig {
        name: "web".to_owned(),
        paths: vec![place.describe("corpus")],
        text: "text".to_owned(),
        id: "id".to_owned(),
        domain: "domain".to_owned(),
        domain_value: None,
        sample: 1.0,
    };
    let mut plan = plan(&[source], &PlanOptions::default(), &Stores::default(), &|_| ())?;
    plan.sources[0].shards.iter_mut().for_each(|shard| shard.cut_by_rows(UNIT_ROWS as u64));
    let shards = plan.sources[0].shards.iter().map(|shard| RunShard {
        path: shard.path.clone(),
        id: shard.id.clone(),
        bytes: shard.bytes,
        etag: shard.etag.clone(),
        units: shard.units.clone(),
    });
    let source = RunSource {
        name: "web".to_owned(),
        text: "text".to_owned(),
        labels: Labels { domain_column: Some("domain".to_owned()), ..Labels::default() },
        fingerprint: scoring().fingerprint("text")?,
        shards: shards.collect(),
        skipped: Vec::new(),
    };
    let run = RunFile {
        headwater: String::new(),
        began: String::new(),
        config: serde_json::Value::Null,
        scoring: scoring(),
        revisions: std::collections::BTreeMap::new(),
        sources: vec![source],
    };
    for unit in units(&run)? {
        let entries = [
            (footer::UNIT, unit.key.to_string()),
            (footer::FINGERPRINT, unit.fingerprint.to_string()),
            (footer::DOMAIN_COLUMN, "domain".to_owned()),
        ];
        let entries = entries.map(|(key, value)| KeyValue::new(key.to_owned(), value)).to_vec();
        place.write(&unit.sidecar_path(), encode(&sidecar(&unit)?, entries, UNIT_ROWS)?.into())?;
    }
    Ok((plan, run))
}

/// Every rank by itself, and every policy.
fn rules(rows: u64) -> Result<Vec<(&'static str, SelectConfig)>> {
    let rank = |name: &str| RankBy::try_from(name.to_owned());
    let of = |rank| SelectConfig { rank, ..SelectConfig::default() };
    let rank_sum: BTreeMap<_, _> = [(rank("corrected")?, 1.0), (rank("column:int_score")?, 0.5)].into();
    let guards = Guards {
        min_tokens: Some(100),
        max_compression: Some(4.0),
        filter: Some("loss_base < 5 AND domain NOT IN ('tables')".to_owned()),
        ..Guards::default()
    };
    let tokens = Some(rows as f64 * 800.0);
    Ok(vec![
        ("influence", SelectConfig::default()),
        ("corrected", of(rank("corrected")?)),
        ("loss", of(rank("loss")?)),
        ("random", of(rank("random")?)),
        ("column:int_score", of(rank("column:int_score")?)),
        ("rank-sum", SelectConfig { rank_sum, ..of(rank("rank-sum")?) }),
        ("by tokens", SelectConfig { by: By::Tokens, ..SelectConfig::default() }),
        ("budget", SelectConfig { by: By::TokenBudget, tokens, ..SelectConfig::default() }),
        ("upsample", SelectConfig { by: By::Upsample, tokens, ..SelectConfig::default() }),
        ("length strata", SelectConfig { length_strata: 20, ..SelectConfig::default() }),
        ("guards, filter", SelectConfig { guards, ..SelectConfig::default() }),
    ])
}

/// A line of `/proc/self/status`, KiB.
fn memory_kib(name: &str) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a bench, run by hand")]
    let status = std::fs::read("/proc/self/status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or_default()
}

#[expect(clippy::print_stdout, reason = "a bench says what it measured")]
#[expect(clippy::disallowed_methods, reason = "a bench is told how much to measure")]
fn main() -> Result<()> {
    let most = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(MOST_ROWS);
    let mut first: BTreeMap<&str, f64> = BTreeMap::new();
    for rows in [100_000, 1_000_000, 10_000_000].into_iter().filter(|rows| *rows <= most) {
        let folder = tempfile::tempdir()?;
        let place = Stores::default().open(folder.path().to_str().ok_or("a temporary folder with a plain name")?)?;
        let (plan, run) = write_run(&place, rows)?;
        let mut measure = |name: &'static str, keep: &dyn Fn(&StoredSidecars<'_>) -> Result<u64>| -> Result<()> {
            let began = Instant::now();
            let sidecars = StoredSidecars::open(&RunFolder::new(place.clone()), &run)?.with_shards(&plan);
            let kept = keep(&sidecars)?;
            let (seconds, peak) = (began.elapsed().as_secs_f64(), memory_kib("VmHWM"));
            let a_row = seconds / rows as f64;
            println!(
                "{rows:>10} rows, {name:<16} {:>8} kept in {seconds:>6.2} s, peak so far {:>4} MiB, {:.2} × the time a row of the fewest",
                kept,
                peak >> 10,
                a_row / *first.entry(name).or_insert(a_row),
            );
            assert!(seconds <= MOST_SECONDS, "{name} took {seconds} s");
            assert!(peak <= MOST_KIB, "{name} took {peak} KiB");
            Ok(())
        };
        for (name, config) in rules(rows)? {
            let rule = Rule { config: &config, seed: 0 };
            measure(name, &|sidecars| Ok(cut(sidecars, rule, &|_| ())?.file.kept_documents()))?;
        }
        // a cut with every whole per cent, one of each other usual rank, and what the report counts
        measure("profile", &|sidecars| {
            let rule = Rule { config: &SelectConfig::default(), seed: 0 };
            let profile = profile(sidecars, sidecars.units().len(), rule, &|_| ())?;
            Ok(profile.domains.iter().map(|domain| domain.kept_documents).sum())
        })?;
    }
    Ok(())
}
