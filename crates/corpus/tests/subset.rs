//! Subsets equal `take` on the whole shard, with its schema and footer, whatever the columns, pages and row groups.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, FixedSizeBinaryArray, Int64Array, Int64Builder, ListBuilder, MapBuilder,
    RecordBatch, StringArray, StringBuilder, StructArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Fields, Float32Type, Int8Type, Schema};
use bytes::Bytes;
use fs_err::File;
use headwater_corpus::{
    Error, KeptRows, PlanOptions, PlannedShard, SourceConfig, Subset, SubsetOptions, plan, write_subset,
};
use headwater_record::ByteCount;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{KeyValue, ParquetMetaDataReader};
use parquet::file::properties::{WriterProperties, WriterVersion};
use proptest::prelude::*;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// One row of the random table: what the columns hold is derived from it.
#[derive(Clone, Debug)]
struct Row {
    text: Option<String>,
    tags: Option<Vec<Option<String>>>,
    counts: Option<Vec<(u8, Option<i64>)>>,
    nested: Option<(Option<i64>, Vec<i64>)>,
}

fn row() -> impl Strategy<Value = Row> {
    let tags = prop::option::of(prop::collection::vec(prop::option::of("[a-c]{0,6}"), 0..4));
    let counts = prop::option::of(prop::collection::vec((any::<u8>(), prop::option::of(any::<i64>())), 0..3));
    let nested = prop::option::of((prop::option::of(any::<i64>()), prop::collection::vec(any::<i64>(), 0..5)));
    (prop::option::of("\\PC{0,40}"), tags, counts, nested).prop_map(|(text, tags, counts, nested)| Row {
        text,
        tags,
        counts,
        nested,
    })
}

fn table(rows: &[Row]) -> Result<RecordBatch, Box<dyn std::error::Error>> {
    let mut tags = ListBuilder::new(StringBuilder::new()).with_field(Field::new("tag", DataType::Utf8, true));
    let mut counts = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    let mut lists = ListBuilder::new(Int64Builder::new());
    for row in rows {
        tags.append_option(row.tags.clone());
        for (key, value) in row.counts.iter().flatten() {
            counts.keys().append_value(key.to_string());
            counts.values().append_option(*value);
        }
        counts.append(row.counts.is_some())?;
        lists.append_value(row.nested.iter().flat_map(|(_, list)| list.iter().copied().map(Some)));
    }
    let lists: ArrayRef = Arc::new(lists.finish());
    let numbers = Int64Array::from_iter(rows.iter().map(|row| row.nested.as_ref().and_then(|(number, _)| *number)));
    let fields = Fields::from(vec![
        Field::new("number", DataType::Int64, true).with_metadata([("unit".to_owned(), "m".to_owned())]),
        Field::new("list", lists.data_type().clone(), true),
    ]);
    let nulls = rows.iter().map(|row| row.nested.is_some()).collect::<Vec<_>>().into();
    let nested = StructArray::new(fields, vec![Arc::new(numbers), lists], Some(nulls));
    let text: StringArray = rows.iter().map(|row| row.text.as_deref()).collect();
    let kinds: DictionaryArray<Int8Type> =
        rows.iter().map(|row| row.text.as_ref().map(|text| if text.len() % 2 == 0 { "even" } else { "odd" })).collect();
    let times: TimestampMicrosecondArray = (0..).take(rows.len()).map(Some).collect();
    let hashes = FixedSizeBinaryArray::try_from_iter((0_u32..).take(rows.len()).map(u32::to_be_bytes))?;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("text", Arc::new(text)),
        ("tags", Arc::new(tags.finish())),
        ("counts", Arc::new(counts.finish())),
        ("nested", Arc::new(nested)),
        ("kind", Arc::new(kinds)),
        ("time", Arc::new(times.with_timezone("UTC"))),
        ("hash", Arc::new(hashes)),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), array.is_nullable() || *name == "text"))
        .collect();
    let schema = Schema::new_with_metadata(fields, [("made".to_owned(), "here".to_owned())]);
    Ok(RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, array)| array).collect())?)
}

fn write(path: &Path, batch: &RecordBatch, row_group_rows: usize, version: WriterVersion) -> Outcome {
    let entry = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
    let features = r#"{"info": {"features": {"text": {"dtype": "string", "_type": "Value"}}}}"#;
    let pandas = r#"{"index_columns": [], "columns": [], "pandas_version": "2"}"#;
    let entries = vec![entry("huggingface", features), entry("pandas", pandas), KeyValue::new("none".to_owned(), None)];
    let properties = WriterProperties::builder()
        .set_writer_version(version)
        .set_max_row_group_row_count(Some(row_group_rows))
        .set_data_page_size_limit(64)
        .set_dictionary_page_size_limit(48)
        .set_write_batch_size(2)
        .set_key_value_metadata(Some(entries))
        .build();
    let mut writer = ArrowWriter::try_new(File::create(path)?, batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.close()?;
    Ok(())
}

fn shard(path: &Path) -> Result<PlannedShard, Error> {
    let source = SourceConfig {
        name: "s".into(),
        paths: vec![path.display().to_string()],
        text: "text".into(),
        id: "id".into(),
        domain: "domain".into(),
        domain_value: None,
        sample: 1.0,
    };
    let planned = plan(&[source], &PlanOptions::default(), &headwater_store::Stores::default(), &|_| {})?;
    Ok(planned.sources[0].shards[0].clone())
}

fn read(path: &Path) -> Result<RecordBatch, Box<dyn std::error::Error>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(fs_err::read(path)?))?;
    let schema = Arc::clone(builder.schema());
    let batches = builder.build()?.collect::<Result<Vec<_>, _>>()?;
    Ok(concat_batches(&schema, &batches)?)
}

fn check(rows: &[Row], kept: &[u64], row_group_rows: usize, version: WriterVersion) -> Outcome {
    let folder = tempfile::tempdir()?;
    let (input, output) = (folder.path().join("in.parquet"), folder.path().join("out.parquet"));
    write(&input, &table(rows)?, row_group_rows, version)?;
    let options = SubsetOptions { row_group_bytes: ByteCount(500) };
    let outcome = write_subset(&shard(&input)?, &KeptRows::new(kept.to_vec())?, &options, File::create(&output)?)?;
    assert!(matches!(outcome, Subset::Written { rows, .. } if rows == kept.len() as u64));
    let expected = take_record_batch(&read(&input)?, &UInt64Array::from(kept.to_vec()))?;
    assert_eq!(read(&output)?, expected);
    let metadata = |path| {
        Ok::<_, Box<dyn std::error::Error>>(
            ParquetMetaDataReader::new().parse_and_finish(&Bytes::from(fs_err::read(path)?))?,
        )
    };
    let (before, after) = (metadata(&input)?, metadata(&output)?);
    assert_eq!(before.file_metadata().schema(), after.file_metadata().schema());
    assert_eq!(before.file_metadata().key_value_metadata(), after.file_metadata().key_value_metadata());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_subset_is_what_take_gives(
        rows in prop::collection::vec((row(), any::<bool>()), 1..80),
        row_group_rows in 1..60_usize,
        is_new in any::<bool>(),
    ) {
        let kept: Vec<u64> = (0..).zip(&rows).filter(|(_, (_, is_kept))| *is_kept).map(|(row, _)| row).collect();
        let rows: Vec<Row> = rows.into_iter().map(|(row, _)| row).collect();
        let version = if is_new { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
        if !kept.is_empty() {
            check(&rows, &kept, row_group_rows, version).map_err(|error| TestCaseError::fail(error.to_string()))?;
        }
    }
}

fn plain(count: usize) -> Vec<Row> {
    (0..count)
        .map(|row| Row { text: Some(format!("document {row}")), tags: None, counts: None, nested: None })
        .collect()
}

#[test]
fn influence_comes_last_and_footers_list_it() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (input, output) = (folder.path().join("in.parquet"), folder.path().join("out.parquet"));
    write(&input, &table(&plain(100))?, 30, WriterVersion::PARQUET_1_0)?;
    let kept = KeptRows::new(vec![3, 40, 41, 99])?.with_column("influence", vec![0.5, f32::NAN, -1.0, 2.0])?;
    write_subset(&shard(&input)?, &kept, &SubsetOptions::default(), File::create(&output)?)?;
    let result = read(&output)?;
    let influence = result.column(result.num_columns() - 1).as_primitive::<Float32Type>();
    assert_eq!(influence.iter().collect::<Vec<_>>(), [Some(0.5), None, Some(-1.0), Some(2.0)]);
    let whole = take_record_batch(&read(&input)?, &UInt64Array::from(vec![3, 40, 41, 99]))?;
    let count = whole.num_columns();
    assert_eq!(result.project(&(0..count).collect::<Vec<_>>())?.columns(), whole.columns());
    let schema = result.schema();
    assert_eq!(schema.fields()[..count], whole.schema().fields()[..]);
    assert_eq!(schema.field(count), &Field::new("influence", DataType::Float32, true));
    assert!(schema.metadata()["huggingface"].contains(r#""influence":{"dtype": "float32""#));
    assert!(schema.metadata()["pandas"].contains(r#""field_name": "influence""#));
    let again = write_subset(&shard(&output)?, &kept_of(1)?, &SubsetOptions::default(), Vec::new());
    assert!(matches!(again, Err(Error::ColumnTaken { .. })));
    Ok(())
}

fn kept_of(rows: u64) -> Result<KeptRows, Error> {
    let count = usize::try_from(rows).unwrap_or(0);
    KeptRows::new((0..rows).collect())?.with_column("influence", vec![1.0; count])
}

#[test]
fn wrong_rows_and_full_disks_are_errors() -> Outcome {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let folder = tempfile::tempdir()?;
    let input = folder.path().join("in.parquet");
    write(&input, &table(&plain(10))?, 30, WriterVersion::PARQUET_1_0)?;
    let (shard, options) = (shard(&input)?, SubsetOptions::default());
    let mut bytes = Vec::new();
    assert_eq!(write_subset(&shard, &KeptRows::default(), &options, &mut bytes)?, Subset::Empty);
    assert!(bytes.is_empty());
    assert!(matches!(
        write_subset(&shard, &kept_of(11)?, &options, Vec::new()),
        Err(Error::RowOutOfRange { row: 10, .. })
    ));
    assert!(matches!(KeptRows::new(vec![1, 1]), Err(Error::RowOrder { .. })));
    assert!(matches!(KeptRows::new(vec![1])?.with_column("influence", vec![]), Err(Error::ColumnLength { .. })));
    match write_subset(&shard, &kept_of(10)?, &options, Full) {
        Err(Error::Write { source, .. }) => assert_eq!(source.kind(), std::io::ErrorKind::StorageFull),
        other => panic!("{other:?}"),
    }
    Ok(())
}
