//! Reads texts of Parquet files in every way that the corpus is read, and tells where two ways disagree.
//!
//!     read_rows read SEED < PATHS       a line for each path: the path, a tab, and a short hash of each row's text (`-` for null)
//!     read_rows write SEED PATH         writes a random file with the writer of the `parquet` crate
//!
//! Each file is read whole; by units that begin anywhere; as samples; and as texts of single rows. The same is done with bits of its offset
//! indexes flipped, which must change nothing. `tests/readers/differential.py` compares the hashes with pyarrow's.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "an example is a command")]

use std::error::Error;
use std::io::BufRead;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::Int32Type;
use bytes::Bytes;
use headwater_corpus::{
    Columns, Document, DocumentText, Domain, Plan, PlanOptions, PlannedShard, SourceConfig, UnitStart, Wanted, plan,
    read_texts,
};
use headwater_record::{ByteCount, ContentHash, UnitKey};
use headwater_store::Stores;
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use parquet::file::properties::{WriterProperties, WriterVersion};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// How often a file is read with other bits flipped.
const FLIPS: usize = 3;

/// Stretches of rows that are read from the middle of nowhere.
const STRETCHES: usize = 6;

/// A text, or none.
type Text = Option<String>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["read", seed] => {
            let seed: u64 = seed.parse()?;
            for path in std::io::stdin().lock().lines() {
                let path = path?;
                let texts = read(&path, seed).map_err(|error| format!("{path}: {error}"))?;
                let short = |text: &Text| {
                    text.as_ref().map_or("-".to_owned(), |text| ContentHash::of(text.as_bytes()).short(12))
                };
                println!("{path}\t{}", texts.iter().map(short).collect::<Vec<_>>().join(" "));
            }
            Ok(())
        }
        ["write", seed, path] => write(seed.parse()?, path),
        _ => Err("read_rows read SEED < PATHS, or read_rows write SEED PATH".into()),
    }
}

/// A file in memory, planned with one unit.
fn planned(stores: &Stores, name: &str, bytes: Bytes) -> Outcome<Plan> {
    stores.open("memory://files")?.write(name, bytes)?;
    let source = SourceConfig {
        name: "s".to_owned(),
        paths: vec![format!("memory://files/{name}")],
        text: "text".to_owned(),
        id: String::new(),
        domain: String::new(),
        domain_value: None,
        sample: 1.0,
    };
    let options = PlanOptions { unit_bytes: Some(ByteCount(1 << 40)), ..PlanOptions::default() };
    Ok(plan(&[source], &options, stores, &|_| {})?)
}

/// The texts of a unit, which is opened anew.
fn texts(shard: &PlannedShard, unit: &UnitKey, wanted: Wanted) -> Outcome<Vec<Text>> {
    let columns = Columns { text: "text".to_owned(), id: None, domain: Domain::Constant("d".to_owned()) };
    let documents = UnitStart::new(shard, &columns, unit).with_wanted(wanted).open()?;
    let text = |document: headwater_corpus::Result<Document>| -> Outcome<Text> {
        match document?.text {
            DocumentText::Text(text) => Ok(Some(text.to_string())),
            DocumentText::Null => Ok(None),
            DocumentText::NotUtf8 { .. } => Err("a text is not UTF-8".into()),
        }
    };
    documents.map(text).collect()
}

/// The texts of a file, read in every way.
fn read(path: &str, seed: u64) -> Outcome<Vec<Text>> {
    let of_path = u64::from_str_radix(&ContentHash::of(path.as_bytes()).short(15), 16)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ of_path);
    let bytes = Bytes::from(fs_err::read(path)?);
    let stores = Stores::default();
    let plan = planned(&stores, "a.parquet", bytes.clone())?;
    let shard = &plan.sources[0].shards[0];
    let mut whole = Vec::new();
    for unit in &shard.units {
        whole.extend(texts(shard, unit, Wanted::Documents)?);
    }
    compare(shard, &whole, &mut random)?;
    for flip in 0..FLIPS {
        let Some(flipped) = flipped(&bytes, &mut random)? else { break };
        let plan = planned(&stores, &format!("{flip}.parquet"), flipped)?;
        let compared = compare(&plan.sources[0].shards[0], &whole, &mut random);
        compared.map_err(|error| format!("with flipped bits: {error}"))?;
    }
    Ok(whole)
}

/// Reads stretches and single rows, which must be those of `whole`.
fn compare(shard: &PlannedShard, whole: &[Text], random: &mut impl Rng) -> Outcome {
    if whole.is_empty() {
        return Ok(());
    }
    for _ in 0..STRETCHES {
        let first = random.random_range(0..shard.rows);
        let rows = random.random_range(1..=(shard.rows - first).min(40));
        let unit = shard.unit_of(first..first + rows).ok_or("no such rows")?;
        let first = usize::try_from(first)?;
        let expected = &whole[first..first + usize::try_from(rows)?];
        for wanted in [Wanted::Documents, Wanted::Sample] {
            if texts(shard, &unit, wanted)? != expected {
                return Err(format!("{wanted:?}: {rows} rows from {first} on differ").into());
            }
        }
    }
    let mut rows: Vec<u64> = (0..5).map(|_| random.random_range(0..whole.len() as u64)).collect();
    rows.sort_unstable();
    rows.dedup();
    for (row, text) in rows.iter().zip(read_texts(shard, "text", &rows, usize::MAX)?) {
        if text.map(|text| text.text) != whole[usize::try_from(*row)?] {
            return Err(format!("the text of row {row} differs").into());
        }
    }
    Ok(())
}

/// The file with a few bits of its offset indexes flipped; `None` if it has none.
fn flipped(bytes: &Bytes, random: &mut impl Rng) -> Outcome<Option<Bytes>> {
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
    let metadata = reader.parse_and_finish(bytes)?;
    let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    let indexes = columns.filter_map(|column| column.offset_index_offset().zip(column.offset_index_length()));
    let places = indexes.flat_map(|(start, length)| start..start + i64::from(length)).map(usize::try_from);
    let places = places.collect::<Result<Vec<_>, _>>()?;
    if places.is_empty() {
        return Ok(None);
    }
    let mut changed = bytes.to_vec();
    for _ in 0..random.random_range(1..4) {
        changed[places[random.random_range(0..places.len())]] ^= 1 << random.random_range(0..8);
    }
    Ok(Some(changed.into()))
}

/// Writes a file of random shape.
fn write(seed: u64, path: &str) -> Outcome {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let rows: i64 = random.random_range(1..1_500);
    let longest = [3, 40, 900][random.random_range(0..3)];
    let words = ["a", "é", "漢字", "🙂", " ", "word ", "\n", "\0"];
    let text = |random: &mut ChaCha8Rng| -> Text {
        if random.random_range(0..12) == 0 {
            return None;
        }
        let length = random.random_range(0..longest);
        Some((0..length).map(|_| words[random.random_range(0..words.len())]).collect())
    };
    let texts: ArrayRef = Arc::new((0..rows).map(|_| text(&mut random)).collect::<StringArray>());
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let list = |row: i64| Some((0..row % 5).map(|item| i32::try_from(item).ok()).collect::<Vec<_>>());
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>((0..rows).map(list)));
    let columns = [("numbers", numbers, false), ("lists", lists, true), ("text", texts, true)];
    let batch = RecordBatch::try_from_iter_with_nullable(columns)?;
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::LZ4_RAW,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
    ];
    let encodings = [Encoding::PLAIN, Encoding::DELTA_BYTE_ARRAY, Encoding::DELTA_LENGTH_BYTE_ARRAY];
    let text_column = parquet::schema::types::ColumnPath::from("text");
    let mut properties = WriterProperties::builder()
        .set_compression(codecs[random.random_range(0..codecs.len())])
        .set_writer_version([WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0][random.random_range(0..2)])
        .set_data_page_size_limit([64, 1_000, 1 << 20][random.random_range(0..3)])
        .set_data_page_row_count_limit([3, 100, 20_000][random.random_range(0..3)])
        .set_write_batch_size([1, 16, 1024][random.random_range(0..3)])
        .set_max_row_group_row_count(Some([7, 300, 1 << 20][random.random_range(0..3)]));
    if let Some(encoding) = encodings.get(random.random_range(0..4)) {
        properties = properties
            .set_column_dictionary_enabled(text_column.clone(), false)
            .set_column_encoding(text_column, *encoding);
    }
    let mut writer = ArrowWriter::try_new(fs_err::File::create(path)?, batch.schema(), Some(properties.build()))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}
