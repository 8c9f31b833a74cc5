//! Rows of a shard of any shape, which must be its own wherever reading begins.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, ListArray, RecordBatch, StringArray};
use arrow::datatypes::Int32Type;
use bytes::Bytes;
use headwater_corpus::{
    BeginningText, Columns, Document, DocumentText, Domain, KeptRows, Plan, PlanOptions, PlannedShard, SourceConfig,
    SubsetOptions, UnitStart, Wanted, plan, read_texts, write_subset,
};
use headwater_record::{ByteCount, UnitKey};
use headwater_store::{Place, Stores};
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use crate::panics::escaping;

/// Stretches of rows that are read from the middle of nowhere.
const STRETCHES: usize = 4;

static STORES: LazyLock<Stores> = LazyLock::new(Stores::default);
static PLACE: LazyLock<Place> = LazyLock::new(|| STORES.open("memory://rows").expect("the place has a name"));

/// A text, or none.
type Text = Option<String>;

/// Writes the shard that `bytes` describe, changes a byte of its offset indexes, and reads it by planned units, by stretches of rows, as
/// samples, as single texts and as a subset: all must give the rows that were written.
pub fn rows(bytes: &[u8]) {
    escaping(|| {
        let mut choices = Choices(bytes);
        let file = write(&mut choices);
        let texts = file.texts;
        let shard = planned("whole.parquet", file.bytes.clone(), file.unit_bytes);
        compare(&shard, &texts, &mut choices);
        if let Some(changed) = with_other_index(&file.bytes, &mut choices) {
            compare(&planned("changed.parquet", changed, file.unit_bytes), &texts, &mut choices);
        }
    });
}

/// Decisions, one after the other; zeros where the bytes end.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        let wide = usize::from(self.byte()) << 8 | usize::from(self.byte());
        wide % end.max(1)
    }

    fn one_of<T: Copy>(&mut self, options: &[T]) -> T {
        options[usize::from(self.byte()) % options.len()]
    }
}

/// A shard and what is in it.
struct File {
    bytes: Bytes,
    texts: Vec<Text>,
    unit_bytes: u64,
}

fn write(choices: &mut Choices<'_>) -> File {
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
    ];
    let text_column = ColumnPath::from("text");
    let mut properties = WriterProperties::builder()
        .set_compression(choices.one_of(&codecs))
        .set_writer_version(choices.one_of(&[WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0]))
        .set_data_page_size_limit(choices.one_of(&[64, 300, 1 << 20]))
        .set_data_page_row_count_limit(1 + choices.below(300))
        .set_dictionary_page_size_limit(choices.one_of(&[16, 1 << 20]))
        .set_write_batch_size(choices.one_of(&[1, 5, 1024]))
        .set_max_row_group_row_count(Some(1 + choices.below(400)));
    let encodings = [Encoding::PLAIN, Encoding::DELTA_BYTE_ARRAY, Encoding::DELTA_LENGTH_BYTE_ARRAY];
    if let Some(encoding) = encodings.get(choices.below(4)) {
        properties = properties
            .set_column_dictionary_enabled(text_column.clone(), false)
            .set_column_encoding(text_column, *encoding);
    }
    let unit_bytes = choices.one_of(&[1, 200, 4000, 1 << 40]);
    let rows = 1 + choices.below(600);
    let period = 1 + choices.below(40);
    let pattern: Vec<u8> = (0..period).map(|_| choices.byte()).collect();
    let texts: Vec<Text> = (0..rows)
        .map(|row| match pattern[row % period] {
            0 => None,
            // a dictionary needs texts that come again
            length if length % 3 == 0 => Some("é🙂".repeat(usize::from(length % 7))),
            length => Some(format!("{row}:{}", "word ".repeat(usize::from(length) / 8))),
        })
        .collect();
    let list = |row: usize| Some((0..row % 4).map(|item| i32::try_from(item).ok()).collect::<Vec<_>>());
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>((0..rows).map(list)));
    let column: ArrayRef = Arc::new(StringArray::from(texts.clone()));
    let batch = RecordBatch::try_from_iter_with_nullable([("lists", lists, true), ("text", column, true)]);
    let batch = batch.expect("the columns are of one length");
    let mut writer =
        ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).expect("the schema can be written");
    writer.write(&batch).expect("memory can be written to");
    File { bytes: writer.into_inner().expect("memory can be written to").into(), texts, unit_bytes }
}

/// The file with another byte in one of its offset indexes; `None` if it has none.
fn with_other_index(file: &Bytes, choices: &mut Choices<'_>) -> Option<Bytes> {
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
    let metadata = reader.parse_and_finish(file).expect("the footer is whole");
    let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    let ranges = columns.filter_map(|column| column.offset_index_offset().zip(column.offset_index_length()));
    let places: Vec<usize> = ranges
        .flat_map(|(start, length)| start..start + i64::from(length))
        .filter_map(|at| at.try_into().ok())
        .collect();
    let place = *places.get(choices.below(places.len()))?;
    let mut changed = file.to_vec();
    changed[place] ^= choices.byte().max(1);
    Some(changed.into())
}

/// A file in memory, planned.
fn planned(name: &str, file: Bytes, unit_bytes: u64) -> PlannedShard {
    PLACE.write(name, file).expect("memory can be written to");
    let source = SourceConfig {
        name: "a".to_owned(),
        paths: vec![PLACE.describe(name)],
        text: "text".to_owned(),
        id: String::new(),
        domain: String::new(),
        domain_value: None,
        sample: 1.0,
    };
    let options = PlanOptions { unit_bytes: Some(ByteCount(unit_bytes)), ..PlanOptions::default() };
    let Plan { mut sources } = plan(&[source], &options, &STORES, &|_| ()).expect("the shard is whole");
    sources.remove(0).shards.remove(0)
}

/// Reads `shard` in all ways, which must give `texts`.
fn compare(shard: &PlannedShard, texts: &[Text], choices: &mut Choices<'_>) {
    let of = |unit: &UnitKey| {
        let first = usize::try_from(unit.first_row).expect("there are few rows");
        &texts[first..first + usize::try_from(unit.rows).expect("there are few rows")]
    };
    assert_eq!(shard.units.iter().map(|unit| unit.rows).sum::<u64>(), texts.len() as u64);
    for unit in &shard.units {
        assert_eq!(read(shard, unit, Wanted::Documents), of(unit), "{unit}");
    }
    for _ in 0..STRETCHES {
        let first = choices.below(texts.len());
        let rows = 1 + choices.below(texts.len() - first);
        let unit = shard.unit_of(first as u64..(first + rows) as u64).expect("the shard has these rows");
        for wanted in [Wanted::Documents, Wanted::Sample] {
            assert_eq!(read(shard, &unit, wanted), of(&unit), "{wanted:?} of {unit}");
        }
    }
    let (first, step) = (choices.below(texts.len()), 1 + choices.below(200));
    let some: Vec<usize> = (first..texts.len()).step_by(step).collect();
    let expected: Vec<Text> = some.iter().map(|row| texts[*row].clone()).collect();
    let some: Vec<u64> = some.into_iter().map(|row| row as u64).collect();
    let beginnings = read_texts(shard, "text", &some, usize::MAX).expect("the shard is whole");
    let read_text = |beginning: Option<BeginningText>| beginning.map(|beginning| beginning.text);
    assert_eq!(beginnings.into_iter().map(read_text).collect::<Vec<_>>(), expected);
    let kept = KeptRows::new(some).expect("the rows rise");
    let mut subset = Vec::new();
    write_subset(shard, &kept, &SubsetOptions::default(), &mut subset).expect("the shard is whole");
    let subset = planned("subset.parquet", subset.into(), 1 << 40);
    let read: Vec<Text> = subset.units.iter().flat_map(|unit| read(&subset, unit, Wanted::Documents)).collect();
    assert_eq!(read, expected);
}

/// The texts of `unit`, which is opened anew.
fn read(shard: &PlannedShard, unit: &UnitKey, wanted: Wanted) -> Vec<Text> {
    let columns = Columns { text: "text".to_owned(), id: None, domain: Domain::Constant("d".to_owned()) };
    let documents = UnitStart::new(shard, &columns, unit).with_wanted(wanted).open().expect("the shard is whole");
    let text = |document: Result<Document, _>| match document.expect("the shard is whole").text {
        DocumentText::Text(text) => Some(text.to_string()),
        DocumentText::Null => None,
        DocumentText::NotUtf8 { .. } => panic!("a text is UTF-8"),
    };
    documents.map(text).collect()
}
